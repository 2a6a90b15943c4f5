"""Budgets of streams and chats: reserved before anything is sent, billed once; with a store, and without."""

from __future__ import annotations

import asyncio
import gc
import pathlib
import queue
import subprocess
import sys
import threading
from contextlib import closing, nullcontext
from types import FrameType
from typing import Any

import pytest

from runware import AnswerFormatError, Budget, Runware, StreamText
from runware.errors import (
    BudgetExceededError,
    ConnectionLostError,
    InsufficientCreditsError,
    ProviderError,
    RunwareError,
    StoreError,
    TaskCancelledError,
    ValidationError,
)
from runware.local import LocalServer
from runware.store import recorder as recording
from runware.store.expenses import Expense
from runware.store.keeper import Keeper
from runware.store.lines import Line
from runware.store.recorder import StoreRecorder
from runware.store.spending import SpendingRecorder
from runware.text.model_requests import ModelRequests
from runware.text.readers import BlockingReader, Reader
from tests.conftest import spending, until
from tests.net import swallowing
from tests.test_chat import Form as Chatting
from tests.test_chat import get_weather
from tests.test_text_streams import FORMS, Form, _other_text, asked, read_in_loop

PRICED = "anthropic:claude@fable-5"
UNPRICED = "local-model"
GUARD = 20.0
PROJECT = pathlib.Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _patient_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let closing a client wait for a slow disk, so that the tests can read what was written."""
    monkeypatch.setattr("runware.core._FLUSH", GUARD)


@pytest.fixture(params=[False, True], ids=["memory", "store"])
def options(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> dict[str, Any]:
    """The options of a client with and without a store."""
    return {"store": tmp_path / "jobs.db"} if request.param else {}


@pytest.fixture(params=[Chatting("blocking"), Chatting("asyncio")], ids=repr)
def form(request: pytest.FixtureRequest) -> Chatting:
    return request.param


@pytest.fixture(params=FORMS.values(), ids=list(FORMS))
def read(request: pytest.FixtureRequest) -> Form:
    form: Form = request.param
    return form


def client(server: LocalServer, budget: Any, **options: Any) -> Runware:
    return Runware(server.api_key, url=server.url, budget=budget, timeout=GUARD, retry_delay=0.05, **options)


def stream(prompt: str = "Tell me about the sea", **more: Any) -> dict[str, Any]:
    """The parameters of a stream whose price can be estimated."""
    return asked(prompt, **{"model": PRICED, "max_tokens": 100, **more})


def sent(server: LocalServer) -> list[dict[str, Any]]:
    """The requests of streams and chats that the server got."""
    return [*server.ledger.tasks("textInference"), *server.ledger.tasks("chat")]


def refusal(rw: Runware) -> BudgetExceededError:
    """Return the error of a task that costs more than any budget here, which says what was spent."""
    with pytest.raises(BudgetExceededError) as caught:
        rw.stream_text(**stream(max_tokens=10_000_000)).result()
    return caught.value


@pytest.fixture
def prices(server: LocalServer) -> tuple[float, float]:
    """What a stream costs, and what it is estimated to cost."""
    with Runware(server.api_key, url=server.url, include_cost=True) as rw:
        estimate = rw.estimate(StreamText(**stream())).cost
        price = rw.stream_text(**stream()).result().cost
    assert estimate is not None
    assert price is not None
    assert 0 < price < estimate
    server.ledger.reset()
    return price, estimate


# ---------------------------------------------------------------------- streams


def test_stream_that_may_exceed_the_budget_is_not_sent(
    server: LocalServer, read: Form, options: dict[str, Any], prices: tuple[float, float]
) -> None:
    _, estimate = prices
    with client(server, estimate * 0.9, **options) as rw:
        error = read(rw, **stream()).error
    assert isinstance(error, BudgetExceededError)
    assert (error.limit, error.spent, error.reserved) == (pytest.approx(estimate * 0.9), 0.0, 0.0)
    assert error.estimate == pytest.approx(estimate)
    assert error.task_type == "textInference"
    assert error.task_uuid
    assert not error.may_have_run
    assert not sent(server)


def test_stream_is_billed_once_at_its_cost(
    server: LocalServer, read: Form, options: dict[str, Any], prices: tuple[float, float]
) -> None:
    price, estimate = prices
    with client(server, estimate + price * 1.5, **options) as rw:
        for _ in range(2):
            outcome = read(rw, **stream())
            assert outcome.error is None
        error = read(rw, **stream()).error
    assert isinstance(error, BudgetExceededError)
    assert error.spent == pytest.approx(price * 2) == pytest.approx(server.ledger.billed)
    assert error.reserved == 0.0
    assert server.ledger.executed == 2


def test_result_that_is_read_twice_is_billed_once(
    server: LocalServer, options: dict[str, Any], prices: tuple[float, float]
) -> None:
    price, _ = prices
    with client(server, 1.0, **options) as rw:
        job = rw.submit.stream_text(**stream())
        read_twice = rw.stream_text(**stream())
        for one in (job, job, read_twice, read_twice):
            one.result()
        read_twice.close()
        assert refusal(rw).spent == pytest.approx(price * 2)


def test_stream_of_unknown_price_counts_once_it_is_billed(
    server: LocalServer, read: Form, options: dict[str, Any]
) -> None:
    with Runware(server.api_key, url=server.url, include_cost=True) as rw:
        price = rw.stream_text(**asked()).result().cost
    assert price is not None
    server.ledger.reset()
    with client(server, price * 1.5, **options) as rw:
        outcomes = [read(rw, **asked()).error for _ in range(3)]
    assert outcomes[:2] == [None, None]
    error = outcomes[2]
    assert isinstance(error, BudgetExceededError)
    assert (error.estimate, error.spent) == (None, pytest.approx(price * 2))
    assert server.ledger.executed == 2


def test_nothing_of_unknown_price_is_sent_with_a_budget_of_zero(
    server: LocalServer, read: Form, form: Chatting, options: dict[str, Any]
) -> None:
    with client(server, 0, **options) as rw:
        assert isinstance(read(rw, **asked()).error, BudgetExceededError)
        with pytest.raises(BudgetExceededError):
            form.send(form.chat(rw), "Hello")
    assert not sent(server)


def test_stream_that_fails_releases_its_reservation(server: LocalServer, read: Form, options: dict[str, Any]) -> None:
    with client(server, 1.0, max_retries=0, **options) as rw:
        assert isinstance(read(rw, **stream("[provider-error] x")).error, ProviderError)
        server.configure(balance=0.0)
        assert isinstance(read(rw, **stream()).error, InsufficientCreditsError)
        error = refusal(rw)
    assert (error.spent, error.reserved) == (0.0, 0.0)


def test_retried_stream_is_counted_once(
    server: LocalServer, read: Form, options: dict[str, Any], prices: tuple[float, float]
) -> None:
    _, estimate = prices
    with client(server, estimate * 1.5, **options) as rw:
        outcome = read(rw, **stream("[provider-error:1] Tell me about the sea"))
        assert outcome.error is None
        assert outcome.result is not None
        error = refusal(rw)
    assert error.spent == pytest.approx(server.ledger.billed)
    assert error.reserved == 0.0


@pytest.mark.parametrize("how", ["closed", "cancelled", "job"])
def test_stream_that_was_ended_may_be_billed_and_keeps_its_estimate(
    server: LocalServer, options: dict[str, Any], prices: tuple[float, float], how: str
) -> None:
    _, estimate = prices

    async def cancel(rw: Runware) -> None:
        async def read_all() -> None:
            async for _ in rw.aio.stream_text(**stream()):
                begun.set()

        begun = asyncio.Event()
        task = asyncio.create_task(read_all())
        await asyncio.wait_for(begun.wait(), GUARD)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with server.play("X21", form="silence", after=3), client(server, 1.0, **options) as rw:
        if how == "closed":
            with rw.stream_text(**stream()) as one:
                next(one)
        elif how == "job":
            job = rw.submit.stream_text(**stream())
            next(iter(job))
            job.cancel()
            with pytest.raises(TaskCancelledError):
                job.result(GUARD)
        else:
            asyncio.run(cancel(rw))
        error = refusal(rw)
    assert (error.spent, error.reserved) == (pytest.approx(estimate), 0.0)


def test_stream_whose_request_was_written_may_be_billed_before_it_begins(
    server: LocalServer, options: dict[str, Any], prices: tuple[float, float]
) -> None:
    _, estimate = prices
    outcomes: queue.SimpleQueue[RunwareError | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            one.result()
        except RunwareError as error:
            outcomes.put(error)

    with server.hold("textInference"), client(server, 1.0, **options) as rw:
        one = rw.stream_text(**stream())
        thread = threading.Thread(target=read)
        thread.start()
        server.ledger.wait_for(lambda ledger: ledger.tasks("textInference"))
        one.close()
        closed = outcomes.get(timeout=GUARD)
        thread.join(GUARD)
        error = refusal(rw)
    assert isinstance(closed, TaskCancelledError)
    assert closed.may_have_run
    assert (error.spent, error.reserved) == (pytest.approx(estimate), 0.0)


def test_stream_that_breaks_off_and_is_completed_is_billed_once(
    server: LocalServer, read: Form, options: dict[str, Any]
) -> None:
    with client(server, 1.0, **options) as rw:
        with server.play("X21", form="cut", after=4):
            outcome = read(rw, **stream())
        assert outcome.error is None
        assert outcome.result is not None
        error = refusal(rw)
    assert error.spent == pytest.approx(server.ledger.billed) == pytest.approx(outcome.result.cost)
    assert error.reserved == 0.0


def test_stream_that_was_lost_keeps_its_estimate(
    server: LocalServer, read: Form, options: dict[str, Any], prices: tuple[float, float]
) -> None:
    _, estimate = prices
    server.script(_other_text)
    with server.play("X21", form="cut", after=4), client(server, 1.0, **options) as rw:
        assert isinstance(read(rw, **stream()).error, ConnectionLostError)
        error = refusal(rw)
    assert (error.spent, error.reserved) == (pytest.approx(estimate), 0.0)


def test_stream_that_is_closed_unread_reserves_nothing(server: LocalServer, options: dict[str, Any]) -> None:
    with client(server, 1.0, **options) as rw:
        rw.stream_text(**stream()).close()
        error = refusal(rw)
    assert (error.spent, error.reserved) == (0.0, 0.0)
    assert not sent(server)


def test_threads_that_race_for_the_last_cents_send_one_stream(
    server: LocalServer, options: dict[str, Any], prices: tuple[float, float]
) -> None:
    _, estimate = prices
    start, over = threading.Barrier(6), threading.Event()
    outcomes: queue.SimpleQueue[BudgetExceededError | None] = queue.SimpleQueue()

    def race() -> None:
        start.wait(GUARD)
        with rw.stream_text(**stream()) as one:
            try:
                next(one)
            except BudgetExceededError as error:
                outcomes.put(error)
            else:
                outcomes.put(None)
                over.wait(GUARD)

    with server.play("X21", form="silence", after=3), client(server, estimate * 1.9, **options) as rw:
        threads = [threading.Thread(target=race) for _ in range(6)]
        for one in threads:
            one.start()
        found = [outcomes.get(timeout=GUARD) for _ in threads]
        over.set()
        for one in threads:
            one.join(GUARD)
    refused = [error for error in found if error is not None]
    assert len(refused) == 5
    assert {(error.spent, round(error.reserved, 9)) for error in refused} == {(0.0, round(estimate, 9))}
    assert server.ledger.executed == 1


def test_dry_run_of_a_stream_costs_no_budget(server: LocalServer, read: Form, options: dict[str, Any]) -> None:
    with client(server, 0, dry_run=True, **options) as rw:
        outcome = read(rw, **stream())
    assert outcome.error is None
    assert server.ledger.billed == 0


def test_client_without_a_budget_asks_for_no_costs(server: LocalServer, rw: Runware, read: Form) -> None:
    assert read(rw, **stream()).error is None
    (task,) = server.ledger.tasks("textInference")
    assert "includeCost" not in task


# ---------------------------------------------------------------------- chats


def test_chat_that_may_exceed_the_budget_is_not_sent(
    server: LocalServer, form: Chatting, options: dict[str, Any]
) -> None:
    with client(server, 0.004, **options) as rw:
        chat = form.chat(rw, model=PRICED, max_tokens=100)
        with pytest.raises(BudgetExceededError) as caught:
            form.send(chat, "Hello")
    error = caught.value
    assert (error.limit, error.spent, error.reserved, error.task_type) == (0.004, 0.0, 0.0, "chat")
    assert error.estimate is not None
    assert 0.005 < error.estimate < 0.007
    assert chat.messages == []
    assert not error.may_have_run
    assert not sent(server)


def test_answers_of_a_chat_are_billed_at_their_cost(
    server: LocalServer, form: Chatting, options: dict[str, Any]
) -> None:
    with client(server, 1.0, **options) as rw:
        chat = form.chat(rw, model=PRICED, max_tokens=100)
        form.send(chat, "Hello")
        form.stream(chat, "Again")
        error = refusal(rw)
    assert error.spent == pytest.approx(chat.cost) == pytest.approx(server.ledger.billed)
    assert error.reserved == 0.0


def test_chat_with_tools_is_stopped_in_the_middle_with_what_was_said(
    server: LocalServer, form: Chatting, options: dict[str, Any]
) -> None:
    with client(server, 5e-7, **options) as rw:
        chat = form.chat(rw, tools=[get_weather], max_rounds=100)
        with pytest.raises(BudgetExceededError) as caught:
            form.send(chat, 'How is it? [loop:get_weather {"city": "Oslo"}]')
        error = caught.value
        assert error.spent == pytest.approx(chat.cost) == pytest.approx(server.ledger.billed)
        (answer,) = error.results
        rounds = server.ledger.executed
        assert 1 < rounds < 100
        assert [run.output for run in answer.tool_calls] == ["7 degrees in Oslo"] * rounds
        assert [one["role"] for one in chat.messages] == ["user", *["assistant", "tool"] * rounds]
        with pytest.raises(BudgetExceededError):
            form.send(chat, None)  # it could go on from here
    assert server.ledger.executed == rounds


def test_answer_of_the_wrong_type_is_billed(server: LocalServer, form: Chatting, options: dict[str, Any]) -> None:
    with client(server, 1.0, **options) as rw:
        chat = form.chat(rw, response_type=int)
        with pytest.raises(AnswerFormatError):
            form.send(chat, "[answer none]")
        assert form.send(chat, "[answer 7]").parsed == 7
        assert refusal(rw).spent == pytest.approx(server.ledger.billed)


def test_refused_chat_releases_its_reservation(server: LocalServer, form: Chatting, options: dict[str, Any]) -> None:
    with client(server, 1.0, **options) as rw:
        with pytest.raises(ValidationError):
            form.send(form.chat(rw, model=PRICED, max_tokens=9_000), "Hello")
        error = refusal(rw)
    assert (error.spent, error.reserved) == (0.0, 0.0)
    assert server.ledger.executed == 0


def test_chat_that_was_left_early_keeps_its_estimate(
    server: LocalServer, form: Chatting, options: dict[str, Any]
) -> None:
    with server.play("X21", form="silence", after=3), client(server, 1.0, **options) as rw:
        chat = form.chat(rw, model=PRICED, max_tokens=100)
        if form.name == "blocking":
            with chat.stream("Hello") as answer:
                next(answer)
        else:

            async def leave() -> None:
                async with chat.stream("Hello") as answer:
                    await anext(answer)

            asyncio.run(leave())
        error = refusal(rw)
    assert 0.005 < error.spent < 0.007
    assert error.reserved == 0.0


def test_chat_that_is_cancelled_while_it_connects_counts_nothing(options: dict[str, Any]) -> None:
    async def cancel(rw: Runware) -> None:
        chat = rw.aio.chat(PRICED, max_tokens=100)
        waiting = asyncio.create_task(chat.send("Hello"))
        await asyncio.to_thread(until, lambda: rw._core.activity.counts()["sent"])  # it is connecting, or about to
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with (
        swallowing() as port,
        closing(Runware("rw-test-key", url=f"ws://127.0.0.1:{port}/v1", budget=1.0, **options)) as rw,
    ):
        asyncio.run(cancel(rw))
        error = refusal(rw)
    assert (error.spent, error.reserved) == (0.0, 0.0)


def test_media_of_a_chat_is_not_counted_as_text(server: LocalServer) -> None:
    with client(server, 0.01) as rw:
        assert rw.chat(PRICED, max_tokens=100).send("What is it?", images=b"\x89PNG\r\n\x1a\n" + bytes(50_000)).text


# ---------------------------------------------------------------------- stores


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "jobs.db"


def test_budget_per_day_of_texts_begins_anew(
    server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = ["2026-01-31"]
    monkeypatch.setattr(recording.time, "strftime", lambda *_: today[0])
    with client(server, Budget(1e-8, per="day"), store=path) as rw:
        chat = rw.chat(UNPRICED)
        chat.send("Hello")
        with pytest.raises(BudgetExceededError, match="2026-01-31"):
            chat.send("Again")
        today[0] = "2026-02-01"
        chat.send("Again")
        with pytest.raises(BudgetExceededError, match="2026-02-01"):
            chat.send("Hello")
    accounts = spending(path)
    assert accounts["day 2026-01-31"][0] + accounts["day 2026-02-01"][0] == accounts["store"][0]


def test_text_is_billed_on_the_day_of_its_reservation(
    server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = ["2026-01-31"]
    monkeypatch.setattr(recording.time, "strftime", lambda *_: today[0])
    with client(server, 1.0, store=path) as rw, rw.stream_text(**stream()) as one:
        next(one)
        today[0] = "2026-02-01"
        cost = one.result().cost
    assert cost is not None
    assert spending(path)["day 2026-01-31"] == (round(cost * 1e9), 0)
    assert "day 2026-02-01" not in spending(path)


def test_texts_of_a_client_without_a_budget_count_in_its_store(server: LocalServer, path: pathlib.Path) -> None:
    with Runware(server.api_key, url=server.url, store=path) as rw:
        rw.stream_text(**asked()).result()
        rw.chat(UNPRICED).send("Hello")
    billed = server.ledger.billed
    assert spending(path)["store"] == (round(billed * 1e9), 0)
    with client(server, billed, store=path) as rw, pytest.raises(BudgetExceededError) as caught:
        rw.chat(UNPRICED).send("Hello")
    assert caught.value.spent == pytest.approx(billed)


def test_clients_that_share_a_store_never_exceed_its_budget_with_texts(
    server: LocalServer, path: pathlib.Path, prices: tuple[float, float]
) -> None:
    price, estimate = prices
    limit = estimate + price * 10.5
    outcomes: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    start = threading.Barrier(4)

    def spend() -> None:
        with client(server, limit, store=path) as rw:
            start.wait(GUARD)
            for number in range(6):
                form = FORMS["asyncio" if number % 2 else "job"]
                outcomes.put(form(rw, **stream()).error)

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for one in threads:
        one.start()
    found = [outcomes.get(timeout=GUARD) for _ in range(24)]
    for one in threads:
        one.join(GUARD)
    refused = [error for error in found if isinstance(error, BudgetExceededError)]
    assert len(refused) + found.count(None) == 24
    assert all(error.spent + error.reserved <= limit + 1e-9 for error in refused)
    assert len(refused) >= 13  # at most eleven fit
    assert server.ledger.billed <= limit
    assert spending(path)["store"] == (round(server.ledger.billed * 1e9), 0)


def test_bills_are_written_when_the_program_ends_without_closing(server: LocalServer, path: pathlib.Path) -> None:
    script = f"""
from runware import Runware
from runware.store.keeper import Keeper

close = Keeper.close
Keeper.close = lambda self, timeout: close(self, {GUARD})  # however slow the disk is
rw = Runware({server.api_key!r}, url={server.url!r}, budget=1.0, store="sqlite:///{path.as_posix()}")
rw.chat({UNPRICED!r}).send("Hello")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=GUARD, cwd=PROJECT)
    assert spending(path)["store"] == (round(server.ledger.billed * 1e9), 0)


def test_stream_that_is_open_when_the_program_ends_keeps_its_estimate(
    server: LocalServer, path: pathlib.Path, prices: tuple[float, float]
) -> None:
    _, estimate = prices
    script = f"""
from runware import Runware
from runware.store.keeper import Keeper

close = Keeper.close
Keeper.close = lambda self, timeout: close(self, {GUARD})  # however slow the disk is
rw = Runware({server.api_key!r}, url={server.url!r}, budget=1.0, store="sqlite:///{path.as_posix()}")
one = rw.stream_text(**{stream()!r})
next(one)
"""
    with server.play("X21", form="silence", after=3):
        subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=GUARD, cwd=PROJECT)
    assert spending(path)["store"] == (round(estimate * 1e9), 0)


def test_stream_is_refused_and_not_reserved_when_no_thread_can_start(
    server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("no thread")

    with client(server, 1.0, store=path) as rw:
        with monkeypatch.context() as patch, pytest.raises(StoreError, match="no thread"):
            patch.setattr(threading.Thread, "start", no_thread)
            rw.stream_text(**stream()).result()
        rw.chat(UNPRICED).send("Hello")
        error = refusal(rw)
    assert (error.spent, error.reserved) == (pytest.approx(server.ledger.billed), 0.0)
    assert server.ledger.executed == 1


def test_interrupt_that_a_lock_turns_into_an_error_stays_an_interrupt(
    server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, reached = threading.Thread.start, list[bool]()

    def interrupted(thread: threading.Thread) -> None:
        if reached:
            return start(thread)
        reached.append(True)
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("release unlocked lock")

    with closing(client(server, 1.0, store=path)) as rw:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(threading.Thread, "start", interrupted)
            rw.stream_text(**stream()).result()
        assert rw.stream_text(**stream()).result().text


def test_budget_per_client_of_texts_is_its_own(server: LocalServer, path: pathlib.Path) -> None:
    for _ in range(2):
        with client(server, Budget(1e-8, per="client"), store=path) as rw:
            rw.chat(UNPRICED).send("Hello")
            with pytest.raises(BudgetExceededError):
                rw.chat(UNPRICED).send("Hello")
    assert server.ledger.executed == 2


def test_event_loop_runs_on_while_the_store_is_busy(server: LocalServer, path: pathlib.Path) -> None:
    async def main() -> None:
        held, free = threading.Event(), threading.Event()

        def hold() -> None:
            with rw._core.store_recorder.database.transaction():
                held.set()
                assert free.wait(GUARD)

        busy = asyncio.create_task(asyncio.to_thread(hold))
        await asyncio.to_thread(held.wait, GUARD)
        reading = asyncio.create_task(read_in_loop(rw, **stream()))
        chatting = asyncio.create_task(rw.aio.chat(UNPRICED).send("Hello"))
        await asyncio.to_thread(until, lambda: rw._core.store_recorder._taken == 2)  # both have asked
        assert not sent(server)
        assert not reading.done()
        assert not chatting.done()
        free.set()
        assert (await reading).error is None
        await chatting
        await busy

    with client(server, 1.0, store=path) as rw:
        asyncio.run(asyncio.wait_for(main(), GUARD))


def test_texts_are_not_sent_while_the_store_cannot_be_written(
    server: LocalServer, path: pathlib.Path, read: Form, form: Chatting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    with client(server, 1.0, store=path) as rw:
        rw.chat(UNPRICED).send("Hello")
        with monkeypatch.context() as patch:
            patch.setattr(StoreRecorder, "_run_transaction", fail)
            assert isinstance(read(rw, **stream()).error, StoreError)
            with pytest.raises(StoreError, match="was not sent"):
                form.send(form.chat(rw), "Hello")
        form.send(form.chat(rw), "Hello")
        assert rw._core.store_recorder.flush(GUARD)
        error = refusal(rw)
    assert error.spent == pytest.approx(server.ledger.billed)
    assert server.ledger.executed == 2


def test_bills_are_written_once_the_store_can_be_written_again(
    server: LocalServer, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fail(*_: Any, **__: Any) -> Any:
        failed.set()
        raise OSError(28, "No space left on device")

    with client(server, 1.0, store=path) as rw, rw.stream_text(**stream()) as one, monkeypatch.context() as patch:
        next(one)
        patch.setattr(StoreRecorder, "_run_transaction", fail)
        cost = one.result().cost
        assert failed.wait(GUARD)
    assert cost is not None
    assert spending(path)["store"] == (round(cost * 1e9), 0)


# ---------------------------------------------------------------------- expenses


class Keeping:
    """An expense, and the recorder in memory that counts it."""

    def __init__(self, reserve: int = 600) -> None:
        self.recorder = SpendingRecorder()
        self.line = Line(key="", task_type="chat", limits={"client": 1000}, reserve=reserve, priced=True)

    def expense(self) -> Expense:
        return Expense(self.line, lambda: self.recorder, lambda: None)

    @property
    def sums(self) -> tuple[int, int]:
        return self.recorder._spent["client"], self.recorder._reserved["client"]


def test_only_the_first_end_of_an_expense_counts() -> None:
    keeping = Keeping()
    expense = keeping.expense()
    expense.reserve(1.0)
    assert keeping.sums == (0, 600)
    expense.settle({"cost": 1e-7}, succeeded=True)
    expense.settle({}, succeeded=False, may_have_run=True)
    assert keeping.sums == (100, 0)


@pytest.mark.parametrize(
    ("result", "succeeded", "may_have_run", "counted"),
    [
        ({"cost": 1e-7}, True, False, 100),
        ({}, True, False, 600),  # without a bill, the estimate counts
        ({"cost": float("nan")}, True, False, 600),
        ({"cost": -1e-7}, True, False, 0),
        ({}, False, True, 600),
        ({"cost": 1e-7}, False, True, 600),
        ({"cost": 9e-7}, False, True, 900),
        ({}, False, False, 0),
    ],
)
def test_what_an_expense_counts(result: Any, succeeded: bool, may_have_run: bool, counted: int) -> None:
    keeping = Keeping()
    expense = keeping.expense()
    expense.reserve(1.0)
    expense.settle(result, succeeded=succeeded, may_have_run=may_have_run)
    assert keeping.sums == (counted, 0)


def test_expense_that_ended_while_it_was_reserved_is_released() -> None:
    keeping = Keeping()
    expense = keeping.expense()
    expense.settle({}, succeeded=False)
    expense.reserve(1.0)
    assert keeping.sums == (0, 0)


def test_expense_that_was_refused_bills_nothing() -> None:
    keeping = Keeping(reserve=1001)
    expense = keeping.expense()
    with pytest.raises(BudgetExceededError):
        expense.reserve(1.0)
    expense.settle({"cost": 1e-7}, succeeded=False, may_have_run=True)
    assert keeping.sums == (0, 0)


def test_forked_child_does_not_bill_what_its_parent_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    keeping = Keeping()
    expense = keeping.expense()
    expense.reserve(1.0)
    monkeypatch.setattr("runware.store.expenses.os.getpid", lambda: -1)
    expense.settle({"cost": 1e-7}, succeeded=True)
    assert keeping.sums == (0, 600)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["stream", "stream that is left", "chat"])
@pytest.mark.parametrize(
    "function",
    [
        Expense.reserve, Expense.settle, ModelRequests.ask, Reader.end, Reader._report_end, BlockingReader.abort,
        StoreRecorder.reserve, StoreRecorder.bill, StoreRecorder._put, StoreRecorder._start,
    ],
    ids=lambda one: one.__qualname__,
)  # fmt: skip
def test_text_interrupted_at_a_line_leaves_nothing_reserved(
    server: LocalServer, tmp_path: pathlib.Path, kind: str, function: Any
) -> None:
    for line in sorted({line for _, _, line in function.__code__.co_lines() if line is not None})[1:]:
        reached: list[int] = []
        server.ledger.reset()

        def trace(frame: FrameType, event: str, _: Any, line: int = line, reached: list[int] = reached) -> Any:
            if frame.f_code is function.__code__ and event == "line" and frame.f_lineno == line and not reached:
                reached.append(line)
                raise KeyboardInterrupt
            return trace

        def interrupted(rw: Runware, trace: Any = trace) -> None:
            sys.settrace(trace)
            try:
                if kind != "chat":
                    with rw.stream_text(**stream()) as one:
                        one.result() if kind == "stream" else next(one)
                else:
                    rw.chat(PRICED, max_tokens=100).send("Hello")
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(None)

        silence = server.play("X21", form="silence", after=3) if "left" in kind else nullcontext()
        with silence, closing(client(server, 1.0, store=tmp_path / f"{line}.db")) as rw:
            # A thread of its own, because a trace function that raises leaves traces.
            thread = threading.Thread(target=interrupted, args=(rw,))
            thread.start()
            thread.join(GUARD)
            assert rw._core.store_recorder.flush(GUARD)
            error = refusal(rw)
        assert error.reserved == 0.0, line
        assert server.ledger.billed - 1e-9 <= error.spent <= 0.01 * server.ledger.executed, line
    gc.collect()  # the connections that were left behind, here and not in another test


def test_reservation_that_comes_too_late_is_released(server: LocalServer, path: pathlib.Path) -> None:
    with client(server, 1.0, store=path) as rw:
        recorder = rw._core.store_recorder
        line = Line(key="", task_type="chat", limits={"store": 1000}, reserve=600, priced=True)
        expense = Expense(line, lambda: recorder, lambda: None)
        with recorder.database.transaction(), pytest.raises(StoreError, match="did not answer"):
            expense.reserve(0.05)
        expense.settle({}, succeeded=False)
        assert recorder.flush(GUARD)
        assert spending(path)["store"] == (0, 0)


def test_nothing_counts_texts_without_a_store_and_a_budget(server: LocalServer, rw: Runware) -> None:
    assert rw._core.expense("chat", "", dict) is None
    rw._core.keep_budgets()  # as for the budget of a `map`
    assert isinstance(rw._core._keeper, Keeper)
    assert rw._core.expense("chat", "", dict) is None
