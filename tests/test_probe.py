"""`doctor --probe`: it finds every switch of the local server, keeps secrets, and has limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runware.local import LocalServer
from runware.local.switches import SWITCHES, SwitchValue
from runware.options import read_options

pytest.importorskip("typer")

from runware.cli import probing
from runware.cli.probe import Probe, report, run_probe
from runware.cli.probe.lines import UndecidedError

from .net import refusing_port
from .terminals import on_terminal
from .test_cli import here, run

__all__ = ["here"]


KEY = "rw-probe-9sK2vQ7xT4"
OPEN_VALUES: dict[str, list[tuple[SwitchValue, str]]] = {
    "q13": [(2_000_000, "less than 4 MiB"), (0, "16 MiB or more")],
    "q14": [("invalidRequest", "invalidRequest"), ("badMessage", "badMessage")],
    "q15": [(0, "101 or more"), (50, "fewer than 101")],
    "q16": [(0, "no"), (0.1, "yes")],
}
"""Values of the switches that have no list, and what the probe says of them."""
SAME = {("webhook_error", "auto"): "item"}
"""Values that behave like another one, as long as the other switches have their defaults."""
CASES = [
    *(
        (one.name, value, SAME.get((one.name, str(value)), str(value)))
        for one in SWITCHES
        for value in one.values or ()
    ),
    *((name, value, found) for name, values in OPEN_VALUES.items() for value, found in values),
]


@contextmanager
def probe(server: LocalServer, *, seconds: float = 50.0, listening: float = 0.5) -> Iterator[Probe]:
    options = read_options({"api_key": server.api_key, "url": server.url})
    with Probe(options, seconds=seconds, listening=listening) as made:
        yield made


@pytest.fixture
def slow_server() -> Iterator[LocalServer]:
    """Return a server whose images take so long that they can be asked about before."""
    with LocalServer(api_key=KEY, delay={"imageInference": 0.4}) as server:
        yield server


def test_every_switch_is_asked_about_with_each_of_its_values() -> None:
    assert {name for name, _, _ in CASES} == {one.name for one in SWITCHES}
    assert all(one.values is not None or one.name in OPEN_VALUES for one in SWITCHES)
    assert {one.name for one in SWITCHES} <= {one.key for one in report.QUESTIONS}


@pytest.mark.parametrize(("name", "value", "found"), CASES, ids=str)
def test_probe_finds_the_switch(
    name: str, value: SwitchValue, found: str, slow_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_server.switch({name: value})
    asked = [one for one in report._ASKED if name in one[1]]
    assert len(asked) == (name != "q16")  # which is asked beside all others
    monkeypatch.setattr(report, "_ASKED", tuple(asked))
    with probe(slow_server) as made:
        answers = {one.key: one for one in run_probe(made)}
    assert answers[name].found == found, answers[name].as_text()


def test_report_has_every_question_and_no_secret(here: object, slow_server: LocalServer) -> None:
    with probe(slow_server, listening=0.1) as made:
        answers = list(run_probe(made))
    keys = {one.key.upper() for one in answers}
    assert {f"Q{number}" for number in range(1, 19)} | {f"P{number}" for number in range(1, 27)} <= keys
    for one in answers:
        assert one.found or one.note, one
        assert KEY not in one.as_text()
    assert {one.mark for one in answers} == {"holds", "found", "open"}
    assert 0 < made.cost < 0.02
    assert made.requests < 150


def test_command_asks_for_consent(here: object, server: LocalServer) -> None:
    ran = run("doctor", "--probe")
    assert ran.code == 2
    assert "costs money: give your consent with --yes" in ran.err
    assert server.ledger.connections == 0


def test_command_takes_no_for_an_answer(server: LocalServer) -> None:
    shown = on_terminal(
        "doctor", "--probe", typed=[("Go on?", "n\n")], RUNWARE_API_KEY=server.api_key, RUNWARE_URL=server.url
    )
    assert shown.code == 1
    assert "may cost up to $0.05" in " ".join(shown.text.split())
    assert server.ledger.connections == 0


def test_command_probes_with_consent(here: object, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "LISTENING", 0.1)
    server.configure(delay={"imageInference": 0.4})
    server.switch(q1="new", q18="object")
    ran = run("doctor", "--probe", "--yes", "--json")
    assert ran.code == 0
    outcomes = {one["question"]: one["outcome"] for one in ran.json}
    assert (outcomes["q1"], outcomes["q18"], outcomes["q2"], outcomes["P26"]) == ("differs", "differs", "holds", "open")
    assert server.api_key not in ran.out + ran.err


def test_command_prints_a_report_to_paste(here: object) -> None:
    ran = run("doctor", "--probe", "--local")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("runware-client ")
    assert "holds    q1 " in ran.out
    assert "open     P26" in ran.out
    assert " assumptions hold, " in ran.out.splitlines()[-1]


def test_probe_without_a_server_leaves_everything_open() -> None:
    options = read_options({"api_key": KEY, "url": f"ws://127.0.0.1:{refusing_port()}/v1"})
    with Probe(options, seconds=20.0, listening=0.1) as made:
        answers = list(run_probe(made))
    assert {one.mark for one in answers} == {"open"}
    assert all(one.note for one in answers if not one.found)


def test_probe_ends_when_its_time_or_its_money_is_up(slow_server: LocalServer) -> None:
    with probe(slow_server, seconds=1e-9) as made, pytest.raises(UndecidedError, match="time of the probe"):
        made.limit()
    with probe(slow_server) as made:
        made.pay([{"cost": 1.0}])
        with pytest.raises(UndecidedError, match="that is enough"):
            made.post([])


def test_unexpected_answer_ends_no_probe(slow_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(_: Probe) -> None:
        raise KeyError(json.dumps(KEY))

    monkeypatch.setattr(report, "_ASKED", ((odd, ("q1",)),))
    with probe(slow_server, listening=0.1) as made:
        (first, *_) = run_probe(made)
    assert (first.mark, first.note) == ("open", "the answer could not be read (KeyError)")
