"""The database of a store: opens it, and has the statements that a transaction runs."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import (
    BindParameter,
    Connection,
    Engine,
    RowMapping,
    Select,
    Update,
    bindparam,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from runware._support.locks import make_rlock
from runware.errors import ConfigurationError, RunwareError, StoreError
from runware.options import StorePath
from runware.protocol.ids import derived_uuid
from runware.store.lines import Line, StoredTask, dollars, error_from_stored
from runware.store.tables import (
    MIGRATIONS,
    VERSION,
    files,
    inputs,
    metadata,
    owners,
    runs,
    settings,
    spending,
    tasks,
)

__all__ = ["Database", "store_error", "stored_task"]

_BUSY_TIMEOUT = 30.0
"""Seconds for which SQLite waits for another process that writes."""
STALE = -1
"""The size of a saved file that is no longer that of a result."""
_CHUNK = 500
"""How many keys one statement may name: some databases limit them."""
_WITHOUT_REQUEST = [column for column in tasks.c if column is not tasks.c.request]


_MOST_ATTEMPTS = 100
"""How many attempts after one of its UUIDs a task is found by it. Each start of a program makes some."""
_OPENINGS = 5
"""How often opening is tried: of several processes that create the tables at the same moment, all but one fail."""
_FORK = 5.0
"""Seconds for which a fork waits for a transaction."""

_databases: weakref.WeakSet[Database] = weakref.WeakSet()


def store_error(error: BaseException, doing: str) -> StoreError:
    """Return the error for a failure of the database. It names neither the statement nor what was to be written.

    Args:
        error: The failure.
        doing: What was being done, as in "could not be opened".
    """
    reason: object = getattr(error, "orig", None) or error
    words = " ".join(str(reason).split()) if isinstance(error, (SQLAlchemyError, OSError)) else ""
    return StoreError(f"The store {doing}: {words[:300] or type(reason).__name__}.", retryable=True)


# Building a statement takes SQLAlchemy as long as running it, so those of every call are built once.


@cache
def _rows_query(*, lock: bool) -> Select[Any]:
    keys: BindParameter[Any] = bindparam("b_keys", expanding=True)
    query = select(*_WITHOUT_REQUEST).where(tasks.c.key.in_(keys)).order_by(tasks.c.key)
    return query.with_for_update() if lock else query


@cache
def _change_query(columns: tuple[str, ...]) -> Update:
    query = update(tasks).where(tasks.c.key == bindparam("b_key"), tasks.c.state == "open")
    return query.values({name: bindparam(name) for name in columns})


_ADD = insert(tasks)


class Database:
    """The database of a store, with its engine and its statements.

    Args:
        url: The URL of the database. Nothing is opened before `open`.

    Raises:
        ConfigurationError: The URL is not valid, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            # A path may have characters with a meaning in URLs, which releases of SQLAlchemy read differently.
            path = url.path if isinstance(url, StorePath) else None
            parsed = sqlalchemy.make_url(url) if path is None else sqlalchemy.URL.create("sqlite", database=path)
            self.is_sqlite = parsed.get_backend_name() == "sqlite"
            connect: dict[str, Any] = {"timeout": _BUSY_TIMEOUT, "check_same_thread": False} if self.is_sqlite else {}
            self.engine: Engine = sqlalchemy.create_engine(
                parsed,
                connect_args=connect,
                poolclass=QueuePool,
                max_overflow=20,
                pool_pre_ping=not self.is_sqlite,
                hide_parameters=True,
            )
        except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
            raise ConfigurationError(
                f"store cannot be used: {' '.join(str(error).split())}. Use a Path, 'sqlite:///jobs.db', or another "
                "URL that SQLAlchemy takes and whose driver is installed, such as 'postgresql+psycopg://...'.",
                parameter="store",
            ) from None
        self._path = Path(parsed.database) if self.is_sqlite and parsed.database else None
        if self.is_sqlite:
            event.listen(self.engine, "connect", _set_up_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._lock = make_rlock()
        self._kept: list[Connection] = []
        weakref.finalize(self, _close, self.engine, self._kept)
        _databases.add(self)

    def open(self) -> None:
        """Create the tables, or bring them up to date.

        Raises:
            StoreError: The database cannot be opened or written, or a later version has made it.
        """
        try:
            if self._path is not None:
                _make_folder(self._path.parent)
            for attempt in range(_OPENINGS):
                try:
                    with self.transaction() as connection:
                        metadata.create_all(connection, tables=[settings])
                        self._bring_up_to_date(connection)
                    return
                except DBAPIError:  # another process may be creating it at this moment
                    if attempt == _OPENINGS - 1:
                        raise
        except (SQLAlchemyError, OSError) as error:
            raise store_error(error, "cannot be opened") from error

    def _bring_up_to_date(self, connection: Connection) -> None:
        found = connection.scalar(select(settings.c.value).where(settings.c.name == "version").with_for_update())
        if found is None:
            connection.execute(insert(settings).values(name="version", value=str(VERSION)))
            metadata.create_all(connection)
            return
        version = int(found)
        if version > VERSION:
            raise StoreError(
                f"The store was made by a later version of this package (its tables are of version {version}, and this "
                f"one knows {VERSION}): update runware-client."
            )
        while version < VERSION:
            MIGRATIONS[version](connection)
            version += 1
        connection.execute(update(settings).where(settings.c.name == "version").values(value=str(VERSION)))

    def close(self, *, forked: bool = False) -> None:
        """Close the connections; in a forked child, forget the parent's."""
        if forked:
            self._lock = make_rlock()
        _close(self.engine, self._kept, forked=forked)

    def before_fork(self) -> None:
        """Close the connections, once no thread uses one.

        SQLite keeps the locks of a process in its memory, where a child would take the parent's for its own.
        """
        if self._lock.acquire(timeout=_FORK):
            _close(self.engine, self._kept)

    def after_fork(self) -> None:
        """Allow connections again."""
        with contextlib.suppress(RuntimeError):  # `before_fork` could not lock it in time
            self._lock.release()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction, which is on disk at its end. Errors of the database are raised as they are."""
        with self._lock, self._connected() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Return a connection to write with.

        That to SQLite is kept: to take one from the pool, and to give it back, takes as long as to write a row.
        """
        if not self.is_sqlite:
            with self.engine.connect() as connection:
                yield connection
            return
        connection = self._kept.pop() if self._kept else self.engine.connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._kept.append(connection)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection that only reads.

        Raises:
            StoreError: The database cannot be read.
        """
        try:
            with self._lock, self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise store_error(error, "cannot be read") from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction.

        Raises:
            StoreError: The database cannot be written.
        """
        try:
            with self.transaction() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise store_error(error, "cannot be written") from error

    # ------------------------------------------------------------------ tasks

    @staticmethod
    def rows(connection: Connection, keys: Iterable[str], *, lock: bool = False) -> dict[str, RowMapping]:
        """Return the rows of tasks by their keys, without requests; optionally locked until the transaction ends."""
        found: dict[str, RowMapping] = {}
        wanted = list(keys)
        for start in range(0, len(wanted), _CHUNK):
            rows = connection.execute(_rows_query(lock=lock), {"b_keys": wanted[start : start + _CHUNK]})
            found |= {row["key"]: row for row in rows.mappings()}
        return found

    @staticmethod
    def row_of(connection: Connection, uuid: str) -> RowMapping | None:
        """Return the row of a task, by the UUID of any of its attempts."""
        # A row has the UUIDs of the first attempt and of the last. Each one is derived from the one before.
        later = list(itertools.islice(_derived_uuids(uuid), _MOST_ATTEMPTS))
        for condition in (tasks.c.key == uuid, tasks.c.uuid == uuid, tasks.c.uuid.in_(later)):
            if (row := connection.execute(select(tasks).where(condition)).mappings().first()) is not None:
                return row
        return None

    @staticmethod
    def add(connection: Connection, lines: Sequence[Line], owner: str) -> list[Line]:
        """Write the rows of new tasks; return the lines whose key exists already, which are not written."""
        now = time.time()
        values = [
            {
                "key": line.key,
                "uuid": line.key,
                "attempt": 1,
                "task_type": line.task_type,
                "kind": line.kind,
                "request": line.request,
                "expected": line.expected,
                "fingerprint": line.fingerprint,
                "run": line.run,
                "number": line.number,
                "owner": owner,
                "state": "open",
                "step": "recorded",
                "cost_before": 0,
                "reserved": line.reserve,
                "scope": line.day,
                "created": now + number * 1e-6,  # they are listed in the order of submission
                "updated": now,
            }
            for number, line in enumerate(lines)
        ]
        if not values:
            return []
        if _try_to_add(connection, values):
            return []
        return [line for line, value in zip(lines, values, strict=True) if not _try_to_add(connection, [value])]

    @staticmethod
    def claim(connection: Connection, key: str, before: str | None, owner: str) -> bool:
        """Make a client the owner of an open task, if it still has the owner it had; return whether it is."""
        column = tasks.c.owner
        query = update(tasks).where(
            tasks.c.key == key, tasks.c.state == "open", column.is_(None) if before is None else column == before
        )
        return connection.execute(query.values(owner=owner)).rowcount == 1

    @staticmethod
    def release(connection: Connection, owner: str) -> None:
        """Leave the open tasks of a client to others, and forget the client."""
        connection.execute(update(tasks).where(tasks.c.owner == owner, tasks.c.state == "open").values(owner=None))
        connection.execute(delete(owners).where(owners.c.id == owner))

    @staticmethod
    def set_values(connection: Connection, changes: Sequence[Mapping[str, Any]]) -> None:
        """Change columns of open tasks: dicts with `key` and the columns, all with the same names."""
        if not changes:
            return
        named = [{("b_key" if name == "key" else name): value for name, value in one.items()} for one in changes]
        connection.execute(_change_query(tuple(name for name in changes[0] if name != "key")), named)

    @staticmethod
    def reopen(connection: Connection, row: RowMapping, owner: str, values: Mapping[str, Any]) -> bool:
        """Make a task open again, for its next attempt; return whether it was as it is in *row*."""
        query = update(tasks).where(
            tasks.c.key == row["key"], tasks.c.state == row["state"], tasks.c.uuid == row["uuid"]
        )
        if row["state"] == "open":
            query = query.where(tasks.c.owner == owner)
        changed = connection.execute(
            query.values(
                state="open",
                step="recorded",
                owner=owner,
                items=None,
                error=None,
                cost_before=row["cost"] or 0,
                updated=time.time(),
                **values,
            )
        )
        # Files saved from the failed attempt may be replaced by those of the next one.
        connection.execute(update(files).where(files.c.key == row["key"]).values(size=STALE))
        return changed.rowcount == 1

    # ------------------------------------------------------------------ money

    @staticmethod
    def spent(connection: Connection, scope: str) -> tuple[float, float]:
        """Return what was billed, and what running tasks may cost, in dollars."""
        row = connection.execute(select(spending).where(spending.c.scope == scope)).first()
        return (0.0, 0.0) if row is None else (dollars(row.billed), dollars(row.reserved))

    # ------------------------------------------------------------------ runs

    @staticmethod
    def start_run(connection: Connection, name: str, signature: str, description: str) -> tuple[str, str]:
        """Write a run, unless there is one with its name; return its signature and description."""
        row = connection.execute(select(runs).where(runs.c.name == name)).first()
        if row is not None:
            return row.signature, row.description
        try:
            with connection.begin_nested():
                connection.execute(
                    insert(runs).values(name=name, signature=signature, description=description, created=time.time())
                )
        except IntegrityError:
            return Database.start_run(connection, name, signature, description)
        return signature, description

    @staticmethod
    def run_rows(connection: Connection, name: str | None = None) -> list[RowMapping]:
        """Return one row for each run and state of its tasks, with their number and cost."""
        query = (
            select(
                runs.c.name,
                runs.c.description,
                runs.c.created,
                tasks.c.state,
                func.count(tasks.c.key).label("tasks"),
                func.sum(tasks.c.cost).label("cost"),
            )
            .select_from(runs.outerjoin(tasks, tasks.c.run == runs.c.name))
            .group_by(runs.c.name, runs.c.description, runs.c.created, tasks.c.state)
            .order_by(runs.c.created, runs.c.name)
        )
        return list(connection.execute(query if name is None else query.where(runs.c.name == name)).mappings())

    @staticmethod
    def retry_failed(connection: Connection, run: str) -> int:
        """Reopen the failed tasks of a run, each for its next attempt; return how many there are."""
        failed = update(tasks).where(tasks.c.run == run, tasks.c.state == "failed")
        return connection.execute(failed.values(state="open", step="refused", owner=None)).rowcount

    # ------------------------------------------------------------------ media and files

    @staticmethod
    def stored_input(connection: Connection, digest: str) -> RowMapping | None:
        """Return the row of stored media with this hash."""
        return connection.execute(select(inputs).where(inputs.c.digest == digest)).mappings().first()

    @staticmethod
    def put_input(connection: Connection, digest: str, media_uuid: str, size: int) -> None:
        """Write under which UUID the platform stores media with this hash."""
        connection.execute(delete(inputs).where(inputs.c.digest == digest))
        connection.execute(insert(inputs).values(digest=digest, media_uuid=media_uuid, size=size, stored=time.time()))

    @staticmethod
    def forget_input(connection: Connection, digest: str) -> None:
        """Delete the row of media that the platform does not have any more."""
        connection.execute(delete(inputs).where(inputs.c.digest == digest))

    @staticmethod
    def saved_files(connection: Connection, key: str) -> dict[int, tuple[str, int]]:
        """Return the path and size of each saved file of a task's results, by position."""
        rows = connection.execute(select(files).where(files.c.key == key)).all()
        return {row.position: (row.path, row.size) for row in rows}

    @staticmethod
    def put_files(connection: Connection, key: str, saved: Mapping[int, tuple[str, int]]) -> None:
        """Write the path and size of saved files of a task's results."""
        connection.execute(delete(files).where(files.c.key == key, files.c.position.in_(saved)))
        values = [
            {"key": key, "position": position, "path": path, "size": size} for position, (path, size) in saved.items()
        ]
        connection.execute(insert(files), values)


def stored_task(row: RowMapping) -> StoredTask:
    """Convert the row of a task to a `StoredTask`."""
    error: RunwareError | None = error_from_stored(json.loads(row["error"])) if row["error"] else None
    return StoredTask(
        key=row["key"],
        task_uuid=row["uuid"],
        attempts=row["attempt"],
        task_type=row["task_type"],
        kind=row["kind"],
        request=json.loads(row["request"]) if row["request"] else None,
        expected=row["expected"],
        run=row["run"],
        number=row["number"],
        fingerprint=row["fingerprint"],
        state=row["state"],
        step=row["step"],
        owner=row["owner"],
        items=json.loads(row["items"]) if row["items"] else [],
        error=error,
        cost=None if row["cost"] is None else dollars(row["cost"]),
        created=row["created"],
        updated=row["updated"],
    )


def _derived_uuids(uuid: str) -> Iterator[str]:
    """Yield the UUIDs of the attempts after the one with this UUID."""
    while True:
        uuid = derived_uuid(uuid)
        yield uuid


def _close(engine: Engine, kept: list[Connection], *, forked: bool = False) -> None:
    """Close the connections; in a forked child, forget the parent's."""
    while kept:
        connection = kept.pop()
        if not forked:
            connection.close()
    engine.dispose(close=not forked)


def _try_to_add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Write the rows of tasks; if one has a key that exists already, write none and return `False`."""
    alone = len(rows) == 1 and connection.dialect.name == "sqlite"  # a statement that fails there changes nothing else
    try:
        with contextlib.nullcontext() if alone else connection.begin_nested():
            connection.execute(_ADD, rows)
    except IntegrityError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    """Create the folder of a file and synchronize its parents, so that a power cut cannot lose it.

    SQLite synchronizes the files in it.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in made:
        with contextlib.suppress(OSError):  # not every system can synchronize a folder
            opened = os.open(one.parent, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # `_begin_sqlite` begins transactions. The module itself would begin them only before a write.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
        # With less, a power cut loses the last transactions, whose tasks may have been sent.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA fullfsync=ON")  # macOS: also through the cache of the disk
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return  # it only reads
    # Of two transactions that read first and write later, one would fail at once instead of waiting.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _before_fork() -> None:
    for database in list(_databases):
        database.before_fork()


def _after_fork() -> None:
    for database in list(_databases):
        database.after_fork()


def _in_child() -> None:
    for database in list(_databases):
        database.close(forked=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
