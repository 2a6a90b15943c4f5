"""The tables of a store, and their versions.

Money is in whole billionths of a US dollar, so that sums are exact. Times are seconds since the epoch, and are only
shown: no decision depends on the time of day, except `LONG_GONE` of `owners`.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

__all__ = ["MIGRATIONS", "VERSION", "files", "inputs", "metadata", "owners", "runs", "settings", "spending", "tasks"]

VERSION = 1
"""The version of the tables below. A store of a later version is refused."""

MIGRATIONS: dict[int, Callable[[object], None]] = {}
"""For each earlier version, the function that changes its tables to the next one, given the connection."""

metadata = MetaData()
_uuid = String(36)

settings = Table(
    "runware_settings",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", String(200), nullable=False),
)

owners = Table(
    "runware_owners",
    metadata,
    Column("id", _uuid, primary_key=True),
    Column("machine", String(300), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", String(40), nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("seen", Float, nullable=False),
)
"""The clients that follow tasks. `beat` grows for as long as the client lives."""

tasks = Table(
    "runware_tasks",
    metadata,
    Column("key", _uuid, primary_key=True),
    Column("uuid", _uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("task_type", String(60), nullable=False),
    Column("kind", String(100), nullable=False),
    Column("request", Text),
    Column("expected", Integer, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("run", String(200)),
    Column("number", Integer, nullable=False),
    Column("owner", _uuid),
    Column("state", String(12), nullable=False),
    Column("step", String(12), nullable=False),
    Column("items", Text),
    Column("error", Text),
    Column("cost", BigInteger),
    Column("cost_before", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("scope", String(220)),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Index("runware_tasks_uuid", "uuid"),
    Index("runware_tasks_run", "run", "state"),
    Index("runware_tasks_state", "state", "owner"),
)
"""The tasks. `key` is the UUID of the first attempt, `uuid` that of the last. `request` is the API object, or NULL if
it was too large. `cost` is all that it has cost, `cost_before` the part of attempts that had failed when it was
begun again. `state` is open, succeeded or failed; `step` is how far an open one is: recorded, sent, accepted,
refused (the next attempt needs a new UUID), waiting (nothing was sent),
cancelled (nothing was sent, and nothing is to be sent, unless the same task is asked for again)."""

runs = Table(
    "runware_runs",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("signature", String(64), nullable=False),
    Column("description", Text, nullable=False),
    Column("created", Float, nullable=False),
)

spending = Table(
    "runware_spending",
    metadata,
    Column("scope", String(220), primary_key=True),
    Column("billed", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
)
"""What was billed, and what is reserved for running tasks, for each account: `store`,
`day 2026-01-31`, `run nightly`."""

inputs = Table(
    "runware_inputs",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("media_uuid", String(200), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("stored", Float, nullable=False),
)
"""Media that the platform keeps, by the hash of their content."""

files = Table(
    "runware_files",
    metadata,
    Column("key", _uuid, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
)
"""Where the results of tasks were saved."""
