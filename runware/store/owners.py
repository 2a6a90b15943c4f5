"""Which client follows which task: a client's entry among the owners, and whether another one is alive.

Clocks jump, and differ between machines. So a client lets a number grow while it follows tasks. On the same machine,
the operating system says whether its process exists; for other machines, one that has not counted further for `LEASE`
seconds of the observer's own time is dead, and so is one whose last sign of life is older than `LONG_GONE` by the
clock. A mistake costs some polls, and never a purchase: the UUIDs of tasks see to that.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from sqlalchemy import Connection, RowMapping, insert, select, update

from runware.protocol.ids import new_uuid
from runware.store.tables import owners

__all__ = ["BEAT", "LEASE", "LONG_GONE", "Owner", "Owners"]

BEAT = 5.0
"""Seconds between two signs of life."""
LEASE = 20.0
"""Seconds without one after which a client of another machine is taken for dead."""
LONG_GONE = 300.0
"""Seconds after its last sign of life, by the clocks of both machines, after which a client is dead at first sight."""


class Owner:
    """This client, as the store knows it."""

    def __init__(self) -> None:
        self.id = new_uuid()
        self.machine = _machine()
        self.pid = os.getpid()
        self.started = _started(self.pid)
        self._beat = 0

    def beat(self, connection: Connection) -> None:
        """Write a sign of life, and the owner's row if it is missing: at first, and after others removed it."""
        self._beat += 1
        now = time.time()
        changed = connection.execute(update(owners).where(owners.c.id == self.id).values(beat=self._beat, seen=now))
        if changed.rowcount == 0:
            connection.execute(
                insert(owners).values(
                    id=self.id, machine=self.machine, pid=self.pid, started=self.started, beat=self._beat, seen=now
                )
            )


class Owners:
    """Tells which of the other clients are alive."""

    def __init__(self, me: Owner) -> None:
        self._me = me
        self._seen: dict[str, tuple[int, float]] = {}

    def alive(self, connection: Connection, owner: str) -> bool:
        """Return whether a client lives, as far as that is known. One that was just found is taken for alive."""
        if owner == self._me.id:
            return True
        row = connection.execute(select(owners).where(owners.c.id == owner)).mappings().first()
        return row is not None and self._lives(row)

    def _lives(self, row: RowMapping) -> bool:
        me = self._me
        if row["machine"] == me.machine and me.started:
            return bool(_started(row["pid"]) == row["started"])
        now = time.monotonic()
        beat, since = self._seen.get(row["id"], (None, now))
        if beat != row["beat"]:
            self._seen[row["id"]] = row["beat"], now
            return beat is not None or abs(time.time() - row["seen"]) < LONG_GONE
        return bool(now - since < LEASE)


def _machine() -> str:
    """Return a name for the machine since it was booted, and for the process namespace: pids mean the same there."""
    boot = pids = ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        pids = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        pass
    return f"{platform.node()} {boot} {pids}".strip()[:300]


def _started(pid: int) -> str:
    """Return when a process of this machine started, in a form to compare; `""` if it is not there or cannot be told.

    A zombie does not count as alive.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    after = stat.rpartition(")")[2].split()  # the name of the program may contain anything
    return "" if len(after) < 20 or after[0] in "ZX" else after[19]
