"""The command line of the soak."""

from __future__ import annotations

import argparse
import sys

from .plants import PLANTS
from .run import Settings, soak


def main() -> int:
    """Parse the command line, and run."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.soak",
        description="Run mixed work for a long time; exit with 1 if a call is lost or anything grows.",
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="how long calls are made (600)")
    parser.add_argument("--rate", type=float, default=150.0, help="calls a second (150)")
    parser.add_argument("--seed", type=int, default=1, help="of sizes, drops and random moments (1)")
    parser.add_argument("--tracemalloc", action="store_true", help="show the lines of code whose memory grows; slower")
    parser.add_argument("--plant", nargs="+", choices=PLANTS, default=[], help="plant faults, which must be found")
    given = parser.parse_args()
    return soak(Settings(given.seconds, given.rate, given.seed, given.tracemalloc, given.plant))


if __name__ == "__main__":
    sys.exit(main())
