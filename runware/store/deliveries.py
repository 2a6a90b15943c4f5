"""Write results and errors to a store that came by a webhook."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping

from runware.errors import RunwareError
from runware.protocol.call import identity
from runware.store.accounts import Accounts, scopes_of
from runware.store.database import Database
from runware.store.lines import may_pass, stored_error, total_cost

__all__ = ["write_delivery"]


def write_delivery(database: Database, item: Mapping[str, Any], error: RunwareError | None) -> bool:
    """Write a result or an error that came by a webhook; return whether the store has its task.

    Args:
        database: The store's database.
        item: The API object of the result.
        error: The error, if it is one.

    Raises:
        StoreError: The store cannot be written.
    """
    with database.writing() as connection:
        row = database.row_of(connection, str(item.get("taskUUID")))
        if row is None:
            return False
        row = database.rows(connection, [row["key"]], lock=True)[row["key"]]
        late = error is not None and item.get("taskUUID") != row["uuid"]  # a further attempt was begun since
        if row["state"] == "open" and not late:
            changes = _changes(row, item, error)
            database.set_values(connection, [changes])
            if "state" in changes:  # the task is complete, or has failed for now
                accounts = Accounts(connection)
                bill = (changes["cost"] or 0) - (row["cost"] or 0)
                accounts.change(scopes_of(row["scope"] or "", row["run"]), bill, -row["reserved"])
                accounts.write()
    return True


def _changes(row: RowMapping, item: Mapping[str, Any], error: RunwareError | None) -> dict[str, Any]:
    """Return what a delivery changes in the row of its task, with a state if it completes the task."""
    items = json.loads(row["items"]) if row["items"] else []
    failures = (json.loads(row["error"]) if row["error"] else {}).get("errors", [])
    if error is not None:
        failures.append(stored_error(error))
    elif not any(_is_same_result(one, item) for one in items):
        items.append(dict(item))
    changes: dict[str, Any] = {
        "key": row["key"],
        "items": json.dumps(items) if items else None,
        "updated": time.time(),
    }
    if len(items) + len(failures) < row["expected"]:
        if failures:
            changes["error"] = json.dumps({"class": "TaskError", "errors": failures}, default=str)
        return changes
    changes |= {"cost": total_cost(row, items), "reserved": 0}
    if error is not None and not items and may_pass(error):
        changes |= {"state": "open", "step": "refused"}  # a client that follows the task goes on with it
    else:
        changes |= {"state": "failed" if failures else "succeeded", "owner": None}
    if failures:
        last = failures[-1]
        if items:
            last = {**last, "class": "IncompleteResultsError", "errors": failures}
        changes["error"] = json.dumps(last, default=str)
    return changes


def _is_same_result(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two items are the same result, delivered twice."""
    name = identity(dict(one))
    return name == identity(dict(other)) if name is not None else one == other
