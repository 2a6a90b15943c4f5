"""Every fault of the local server (section 8 of `docs/protocol.md`) over a real socket, in all three interface forms.

Tasks are quick or polled. Whatever the network and the server do, a call ends by its deadline, with the right result
or the right error, and the server's ledger shows one execution for its prompt. X20 and X21 are not here: they are
faults of REST and of token streams, which this client does not use; it has one WebSocket.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from runware import (
    AuthenticationError,
    ClientClosedError,
    ConflictError,
    ConnectionFailedError,
    ConnectionLostError,
    IncompleteResultsError,
    ProviderError,
    Results,
    Runware,
    RunwareError,
    ServerError,
    TaskTimeoutError,
    ValidationError,
)
from runware.local import LocalServer

from .conftest import INTERFACES, Interface, until

PROMPT = "a red kite over dunes"
KINDS = ["quick", "polled"]
SEED = 77
TIMEOUT = 15.0
MODEL = {
    "category": "checkpoint",
    "architecture": "sdxl",
    "name": "Dunes",
    "version": "1.0",
    "download_url": "https://example.com/dunes.safetensors",
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@attrs.frozen(kw_only=True)
class Case:
    """A fault, the request made while it is played, and the expected outcome.

    Attributes:
        faults: The faults to play, as on the server's command line.
        results: How many results are requested.
        comes: How many of them arrive.
        error: What the call ends with; `None` if it succeeds.
        task: Further parameters of the task.
        switches: The answers to the protocol's open questions.
        server: The server's options.
        client: The client's options.
        executions: How often the task is to be executed.
        kinds: The kinds of tasks it concerns.
    """

    faults: tuple[str, ...] = ()
    results: int = 1
    comes: int | None = None
    error: type[RunwareError] | None = None
    task: dict[str, Any] = attrs.field(factory=dict)
    switches: dict[str, Any] = attrs.field(factory=dict)
    server: dict[str, Any] = attrs.field(factory=dict)
    client: dict[str, Any] = attrs.field(factory=dict)
    executions: int = 1
    kinds: tuple[str, ...] = ("quick", "polled")

    def __str__(self) -> str:
        parts = [*self.faults, *(f"{name}={value}" for name, value in (self.switches | self.server).items())]
        return " ".join(parts) or "nothing"


def case(*faults: str, **facts: Any) -> Case:
    return Case(faults=faults, **facts)


# Three results, each in a frame of its own and at its own time.
APART: dict[str, Any] = {"results": 3, "server": {"spread": 0.03, "frame_size": 1}}
QUICK: dict[str, Any] = {"kinds": ("quick",)}
POLLED: dict[str, Any] = {"kinds": ("polled",)}
REFUSED: dict[str, Any] = {"error": AuthenticationError, "executions": 0}
NEVER = 0.15
"""The client's patience where silence is the fault."""

CASES = [
    case(),
    # Connecting.
    case("X1", client={"connect_timeout": NEVER}),
    case("X1:delay=0.05"),
    case(
        "X1:times=none", client={"connect_timeout": NEVER, "max_retries": 1}, error=ConnectionFailedError, executions=0
    ),
    *(case(f"X2:form={form}", **REFUSED) for form in ("plural", "singular", "legacy")),
    *(case(f"X2:end={end}", **REFUSED) for end in ("1008", "1000", "fin")),
    *(case("X2", switches={"q3": end}, **REFUSED) for end in ("1008", "1000")),
    # Silence.
    case("X3", client={"liveness_timeout": NEVER}),
    case("X3:after_tasks=1", client={"liveness_timeout": NEVER}),
    *(
        case(f"X3:after_results=1,replay={replay}", client={"liveness_timeout": NEVER}, **APART)
        for replay in ("rest", "all", "nothing")
    ),
    case("X3:after_results=1,mid_frame=true", client={"liveness_timeout": NEVER}, **APART),
    *(
        case(f"X4:kind={which}", server={"delay": 0.35}, client={"liveness_timeout": 0.2})
        for which in ("json", "protocol", "both")
    ),
    # Around a submission.
    *(
        case(f"X5:when={when},then={then},delivery=any,how={how}", client={"liveness_timeout": NEVER})
        for when, then in (("submit", "replay"), ("submit", "conflict"), ("submit", "nothing"), ("ack", "replay"))
        for how in ("fin", "rst", "close", "stall")
    ),
    case("X5:when=submit,then=nothing,delivery=any,times=3"),
    case("X5:when=submit,then=conflict,delivery=any", "X5:when=poll,times=2"),
    *(case(f"X5:when=poll,how={how}", **POLLED) for how in ("fin", "rst", "close")),
    case("X5:when=poll,times=3", server={"delay": 0.1}, **POLLED),
    # Between results, and in the middle of a frame.
    *(
        case(f"X6:replay={replay},how={how},mid_frame={mid_frame}", **APART)
        for replay in ("rest", "all", "nothing")
        for how in ("fin", "rst", "close")
        for mid_frame in ("false", "true")
        if how != "close" or mid_frame == "false"
    ),
    *(case(f"X6:after_results={count}", **APART) for count in (0, 2, 3)),
    case("X6:times=3", **APART),
    *(case(f"X7:code={code}") for code in (1000, 1001, 1011, 1012)),
    case("X7:code=1001,after_results=1,replay=all", **APART),
    *(case(f"X6:replay={replay}", "X8", **APART) for replay in ("rest", "all", "nothing")),
    # Errors.
    case("X9"),
    case("X9:code=invalidApiKey"),
    case("X10:form=F18", error=ValidationError),
    case("X10:form=F19"),
    case("X10:form=F20", results=3, error=IncompleteResultsError, comes=2),
    case("X10:form=F20", results=1, error=ProviderError),
    case("X10:form=F21"),
    *(case(f"X10:form={form}", error=ServerError) for form in ("F22", "singular", "singular-list")),
    case("X10:form=F22", results=2, error=ServerError),
    case("X10:form=legacy"),
    # Results.
    case("X11", task={"output_type": "base64Data", "output_format": "PNG"}),
    case("X11", "X6:mid_frame=true", task={"output_type": "base64Data"}, **APART),
    case("X12"),
    case("X12:in_ack=true", results=2),
    case("X13", results=2, comes=3),
    case("X13:extra=0,copies=2", "X6:replay=all", **APART),
    case("X13", "X10:form=F20", results=3),  # the failed one is the surplus one
    *(
        case(f"X14:form={form}", results=2)
        for form in ("all", "empty-data", "null-data", "empty-object", "empty-array", "text", "binary", "string-items",
                     "null")
    ),
    case("X14", "X6:replay=nothing", **APART),
    # Polls.
    *(case(f"X15:form={form}", results=3, **POLLED) for form in ("shrink", "reorder")),
    *(case(f"X15:form={form}", results=2, **POLLED) for form in ("no-ids", "status-only")),
    *(
        case(f"X16:code={code},times={times}", server={"delay": 0.1}, **POLLED)
        for code, times in (("rateLimitExceeded", 2), ("internalServerError", 1), ("serviceUnavailable", 1))
    ),
    # Sessions and keys.
    case("X17:after=0.15", server={"delay": 0.3}),
    case("X6", "X18", **APART),
    case("X6:replay=nothing,times=3", "X18", **APART),
    case("X19"),
    case("X19", "X5:when=submit,then=conflict,delivery=any"),
    case("X22", "X6", error=AuthenticationError, **APART, **QUICK),
    # A late poll finds all results at once; its response must be what is lost.
    case("X22", "X5:when=poll", error=AuthenticationError, **APART, **POLLED),
    case("X23", results=3),
    case("X23:order=reversed", "X6", **APART),
    # The open questions, each with a connection that is lost.
    *(
        case("X6", switches=switches, **APART)
        for switches in (
            {"q1": "new"}, {"q4": "before"}, {"q5": "yes"}, {"q5": "yes", "q4": "before"}, {"q6": "empty"},
            {"q8": "processing"}, {"q8": "finished"}, {"q9": "one"}, {"q9": "known"}, {"q16": 0.01},
            {"q17": "getResponse"}, {"replay": False}, {"sync_polls": False}, {"sync_polls": False, "replay": False},
            {"sync_polls": False, "replay": False, "task_details": "array"},
            {"sync_polls": False, "replay": False, "q6": "empty"},
        )
    ),
    *(
        case("X5:when=submit,then=nothing,delivery=any", switches=switches)
        for switches in ({"q6": "empty"}, {"q6": "error"}, {"q1": "new", "q6": "empty"})
    ),
    *(
        case("X5:when=submit,then=conflict,delivery=any", switches=switches)
        for switches in ({"sync_polls": False}, {"sync_polls": False, "q6": "empty"}, {"task_details": "array"})
    ),
    *(
        case("X5:when=submit,then=conflict,delivery=any", server={"delay": 0.3}, switches=switches, **QUICK)
        for switches in ({"sync_polls": False, "replay": False}, {"sync_polls": False, "replay": False, "q6": "empty"})
    ),
    case("X5:delivery=any", switches={"q2": "new"}, server={"resume_window": 0.0, "delay": 0.1}),
    case("X5:delivery=any", switches={"q2": "error"}, server={"resume_window": 0.0, "delay": 0.1}),
    *(
        case("X10:form=F20", "X5:when=poll", switches={"q7": form}, error=IncompleteResultsError, comes=2, **APART)
        for form in ("mixed", "errors", "item")
    ),
    *(
        case("X10:form=F22", switches={"q7": form}, error=ServerError, results=2, **POLLED)
        for form in ("mixed", "errors", "item")
    ),
]  # fmt: skip


Clients = Callable[..., Runware]


@contextlib.contextmanager
def clients_of(server: LocalServer) -> Iterator[Clients]:
    made: list[Runware] = []

    def make(**options: Any) -> Runware:
        usual = {"timeout": TIMEOUT, "long_timeout": TIMEOUT, "retry_delay": 0.02, "connect_timeout": 5.0}
        made.append(Runware(server.api_key, url=server.url, **(usual | options)))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client_of(server: LocalServer) -> Iterator[Clients]:
    with clients_of(server) as make:
        yield make


def in_every_interface(body: Callable[..., None]) -> Callable[..., None]:
    """Make a test of a body, which runs in all interface forms concurrently, as most of it is waiting."""

    def one(interface: Interface, given: dict[str, Any]) -> None:
        with LocalServer(api_key="rw-test-key") as server, clients_of(server) as make:
            body(interface=interface, server=server, client_of=make, **given)

    @functools.wraps(body)
    def test(**given: Any) -> None:
        with ThreadPoolExecutor(len(INTERFACES)) as pool:
            for interface, done in [(interface, pool.submit(one, interface, given)) for interface in INTERFACES]:
                try:
                    done.result()
                except BaseException as error:
                    error.add_note(f"It was the interface {interface}.")
                    raise

    signature = inspect.signature(body)
    ours = ("interface", "server", "client_of")
    kept = [parameter for name, parameter in signature.parameters.items() if name not in ours]
    test.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return test


def parameters(kind: str, results: int = 1, **more: Any) -> dict[str, Any]:
    polled = {"delivery_method": "async"} if kind == "polled" else {}
    several = {"number_results": results} if results > 1 else {}
    return {"positive_prompt": PROMPT, "model": "runware:101@1", "seed": SEED, **several, **polled, **more}


def outcome(call: Callable[[], Any], timeout: float = TIMEOUT) -> Any:
    """Return how a call ends, its error or its results, by its deadline."""
    start = time.monotonic()
    try:
        ended: Any = call()
    except RunwareError as error:
        ended = error
    assert time.monotonic() - start < timeout + 5.0  # far from hanging, on a busy machine too
    return ended


CONCERNED = [
    pytest.param(kind, case, id=f"{kind} {case} {'' if case.results == 1 else case.results}".strip())
    for case in CASES
    for kind in case.kinds
]


@pytest.mark.parametrize(("kind", "case"), CONCERNED)
@in_every_interface
def test_call_ends_as_expected_and_is_executed_once(
    kind: str, case: Case, interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    server.configure(**case.server)
    server.switch(case.switches)
    for fault in case.faults:
        server.play(fault)
    client = client_of(**{"max_retries": 2, **case.client})
    retry = 0 if case.error is not None else None
    ended = outcome(
        lambda: interface(client, "image_inference", **parameters(kind, case.results, retry=retry, **case.task))
    )
    comes = case.results if case.comes is None else case.comes
    if case.error is not None:
        assert type(ended) is case.error
        assert len(ended.results) == (case.comes or len(ended.results))
        assert all(image.raw for image in ended.results)
    else:
        assert isinstance(ended, Results), ended
        right(ended, comes, case)
    assert server.ledger.executions_by_prompt() == ({PROMPT: case.executions} if case.executions else {})
    assert server.ledger.errors == []


def right(images: Results[Any], count: int, case: Case) -> None:
    """Check that the results are those of this task, each once."""
    assert len(images) == count
    if "status-only" in str(case):
        return
    if "no-ids" not in str(case):
        assert len({image.uuid for image in images}) == count
    assert sorted(image.seed for image in images) == list(range(SEED, SEED + count))
    for image in images:
        if case.task.get("output_type") == "base64Data":
            assert len(image.base64_data) >= 3 * 2**20
        else:
            assert image.url.startswith("http://127.0.0.1")


# ---------------------------------------------------------------------- outside the matrix


@pytest.mark.parametrize("form", ["repeat", "failed", "no-task-type"])
@in_every_interface
def test_x24_upload_statuses_in_every_form(
    form: str, interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    server.play("X24", form=form)
    told: list[str] = []
    ended = outcome(
        lambda: interface(
            client_of(),
            "model_upload",
            **MODEL,
            on_partial=lambda news, error: told.extend(one.status for one in news),
        )
    )
    if form == "failed":
        assert isinstance(ended, RunwareError)
        assert "Download failed." in str(ended)
    else:
        assert ended.status == "ready"
    assert server.ledger.executed == 1


@pytest.mark.parametrize("form", ["repeat", "no-task-type"])
@pytest.mark.parametrize("replay", ["rest", "all", "nothing"])
@in_every_interface
def test_x24_upload_survives_a_drop(
    form: str, replay: str, interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    server.configure(frame_size=1)
    server.play("X24", form=form)
    server.play("X6", after_results=2, replay=replay)
    ended = outcome(lambda: interface(client_of(), "model_upload", **MODEL))
    assert ended.status == "ready", ended
    assert server.ledger.executed == 1


def test_x19_reused_uuid_is_a_conflict_while_the_first_call_runs(
    kind: str, server: LocalServer, client_of: Clients
) -> None:
    server.play("X19")
    rw, name = client_of(), "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01"
    with server.hold():
        first = rw.submit.image_inference(**parameters(kind, task_uuid=name))
        server.ledger.wait_for(lambda ledger: ledger.held == 1)
        assert isinstance(outcome(lambda: rw.image_inference(**parameters(kind, task_uuid=name))), ConflictError)
    assert len(first.result(TIMEOUT)) == 1
    assert server.ledger.executions(name) == 1


@in_every_interface
def test_reused_uuid_of_an_ended_task_is_a_conflict(
    kind: str, interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    rw, name = client_of(), "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01"
    rw.image_inference(**parameters("quick", task_uuid=name))
    ended = outcome(lambda: interface(rw, "image_inference", **parameters(kind, task_uuid=name)))
    assert isinstance(ended, ConflictError)
    assert server.ledger.executions(name) == 1


@in_every_interface
def test_x22_calls_fail_after_the_key_was_revoked_and_work_later(
    kind: str, interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    rw = client_of()
    rw.image_inference(**parameters("quick"))
    server.play("X22")
    server.drop()
    assert isinstance(outcome(lambda: interface(rw, "image_inference", **parameters(kind))), AuthenticationError)
    server.stop_faults()
    assert len(interface(rw, "image_inference", **parameters(kind))) == 1


def test_x23_results_of_many_tasks_in_any_order_reach_their_calls(
    kind: str, server: LocalServer, client_of: Clients
) -> None:
    server.configure(mix_tasks=True, spread=0.01, result_order="shuffled")
    server.play("X23", interval=0.0)
    server.play("X13", extra=0)
    rw = client_of()
    jobs = [
        rw.submit.image_inference(**parameters(kind, 3) | {"positive_prompt": f"kite {number}", "seed": 1000 * number})
        for number in range(1, 21)
    ]
    for number, job in enumerate(jobs, 1):
        assert sorted(image.seed for image in job.result(TIMEOUT)) == [1000 * number + index for index in range(3)]
    assert set(server.ledger.executions_by_prompt().values()) == {1}


@in_every_interface
def test_partly_written_task_is_sent_whole_on_the_next_connection(
    kind: str, interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    """The server stops reading in the middle of a large task."""
    rw = client_of(liveness_timeout=0.3)
    rw.connect()
    server.stall()
    picture = random.Random(7).randbytes(12_000_000)
    ended = outcome(lambda: interface(rw, "image_inference", **parameters(kind, seed_image=picture, strength=0.5)))
    assert len(ended) == 1
    assert server.ledger.executions_by_prompt() == {PROMPT: 1}
    # On a slow machine the next connection may time out too; it is one task, however often it was sent.
    assert len({task["taskUUID"] for task in server.ledger.tasks("imageInference")}) == 1
    assert server.ledger.connections > 1


@in_every_interface
def test_calls_made_without_a_connection_are_sent_in_order(
    kind: str, interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    """They wait for the next connection."""
    rw = client_of()
    rw.connect()
    server.unplug()
    until(lambda: "ready" not in repr(rw))
    jobs = [rw.submit.image_inference(**parameters(kind) | {"positive_prompt": f"kite {n}"}) for n in range(20)]
    threading.Timer(0.1, server.plug).start()
    assert len(interface(rw, "image_inference", **parameters(kind))) == 1
    assert all(len(job.result(TIMEOUT)) == 1 for job in jobs)
    sent = [task["positivePrompt"] for task in server.ledger.tasks("imageInference")]
    assert sent == [f"kite {n}" for n in range(20)] + [PROMPT]


@pytest.mark.parametrize("how", ["fin", "rst", "close", "stall"])
@in_every_interface
def test_unknown_outcome_is_reported_at_the_deadline(
    kind: str, how: str, interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    """The server executes the task, drops the connection, and afterwards answers no lookup."""
    server.play("X6", after_tasks=1, how=how, replay="nothing")
    server.script(lambda task: [] if task["taskType"] in ("getResponse", "getTaskDetails") else None)
    # A busy machine may take more than 0.2 s for the acknowledgement, and the connection must not be given up before.
    rw = client_of(timeout=1.2, long_timeout=1.2, liveness_timeout=0.5)
    ended = outcome(lambda: interface(rw, "image_inference", **parameters(kind)), 1.2)
    # A polled task was acknowledged before the drop, so it is known to run.
    expected = ConnectionLostError if kind == "quick" else TaskTimeoutError
    assert type(ended) is expected, ended
    assert ended.may_have_run if isinstance(ended, ConnectionLostError) else ended.may_be_running
    assert ended.task_uuid is not None
    assert server.ledger.executions(ended.task_uuid) == 1
    assert server.ledger.submissions(ended.task_uuid) == 1


@in_every_interface
def test_server_that_never_comes_back_ends_calls_at_their_deadline(
    kind: str, interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    rw = client_of(timeout=0.5, long_timeout=0.5)
    rw.connect()
    with server.hold():
        unplugger = threading.Thread(target=_unplug_when_it_runs, args=(server,))
        unplugger.start()
        ended = outcome(lambda: interface(rw, "image_inference", **parameters(kind)), 0.5)
        unplugger.join()
        until(lambda: "ready" not in repr(rw))
        assert isinstance(ended, (ConnectionLostError, TaskTimeoutError))
        assert ended.may_have_run if isinstance(ended, ConnectionLostError) else ended.may_be_running
        never_sent = outcome(lambda: interface(rw, "image_inference", **parameters(kind)), 0.5)
        assert isinstance(never_sent, ConnectionFailedError)
        assert server.ledger.executions_by_prompt() == {PROMPT: 1}


def _unplug_when_it_runs(server: LocalServer) -> None:
    server.ledger.wait_for(lambda ledger: ledger.held == 1)
    server.unplug()


@in_every_interface
def test_silent_server_ends_calls_at_their_deadline(
    kind: str, interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    """The deadline holds although the connection is alive."""
    rw = client_of(liveness_timeout=0.2)
    with server.hold():
        ended = outcome(lambda: interface(rw, "image_inference", **parameters(kind, timeout=0.6)), 0.6)
    assert isinstance(ended, TaskTimeoutError)
    assert ended.may_be_running
    assert server.ledger.executions(ended.task_uuid or "") == 1


def test_close_ends_calls_whatever_the_network_does(kind: str, server: LocalServer, client_of: Clients) -> None:
    for disturb in (lambda: None, server.stall, server.unplug):
        rw = client_of()
        with server.hold():
            held = server.ledger.held
            job = rw.submit.image_inference(**parameters(kind))
            server.ledger.wait_for(lambda ledger, held=held: ledger.held > held)
            disturb()
            start = time.monotonic()
            rw.close()
            assert isinstance(outcome(lambda job=job: job.result(5.0)), ClientClosedError)
            assert time.monotonic() - start < 1.0
        server.plug()


@in_every_interface
def test_slow_siblings_of_a_failed_result_are_waited_for(
    interface: Interface, server: LocalServer, client_of: Clients
) -> None:
    """One result fails, and the others take their time: they arrive, and the task is executed once."""
    server.configure(spread=0.6)
    rw = client_of(retry_delay=0.0)
    named = parameters("quick", 3) | {"positive_prompt": "a kite [fail:1]"}
    del named["seed"]
    ended = outcome(lambda: interface(rw, "image_inference", **named, retry=0))
    assert isinstance(ended, IncompleteResultsError)
    assert len(ended.results) == 2
    assert server.ledger.executions_by_prompt() == {"a kite [fail:1]": 1}
    assert server.ledger.results == 2


class TestManyAtOnce:
    """Calls of all kinds through all interface forms, while the connection drops again and again."""

    CALLS = 300

    def run(self, server: LocalServer, rw: Runware, disturb: Callable[[random.Random], Any]) -> None:
        server.configure(delay=lambda task: 0.002 * (hash(task["taskUUID"]) % 200), frame_size=1, mix_tasks=True)
        rng = random.Random(4)
        over = threading.Event()

        def drops() -> None:
            while not over.wait(rng.uniform(0.05, 0.25)):
                disturb(rng)

        def one(number: int) -> list[int]:
            named = parameters(KINDS[number % 2], 1 + number % 3)
            named |= {"positive_prompt": f"kite {number}", "seed": 10 * number + 1}
            if number % 5 == 0:
                return [image.seed for image in rw.submit.image_inference(**named)]
            return [image.seed for image in rw.image_inference(**named)]

        async def all_of(numbers: list[int]) -> list[list[int]]:
            async def one(number: int) -> list[int]:
                named = parameters(KINDS[number % 2], 1 + number % 3)
                named |= {"positive_prompt": f"kite {number}", "seed": 10 * number + 1}
                return [image.seed for image in await rw.aio.image_inference(**named)]

            return await asyncio.gather(*map(one, numbers))

        dropper = threading.Thread(target=drops)
        dropper.start()
        try:
            with ThreadPoolExecutor(20) as pool:
                in_loop = pool.submit(lambda: asyncio.run(all_of(list(range(200, self.CALLS)))))
                seeds = [*pool.map(one, range(200)), *in_loop.result()]
        finally:
            over.set()
            dropper.join()
        for number, found in enumerate(seeds):
            assert sorted(found) == [10 * number + 1 + index for index in range(1 + number % 3)]
        assert server.ledger.executions_by_prompt() == {f"kite {number}": 1 for number in range(self.CALLS)}
        assert server.ledger.errors == []

    @pytest.mark.parametrize("switches", [{}, {"q1": "new", "q4": "before"}, {"replay": False, "q6": "empty"}], ids=str)
    def test_many_calls_survive_repeated_drops(
        self, server: LocalServer, client_of: Clients, switches: dict[str, Any]
    ) -> None:
        server.switch(switches)

        def disturb(rng: random.Random) -> None:
            how = rng.choice(["rst", "fin", "close"])
            server.close_connections(1001) if how == "close" else server.drop(how)

        self.run(server, client_of(timeout=40.0, long_timeout=40.0), disturb)

    def test_many_calls_survive_repeated_stalls(self, server: LocalServer, client_of: Clients) -> None:
        self.run(
            server,
            client_of(timeout=40.0, long_timeout=40.0, liveness_timeout=0.2),
            lambda rng: server.stall() if rng.random() < 0.3 else None,
        )


@pytest.mark.parametrize("end", ["well", "badly", "at its deadline", "cancelled"])
def test_ended_call_holds_no_memory(kind: str, end: str, server: LocalServer, client_of: Clients) -> None:
    """Its timers still exist, but not what it carried."""
    rw = client_of(timeout=TIMEOUT, long_timeout=TIMEOUT)
    rw.connect()
    given = parameters(kind, seed_image=b"\x89PNG" * 1000, strength=0.5)
    if end == "badly":
        given |= {"positive_prompt": "a kite [error:invalidWidth]"}
    if end == "at its deadline":
        given |= {"timeout": 0.1}
    with server.hold() if end not in ("well", "badly") else contextlib.nullcontext():
        job = rw.submit.image_inference(**given)
        if end == "cancelled":
            server.ledger.wait_for(lambda ledger: ledger.held == 1)
            job.cancel()
        outcome(functools.partial(job.result, TIMEOUT))
    held = weakref.ref(job)
    del job

    def gone() -> bool:
        gc.collect()
        return held() is None

    until(gone)
