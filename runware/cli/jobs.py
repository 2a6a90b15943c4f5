"""The commands `jobs ...`: the tasks of a store. Only `recover` needs an API key."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from runware import ConfigurationError, StoredTask
from runware._support.lazy_modules import lazy_module
from runware.cli.common import App, Json, command
from runware.cli.output import Output, client, echo, plural, reporting
from runware.options import STORE_VARIABLE

if TYPE_CHECKING:
    from runware.store import access, database, owners
    from runware.store import runs as store_runs
    from runware.store.access import StoreView
else:
    access = lazy_module("runware.store.access")
    database = lazy_module("runware.store.database")
    owners = lazy_module("runware.store.owners")
    store_runs = lazy_module("runware.store.runs")

__all__ = ["app"]

app = App(
    no_args_is_help=True,
    help="List the tasks of a store, and continue those that were interrupted.",
)

Store = Annotated[
    Optional[str],
    typer.Option("--store", metavar="URL", help=f"The store, such as sqlite:///jobs.db. Default: {STORE_VARIABLE}."),
]
Run = Annotated[Optional[str], typer.Option("--run", metavar="NAME", help="Only the tasks of this run.")]


def _url(store: str | None) -> str:
    url = store or os.environ.get(STORE_VARIABLE)
    if not url:
        raise ConfigurationError(
            f"No store: pass --store sqlite:///jobs.db, or set {STORE_VARIABLE}.", parameter="store"
        )
    # Otherwise a misspelt name would make an empty database, and look like one without tasks.
    begin, sqlite, rest = url.partition("sqlite:///")
    if sqlite and not begin and not Path(name := rest.partition("?")[0]).exists():
        raise ConfigurationError(f"There is no store {name}.", parameter="store")
    return url


def _view(store: str | None) -> StoreView:
    url = _url(store)
    try:
        opened = database.Database(url)
    except ModuleNotFoundError as error:
        if error.name != "sqlalchemy":
            raise
        raise ConfigurationError(
            "A store needs SQLAlchemy: pip install 'runware-client[store]'.", parameter="store"
        ) from error
    opened.open()
    return access.StoreView(opened, owners.Owners(owners.Owner()))


@app.command("list")
@command
def _list(
    store: Store = None,
    state: Annotated[
        Optional[Literal["open", "succeeded", "failed"]], typer.Option("--state", help="Only those in this state.")
    ] = None,
    run: Run = None,
    limit: Annotated[int, typer.Option("--limit", metavar="COUNT", min=1, help="Maximum number of tasks.")] = 50,
    as_json: Json = False,
) -> None:
    """List tasks, the oldest first."""
    with reporting(as_json):
        found = [task for task, _ in zip(_view(store).list(state=state, run=run), range(limit), strict=False)]
        if as_json:
            Output.json([_facts(task) for task in found])
            return
        for task in found:
            cost = "" if task.cost is None else f"${task.cost:.4f}"
            when = _when(task.created)
            echo(f"{task.key}  {when}  {_state(task):18}  {task.task_type:20}  {cost:>9}  {task.run or ''}".rstrip())
        typer.echo(plural(len(found), "task"), err=True)


@app.command()
@command
def show(
    uuid: Annotated[str, typer.Argument(metavar="UUID", help="UUID of the task.")],
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show a task: its request, results and error."""
    with reporting(as_json):
        task = _view(store).get(uuid)
        facts = {**_facts(task), "request": task.request, "items": task.items}
        if as_json:
            Output.json(facts)
            return
        for name, value in facts.items():
            if name == "items":
                for number, item in enumerate(task.items):
                    echo(f"result {number}: {_brief(item)}")
            elif value is not None:
                echo(f"{name}: {_when(value) if name in _TIMES else _brief(value)}")


@app.command()
@command
def runs(store: Store = None, as_json: Json = False) -> None:
    """List the runs of map(run=...), the oldest first, with their progress and cost."""
    with reporting(as_json):
        view = _view(store)  # first: it says so if SQLAlchemy is missing
        found = store_runs.Runs(view)
        if as_json:
            names = ("name", "operation", "created", "total", "open", "succeeded", "failed", "progress", "cost")
            Output.json([{name: getattr(run, name) for name in names} for run in found])
        else:
            echo(str(found), lines=True)


@app.command("retry-failed")
@command
def retry_failed(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.")],
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Reopen the failed tasks of a run, which its next start then sends again."""
    with reporting(as_json):
        view = _view(store)
        count = store_runs.Runs(view).get(name).retry_failed()
        if as_json:
            Output.json({"tasks": count})
        else:
            typer.echo(plural(count, "task"), err=True)


@app.command()
@command
def recover(
    store: Store = None,
    run: Run = None,
    timeout: Annotated[
        Optional[float], typer.Option("--timeout", metavar="SECONDS", help="Deadline of each task in seconds.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Continue the tasks that a dead program has left open, and wait for them. Needs the API key."""
    with reporting(as_json):
        failed, outcomes = 0, []
        with client(False, store=_url(store)) as rw:
            for job in rw.jobs.recover(run=run, timeout=timeout):
                error = job.exception()
                failed += error is not None
                outcomes.append({"task_uuid": job.task_uuid, "error": None if error is None else str(error)})
                if not as_json:
                    echo(f"{job.task_uuid}  {'succeeded' if error is None else error}")
            if as_json:
                Output.json(outcomes)
            else:
                typer.echo(f"{plural(len(outcomes), 'task')}, {failed} failed", err=True)
    if failed:
        raise typer.Exit(1)


_TIMES = ("created", "updated")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _state(task: StoredTask) -> str:
    return f"open ({task.step})" if task.state == "open" else task.state


def _facts(task: StoredTask) -> dict[str, Any]:
    names = ("key", "task_uuid", "task_type", "run", "state", "step", "attempts", "owner", "cost", "created", "updated")
    return {
        **{name: getattr(task, name) for name in names},
        "results": len(task.items),
        "expected": task.expected,
        "error": None if task.error is None else str(task.error),
    }


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 500 else f"{text[:500]}... ({len(text)} characters)"
