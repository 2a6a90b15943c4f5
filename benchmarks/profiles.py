"""Profile the client: `python -m benchmarks.profiles {serial,flight}`.

The caller's thread and the I/O thread are profiled one after the other with cProfile, which exaggerates small
functions: read it beside the figures of `codec` and `session`, which it does not disturb.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import pstats
import sys
import threading
from collections.abc import Callable

from benchmarks.harness import Context, Control, ServerProcess, Stopwatch, cpu_of
from benchmarks.loopback import client, io_thread, small

LINES = 30


def profile_io_thread(profile: cProfile.Profile) -> Callable[[], None]:
    """Profile each I/O thread that starts from now on; return a function that undoes this."""
    original = threading.Thread.run

    def run(self: threading.Thread) -> None:
        if self.name != "runware-io":
            original(self)
            return
        profile.enable()
        try:
            original(self)
        finally:
            profile.disable()

    def undo() -> None:
        threading.Thread.run = original  # type: ignore[method-assign]

    threading.Thread.run = run  # type: ignore[method-assign]
    return undo


def work(context: Context, what: str, count: int, profile: cProfile.Profile | None = None) -> tuple[Stopwatch, float]:
    """Make calls with the caller's part under the profile; return the time, and the CPU time of the I/O thread."""
    with client(context) as rw:
        parameters = small()
        rw.image_inference(**parameters)
        thread = io_thread()
        before = cpu_of(thread)
        if profile is not None:
            profile.enable()
        with Stopwatch() as watch:
            if what == "serial":
                for _ in range(count):
                    rw.image_inference(**parameters)
            else:
                jobs = [rw.submit.image_inference(**parameters) for _ in range(count)]
                for job in jobs:
                    job.result()
        if profile is not None:
            profile.disable()
        return watch, cpu_of(thread) - before


def show(title: str, profile: cProfile.Profile) -> None:
    """Print the functions with the most time of their own."""
    out = io.StringIO()
    pstats.Stats(profile, stream=out).strip_dirs().sort_stats("tottime").print_stats(LINES)
    lines = [line for line in out.getvalue().splitlines() if line.strip()]
    print(f"\n{title}\n" + "\n".join(lines))


def main() -> None:
    """Profile one kind of work."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiles", description="Profile the client.")
    parser.add_argument("what", choices=("serial", "flight"))
    parser.add_argument("--count", type=int, default=10_000, help="how many calls")
    parser.add_argument("--library", choices=("json", "orjson"), default="json")
    arguments = parser.parse_args()
    if arguments.library == "json":
        sys.modules["orjson"] = None  # type: ignore[assignment]  # importing it fails as if it were missing
    what, count = arguments.what, arguments.count
    with ServerProcess() as ports:
        context = Context(ports, Control(ports["control"]), 1, quick=True)
        work(context, what, count)
        watch, own = work(context, what, count)
        scale = 1e6 / count
        print(
            f"{what}, {count:,} calls, undisturbed: {watch.wall * scale:.1f} us a call, "
            f"{watch.cpu * scale:.1f} us of CPU, of which the I/O thread {own * scale:.1f} us"
        )
        caller = cProfile.Profile()
        work(context, what, count, caller)
        show("the caller's thread", caller)
        thread = cProfile.Profile()
        undo = profile_io_thread(thread)
        work(context, what, count)
        undo()
        show("the I/O thread", thread)


if __name__ == "__main__":
    main()
