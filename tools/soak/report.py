"""The summary and the verdict."""

# A program that prints its report.
# ruff: noqa: T201

from __future__ import annotations

from collections import Counter

import attrs

from .call_log import CallLog, Outcome
from .growth import THRESHOLDS, UNITS, Census, Fit, Sample, fits_of
from .server import Account, resident

__all__ = ["Findings", "failures", "growth", "report", "row"]

_SHOWN = 5
_ROUNDS = 2
"""Requests of a chat whose answer calls a tool; each of them is an execution."""


@attrs.define
class Findings:
    """What a soak has found.

    Attributes:
        call_log: The outcome of each call.
        samples: What the process held.
        drops: How often connections were dropped, by the way it was done.
        account: What the server reported.
        census: What there was after the warm-up.
        more: What there was more of at the end.
        lines: Lines of code that hold more memory than after the warm-up, if allocations were traced.
        crashes: Tracebacks of callers.
        hanging: Names of callers that did not end.
        stuck: Whether a call has not ended in time, so that the soak was ended.
        leftovers: The most tasks that clients still had when all calls had ended.
        lost_connections: Connections that the main client lost.
        threads_left: Threads that were left when all clients were closed.
        cpu: CPU time of the client's process in seconds.
        seconds: How long it took.
    """

    call_log: CallLog
    samples: list[Sample] = attrs.Factory(list)
    drops: Counter[str] = attrs.Factory(Counter)
    account: Account = attrs.Factory(lambda: Account(b"", [], 0, 0, 0, []))
    census: Census | None = None
    more: list[str] = attrs.Factory(list)
    lines: list[str] = attrs.Factory(list)
    crashes: list[str] = attrs.Factory(list)
    hanging: list[str] = attrs.Factory(list)
    stuck: bool = False
    leftovers: int = 0
    lost_connections: int = 0
    threads_left: int = 0
    cpu: float = 0.0
    seconds: float = 0.0

    def doubled(self) -> list[str]:
        """Return the calls that the server executed more than once."""
        found = []
        for number, count in enumerate(self.account.executed):
            if count > 1 and count > (_ROUNDS if "tool" in self.call_log.kind_of(number) else 1):
                found.append(f"{self.call_log.kind_of(number)} {number}: {count} times")
        return found

    def unexecuted(self) -> list[str]:
        """Return the calls that were answered, and never executed."""
        executed = self.account.executed
        return [
            f"{self.call_log.kind_of(number)} {number}"
            for number in range(min(self.call_log.begun, len(executed)))
            if not executed[number]
            and self.call_log.outcome_of(number) == Outcome.DONE
            and self.call_log.kind_of(number) != "upload"  # has no prompt to count by
        ]


def row(sample: Sample, found: Findings, server: int) -> None:
    """Print one line while the soak runs."""
    print(
        f"{sample.at:6.0f} s {sample.calls:10,} calls {sum(found.drops.values()):4} drops "
        f"{found.call_log.count(Outcome.LOST):3} lost {sample.threads:4} threads {sample.descriptors:4} descriptors "
        f"{sample.memory:7.1f} MiB {sample.blocks:8,} blocks, server {resident(server):6.0f} MiB",
        flush=True,
    )


def failures(found: Findings) -> list[str]:
    """Return what went wrong, in words; empty if the soak has passed."""
    wrong = [
        (found.call_log.count(Outcome.LOST), "calls were lost"),
        (len(found.doubled()), "calls were executed more than once"),
        (found.call_log.count(Outcome.BEGUN), "calls have not ended"),
        (len(found.unexecuted()), "calls were answered without having been executed"),
        (len(found.hanging), "callers hang"),
        (len(found.crashes), "callers have crashed"),
        (found.leftovers, "tasks were left in a client after all calls had ended"),
        (max(0, found.threads_left), "threads were left when the clients were closed"),
        (len(found.account.spoilt), "large inputs did not arrive as they were sent"),
        (len(found.account.errors), "exceptions in the server"),
        # Some drops meet no connection, or one that is silent already.
        (max(0, found.lost_connections - found.drops.total()), "connections were lost that nobody had dropped"),
    ]
    growing = [fit.name for fit, _ in fits_of(found.samples) if fit.grows]
    return [f"{count:,} {what}" for count, what in wrong if count] + [f"{name} grow" for name in growing]


def growth(found: Findings) -> None:
    """Print how everything has grown so far."""
    for calls, hours in fits_of(found.samples):
        print(_growth(calls, hours), flush=True)


def _growth(calls: Fit, hours: Fit) -> str:
    unit = UNITS[calls.name]
    return (
        f"{calls.name:<12} {calls.slope:+12,.2f} ± {2 * calls.error:,.2f}{unit} a million calls, "
        f"{hours.slope:+,.2f} ± {2 * hours.error:,.2f}{unit} an hour; "
        f"{calls.grown:+,.2f}{unit} in this run, allowed {THRESHOLDS[calls.name]:,.0f}"
    )


def report(found: Findings) -> int:
    """Print the summary, and return the exit code."""
    call_log, account = found.call_log, found.account
    print(f"\ncalls        {call_log.begun:,} in {found.seconds:,.0f} s")
    print(f"CPU          {found.cpu:,.0f} s in the client's process, {account.cpu:,.0f} s in the server's")
    for kind, count in sorted(call_log.by_kind().items()):
        print(f"             {count:10,} {kind}, slowest {call_log.slowest.get(kind, 0.0):.1f} s")
    kinds = ", ".join(f"{count} {how}" for how, count in sorted(found.drops.items()))
    print(f"drops        {found.drops.total()}: {kinds}; the main client lost {found.lost_connections} connections")
    print(
        f"server       {account.connections:,} connections, {account.resumes:,} resumed, "
        f"{account.conflicts:,} conflicts, errors {account.errors}"
    )
    print(f"outcomes     {', '.join(f'{call_log.count(outcome):,} {outcome.name.lower()}' for outcome in Outcome)}")
    print(f"large        {call_log.large / 2**20:,.0f} MiB of base64, {len(account.spoilt)} spoilt")
    print(f"lost         {call_log.count(Outcome.LOST)} {dict(call_log.errors) or ''}")
    doubled, hung = found.doubled(), call_log.of(Outcome.BEGUN)
    print(f"doubled      {len(doubled)} {doubled[:_SHOWN] or ''}")
    print(f"hung         {len(hung)} {hung[:_SHOWN] or ''} {found.hanging or ''}")
    for loss in call_log.losses:
        print(f"             {loss}")
    for crash in found.crashes:
        print(crash)
    growth(found)
    print("more than after the warm-up:")
    for line in [*found.more, *found.lines]:
        print(f"             {line}")
    wrong = failures(found)
    print(f"FAILED: {'; '.join(wrong)}" if wrong else "passed")
    return int(bool(wrong))
