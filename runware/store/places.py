"""The places of tasks in a run of `map`: UUIDs are derived from them, so that a second start finds the same tasks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from runware._support.lazy_modules import lazy_module
from runware.errors import StoreError, ValidationError
from runware.options import Budget
from runware.protocol.ids import StableUUID, derived_uuid, new_uuid
from runware.requests.serialization import sent_form
from runware.requests.validation import SETTINGS

if TYPE_CHECKING:
    import sqlite3
else:
    sqlite3 = lazy_module("sqlite3")

__all__ = ["MapPlace", "check_run_name", "described"]

_LONGEST_NAME = 200


class MapPlace:
    """Gives each task of a call of `map` its place in the run, and its budget.

    Args:
        run: The name of the run; `None` if the call has only a budget.
        budget: The limit for the run or, without one, for this call of `map`.
        retries_failed: Whether tasks that have failed before are run again.
    """

    def __init__(self, run: str | None, budget: Budget | None, *, retries_failed: bool) -> None:
        self.run = run
        self.number = 0
        self.budget = budget
        self.retries_failed = retries_failed
        self.scope = f"map {new_uuid()}" if run is None else f"run {run}"
        self._seen: sqlite3.Connection | None = None

    def uuid_for(self, fingerprint: str) -> StableUUID:
        """Return the UUID of the next task with this fingerprint, and set `number`.

        Raises:
            StoreError: There is no room for temporary files, where equal inputs are counted.
        """
        try:
            self.number = self._count(fingerprint)
        except sqlite3.Error as error:
            raise StoreError(
                f"Inputs cannot be counted in a temporary file: {error}. The task was not sent."
            ) from error
        return StableUUID(derived_uuid(f"runware run {self.run}\n{fingerprint}\n{self.number}"))

    def _count(self, fingerprint: str) -> int:
        """Return how many inputs with this fingerprint there were before."""
        seen = self._seen
        if seen is None:
            # A database without a name is in a temporary file, which SQLite deletes. So memory does not grow with the
            # number of inputs.
            seen = self._seen = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            seen.execute("PRAGMA journal_mode=OFF")
            seen.execute("CREATE TABLE seen (task BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
            seen.execute("BEGIN")
        task = (bytes.fromhex(fingerprint),)
        seen.execute(
            "INSERT INTO seen VALUES (?, 0) ON CONFLICT (task) DO UPDATE SET times = times + 1",
            task,
        )
        return int(seen.execute("SELECT times FROM seen WHERE task = ?", task).fetchone()[0])

    def close(self) -> None:
        """Delete the temporary file in which inputs are counted."""
        if self._seen is not None:
            self._seen.close()


def check_run_name(run: object) -> None:
    """Check the name of a run.

    Raises:
        ValidationError: It is not a `str` of 1 to 200 printable characters.
    """
    if isinstance(run, str) and 0 < len(run) <= _LONGEST_NAME and run.isprintable() and run.strip():
        return
    found = f"{len(run)} characters" if isinstance(run, str) and len(run) > _LONGEST_NAME else repr(run)
    raise ValidationError(
        f"run must be a name of 1 to {_LONGEST_NAME} printable characters, such as 'nightly'; got {found}.",
        code="invalidParameter",
        parameter="run",
    )


def described(operation: str, common: Mapping[str, object] | None) -> str:
    """Return the description of a run as JSON: the operation, and a hash of each common parameter.

    It must be the same at each start.

    Args:
        operation: The name of the request class.
        common: The parameters for every input.
    """
    hashes = {name: _hash(value) for name, value in (common or {}).items() if name == "extra" or name not in SETTINGS}
    return json.dumps({"operation": operation, "common": dict(sorted(hashes.items()))})


def _hash(value: object) -> str:
    text = json.dumps(sent_form(value), sort_keys=True, default=lambda one: type(one).__name__)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
