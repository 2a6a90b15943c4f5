"""One budget for several processes, which share it through their store."""

from __future__ import annotations

import multiprocessing
import pathlib
import sys
from typing import Any

import pytest

from runware import Runware
from runware.errors import BudgetExceededError
from runware.local import LocalServer

from . import postgres

PROCESSES = 8
LIMIT = 1.0
TASK: dict[str, Any] = {
    "positive_prompt": "a harbor", "model": "runware:101@1", "width": 512, "height": 512, "number_results": 6,
}  # fmt: skip
"""It costs about a cent."""


def spend(url: str, key: str, store: str, count: int, outcomes: Any) -> None:
    """Make tasks until the budget is spent, ten at a time; tell how many were made and how many refused."""
    made = refused = 0
    with Runware(key, url=url, store=store, budget=LIMIT, timeout=60.0) as client:
        for _ in range(count):
            jobs = [client.submit.image_inference(**TASK) for _ in range(5)]
            for job in jobs:
                error = job.exception(60)
                if error is None:
                    made += 1
                    continue
                assert isinstance(error, BudgetExceededError)
                assert error.limit == LIMIT
                assert error.spent + error.reserved <= LIMIT + 1e-9
                assert not error.may_have_run
                refused += 1
    outcomes.put((made, refused))


def spend_together(server: LocalServer, store: str) -> list[tuple[int, int]]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["runware.store.recorder", "runware.store.access", "runware.transport.io_loop"])
    outcomes = context.Queue()
    arguments = (server.url, server.api_key, store, 6, outcomes)
    processes = [context.Process(target=spend, args=arguments) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    found = [outcomes.get(timeout=50) for _ in processes]
    for process in processes:
        process.join(20)
        assert process.exitcode == 0
        process.close()
    outcomes.close()
    return found


def check(server: LocalServer, store: str) -> None:
    outcomes = spend_together(server, store)
    ledger = server.ledger
    assert sum(made for made, _ in outcomes) == ledger.executed
    assert sum(refused for _, refused in outcomes) == PROCESSES * 30 - ledger.executed > 0
    with Runware(server.api_key, url=server.url, store=store, budget=LIMIT) as client:
        for job in client.jobs.recover():  # of a process that could not write its last bills while it was closed
            assert job.exception(20) is None
        # How much is left depends on how many tasks ran when the first one was refused.
        with pytest.raises(BudgetExceededError) as caught:
            for _ in range(PROCESSES * 30):
                client.image_inference(**{**TASK, "number_results": 20})
        assert caught.value.reserved == 0.0
        assert caught.value.spent == pytest.approx(ledger.billed)
        assert 0.5 * LIMIT < ledger.billed <= LIMIT


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no fork server")
def test_eight_processes_never_spend_more_than_one_budget(server: LocalServer, tmp_path: pathlib.Path) -> None:
    check(server, f"sqlite:///{tmp_path / 'jobs.db'}")


@pytest.mark.skipif(postgres.missing() is not None, reason=str(postgres.missing()))
def test_eight_processes_share_a_budget_on_postgresql(server: LocalServer) -> None:
    with postgres.postgres(safe=False) as url:
        check(server, url)
