"""The clients that own open tasks: the row of this client, and whether another one is alive.

Clocks jump, and differ between machines, so a client increments a heartbeat counter while it follows tasks. On the same
machine, the operating system says whether its process exists. A client of another machine is dead if its counter has
not changed for `LEASE` seconds of the observer's monotonic clock, or if its last heartbeat is older than `LONG_GONE` by
the time of day. A wrong answer costs some polls, and never buys anything twice, because the UUIDs of tasks prevent
that.
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
"""Seconds between two heartbeats."""
LEASE = 20.0
"""Seconds without a heartbeat after which a client of another machine is considered dead."""
LONG_GONE = 300.0
"""Seconds since the last heartbeat, by the time of day, after which a client is considered dead at once."""


class Owner:
    """The row of this client among the owners."""

    def __init__(self) -> None:
        self.id = new_uuid()
        self.machine = _machine()
        self.pid = os.getpid()
        self.started = _started(self.pid)
        self._beat = 0

    def beat(self, connection: Connection) -> None:
        """Write a heartbeat, and the owner's row if it is missing: at first, and after others have removed it."""
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
        """Return whether a client is alive, as far as that is known.

        One that is seen for the first time is considered alive.
        """
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
    """Return a name for this boot of the machine and this process namespace, in which process IDs are unique."""
    boot = pids = ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        pids = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        pass
    return f"{platform.node()} {boot} {pids}".strip()[:300]


def _started(pid: int) -> str:
    """Return when a process of this machine started, as text to compare; `""` if that is not known.

    For a process that does not exist, and for a zombie, the result is `""`, too.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    after = stat.rpartition(")")[2].split()  # the name before it may contain spaces and parentheses
    return "" if len(after) < 20 or after[0] in "ZX" else after[19]
