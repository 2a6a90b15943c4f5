"""Run the session's state machine through many random schedules, several times as fast as hypothesis does.

    python -m tools.schedules --count 200000

The rules and invariants are those of `tests/test_session_machine.py`. Hypothesis spends most of a schedule on being
able to shrink it; here steps are drawn with `random`, and a failing schedule is printed with its number:

    python -m tools.schedules --only 4711
"""  # noqa: INP001 - a script

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.test_session_machine import Schedules

STEPS = 40
"""Maximum number of steps of a schedule, as in the tests."""


def drawer(strategy: Any) -> Callable[[random.Random], Any]:
    """Return a function that draws from one of the strategies that the rules use."""
    strategy = getattr(strategy, "wrapped_strategy", strategy)
    if (elements := getattr(strategy, "elements", None)) is not None:
        return lambda rng: rng.choice(elements)
    if hasattr(strategy, "start") and hasattr(strategy, "end"):
        return lambda rng: rng.randint(strategy.start, strategy.end)
    if type(strategy).__name__ == "BooleansStrategy":
        return lambda rng: rng.random() < 0.5
    raise TypeError(f"tools.schedules cannot draw from {strategy!r}")


def drawers(rule: Any) -> dict[str, Callable[[random.Random], Any]]:
    """Return the functions that draw the arguments of one rule."""
    return {name: drawer(strategy) for name, strategy in rule.arguments.items()}


def marked(kind: str) -> list[Any]:
    """Return what hypothesis has attached to the methods with one of its marks."""
    return [mark for method in vars(Schedules).values() if (mark := vars_of(method).get(f"hypothesis_stateful_{kind}"))]


def vars_of(method: object) -> dict[str, Any]:
    """Return the attributes of a method, if it has any."""
    return getattr(method, "__dict__", {})


START = [(rule.function, drawers(rule)) for rule in marked("initialize_rule")]
RULES = [(rule.function, rule.preconditions, drawers(rule)) for rule in marked("rule")]
INVARIANTS = [invariant.function for invariant in marked("invariant")]
if not (START and RULES and INVARIANTS):
    raise ImportError("This version of hypothesis marks rules and invariants in another way.")


def run(number: int) -> str | None:
    """Run one schedule, and return its failure, or `None`."""
    rng = random.Random(number)
    machine = Schedules()
    steps: list[str] = []

    def step(function: Callable[..., Any], draws: dict[str, Callable[[random.Random], Any]]) -> None:
        given = {name: draw(rng) for name, draw in draws.items()}
        steps.append(f"{function.__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})")
        function(machine, **given)
        for invariant in INVARIANTS:
            invariant(machine)

    try:
        for function, draws in START:
            step(function, draws)
        for _ in range(rng.randint(1, STEPS)):
            function, preconditions, draws = rng.choice(RULES)
            if all(precondition(machine) for precondition in preconditions):
                step(function, draws)
        steps.append("teardown()")
        machine.teardown()
    except Exception:
        return f"schedule {number}\n  " + "\n  ".join(steps) + "\n" + traceback.format_exc()
    return None


def failures(numbers: range, processes: int) -> Iterator[str]:
    """Yield the failures of the schedules with these numbers."""
    with multiprocessing.get_context("spawn").Pool(processes, logging.disable, (logging.CRITICAL,)) as pool:
        for found in pool.imap_unordered(run, numbers, chunksize=200):
            if found is not None:
                yield found


def main() -> int:
    """Parse the command line and run the schedules."""
    parser = argparse.ArgumentParser(prog="python -m tools.schedules", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="how many schedules (20,000)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one (0)")
    parser.add_argument("--processes", type=int, default=2, help="how many run side by side (2)")
    parser.add_argument("--only", type=int, help="run this schedule alone, in this process")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if given.only is not None:
        found = run(given.only)
        print(found or "nothing found")
        return int(found is not None)
    started, wrong = time.monotonic(), 0
    for found in failures(range(given.first, given.first + given.count), given.processes):
        wrong += 1
        print(found, flush=True)
        if wrong == 5:
            break
    print(f"{given.count:,} schedules in {time.monotonic() - started:.0f} s: {wrong or 'nothing'} found")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
