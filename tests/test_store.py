"""The store: tasks on disk before they are sent, on real SQLite files, against the local server."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import os
import pathlib
import pickle
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import OperationalError

from runware import Acknowledgement, AsyncRunware, ImageInference, Runware, errors, task_uuid_for
from runware.errors import (
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    ConflictError,
    ConnectionLostError,
    IncompleteResultsError,
    NotFoundError,
    ProviderError,
    RunwareError,
    ServerError,
    StoreError,
    TaskError,
    ValidationError,
)
from runware.local import LocalServer
from runware.options import Budget
from runware.protocol.effects import Record
from runware.protocol.ids import StableUUID, new_uuid
from runware.serverless.calls import AppCalls
from runware.store import owners as owning
from runware.store import recorder as recording
from runware.store import tables
from runware.store.database import Database
from runware.store.lines import Line, error_from_stored, stored_error
from runware.store.owners import Owner, Owners

from .conftest import spending, until

PROJECT = pathlib.Path(__file__).parent.parent
PICTURE: dict[str, Any] = {"positive_prompt": "a harbor", "model": "runware:101@1", "width": 512, "height": 512}


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "jobs.db"


def client(server: LocalServer, path: pathlib.Path | str, **options: Any) -> Runware:
    options = {"timeout": 20.0, "retry_delay": 0.05, "check": "off", **options}
    return Runware(server.api_key, url=server.url, store=path, **options)


@pytest.fixture
def rw(server: LocalServer, path: pathlib.Path) -> Iterator[Runware]:
    with client(server, path) as rw:
        yield rw


def rows(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return the tasks as another program sees them."""
    connection = sqlite3.connect(path)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM runware_tasks ORDER BY created, key")]
    finally:
        connection.close()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "runware-store"]


def script(server: LocalServer, path: pathlib.Path, body: str, **how: Any) -> subprocess.Popen[str]:
    """Start another process with a client of the store."""
    head = f"""
import os, sys, time, threading
from runware import Runware, task_uuid_for
PICTURE = {PICTURE!r}
def client(**options):
    options = {{"timeout": 30.0, "check": "off", **options}}
    return Runware({server.api_key!r}, url={server.url!r}, store="sqlite:///{path}", **options)
"""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", head + textwrap.dedent(body)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)}, **how,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=50)
    assert process.returncode == 0, err
    return out


class TestOpening:
    def test_nothing_is_opened_before_the_first_call(self, server: LocalServer, path: pathlib.Path) -> None:
        rw = client(server, path)
        assert not path.exists()
        rw.close()
        assert not path.exists()

    @pytest.mark.parametrize(
        "url", ["jobs.db", "nonsense", "://x", "nosuch://host/x", "postgresql+nosuch://host/x", "postgresql://h:port/x"]
    )
    def test_bad_urls_are_configuration_errors(self, server: LocalServer, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Runware(server.api_key, url=server.url, store=url).image_inference(**PICTURE)
        assert caught.value.parameter == "store"
        assert "sqlite:///jobs.db" in str(caught.value)
        assert server.ledger.executed == 0

    def test_missing_driver_is_named(self, server: LocalServer) -> None:
        with pytest.raises(ConfigurationError, match="cx_Oracle"):
            Runware(server.api_key, url=server.url, store="oracle+cx_oracle://u@h/x").image_inference(**PICTURE)

    @pytest.mark.parametrize(
        "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true", 7, b"x"]
    )
    def test_databases_in_memory_and_other_types_are_refused(self, url: Any) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Runware("rw-test-key", store=url)
        assert caught.value.parameter == "store"

    def test_directory_is_created(self, server: LocalServer, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "new" / "deep" / "jobs.db"
        with client(server, path) as rw:
            rw.image_inference(**PICTURE)
        assert len(rows(path)) == 1

    def test_path_with_odd_characters_is_the_file(self, server: LocalServer, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "my jobs #1 100% é.db"
        with client(server, path) as rw:
            rw.image_inference(**PICTURE)
        assert len(rows(path)) == 1

    def test_store_that_cannot_be_opened_sends_nothing(self, server: LocalServer, tmp_path: pathlib.Path) -> None:
        (tmp_path / "file").write_text("x")
        for bad in (tmp_path, tmp_path / "file" / "jobs.db", pathlib.Path("/proc/jobs.db")):
            with pytest.raises(StoreError) as caught:
                client(server, bad).image_inference(**PICTURE)
            assert not caught.value.may_have_run
        assert server.ledger.executed == 0

    def test_file_that_is_no_database_is_refused(self, server: LocalServer, path: pathlib.Path) -> None:
        path.write_text("This is a letter, and no database. " * 100)
        with pytest.raises(StoreError, match="not a database"):
            client(server, path).image_inference(**PICTURE)
        assert path.read_text().startswith("This is a letter")

    def test_store_of_a_later_version_is_refused_unchanged(self, server: LocalServer, path: pathlib.Path) -> None:
        database = Database(f"sqlite:///{path}")
        database.open()
        with database.writing() as connection:
            connection.execute(update(tables.settings).values(value=str(tables.VERSION + 1)))
        database.close()
        with pytest.raises(StoreError, match="later version"):
            client(server, path).image_inference(**PICTURE)
        assert server.ledger.executed == 0
        with database.reading() as connection:
            assert connection.scalar(select(tables.settings.c.value)) == str(tables.VERSION + 1)
        database.close()

    def test_store_of_an_earlier_version_is_brought_up_to_date_once(
        self, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = Database(f"sqlite:///{path}")
        database.open()
        monkeypatch.setattr("runware.store.database.VERSION", tables.VERSION + 2)
        steps: list[int] = []

        def migration(version: int) -> Any:
            def migrate(connection: Any) -> None:
                connection.execute(insert(tables.settings).values(name=f"step {version}", value="x"))
                steps.append(version)

            return migrate

        for version in (tables.VERSION, tables.VERSION + 1):
            monkeypatch.setitem(tables.MIGRATIONS, version, migration(version))
        database.open()
        database.open()
        assert steps == [tables.VERSION, tables.VERSION + 1]
        with database.reading() as connection:
            query = select(tables.settings.c.value).where(tables.settings.c.name == "version")
            assert connection.scalar(query) == str(tables.VERSION + 2)
        database.close()

    def test_migration_that_fails_changes_nothing(self, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        database = Database(f"sqlite:///{path}")
        database.open()
        monkeypatch.setattr("runware.store.database.VERSION", tables.VERSION + 1)

        def migrate(connection: Any) -> None:
            connection.execute(insert(tables.settings).values(name="half", value="x"))
            raise OperationalError("ALTER", {}, Exception("disk I/O error"))

        monkeypatch.setitem(tables.MIGRATIONS, tables.VERSION, migrate)
        with pytest.raises(StoreError, match="disk I/O error"):
            database.open()
        with database.reading() as connection:
            assert connection.scalar(select(func.count()).select_from(tables.settings)) == 1
        database.close()

    def test_processes_that_create_the_store_at_the_same_moment(self, server: LocalServer, path: pathlib.Path) -> None:
        body = "rw = client()\nsys.stdin.readline()\nprint(len(rw.image_inference(**PICTURE)))\nrw.close()"
        processes = [script(server, path, body, stdin=subprocess.PIPE) for _ in range(3)]
        outputs: list[str] = []
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            outputs.append(finished(process).strip())
        assert outputs == ["1"] * 3
        assert [row["state"] for row in rows(path)] == ["succeeded"] * 3


class TestRows:
    def test_row_is_there_when_the_server_gets_the_task(
        self, rw: Runware, server: LocalServer, path: pathlib.Path
    ) -> None:
        seen: list[str] = []
        server.script(lambda task: seen.extend(row["key"] for row in rows(path)))
        job = rw.submit.image_inference(**PICTURE)
        job.result(20)
        assert seen == [job.task_uuid]

    def test_finished_task_has_its_results_and_its_bill(self, rw: Runware, path: pathlib.Path) -> None:
        images = rw.image_inference(**PICTURE, number_results=2)
        (task,) = rw.jobs
        assert (task.state, task.attempts, task.expected, task.owner) == ("succeeded", 1, 2, None)
        assert task.request is not None
        assert task.request["positivePrompt"] == "a harbor"
        assert [item["imageUUID"] for item in task.items] == [image.image_uuid for image in images]
        assert task.cost == pytest.approx(sum(image.cost or 0.0 for image in images))
        (billed, reserved) = spending(path)["store"]
        assert (billed / 1e9, reserved) == (pytest.approx(task.cost), 0)

    def test_failed_task_has_its_error(self, rw: Runware) -> None:
        with pytest.raises(ValidationError) as caught:
            rw.image_inference(**{**PICTURE, "width": 13})
        (task,) = rw.jobs
        assert task.state == "failed"
        assert type(task.error) is ValidationError
        assert (task.error.code, task.error.parameter) == (caught.value.code, caught.value.parameter)
        with pytest.raises(ValidationError):
            rw.job(task.key).result(20)

    @pytest.mark.parametrize("transport", ["websocket", "http"])
    def test_attempts_after_a_fault_of_the_server_are_written(
        self, server: LocalServer, path: pathlib.Path, transport: Any
    ) -> None:
        with client(server, path, transport=transport) as rw:
            server.script(fail())
            job = rw.submit.image_inference(**PICTURE)
            first = job.task_uuid
            job.result(20)
            (task,) = rw.jobs
            assert (task.key, task.attempts, task.state) == (first, 2, "succeeded")
            assert task.task_uuid != first
            assert rw.jobs.get(task.task_uuid) == rw.jobs.get(first) == task

    def test_task_is_found_by_the_uuid_of_any_attempt(self, server: LocalServer, path: pathlib.Path) -> None:
        with client(server, path) as rw:
            server.script(fail(3))
            job = rw.submit.image_inference(**PICTURE, retry=3)
            (image,) = job.result(20)
            (task,) = rw.jobs
            uuids = [attempt.partition(":")[0] for attempt in job.attempts] + [job.task_uuid]
        assert len(set(uuids)) == task.attempts == 4
        with client(server, path) as rw:
            assert [rw.jobs.get(uuid) for uuid in uuids] == [task] * 4
            assert [rw.job(uuid).result(20)[0].image_uuid for uuid in uuids] == [image.image_uuid] * 4
            with pytest.raises(NotFoundError):
                rw.jobs.get(new_uuid())

    def test_attempts_that_all_failed_leave_a_task_that_can_be_recovered(
        self, rw: Runware, server: LocalServer
    ) -> None:
        server.script(failing)
        with pytest.raises(ProviderError):
            rw.image_inference(**PICTURE, retry=0)
        (task,) = rw.jobs.unfinished()
        assert (task.step, task.attempts) == ("refused", 1)
        server.script(None)
        (job,) = rw.jobs.recover()
        assert len(job.result(20)) == 1
        (done,) = rw.jobs
        assert (done.key, done.state, done.attempts) == (task.key, "succeeded", 2)
        assert done.task_uuid != task.key

    def test_partial_results_are_written_as_they_come(self, server: LocalServer, path: pathlib.Path) -> None:
        with client(server, path) as rw, server.hold("imageInference") as held:
            job = rw.submit.image_inference(**PICTURE, number_results=2)
            server.ledger.wait_for(lambda ledger: ledger.held == 2)
            server.release(1)
            until(lambda: len(rw.jobs.get(job.task_uuid).items) == 1)
            assert rw.jobs.get(job.task_uuid).state == "open"
            held.release()
            assert len(job.result(20)) == 2
            assert len(rw.jobs.get(job.task_uuid).items) == 2

    def test_acknowledged_task_stays_open(self, rw: Runware) -> None:
        rw.image_inference(**PICTURE, webhook_url="http://127.0.0.1:9/hook")
        (task,) = rw.jobs
        assert (task.state, task.step, task.owner) == ("open", "accepted", None)

    def test_tasks_that_only_read_are_not_written(self, rw: Runware) -> None:
        rw.account_management(operation="getDetails")
        assert list(rw.jobs) == []

    def test_dry_runs_are_not_written(self, server: LocalServer, path: pathlib.Path) -> None:
        with client(server, path, dry_run=True) as rw:
            rw.image_inference(**PICTURE)
            assert list(rw.jobs) == []
            rw.image_inference(**PICTURE, dry_run=False)
            assert len(list(rw.jobs)) == 1
        with client(server, path) as rw:
            rw.image_inference(**PICTURE, dry_run=True)
            assert len(list(rw.jobs)) == 1

    def test_large_request_is_not_kept(self, rw: Runware) -> None:
        rw.image_inference(
            **{**PICTURE, "positive_prompt": "x" * 2000}, seed_image="data:image/png;base64," + "A" * 90_000
        )
        (task,) = rw.jobs
        assert task.request is None

    def test_async_client_keeps_its_calls_in_the_store(self, server: LocalServer, path: pathlib.Path) -> None:
        async def main() -> None:
            async with AsyncRunware(server.api_key, url=server.url, store=path, check="off") as rw:
                images = await asyncio.gather(*(rw.image_inference(**PICTURE) for _ in range(5)))
                assert len(images) == 5
                tasks = await rw.jobs.list()
                assert [task.state for task in tasks] == ["succeeded"] * 5
                assert await rw.jobs.get(tasks[0].key) == tasks[0]
                assert await rw.jobs.unfinished() == []
                assert await rw.jobs.recover() == []
                assert len(await rw.job(tasks[0].key)) == 1

        asyncio.run(main())


def failing(task: dict[str, Any]) -> Any:
    """Answer a task with an error that may pass."""
    if task["taskType"] != "imageInference":
        return None
    return [{"errors": [{"code": "inferenceError", "message": "The GPU is on fire.", "taskUUID": task["taskUUID"]}]}]


def fail(times: int = 1) -> Any:
    """Return a script that fails the first task, or as many as are given."""
    failed: list[str] = []

    def play(task: dict[str, Any]) -> Any:
        if task["taskType"] != "imageInference" or len(failed) == times:
            return None
        failed.append(task["taskUUID"])
        return failing(task)

    return play


class TestTransactions:
    """What is written together: a call waits for its own attempt only."""

    @pytest.fixture
    def batches(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        """Keep steps that nobody waits for as long as possible, and note what each transaction writes."""
        real, batches = recording.StoreRecorder._run_transaction, []

        def run(self: Any, batch: Any, **what: bool) -> Any:
            batches.append(sorted(one.step.value if isinstance(one, Record) else type(one).__name__ for one in batch))
            return real(self, batch, **what)

        monkeypatch.setattr(recording.StoreRecorder, "_run_transaction", run)
        monkeypatch.setattr(recording, "_LINGER", 600.0)
        return batches

    def test_new_task_does_not_wait_for_what_was_collected(self, rw: Runware, batches: list[list[str]]) -> None:
        for _ in range(3):
            rw.image_inference(**PICTURE)
        assert batches == [["task"]] * 3
        assert [task.state for task in rw.jobs] == ["succeeded"] * 3  # to read the store, everything is written
        assert batches[3:] == [["EndedCall"] * 3 + ["sent"] * 3]

    def test_task_with_a_budget_is_written_after_what_earlier_ones_cost(
        self, server: LocalServer, path: pathlib.Path, batches: list[list[str]]
    ) -> None:
        with client(server, path, budget=1.0) as rw:
            for _ in range(2):
                rw.image_inference(**PICTURE)
            assert batches == [["task"], ["EndedCall", "sent", "task"]]

    def test_task_whose_uuid_is_derived_is_written_after_the_end_of_an_earlier_one(
        self, rw: Runware, server: LocalServer, batches: list[list[str]]
    ) -> None:
        first, second = [rw.image_inference(**PICTURE, task_uuid=task_uuid_for("a cover")) for _ in range(2)]
        assert first[0].image_uuid == second[0].image_uuid
        assert batches == [["task"], ["EndedCall", "sent", "task"]]

    def test_task_with_a_uuid_of_the_caller_that_the_store_has_is_not_sent_again(
        self, rw: Runware, server: LocalServer
    ) -> None:
        uuids = [str(uuid.uuid4()) for _ in range(3)]
        made = [rw.image_inference(**PICTURE, task_uuid=one)[0].image_uuid for one in uuids]
        new = rw.submit.image_inference(**PICTURE)
        again = [rw.submit.image_inference(**PICTURE, task_uuid=one) for one in uuids]
        assert [job.result(20)[0].image_uuid for job in again] == made
        assert new.result(20)[0].image_uuid not in made
        assert server.ledger.executed == 4

    @pytest.mark.usefixtures("batches")
    def test_attempt_and_its_cancellation_are_written_in_order(self, rw: Runware) -> None:
        rw.image_inference(**PICTURE)
        recorder = rw._core.keeper.recorder
        assert isinstance(recorder, recording.StoreRecorder)
        with recorder.database._lock:  # nothing can be written
            job = rw.submit.image_inference(**PICTURE)
            until(lambda: recorder._taken == 4)
            assert job.cancel()
            until(lambda: recorder._taken == 5)
        assert [task.step for task in rw.jobs if task.state == "open"] == ["cancelled"]

    def test_collected_steps_are_written_before_they_are_too_many(
        self, rw: Runware, batches: list[list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "_MAX_BATCH", 4)
        for _ in range(3):
            rw.image_inference(**PICTURE)
        until(lambda: any(batch.count("EndedCall") >= 2 for batch in batches))

    def test_tasks_that_are_written_together_are_listed_in_the_order_of_submission(self, rw: Runware) -> None:
        rw.image_inference(**PICTURE)
        recorder = rw._core.keeper.recorder
        assert isinstance(recorder, recording.StoreRecorder)
        with recorder.database._lock:  # nothing can be written
            jobs = [rw.submit.image_inference(**PICTURE) for _ in range(10)]
            until(lambda: recorder._taken >= 13)
        made = [job.result(20)[0].task_uuid for job in jobs]
        assert [task.key for task in rw.jobs if task.key in made] == made

    def test_connection_that_is_kept_is_closed_after_an_error_and_with_the_client(self, rw: Runware) -> None:
        rw.image_inference(**PICTURE)
        recorder = rw._core.keeper.recorder
        assert isinstance(recorder, recording.StoreRecorder)
        database = recorder.database
        assert recorder.flush(10.0)
        (kept,) = database._kept
        with pytest.raises(ZeroDivisionError), database.transaction():
            raise ZeroDivisionError
        assert kept.closed
        assert database._kept == []
        rw.image_inference(**PICTURE)
        assert recorder.flush(10.0)
        (kept,) = database._kept
        rw.close()
        until(lambda: kept.closed)

    def test_collected_steps_are_written_in_time(self, rw: Runware, path: pathlib.Path) -> None:
        rw.image_inference(**PICTURE)
        until(lambda: [row["state"] for row in rows(path)] == ["succeeded"])


class TestJobs:
    def test_list_is_in_pages_and_filtered(self, rw: Runware, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("runware.store.access._PAGE", 2)
        jobs = [rw.submit.image_inference(**PICTURE) for _ in range(5)]
        for job in jobs:
            job.result(20)
        with pytest.raises(ValidationError):
            rw.image_inference(**{**PICTURE, "width": 13})
        assert len(list(rw.jobs)) == 6
        assert {task.key for task in rw.jobs.list(state="succeeded")} == {job.task_uuid for job in jobs}
        assert len(list(rw.jobs.list(state="failed"))) == 1
        assert list(rw.jobs.list(run="nightly")) == []
        with pytest.raises(ValidationError, match="state"):
            rw.jobs.list(state="broken")  # type: ignore[arg-type]

    def test_unknown_task_raises_not_found(self, rw: Runware) -> None:
        with pytest.raises(NotFoundError):
            rw.jobs.get("0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01")

    def test_client_without_a_store_has_no_jobs(self, server: LocalServer) -> None:
        with Runware(server.api_key, url=server.url) as rw, pytest.raises(ConfigurationError, match="store"):
            rw.jobs

    def test_stored_job_needs_no_server(self, server: LocalServer, path: pathlib.Path) -> None:
        with client(server, path) as rw:
            images = rw.image_inference(**PICTURE)
            uuid = images[0].task_uuid
        server.forget()
        with client(server, path) as rw:
            assert [image.image_uuid for image in rw.job(uuid).result(20)] == [images[0].image_uuid]
        assert server.ledger.polls(str(uuid)) == 0

    def test_job_on_the_client_that_runs_it_follows_it(self, rw: Runware, server: LocalServer) -> None:
        with server.hold("imageInference"):
            running = rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held)
            job = rw.job(running.task_uuid)
            again = rw.job(running.ref)
            until(lambda: rw.jobs.get(running.task_uuid).step in ("sent", "accepted"))
        expected = [image.image_uuid for image in running.result(20)]
        for one in (job, again):
            assert [image.image_uuid for image in one.result(20)] == expected
        assert server.ledger.executions(running.task_uuid) == 1

    def test_cancelled_follower_leaves_the_task_to_the_call_it_followed(self, rw: Runware, server: LocalServer) -> None:
        with server.hold("imageInference"):
            running = rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held)
            rw.job(running.task_uuid).cancel()
        assert len(running.result(20)) == 1
        assert rw.jobs.get(running.task_uuid).state == "succeeded"

    def test_two_clients_that_make_one_task_buy_it_once(self, server: LocalServer, path: pathlib.Path) -> None:
        uuid = task_uuid_for("order-17/cover")
        with client(server, path) as one, client(server, path) as other, server.hold("imageInference"):
            first = one.submit.image_inference(**PICTURE, task_uuid=uuid)
            server.ledger.wait_for(lambda ledger: ledger.held)
            second = other.submit.image_inference(**PICTURE, task_uuid=uuid)
            until(lambda: second._call.durable is not None)
            server.release()
            assert first.result(20)[0].image_uuid == second.result(20)[0].image_uuid
        assert server.ledger.executions(uuid) == 1

    def test_calls_of_one_client_for_one_task_buy_it_once(self, rw: Runware, server: LocalServer) -> None:
        uuid = task_uuid_for("order-17/cover")
        jobs = [rw.submit.image_inference(**PICTURE, task_uuid=uuid) for _ in range(5)]
        assert len({job.result(20)[0].image_uuid for job in jobs}) == 1
        assert server.ledger.submissions(uuid) == 1

    def test_call_goes_on_when_the_one_it_waited_for_is_cancelled(
        self, server: LocalServer, path: pathlib.Path
    ) -> None:
        uuid = task_uuid_for("order-17/cover")
        with client(server, path, max_in_flight=1) as rw, server.hold("imageInference") as held:
            busy = rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held)
            first = rw.submit.image_inference(**PICTURE, task_uuid=uuid)
            second = rw.submit.image_inference(**PICTURE, task_uuid=uuid)
            until(lambda: rw._core.keeper.recorder._calls.watched)  # type: ignore[union-attr]
            first.cancel()
            held.release()
            assert len(second.result(20)) == len(busy.result(20)) == 1
        assert server.ledger.executions(uuid) == 1

    def test_asyncio_forms_open_the_store_off_the_event_loop(
        self, server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[threading.Thread] = []
        really = Database.open

        def spy(database: Database) -> None:
            opened.append(threading.current_thread())
            really(database)

        monkeypatch.setattr(Database, "open", spy)
        rw = client(server, path)  # entering it would connect, and open the store

        async def look() -> None:
            jobs, runs = rw.aio.jobs, rw.aio.runs
            assert "AsyncStoredJobs" in repr(jobs)
            assert "AsyncRuns" in repr(runs)
            assert opened == []
            assert (await jobs.list(), await runs.list()) == ([], [])

        asyncio.run(look())
        rw.close()
        assert [thread is threading.main_thread() for thread in opened] == [False]

    def test_asyncio_forms_import_nothing_of_the_database_before_a_method_is_awaited(
        self, server: LocalServer, path: pathlib.Path
    ) -> None:
        code = (
            "import asyncio, sys, threading\nfrom pathlib import Path\nfrom runware import Runware\n"
            "async def look():\n"
            f"    rw = Runware({server.api_key!r}, url={server.url!r}, store=Path({str(path)!r}))\n"
            "    jobs, runs = rw.aio.jobs, rw.aio.runs\n"
            "    assert 'sqlalchemy' not in sys.modules\n"
            "    assert (await jobs.list(), await runs.list()) == ([], [])\n"
            "    assert 'sqlalchemy' in sys.modules\n"
            "    rw.close()\n"
            "asyncio.run(look())\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

    @pytest.mark.parametrize("transport", ["websocket", "http"])
    def test_task_is_in_the_store_as_soon_as_it_is_submitted(
        self, server: LocalServer, path: pathlib.Path, transport: str
    ) -> None:
        with client(server, path, transport=transport) as rw:
            jobs = []
            with server.hold("imageInference"):
                for _ in range(20):
                    jobs.append(rw.submit.image_inference(**PICTURE))
                    assert rw.jobs.get(jobs[-1].task_uuid).state == "open"
                assert len(list(rw.jobs.list(state="open"))) == 20
            for job in jobs:
                job.result(20)

    @pytest.mark.parametrize("name", ["a?b.db", "what? & how#1 %41.db", "plain.db"])
    def test_path_of_the_store_may_have_any_characters(
        self, server: LocalServer, tmp_path: pathlib.Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for path in (tmp_path / "dir" / name, pathlib.Path(name)):
            with client(server, path) as rw:
                rw.image_inference(**PICTURE)
                assert len(list(rw.jobs.list())) == 1
            assert path.stat().st_size
        assert {one.name for one in tmp_path.iterdir()} == {"dir", name}

    def test_store_without_its_extra_says_what_to_install(
        self, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "sqlalchemy", None)
        with pytest.raises(ConfigurationError, match=r"runware-client\[store\]") as caught:
            Runware("key", store=path)
        assert caught.value.parameter == "store"

    def test_task_that_was_cancelled_unsent_is_not_sent_after_a_crash_unless_it_is_asked_for_again(
        self, server: LocalServer, path: pathlib.Path
    ) -> None:
        uuid = task_uuid_for("order-17/cover")
        with client(server, path, max_in_flight=1) as rw, server.hold("imageInference"):
            rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held)
            unwanted = rw.submit.image_inference(**PICTURE, task_uuid=uuid)
            unwanted.cancel()
            until(lambda: [task for task in rw.jobs.list() if task.step == "cancelled"])
            assert rw.jobs.get(uuid).step == "cancelled"
        with client(server, path) as rw:
            assert uuid not in [task.key for task in rw.jobs.unfinished()]
            assert len(rw.image_inference(**PICTURE, task_uuid=uuid)) == 1
        assert server.ledger.executions(uuid) == 1

    def test_uuid_of_a_key_stays_stable_in_pickles_and_copies_and_not_in_json(self, server: LocalServer) -> None:
        uuid = task_uuid_for("order-17/cover")
        for same in (pickle.loads(pickle.dumps(uuid)), copy.deepcopy(uuid), task_uuid_for("order-17/cover")):
            assert (type(same), same) == (StableUUID, uuid)
        with Runware(server.api_key, url=server.url, timeout=20.0) as rw:
            (image,) = rw.image_inference(**PICTURE, task_uuid=uuid)
            (again,) = rw.image_inference(**PICTURE, task_uuid=pickle.loads(pickle.dumps(uuid)))
            with pytest.raises(ConflictError) as caught:
                rw.image_inference(**PICTURE, task_uuid=json.loads(json.dumps(uuid)))
            (collected,) = rw.job(caught.value.ref).result(20)
        assert image.uuid == again.uuid == collected.uuid
        assert server.ledger.executions(uuid) == 1

    def test_without_its_store_a_stable_uuid_still_buys_once(self, server: LocalServer, tmp_path: pathlib.Path) -> None:
        uuid = task_uuid_for("order-17/cover")
        images = []
        for name in ("one.db", "two.db"):
            with client(server, tmp_path / name) as rw:
                images.append(rw.image_inference(**PICTURE, task_uuid=uuid)[0].image_uuid)
        assert images[0] == images[1]
        assert server.ledger.executions(uuid) == 1

    @pytest.mark.parametrize("same_client", [False, True])
    def test_call_for_an_acknowledgement_does_not_wait_for_the_job_that_collects_its_task(
        self, rw: Runware, server: LocalServer, path: pathlib.Path, same_client: bool
    ) -> None:
        uuid = task_uuid_for("order-17/film")
        film = {"positive_prompt": "waves", "model": "klingai:5@3", "duration": 5, "skip_response": True}
        with client(server, path) as other, server.hold("videoInference") as held:
            rw.video_inference(**film, task_uuid=uuid)
            collecting = rw.job(uuid)
            server.ledger.wait_for(lambda ledger: ledger.polls(uuid))
            (again,) = (rw if same_client else other).submit.video_inference(**film, task_uuid=uuid).result(10)
            assert isinstance(again, Acknowledgement)
            assert (again.task_uuid, collecting.done()) == (uuid, False)
            held.release()
            assert len(collecting.result(20)) == 1
        assert (server.ledger.executions(uuid), server.ledger.submissions(uuid)) == (1, 1)

    def test_job_collects_the_task_whose_uuid_another_client_has_used(self, rw: Runware, server: LocalServer) -> None:
        uuid = new_uuid()
        with Runware(server.api_key, url=server.url) as other:
            (image,) = other.image_inference(**PICTURE, task_uuid=uuid)
        with pytest.raises(ConflictError) as caught:
            rw.image_inference(**PICTURE, task_uuid=uuid)
        assert [one.image_uuid for one in rw.job(caught.value.ref).result(20)] == [image.image_uuid]
        assert (rw.jobs.get(uuid).state, server.ledger.executions(uuid)) == ("succeeded", 1)

    @pytest.mark.parametrize("transport", ["websocket", "http"])
    @pytest.mark.parametrize("budget", [None, 1.0])
    def test_calls_at_the_same_time_buy_once_without_a_store(
        self, server: LocalServer, transport: Any, budget: float | None
    ) -> None:
        uuid = task_uuid_for("order-17/cover")
        rw = Runware(server.api_key, url=server.url, transport=transport, budget=budget)
        with rw, server.hold("imageInference") as held:
            jobs = [rw.submit.image_inference(**PICTURE, task_uuid=uuid) for _ in range(3)]
            server.ledger.wait_for(lambda ledger: ledger.held)
            held.release()
            assert len({job.result(20)[0].image_uuid for job in jobs}) == 1
        assert server.ledger.executions(uuid) == 1

    def test_finished_task_is_answered_from_the_store(self, rw: Runware, server: LocalServer) -> None:
        uuid = task_uuid_for("order-17/cover")
        first = rw.image_inference(**PICTURE, task_uuid=uuid)
        second = rw.image_inference(**PICTURE, task_uuid=uuid)
        assert first[0].image_uuid == second[0].image_uuid
        assert server.ledger.submissions(uuid) == 1


class TestAfterTheEnd:
    def test_closed_client_leaves_its_tasks_to_others(self, server: LocalServer, path: pathlib.Path) -> None:
        with server.hold("imageInference"), client(server, path) as rw:
            job = rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held)
            rw.close()
            with pytest.raises(ClientClosedError) as caught:
                job.result(20)
            assert caught.value.may_have_run
        with client(server, path) as rw:
            (task,) = rw.jobs.unfinished()
            assert (task.key, task.owner, task.step) == (job.task_uuid, None, "sent")
            (again,) = rw.jobs.recover()
            assert len(again.result(20)) == 1
            assert rw.jobs.unfinished() == rw.jobs.recover() == []
        assert server.ledger.executions(job.task_uuid) == 1

    @pytest.mark.parametrize("follows", [False, True])
    def test_task_that_was_sent_stays_to_be_recovered_when_a_second_call_is_cancelled_at_once(
        self, server: LocalServer, path: pathlib.Path, follows: bool
    ) -> None:
        uuid = task_uuid_for("order-17/cover")
        with server.hold("imageInference") as held:
            with client(server, path) as rw:
                rw.submit.image_inference(**PICTURE, task_uuid=uuid)
                server.ledger.wait_for(lambda ledger: ledger.held)
            with client(server, path) as rw:
                with rw.jobs.database.writing():  # the recorder waits, so that it gets the call together with its end
                    job = rw.job(uuid) if follows else rw.submit.image_inference(**PICTURE, task_uuid=uuid)
                    job.cancel()
                    rw._core.catch_up(20)
                (task,) = rw.jobs.unfinished()
                assert (task.key, task.step) == (uuid, "sent")
                (again,) = rw.jobs.recover()
                held.release()
                assert len(again.result(20)) == 1
        assert server.ledger.executions(uuid) == 1

    def test_task_that_was_certainly_not_sent_is_sent_without_a_question(
        self, server: LocalServer, path: pathlib.Path
    ) -> None:
        with server.hold("imageInference"), client(server, path, max_in_flight=1) as rw:
            jobs = [rw.submit.image_inference(**PICTURE) for _ in range(2)]
            server.ledger.wait_for(lambda ledger: ledger.held)
            until(lambda: len(list(rw.jobs)) == 2)
        assert {row["step"] for row in rows(path)} == {"sent", "waiting"}
        with client(server, path) as rw:
            assert [len(job.result(20)) for job in rw.jobs.recover()] == [1, 1]
        assert [server.ledger.executions(job.task_uuid) for job in jobs] == [1, 1]
        assert server.ledger.polls(jobs[1].task_uuid) == 0

    def test_next_attempts_are_the_same_if_a_living_client_is_taken_for_dead(
        self, server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Owners, "alive", lambda *_: False)  # as after a jump of the clock of another machine
        with client(server, path) as one, client(server, path) as other, server.hold("imageInference") as held:
            running = one.submit.image_inference(**{**PICTURE, "positive_prompt": "[fail:1] a harbor"})
            server.ledger.wait_for(lambda ledger: ledger.held)
            (again,) = other.jobs.recover()
            server.ledger.wait_for(lambda ledger: ledger.polls(running.ref["task_uuid"]))
            held.release()
            for job in (running, again):
                assert isinstance(job.exception(20), ProviderError)
        attempts = {task["taskUUID"] for task in server.ledger.received if task["taskType"] == "imageInference"}
        assert len(attempts) == 3

    def test_tasks_of_a_killed_process_are_taken_over_at_once(self, server: LocalServer, path: pathlib.Path) -> None:
        with server.hold("imageInference"):
            process = script(
                server, path, "rw = client()\njobs = [rw.submit.image_inference(**PICTURE) for _ in range(3)]\n"
                "time.sleep(60)",
            )  # fmt: skip
            try:
                server.ledger.wait_for(lambda ledger: ledger.held == 3, 30)
                with client(server, path) as rw:
                    assert rw.jobs.unfinished() == []  # it lives
                    process.kill()
                    process.communicate()
                    assert len(rw.jobs.unfinished()) == 3
                    jobs = rw.jobs.recover()
                    server.release()
                    assert [len(job.result(20)) for job in jobs] == [1, 1, 1]
            finally:
                process.kill()
                process.communicate()
        assert server.ledger.executed == 3

    def test_waiting_call_takes_over_when_the_owner_is_killed(self, server: LocalServer, path: pathlib.Path) -> None:
        uuid = task_uuid_for("order-17/cover")
        with server.hold("imageInference"):
            process = script(
                server, path,
                "rw = client()\njob = rw.submit.image_inference(**PICTURE, task_uuid=task_uuid_for('order-17/cover'))\n"
                "time.sleep(60)",
            )  # fmt: skip
            try:
                server.ledger.wait_for(lambda ledger: ledger.held, 30)
                with client(server, path) as rw:
                    job = rw.submit.image_inference(**PICTURE, task_uuid=uuid)
                    until(lambda: rw._core.keeper.recorder._calls.watched)  # type: ignore[union-attr]
                    assert server.ledger.polls(uuid) == 0
                    process.kill()
                    server.ledger.wait_for(lambda ledger: ledger.polls(uuid))
                    server.release()
                    assert len(job.result(20)) == 1
            finally:
                process.kill()
                process.communicate()
        assert server.ledger.executions(uuid) == 1

    def test_ctrl_c_during_a_blocking_call_leaves_the_task_to_recover(
        self, server: LocalServer, path: pathlib.Path
    ) -> None:
        with server.hold("imageInference"):
            process = script(
                server, path,
                """
                rw = client()
                try:
                    rw.image_inference(**PICTURE)
                except KeyboardInterrupt:
                    rw.close()
                """,
            )  # fmt: skip
            server.ledger.wait_for(lambda ledger: ledger.held, 30)
            process.send_signal(signal.SIGINT)
            finished(process)
            with client(server, path) as rw:
                (job,) = rw.jobs.recover()
                server.release()
                assert len(job.result(20)) == 1
        assert server.ledger.executions(job.task_uuid) == server.ledger.executed == 1

    def test_task_is_recovered_that_a_job_of_the_client_asks_for_already(
        self, server: LocalServer, path: pathlib.Path
    ) -> None:
        uuid = task_uuid_for("order-17/cover")
        with client(server, path) as rw, server.hold("imageInference") as held:
            early = rw.job(uuid)  # the store does not have it yet
            server.ledger.wait_for(lambda ledger: ledger.polls(uuid))
            with client(server, path) as other:
                other.submit.image_inference(**PICTURE, task_uuid=uuid)
                server.ledger.wait_for(lambda ledger: ledger.held)
            (job,) = rw.jobs.recover()
            held.release()
            assert job.result(20)[0].image_uuid == early.result(20)[0].image_uuid
        assert server.ledger.executions(uuid) == 1

    def test_request_too_large_to_be_kept_is_only_followed(self, server: LocalServer, path: pathlib.Path) -> None:
        big = {"seed_image": "data:image/png;base64," + "A" * 90_000}
        with server.hold("imageInference"), client(server, path) as rw:
            rw.submit.image_inference(**PICTURE, **big)
            server.ledger.wait_for(lambda ledger: ledger.held)
        server.forget()
        with client(server, path) as rw:
            (job,) = rw.jobs.recover()
            with pytest.raises(NotFoundError):
                job.result(20)
            (task,) = rw.jobs.unfinished()
            assert task.state == "open"
        assert server.ledger.executed == 0


class TestOwners:
    """Clients of other machines, with a made-up monotonic clock."""

    @pytest.fixture
    def database(self, path: pathlib.Path) -> Iterator[Database]:
        database = Database(f"sqlite:///{path}")
        database.open()
        yield database
        database.close()

    def alive(self, database: Database, owners: Owners, owner: Owner) -> bool:
        with database.reading() as connection:
            return owners.alive(connection, owner.id)

    def beat(self, database: Database, owner: Owner) -> None:
        with database.writing() as connection:
            owner.beat(connection)

    def test_client_of_another_machine_lives_for_as_long_as_it_counts(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [1000.0]
        monkeypatch.setattr(owning.time, "monotonic", lambda: now[0])
        other, owners = Owner(), Owners(Owner())
        other.machine = "another"
        self.beat(database, other)
        for _ in range(5):
            assert self.alive(database, owners, other)
            now[0] += owning.LEASE - 1.0
            assert self.alive(database, owners, other)
            self.beat(database, other)
        assert self.alive(database, owners, other)
        now[0] += owning.LEASE
        assert not self.alive(database, owners, other)
        self.beat(database, other)  # it was only slow
        assert self.alive(database, owners, other)

    @pytest.mark.parametrize("jump", [-1e9, 1e9, -3600.0, 3600.0])
    def test_clock_that_jumps_costs_a_living_client_nothing(
        self, database: Database, monkeypatch: pytest.MonkeyPatch, jump: float
    ) -> None:
        other, owners = Owner(), Owners(Owner())
        other.machine = "another"
        self.beat(database, other)
        assert self.alive(database, owners, other)
        real = time.time
        monkeypatch.setattr(owning.time, "time", lambda: real() + jump)
        assert self.alive(database, owners, other)
        self.beat(database, other)
        assert self.alive(database, owners, other)

    def test_client_that_was_last_seen_long_ago_is_dead_at_first_sight(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = Owner()
        other.machine = "another"
        self.beat(database, other)
        real = time.time
        monkeypatch.setattr(owning.time, "time", lambda: real() + owning.LONG_GONE + 1.0)
        assert not self.alive(database, Owners(Owner()), other)

    def test_unknown_client_and_dead_pid_are_dead(self, database: Database) -> None:
        owners = Owners(Owner())
        stranger, dead = Owner(), Owner()
        assert not self.alive(database, owners, stranger)
        dead.pid = 2**22 + 1
        self.beat(database, dead)
        assert not self.alive(database, owners, dead)

    def test_reused_pid_is_another_process(self, database: Database) -> None:
        other = Owner()
        other.started = "12"
        self.beat(database, other)
        assert not self.alive(database, Owners(Owner()), other)


class TestBadStores:
    """What happens when the store cannot be written in the middle of work."""

    def fail(self, rw: Runware, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
        """Let the store fail for as long as the returned list is not empty."""
        real, failing = recording.StepWriter.write, [True]

        def write(self: Any, *args: Any) -> None:
            if failing:
                raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
            real(self, *args)

        monkeypatch.setattr(recording.StepWriter, "write", write)
        return failing

    def test_full_disk_in_the_middle(
        self, rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(recording, "_RETRY_INTERVAL", 0.05)
        with server.hold("imageInference"):
            paid = rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held)
            failing = self.fail(rw, monkeypatch)
            refused = [rw.submit.image_inference(**PICTURE) for _ in range(3)]
            for job in refused:
                with pytest.raises(StoreError, match=r"disk is full.*not sent") as caught:
                    job.result(20)
                assert not caught.value.may_have_run
                assert caught.value.retryable
        assert len(paid.result(20)) == 1  # what was paid for is delivered
        assert server.ledger.executed == 1
        failing.clear()
        until(lambda: rw.jobs.get(paid.task_uuid).state == "succeeded")  # and written when there is room again
        assert len(rw.image_inference(**PICTURE)) == 1
        assert len(list(rw.jobs)) == 2
        assert "can be written again" in caplog.text

    @pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="the system has no limit on the size of files")
    def test_real_full_disk(self, server: LocalServer, path: pathlib.Path) -> None:
        """A limit on the size of files has the effect of a full disk, on the real calls of SQLite."""
        process = script(
            server, path,
            """
            import resource, signal
            from runware import StoreError
            import runware.store.recorder as recording
            recording._RETRY_INTERVAL = 0.05
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            rw = client()
            first = rw.image_inference(**PICTURE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
            sent, refused = 0, 0
            big = {**PICTURE, "positive_prompt": "x" * 1900, "negative_prompt": "y" * 1900}
            for _ in range(400):
                try:
                    rw.image_inference(**big)
                    sent += 1
                except StoreError as error:
                    assert "not sent" in str(error), error
                    refused += 1
                    if refused == 3:
                        break
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            rw.image_inference(**PICTURE)
            states = [task.state for task in rw.jobs]
            print(sent, refused, states.count("succeeded"), len(states))
            rw.close()
            """,
        )  # fmt: skip
        sent, refused, succeeded, kept = map(int, finished(process).split())
        assert refused == 3
        assert sent >= 1
        assert kept == succeeded == sent + 2 == server.ledger.executed

    def test_locked_store_makes_calls_wait_no_longer_than_their_deadline(
        self, rw: Runware, server: LocalServer, path: pathlib.Path
    ) -> None:
        rw.image_inference(**PICTURE)
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RunwareError, match="could not be written to the store") as caught:
                rw.image_inference(**PICTURE, timeout=0.3)
            assert not caught.value.may_have_run
            assert server.ledger.executed == 1
            other.execute("COMMIT")
        finally:
            other.close()
        assert len(rw.image_inference(**PICTURE)) == 1
        assert server.ledger.executed == 2

    def test_step_that_can_never_be_written_does_not_stop_the_others(
        self, rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = Database.add

        def add(connection: Any, lines: Any, owner: str) -> Any:
            if any("poison" in str(line.request) for line in lines):
                raise ValueError("this request cannot be written")
            return real(connection, lines, owner)

        monkeypatch.setattr(Database, "add", staticmethod(add))
        jobs = [rw.submit.image_inference(**{**PICTURE, "positive_prompt": f"a {n}"}) for n in range(5)]
        poison = rw.submit.image_inference(**{**PICTURE, "positive_prompt": "poison"})
        jobs += [rw.submit.image_inference(**{**PICTURE, "positive_prompt": f"b {n}"}) for n in range(5)]
        assert [len(job.result(20)) for job in jobs] == [1] * 10
        with pytest.raises(StoreError):
            poison.result(20)
        assert server.ledger.executed == 10

    def test_thread_that_cannot_start_fails_the_call(
        self, rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rw.connect()
        with monkeypatch.context() as patched:
            patched.setattr(recording.threading.Thread, "start", _no_thread)
            job = rw.submit.image_inference(**PICTURE)
            with pytest.raises(StoreError, match="no thread"):
                job.result(20)
        assert len(rw.image_inference(**PICTURE)) == 1
        assert server.ledger.executed == 1

    def test_follower_asks_the_server_when_the_store_fails(
        self, rw: Runware, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Runware(server.api_key, url=server.url) as other:
            uuid = other.image_inference(**PICTURE)[0].task_uuid
        rw.image_inference(**PICTURE)
        self.fail(rw, monkeypatch)
        assert len(rw.job(uuid).result(20)) == 1


def _no_thread(self: threading.Thread) -> None:
    raise RuntimeError("no thread")


class TestBudgets:
    MODEL = "runware:101@1"

    @pytest.mark.parametrize("budget", [-1, -0.01, float("nan"), float("inf"), "5", True])
    def test_invalid_budget_is_refused(self, budget: Any) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Runware("rw-test-key", budget=budget)
        assert caught.value.parameter == "budget"

    def test_budget_needs_include_cost(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Runware("rw-test-key", budget=1.0, include_cost=False)
        assert caught.value.parameter == "include_cost"

    @pytest.mark.parametrize("per", ["store", "day", "run"])
    def test_budget_of_a_store_needs_one(self, per: Any) -> None:
        with pytest.raises(ConfigurationError, match="store"):
            Runware("rw-test-key", budget=Budget(1.0, per=per))

    @pytest.mark.parametrize("stored", [False, True])
    def test_nothing_is_sent_with_a_budget_of_zero(self, server: LocalServer, path: pathlib.Path, stored: bool) -> None:
        options: dict[str, Any] = {"store": path} if stored else {}
        with (
            Runware(server.api_key, url=server.url, budget=0, **options) as rw,
            pytest.raises(BudgetExceededError) as caught,
        ):
            rw.image_inference(**PICTURE)
        assert (caught.value.limit, caught.value.may_have_run) == (0.0, False)
        assert server.ledger.executed == 0

    @pytest.mark.parametrize("limit", [sys.float_info.max, 10**400], ids=["float", "int"])
    @pytest.mark.parametrize("stored", [False, True])
    def test_limit_that_nothing_reaches_is_none(
        self, server: LocalServer, path: pathlib.Path, stored: bool, limit: float
    ) -> None:
        options: dict[str, Any] = {"store": path} if stored else {}
        with Runware(server.api_key, url=server.url, budget=limit, timeout=20.0, **options) as rw:
            assert rw.image_inference(**PICTURE)[0].cost

    def prices(self, server: LocalServer) -> tuple[float, float]:
        """Return what a task costs, and what it is estimated to cost."""
        with Runware(server.api_key, url=server.url, include_cost=True) as rw:
            estimate = rw.estimate(ImageInference(**PICTURE)).cost
            price = rw.image_inference(**PICTURE)[0].cost
        assert estimate
        assert price
        assert price <= estimate
        server.ledger.reset()
        return price, estimate

    @pytest.mark.parametrize("per", ["client", "store", "day"])
    def test_spending_stops_at_the_limit(self, server: LocalServer, path: pathlib.Path, per: Any) -> None:
        price, estimate = self.prices(server)
        budget = Budget(estimate + price * 4.5, per=per)
        with client(server, path, budget=budget) as rw:
            for _ in range(5):
                rw.image_inference(**PICTURE)
            with pytest.raises(BudgetExceededError) as caught:
                rw.image_inference(**PICTURE)
            assert caught.value.spent == pytest.approx(price * 5)
            assert caught.value.estimate == pytest.approx(estimate)
        assert {reserved for _, reserved in spending(path).values()} == {0}
        with client(server, path, budget=budget) as rw:
            exceeded = rw.submit.image_inference(**PICTURE).exception(20) is not None
        assert exceeded == (per != "client")  # a client has a budget of its own
        assert server.ledger.executed == 5 + (per == "client")

    @pytest.mark.parametrize("stored", [False, True])
    def test_bill_below_zero_raises_no_budget(self, server: LocalServer, path: pathlib.Path, stored: bool) -> None:
        _, estimate = self.prices(server)
        options: dict[str, Any] = {"store": path} if stored else {}
        server.respond("imageInference", {"cost": -5.0})
        with Runware(server.api_key, url=server.url, budget=estimate * 1.5, timeout=20.0, **options) as rw:
            rw.image_inference(**PICTURE)
            with pytest.raises(BudgetExceededError) as caught:
                rw.image_inference(**PICTURE, number_results=4)
        assert caught.value.spent == 0.0

    @pytest.mark.parametrize("stored", [False, True])
    def test_calls_at_the_same_time_reserve_what_they_may_cost(
        self, server: LocalServer, path: pathlib.Path, stored: bool
    ) -> None:
        _, estimate = self.prices(server)
        options: dict[str, Any] = {"store": path} if stored else {}
        with (
            server.hold("imageInference"),
            Runware(server.api_key, url=server.url, budget=estimate * 3.5, **options) as rw,
        ):
            jobs = [rw.submit.image_inference(**PICTURE) for _ in range(10)]
            refused = [job for job in jobs[3:] if isinstance(job.exception(20), BudgetExceededError)]
            server.release()
            assert [len(job.result(20)) for job in jobs[:3]] == [1, 1, 1]
            assert len(refused) == 7
            rw.image_inference(**PICTURE)  # less was billed than reserved
        assert server.ledger.executed == 4

    def test_budget_per_day_begins_anew(
        self, server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, estimate = self.prices(server)
        today = ["2026-01-31"]
        monkeypatch.setattr(recording.time, "strftime", lambda *_: today[0])
        with client(server, path, budget=Budget(estimate, per="day")) as rw:
            rw.image_inference(**PICTURE)
            with pytest.raises(BudgetExceededError, match="2026-01-31"):
                rw.image_inference(**PICTURE)
            today[0] = "2026-02-01"
            rw.image_inference(**PICTURE)
            with pytest.raises(BudgetExceededError, match="2026-02-01"):
                rw.image_inference(**PICTURE)

    def test_reservation_of_a_task_that_may_run_stays(self, server: LocalServer, path: pathlib.Path) -> None:
        with server.hold("imageInference"), client(server, path, budget=1.0) as rw:
            rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held)
        (row,) = rows(path)
        assert row["reserved"] > 0
        assert spending(path)["store"] == (0, row["reserved"])
        with client(server, path, budget=1.0) as rw:
            (job,) = rw.jobs.recover()
            images = job.result(20)
        (row,) = rows(path)
        assert row["reserved"] == 0
        assert spending(path)["store"] == (row["cost"], 0)
        assert row["cost"] / 1e9 == pytest.approx(images[0].cost)

    def test_task_that_is_sent_again_needs_the_budget_again(self, server: LocalServer, path: pathlib.Path) -> None:
        with server.hold("imageInference"), client(server, path, max_in_flight=1, budget=1.0) as rw:
            for _ in range(2):
                rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held)
            until(lambda: len(list(rw.jobs)) == 2)
        reserved = {row["step"]: row["reserved"] for row in rows(path)}
        assert reserved["waiting"] == 0 < reserved["sent"]
        with client(server, path, budget=reserved["sent"] * 1.2 / 1e9) as rw:
            outcomes = [job.exception(20) for job in rw.jobs.recover()]
            assert [type(outcome) for outcome in outcomes] == [type(None), BudgetExceededError]
            (task,) = rw.jobs.unfinished()
            assert task.step == "waiting"
        assert server.ledger.executed == 1
        assert spending(path)["store"][1] == 0

    def test_failed_attempts_and_their_retries_release_what_they_reserved(
        self, server: LocalServer, path: pathlib.Path
    ) -> None:
        with client(server, path, budget=1.0) as rw:
            server.script(failing)
            with pytest.raises(ProviderError):
                rw.image_inference(**PICTURE, retry=1)
            assert len(list(rw.jobs)) == 1  # all is written by then
            assert spending(path)["store"] == (0, 0)
            server.script(None)
            (job,) = rw.jobs.recover()
            job.result(20)
            (task,) = rw.jobs
            assert spending(path)["store"] == (round((task.cost or 0) * 1e9), 0)

    def test_budget_in_memory_is_released_and_billed(self, server: LocalServer) -> None:
        price, estimate = self.prices(server)
        with Runware(server.api_key, url=server.url, budget=estimate + price * 2.5) as rw:
            with pytest.raises(ValidationError):
                rw.image_inference(**{**PICTURE, "width": 13})
            outcomes = [rw.submit.image_inference(**PICTURE).exception(20) for _ in range(5)]
        assert [outcome is None for outcome in outcomes] == [True, True, True, False, False]


class TestProcesses:
    def test_password_of_the_store_is_never_pickled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        url = "postgresql+psycopg://me:hunter2@db.example.net/jobs"
        rw = Runware("rw-test-key", store=url)
        assert "hunter2" not in repr(rw) + repr(rw._core.options)
        with pytest.raises(TypeError, match="RUNWARE_STORE"):
            pickle.dumps(rw)
        monkeypatch.setenv("RUNWARE_STORE", url)
        monkeypatch.setenv("RUNWARE_API_KEY", "rw-test-key")
        data = pickle.dumps(Runware())
        assert b"hunter2" not in data
        assert pickle.loads(data)._core.options.store == url

    def test_client_with_a_file_pickles(
        self, server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", server.api_key)
        with Runware(url=server.url, store=path) as rw, pickle.loads(pickle.dumps(rw)) as again:
            uuid = rw.image_inference(**PICTURE)[0].task_uuid
            assert len(list(rw.jobs)) == 1  # it is written by then
            assert again.jobs.get(str(uuid)).state == "succeeded"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
    def test_parent_and_child_work_on_after_a_fork(self, server: LocalServer, path: pathlib.Path) -> None:
        process = script(
            server, path,
            """
            import warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            rw = client()
            rw.image_inference(**PICTURE)
            stop = threading.Event()
            def written():
                # `close` waits half a second, in which a busy machine may not write everything.
                rw._core.catch_up(20.0)
                assert rw._core.keeper.recorder.flush(20.0)
            def busy():
                while not stop.is_set():
                    rw.image_inference(**PICTURE)
            worker = threading.Thread(target=busy)
            worker.start()
            children = []
            for _ in range(5):
                pid = os.fork()
                if not pid:
                    try:
                        for _ in range(5):
                            rw.image_inference(**PICTURE)
                        written()
                        rw.close()
                    except BaseException:
                        import traceback
                        traceback.print_exc()
                        os._exit(1)
                    os._exit(0)
                children.append(pid)
            print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
            stop.set()
            worker.join()
            written()
            assert not list(rw.jobs.list(state="open"))
            print(len(list(rw.jobs)))
            rw.close()
            """,
        )  # fmt: skip
        exits, count = finished(process).strip().splitlines()
        assert exits == "[0, 0, 0, 0, 0]"
        assert int(count) == len(rows(path)) == server.ledger.executed
        assert int(count) >= 26
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()

    def test_tasks_of_the_parent_are_not_left_by_the_child(self, server: LocalServer, path: pathlib.Path) -> None:
        with server.hold("imageInference"):
            process = script(
                server, path,
                """
                import warnings
                warnings.simplefilter("ignore", DeprecationWarning)
                rw = client()
                job = rw.submit.image_inference(**PICTURE)
                while [task.step for task in rw.jobs] not in (["sent"], ["accepted"]):
                    time.sleep(0.001)
                pid = os.fork()
                if not pid:
                    left = rw.jobs.unfinished()
                    rw.close()
                    os._exit(len(left))
                assert os.waitpid(pid, 0)[1] == 0
                print(rw.jobs.get(job.task_uuid).owner is not None, flush=True)
                print(len(job.result(30)))
                rw.close()
                """,
            )  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == "True\n"
            server.release()
            assert finished(process) == "1\n"

    def test_greenlets_use_a_store(self, server: LocalServer, path: pathlib.Path) -> None:
        pytest.importorskip("gevent", reason="gevent is not installed", exc_type=ImportError)
        process = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(f"""
                from gevent import monkey; monkey.patch_all()
                import gevent
                from runware import Runware
                rw = Runware({server.api_key!r}, url={server.url!r}, store="sqlite:///{path}", timeout=30.0)
                greenlets = [gevent.spawn(lambda: len(rw.image_inference(**{PICTURE!r}))) for _ in range(20)]
                gevent.joinall(greenlets, raise_error=True)
                print(sum(one.value for one in greenlets), len(list(rw.jobs.list(state="succeeded"))))
                rw.close()
            """)],
            capture_output=True, text=True, timeout=50, check=False, cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
        assert process.stdout.split() == ["20", "20"]


class TestLife:
    def test_closed_client_leaves_no_thread(self, server: LocalServer, path: pathlib.Path) -> None:
        before = len(threads())
        with client(server, path) as rw:
            rw.image_inference(**PICTURE)
            assert len(threads()) == before + 1
        until(lambda: len(threads()) == before)
        assert not path.with_name("jobs.db-wal").exists()  # every connection was closed

    def test_dropped_client_leaves_no_thread(self, server: LocalServer, path: pathlib.Path) -> None:
        before = len(threads())
        rw = client(server, path)
        rw.image_inference(**PICTURE)
        assert len(list(rw.jobs)) == 1
        gone = weakref.ref(rw._core)
        del rw
        gc.collect()
        assert gone() is None
        until(lambda: len(threads()) == before)

    def test_client_that_only_read_its_store_leaves_no_connection(
        self, server: LocalServer, path: pathlib.Path
    ) -> None:
        rw = client(server, path)
        assert list(rw.jobs) == []
        del rw
        gc.collect()
        until(lambda: not path.with_name("jobs.db-wal").exists())

    def test_closing_an_unused_client_does_not_wait_for_a_locked_store(
        self, server: LocalServer, path: pathlib.Path
    ) -> None:
        with client(server, path) as rw:
            rw.image_inference(**PICTURE)
        rw = client(server, path)
        assert len(list(rw.jobs)) == 1
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            started = time.monotonic()
            rw.close()
            assert time.monotonic() - started < 10.0
        finally:
            other.close()

    def test_closing_waits_for_a_busy_store_that_has_not_everything(
        self, server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rw = client(server, path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            self.pay_while_locked(rw, server, other)
            apps = rw._core.part(AppCalls)

            def unlock() -> None:
                with pytest.raises(ClientClosedError):
                    apps.check_open()  # they do not wait for the store
                other.execute("COMMIT")

            _, waits = self.watch(rw, monkeypatch, unlock)
            rw.close()
        assert len(waits) == 2
        assert rows(path)[0]["state"] == "succeeded"

    def test_closing_gives_up_on_a_store_that_stays_busy(
        self, server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        rw = client(server, path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            self.pay_while_locked(rw, server, other)
            thread, waits = self.watch(rw, monkeypatch)
            rw.close()
            assert len(waits) == 2
            assert "the store is too busy to be closed" in caplog.text
            other.execute("COMMIT")
        until(lambda: not thread.is_alive())
        assert rows(path)[0]["state"] == "succeeded"

    def test_closing_waits_no_longer_for_a_busy_store_that_has_everything(
        self, server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rw = client(server, path)
        rw.image_inference(**PICTURE)
        assert [task.state for task in rw.jobs] == ["succeeded"]  # it is written by then
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            thread, waits = self.watch(rw, monkeypatch)
            rw.close()
            assert len(waits) == 1
        until(lambda: not thread.is_alive())

    @staticmethod
    def pay_while_locked(rw: Runware, server: LocalServer, other: sqlite3.Connection) -> None:
        """Run a task whose outcome cannot be written, because another connection has locked the store."""
        with server.hold("imageInference"):
            job = rw.submit.image_inference(**PICTURE)
            server.ledger.wait_for(lambda ledger: ledger.held)
            until(lambda: rw.jobs.get(job.task_uuid).step in ("sent", "accepted"))
            other.execute("BEGIN IMMEDIATE")
        assert job.result(20)

    @staticmethod
    def watch(
        rw: Runware, monkeypatch: pytest.MonkeyPatch, unlock: Callable[[], object] | None = None
    ) -> tuple[threading.Thread, list[float]]:
        """Return the thread of the store, and how closing waits for it. Only the second wait is one, after *unlock*."""
        recorder = rw._core.keeper.recorder
        assert isinstance(recorder, recording.StoreRecorder)
        thread = recorder._thread
        assert thread is not None
        waits: list[float] = []
        join = thread.join

        def wait(timeout: float) -> None:
            waits.append(timeout)
            if len(waits) == 2 and unlock is not None:
                unlock()
                join(20.0)

        monkeypatch.setattr(thread, "join", wait)
        return thread, waits

    def test_step_that_comes_while_the_recorder_ends_is_written(
        self, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recorder = recording.StoreRecorder(f"sqlite:///{path}")
        late: list[Any] = []
        release = Database.release

        def release_late(connection: Any, owner: str) -> None:
            if not late:
                late.append(recorder.reserve(Line(key="", task_type="chat", limits={"store": 1000}, reserve=600)))
            release(connection, owner)

        monkeypatch.setattr(Database, "release", staticmethod(release_late))
        recorder.bill(Line(key="", task_type="chat"), 7)
        recorder.close(20.0)
        late[0].result(20.0)
        until(lambda: recorder._thread is None)
        assert spending(path)["store"] == (7, 600)
        assert not path.with_name("jobs.db-wal").exists()

    def test_steps_for_which_no_thread_could_start_are_written_at_the_end(
        self, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recorder = recording.StoreRecorder(f"sqlite:///{path}")
        with monkeypatch.context() as patched:
            patched.setattr(recording.threading.Thread, "start", _no_thread)
            recorder.bill(Line(key="", task_type="chat"), 7)
            recorder.close(20.0)
        assert spending(path)["store"] == (7, 0)

    def test_client_that_is_closed_again_leaves_its_store_alone(self, server: LocalServer, path: pathlib.Path) -> None:
        rw = client(server, path)
        rw.image_inference(**PICTURE)
        rw.close()
        path.unlink()
        rw.close()
        del rw
        gc.collect()
        assert not path.exists()

    def test_idle_recorder_sleeps_without_a_timeout(self, rw: Runware) -> None:
        rw.image_inference(**PICTURE)
        recorder = rw._core.keeper.recorder
        assert isinstance(recorder, recording.StoreRecorder)
        assert recorder.flush(10.0)
        until(lambda: not recorder._calls.own)
        assert recorder._seconds_until_due() is None

    def test_calls_are_not_kept_after_their_end(self, rw: Runware) -> None:
        recorder = rw._core.keeper.recorder
        assert isinstance(recorder, recording.StoreRecorder)
        jobs = [rw.submit.image_inference(**PICTURE) for _ in range(10)]
        calls = [weakref.ref(job._call) for job in jobs] if hasattr(jobs[0]._call, "__weakref__") else []
        for job in jobs:
            job.result(20)
        assert recorder.flush(10.0)
        assert (recorder._calls.own, recorder._calls.watched, recorder._backlog) == ({}, {}, [])
        assert all(call() is not None for call in calls)


class TestErrorsInTheStore:
    @pytest.mark.parametrize(
        "cls",
        [
            one
            for one in vars(errors).values()
            if isinstance(one, type) and issubclass(one, RunwareError) and one is not BudgetExceededError
        ],
    )
    def test_error_keeps_its_class_code_and_what_it_says_about_money(self, cls: type[RunwareError]) -> None:
        for flag in (False, True):
            error = cls("It failed.", code="odd", parameter=["width", "height"], task_uuid="u", raw={"code": "odd"})
            error.may_have_run = error.retryable = flag
            error.attempts = ("a: odd",)
            kept = json.loads(json.dumps(stored_error(error)))
            again = error_from_stored(kept)
            assert type(again) is cls
            for name in ("message", "code", "task_uuid", "may_have_run", "retryable", "attempts", "raw"):
                assert getattr(again, name) == getattr(error, name), name
            assert list(again.parameter or ()) == ["width", "height"]
            assert str(again) == str(error)
            assert pickle.loads(pickle.dumps(again)).may_have_run is flag

    def test_errors_of_single_results_are_kept(self) -> None:
        parts = [ServerError("GPU.", code="inferenceError"), TaskError("x", code="y")]
        error = IncompleteResultsError("1 of 3 results arrived.", errors=parts, code="inferenceError")
        again = error_from_stored(json.loads(json.dumps(stored_error(error))))
        assert isinstance(again, IncompleteResultsError)
        assert [(type(one), one.code) for one in again.errors] == [(ServerError, "inferenceError"), (TaskError, "y")]

    def test_unknown_class_is_a_task_error(self) -> None:
        again = error_from_stored({"class": "Popen", "message": "from a later version"})
        assert type(again) is TaskError
        assert type(error_from_stored({})) is TaskError

    def test_stored_connection_lost_error_keeps_may_have_run(self) -> None:
        error = ConnectionLostError("gone", may_have_run=True)
        again = error_from_stored(json.loads(json.dumps(stored_error(error))))
        assert (again.may_have_run, again.retryable) == (True, False)
