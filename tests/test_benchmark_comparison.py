"""The comparison with other clients: its arithmetic, its tables, and that its programs do their work."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import ssl
import sys
from collections.abc import Iterator

import pytest

from benchmarks.charts import apart, draw
from benchmarks.clock import FULL, QUICK, SECONDS, Clock, Pace, fill
from benchmarks.compare import markdown, together
from benchmarks.contest import CASES, CLIENTS, PLAIN_ONLY, Client, Stage, spread, too_slow
from benchmarks.environments import PEERS, machine
from benchmarks.frames import ITEM, lone, stamped
from benchmarks.harness import Control, ServerProcess, environment
from benchmarks.peer import CannotError, Peer, PeerError
from benchmarks.reasons import BUDGET_REASONS, REASONS
from benchmarks.standings import BUDGETS, BY_KEY, LINES, OFFICIAL, TOP, Board, Boards, fit, standing, verdicts
from benchmarks.tables import (
    budgets_table,
    case_table,
    contests,
    equals_list,
    first_table,
    losses_list,
    missed_budgets_list,
    open_list,
    summary_table,
    table,
    times_table,
)
from benchmarks.tls import certify, trusting

UUID = "9d1b6f10-0c37-4a35-9a86-000000000001"


def board() -> Board:
    """Return two runs of two slices: `ours` takes half as long as `runware-sdk`, and `runware` fails."""
    found = Board()
    for _ in range(2):
        for client, values in (("ours-blocking", [10.0, 20.0]), ("runware-sdk", [20.0, 40.0]), ("bare", [10.0, 10.0])):
            found.begin(["serial.wall"], client)
            found.cell("serial.wall", client).runs[-1] += values
    found.cell("serial.wall", "runware").failed = "not through | after 60 s"
    for count in (100, 1_000, 10_000):
        found.cell(f"flight.{count}", "ours-futures").runs = [[float(count)]]
    found.cell("flight.100", "ours-blocking").note = "one call at a time"
    return found


def test_growth_exponent_is_fitted() -> None:
    assert fit([(10, 3), (100, 30), (1_000, 300)]) == pytest.approx(1)
    assert fit([(10, 5), (100, 500)]) == pytest.approx(2)


def test_factors_are_computed_slice_by_slice() -> None:
    line = LINES[0]
    assert board().factor(line, "runware-sdk") == [2, 2]
    assert board().factor(line, "ours-blocking") == [1, 1]
    assert board().factor(line, "runware") == []
    assert board().ratio("serial.wall", "ours-blocking", "bare") == [1.5, 1.5]


def test_factor_is_inverted_where_more_is_better() -> None:
    found = Board()
    for client, value in (("ours-blocking", 100.0), ("sdk-js", 20.0)):
        found.cell("large.results", client).runs = [[value]]
    line = next(line for line in LINES if line.key == "large.results")
    assert found.factor(line, "sdk-js") == [5]


def test_measurement_of_zero_makes_no_division_by_zero() -> None:
    found = Board()
    for client, value in (("ours-futures", 0.0), ("sdk-js", 90.0)):
        found.cell("idle.wakeups", client).runs = [[value]]
    assert "90.0 1/s" in summary_table({"plain": found})
    (verdict,) = verdicts(found)
    assert verdict.ok


def test_tables_name_clients_that_failed() -> None:
    shown = case_table(board(), "serial")
    assert "2.00 x · 30.0 us" in shown
    assert "failed: not through / after 60 s" in shown
    assert "failed" in summary_table({"plain": board()})
    assert len({line.count("|") for line in shown.splitlines()}) == 1


def test_tables_show_growth_and_notes() -> None:
    shown = case_table(board(), "flight")
    assert "n^2.00" in shown
    assert "- ours-blocking: one call at a time" in shown


def test_table_columns_are_aligned() -> None:
    assert table(["a", "bb"], [["ccc", "d"]]) == "| a   | bb |\n|-----|----|\n| ccc | d  |"


def test_several_measurements_are_merged() -> None:
    about = {"format": 2, "quick": False, "pinned": True, "machine": {}, "versions": {}, "broken": [], "seconds": 9}
    ours = {"line": "serial.wall", "client": "ours-blocking", "runs": [[1.0, 2.0], [2.0, 2.0]]}
    slow = {"line": "serial.wall", "client": "sdk-js", "runs": [[4.0, 4.0]], "note": "slow"}
    one = {**about, "runs": 2, "cells": {"tls": [ours, slow]}}
    boards, saved = together([one, one])
    both = boards["tls"]
    assert (saved["runs"], saved["seconds"]) == (4, 18)
    assert both.cell("serial.wall", "ours-blocking").runs == ours["runs"] * 2
    assert both.cell("serial.wall", "sdk-js").runs == [[4.0, 4.0], [], [4.0, 4.0]]
    assert both.ratio("serial.wall", "sdk-js", "ours-blocking") == [3.0, 3.0]
    assert saved["cells"] == {"tls": both.as_json()}
    with pytest.raises(ValueError, match="quick"):
        together([one, {**one, "quick": True}])


def test_saved_board_is_restored_unchanged() -> None:
    saved = json.loads(json.dumps(board().as_json()))
    again = Board()
    again.extend(saved, 0)
    assert again.as_json() == saved
    assert summary_table({"tls": again}) == summary_table({"tls": board()})


def test_results_are_written() -> None:
    saved = {
        "machine": machine(),
        "quick": False,
        "runs": 2,
        "pinned": False,
        "broken": ["sdk-js"],
        "seconds": 90,
        "load": 0.7,
    }
    boards: Boards = {"plain": board(), "tls": board()}
    text = markdown(boards, {**saved, "versions": {"runware": {"runware": "0.5"}}}, ["serial.svg"])
    for part in (
        "## Budgets",
        "medians of 2 runs",
        "charts/serial.svg",
        "runware 0.5",
        "sdk-js could not",
        "2.00 x",
        "was 0.7 before",
    ):
        assert part.lower() in text.lower()
    for part in ("TLS: runware-sdk", "\n\nPlain:\n\n", "\n\nOver TLS 1.3:\n\n", "No official client is ahead"):
        assert part in text


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ([1.01, 1.2, 1.1], "ahead"),
        ([0.99, 0.9, 0.8], "behind"),
        ([0.99, 0.9, 1.0], "equal"),
        ([1.5, 1.4, 0.98], "equal"),
        ([0.985, 0.99, 0.995], "equal"),
        ([1.005, 1.01, 1.02], "equal"),
        ([1.05, 1.06], "equal"),
        ([0.95, 0.96], "equal"),
        ([1.2, 1.3], "ahead"),
        ([0.8, 0.7], "behind"),
        ([0.8], "open"),
        ([9.0], "open"),
    ],
)
def test_client_is_ahead_or_behind_only_if_every_run_says_so(factors: list[float], expected: str) -> None:
    assert standing(factors) == expected


def tail(*runs: list[float], samples: int = 100) -> Board:
    """Return a board on which the other client takes half of the time for a 99th percentile, in runs of slices."""
    found = Board()
    for client, less in (("ours-blocking", 1.0), ("runware-sdk", 2.0)):
        cell = found.cell("partial.p99", client)
        cell.runs = [[value / less for value in run] for run in runs]
        cell.samples = samples
    return found


@pytest.mark.parametrize(
    ("runs", "samples", "expected"),
    [
        ([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], 100, "behind"),
        ([[1.0, 1.0], [2.0, 2.0], [3.0]], 100, "open"),
        ([[1.0, 1.0], [2.0, 2.0]], 100, "open"),
        ([[1.0], [2.0], [3.0]], 200, "behind"),
        ([[1.0], [2.0], [3.0]], 199, "open"),
        ([[1.0], [2.0], [3.0]], 0, "open"),
    ],
)
def test_percentile_counts_only_with_three_runs_of_enough_samples(
    runs: list[list[float]], samples: int, expected: str
) -> None:
    found = tail(*runs, samples=samples)
    assert found.standing(BY_KEY["partial.p99"], "runware-sdk") == expected
    assert found.factor(BY_KEY["partial.p99"], "runware-sdk")  # it is shown all the same


def test_comparison_of_too_few_measurements_is_open_and_says_how_many_there_were() -> None:
    found = tail([1.0, 1.0], [2.0, 2.0])
    found.cell("partial.median", "ours-blocking").runs = [[1.0]]
    found.cell("partial.median", "runware-sdk").runs = [[0.5]]
    boards: Boards = {"tls": found}
    assert losses_list(boards) == "No official client is ahead on any line."
    assert "and behind in 0; 2 are open." in equals_list(boards)
    assert "0.5 x (open)" in summary_table(boards)
    median, p99 = open_list(boards).splitlines()
    assert median == "- partial result, sent to callback, median: runware-sdk, over TLS 1.3 0.5 x, one run"
    assert p99.endswith("99th percentile: runware-sdk, over TLS 1.3 0.5 x, 0.5 to 0.5, 2 runs, 200 samples in a run")
    assert open_list({"tls": tail([1.0], [1.0], [1.0], samples=500)}) == "None."


def test_merged_measurements_have_the_samples_of_the_shorter_ones() -> None:
    found = Board()
    for samples in (300, 100, 200):
        found.extend(tail([1.0], samples=samples).as_json(), found.cell("partial.p99", "ours-blocking").count)
    assert found.cell("partial.p99", "runware-sdk").samples == 100


def test_line_on_which_another_client_is_ahead_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    found = board()
    found.cell("serial.wall", "ours-blocking").runs = [[10.0, 20.0]] * 3
    found.cell("serial.wall", "runware-sdk").runs = [[9.0, 19.0], [9.5, 19.0], [9.0, 18.0]]
    shown = "**one call after another**: behind runware-sdk, over TLS 1.3 0.925 x, 0.9 to 0.95. "
    assert shown in losses_list({"tls": found})
    assert losses_list({"tls": found}).endswith("The reason is not known yet.")
    monkeypatch.setitem(REASONS, ("serial.wall", "ours-blocking", "runware-sdk"), "It has one thread.")
    assert losses_list({"tls": found}).endswith("It has one thread.")
    assert "0.925 x (behind)" in summary_table({"tls": found})
    assert "0.925 x ±3% (behind)" in first_table({"tls": found})
    assert budgets_table({"tls": found}, everything=False).splitlines()[-1].split("|")[2:4] == [
        " 1                    ",
        " no     ",
    ]


def test_line_within_the_spread_is_equal_and_not_behind() -> None:
    found = board()
    found.cell("serial.wall", "ours-blocking").runs = [[10.0], [10.0], [10.0]]
    found.cell("serial.wall", "runware-sdk").runs = [[9.0], [9.9], [10.5]]
    assert losses_list({"plain": found}) == "No official client is ahead on any line."
    assert "0.99 x (equal)" in summary_table({"plain": found})
    first, _, row = equals_list({"plain": found}).splitlines()
    assert "equal within the spread in 1, and behind in 0" in first
    assert row == "- one call after another: runware-sdk, plain 0.99 x, 0.9 to 1.05"


def test_first_table_is_short_and_its_lines_exist() -> None:
    assert len(TOP) <= 25
    for key, ours in TOP:
        assert not BY_KEY[key].means
        assert ours == BY_KEY[key].ours or BY_KEY[key].awaited


def test_asyncio_has_a_row_of_its_own() -> None:
    found = board()
    found.cell("serial.wall", "ours-asyncio").runs = [[40.0, 80.0], [40.0, 80.0]]
    assert "| one call after another, asyncio | 60.0 us" in summary_table({"plain": found})
    assert [(one.line.ours, one.factors) for one in contests({"plain": found}) if one.standing == "behind"] == [
        ("ours-asyncio", [0.5, 0.5])
    ]


def test_budgets_are_judged_for_each_transport() -> None:
    found = board()
    found.cell("large.results", "ours-blocking").runs = [[80.0]]
    found.cell("large.results", "socket").runs = [[100.0]]
    shown = budgets_table({"plain": found, "tls": found}, everything=True)
    row = next(line for line in shown.splitlines() if "bare SSLSocket loop" in line)
    assert [cell.strip() for cell in row.split("|")[2:6]] == ["–", "", "0.8 x", "no"]
    assert "at least 0.9 x" in row


def test_charts_are_the_same_for_the_same_figures(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("matplotlib")
    boards: Boards = {"plain": board(), "tls": board()}
    names = ["serial.svg", "serial-tls.svg", "flight.svg", "flight-tls.svg"]
    assert draw(boards, tmp_path / "one") == draw(boards, tmp_path / "two") == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_labels_in_a_chart_do_not_overlap() -> None:
    assert apart([0.1, 0.11, 0.5], 0.1) == pytest.approx([0.1, 0.2, 0.5])
    assert apart([0.98, 0.99, 1.0], 0.1) == pytest.approx([0.8, 0.9, 1.0])


def test_durations_are_spread_around_the_mean() -> None:
    assert spread(1_000, 3) == [500, 1_000, 1_500]


def test_missed_budget_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Board()
    assert missed_budgets_list({"plain": found}) == "Every budget holds."
    found.cell("memory.call", "ours-asyncio").runs = [[4096.0]] * 2
    title = "- **memory of a call in flight, asyncio**: "
    monkeypatch.setitem(BUDGET_REASONS, "memory.asyncio", "It has a task.")
    assert missed_budgets_list({"plain": found, "tls": found}) == f"{title}It has a task."
    monkeypatch.delitem(BUDGET_REASONS, "memory.asyncio")
    assert missed_budgets_list({"plain": found}) == f"{title}the reason is not known yet."


def test_figure_without_a_limit_is_shown_and_never_missed() -> None:
    found = Board()
    found.cell("serial.wall", "bare").runs = [[100.0]] * 2
    found.cell("serial.wall", "ours-blocking").runs = [[900.0]] * 2
    shown = budgets_table({"plain": found}, everything=False)
    assert "blocking / the fastest bare loop: no limit | 9.00 x" in " ".join(shown.split())
    assert missed_budgets_list({"plain": found}) == "Every budget holds."


def test_every_reason_of_a_budget_is_about_a_budget_with_a_limit() -> None:
    assert BUDGET_REASONS.keys() <= {budget.figure for budget in BUDGETS if budget.limit is not None}


def test_every_reason_is_about_a_line_and_its_clients() -> None:
    names = {client.name for client in CLIENTS if client.kind == "ours"}
    for line, ours, client in REASONS:
        assert line in BY_KEY
        assert ours in names
        assert client in OFFICIAL


def test_every_line_has_a_case_and_a_client_of_ours() -> None:
    names = {client.name for client in CLIENTS}
    assert {line.case for line in LINES} == set(CASES)
    assert {line.ours for line in LINES} <= names
    assert set(OFFICIAL) <= names
    assert all((PEERS / client.program).is_file() for client in CLIENTS)


def test_client_that_fails_in_any_way_is_a_row_that_says_so(tmp_path: pathlib.Path) -> None:
    names = ("ours-blocking", "runware-sdk", "sdk-js")
    clients = [client for client in CLIENTS if client.name in names]
    with ServerProcess() as ports:
        control = Control(ports["control"])
        found = Board()
        stage = Stage(ports, control, tmp_path, clients, 2, False, found, set(), tmp_path)

        def measure(client: Client) -> list[float]:
            if client.name == "runware-sdk":
                raise ZeroDivisionError("of nothing")
            if client.name == "sdk-js":
                raise CannotError("not that")
            return [1.0]

        stage.turns(clients, ("serial.wall",), measure)
        control.close()
    shown = case_table(found, "serial")
    assert "1.00 us ±0%" in shown
    assert "failed: ZeroDivisionError: of nothing" in shown
    assert "- sdk-js: not that" in shown


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_case_has_its_seconds_and_all_of_them_fit() -> None:
    assert set(SECONDS) == set(CASES)
    for quick, total in ((False, FULL), (True, QUICK)):
        coming = [("plain", case) for case in CASES] + [("tls", case) for case in CASES if case not in PLAIN_ONLY]
        assert sum(Clock(coming, total, quick=quick).planned.values()) <= total


def test_late_comparison_shares_what_is_left_of_its_time() -> None:
    now = Time()
    serial, http, many = (SECONDS[case][0] for case in ("serial", "http", "many"))
    coming = [("plain", "serial"), ("plain", "http"), ("plain", "many")]
    clock = Clock(coming, serial + http + many, quick=False, now=now)
    with clock.case("plain", "serial"):
        assert clock.seconds == pytest.approx(serial)
        with clock.client("ours-blocking"):
            now.now += serial + http
    with clock.case("plain", "http"):
        assert clock.seconds == pytest.approx(http * many / (http + many))
        now.now += 1_000.0
    with clock.case("plain", "many"):
        assert clock.seconds == 0
    assert clock.rows()[0]["clients"] == {"ours-blocking": serial + http}
    assert [row["took"] for row in clock.rows()] == [serial + http, 1_000.0, 0.0]
    assert "| all" in times_table(clock.rows())


def test_time_that_a_case_leaves_goes_to_those_after_it() -> None:
    now = Time()
    cases = ("serial", "http", "many", "told")
    serial, http, many, told = (SECONDS[case][0] for case in cases)
    clock = Clock([("plain", case) for case in cases], serial + http + many + told, quick=False, now=now)
    with clock.case("plain", "serial"):
        now.now += serial - 10.0
    with clock.case("plain", "http"):
        assert clock.seconds == pytest.approx(http * (1 + 10.0 / (http + many + told)))
    with clock.case("plain", "many"):
        pass
    with clock.case("plain", "told"):
        assert clock.seconds == 2 * told


@pytest.fixture
def control() -> Iterator[Control]:
    with ServerProcess() as ports:
        found = Control(ports["control"])
        yield found
        found.close()


def chosen(*names: str) -> list[Client]:
    return [client for client in CLIENTS if client.name in names]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1_000.0, [[4, 4, 4, 4, 4], [4, 4, 4, 4, 4]]),
        (100.0, [[4, 4, 4, 4, 4], [1, 2, 1, 2, 2]]),  # 80 s for the slow one are 8 of its turns
        (60.0, [[4, 4, 4, 4, 4], [1, 1, 1, 1]]),
        (35.0, [[1, 1, 1, 1, 1], [1, 1, 1]]),  # three runs of the slow one, and what they leave
        (12.0, [[1, 1, 1], [1]]),  # not even that, but each is measured
    ],
)
def test_slow_client_has_fewer_slices_then_fewer_runs(
    seconds: float,
    expected: list[list[int]],
    control: Control,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clients = chosen("ours-blocking", "sdk-js")
    now = Time()
    monkeypatch.setitem(SECONDS, "serial", (seconds, 0.0, 0.0))
    clock = Clock([("plain", "serial")], seconds, quick=False, now=now)
    found = Board()
    stage = Stage({}, control, tmp_path, clients, 5, False, found, set(), tmp_path, clock=clock)

    def measure(client: Client) -> list[float]:
        now.now += 10.0 if client.name == "sdk-js" else 1.0
        return [1.0]

    with clock.case("plain", "serial"):
        stage.turns(clients, ("serial.wall",), measure, slices=4)
    assert [[len(run) for run in found.cell("serial.wall", client.name).runs] for client in clients] == expected
    fewer = sum(expected[1])
    shown = f"sdk-js {fewer} of 20 times (one call after another)"
    assert (shown in case_table(found, "serial")) == (fewer < 20)


def test_time_is_divided_up_to_a_limit_that_is_the_same_for_all() -> None:
    wanted = {"a": 1.0, "b": 10.0, "c": 100.0}
    none = dict.fromkeys(wanted, 0.0)
    assert fill(111.0, wanted, none) == wanted
    assert fill(15.0, wanted, none) == pytest.approx({"a": 1.0, "b": 7.0, "c": 7.0})
    assert fill(40.0, wanted, {**none, "c": 30.0}) == pytest.approx({"a": 1.0, "b": 9.0, "c": 30.0})
    assert fill(20.0, wanted, {**none, "b": 6.0, "c": 30.0}) == pytest.approx({"a": 0.0, "b": 6.0, "c": 14.0})


def test_time_of_a_client_that_has_failed_is_left_to_the_others() -> None:
    pace = Pace(["a", "b"], 10.0, 5, 1)
    for client, seconds in (("a", 2.0), ("b", 4.0)):
        pace.took(client, seconds)
    pace.next_run()
    assert pace.next_run() == ["a"]
    pace.leave("a")
    assert pace.next_run() == ["b"]


def test_first_turn_of_a_warm_case_does_not_count(control: Control, tmp_path: pathlib.Path) -> None:
    clients = chosen("ours-blocking", "runware", "sdk-js")
    found = Board()
    stage = Stage({}, control, tmp_path, clients, 2, False, found, set(), tmp_path)
    took = {"ours-blocking": iter([300.0, 1.0, 2.0]), "runware": iter([200.0, 3.0, 4.0]), "sdk-js": iter(())}

    def measure(client: Client) -> list[float]:
        return [next(took[client.name])]

    warmed = stage.warm(clients, ("start",), measure)
    assert [client.name for client in warmed] == ["ours-blocking", "runware"]
    stage.turns(warmed, ("start",), measure)
    assert found.cell("start", "ours-blocking").runs == [[1.0], [2.0]]
    assert found.cell("start", "runware").runs == [[3.0], [4.0]]
    assert found.cell("start", "sdk-js").failed


def test_client_that_would_exceed_the_limit_is_not_waited_for(control: Control, tmp_path: pathlib.Path) -> None:
    clients = chosen("ours-futures", "sdk-js")
    found = Board()
    for client, each in zip(clients, (50.0, 700.0), strict=True):
        found.cell("flight.10000", client.name).runs = [[each]]
    stage = Stage({}, control, tmp_path, clients, 2, False, found, set(), tmp_path)
    assert [too_slow(stage, client, 100_000) for client in clients] == [False, True]
    assert "failed: not tried, as it would take 70 s" in case_table(found, "flight")


def test_waiting_clients_are_measured_together_when_all_are_ready(control: Control, tmp_path: pathlib.Path) -> None:
    clients = chosen("ours-blocking", "runware", "sdk-js")
    found = Board()
    stage = Stage({}, control, tmp_path, clients, 2, False, found, set(), tmp_path)
    ready: list[str] = []

    def measure(own: Stage, client: Client) -> list[float]:
        assert own.control("ledger")["received"] == 0
        if client.name == "sdk-js":
            raise PeerError("it has died")
        ready.append(client.name)
        own.meet()
        return [float(len(ready))]

    stage.together(clients[:2], ("serial.wall",), measure)
    assert found.cell("serial.wall", "runware").runs == [[2.0], [4.0]]
    stage.together(clients, ("start",), measure)  # those that wait for one that has failed go on
    assert len(found.cell("start", "runware").values) == 2
    assert found.cell("start", "sdk-js").failed == "it has died"
    stage.close()


def test_comparison_over_tls_names_the_extra_that_it_needs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(RuntimeError, match=r"pip install 'runware-client\[benchmarks\]'"):
        certify(tmp_path)


# ---------------------------------------------------------------------- the server


def test_server_speaks_only_tls_1_3_to_clients_that_trust_it(tmp_path: pathlib.Path) -> None:
    with ServerProcess(certify(tmp_path)) as ports:
        trusted = ssl.create_default_context(cafile=trusting(tmp_path)["SSL_CERT_FILE"])
        with (
            socket.create_connection(("127.0.0.1", ports["tls"]), timeout=20) as sock,
            trusted.wrap_socket(sock, server_hostname="localhost") as secure,
        ):
            assert secure.version() == "TLSv1.3"
        strange = ssl.create_default_context()
        with socket.create_connection(("127.0.0.1", ports["tls"]), timeout=20) as sock, pytest.raises(ssl.SSLError):
            strange.wrap_socket(sock, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", ports["tls"]), timeout=20) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert sock.recv(1024) == b""  # it hangs up, and serves others
        control = Control(ports["control"])
        assert control("ledger")["connections"] == 3
        control.close()


def test_single_task_is_recognised_in_any_json_formatting() -> None:
    task = {"model": "a:1@1", "taskType": "imageInference", "taskUUID": UUID, "deliveryMethod": "sync"}
    for separators in ((",", ":"), (", ", ": ")):
        for more in ({}, {"numberResults": 1}):
            assert lone(json.dumps([{**task, **more}], separators=separators).encode()) == UUID.encode()
        for more in ({"numberResults": 20}, {"deliveryMethod": "async"}, {"inputs": {}}, {"taskType": "getResponse"}):
            assert lone(json.dumps([{**task, **more}], separators=separators).encode()) == b""


def test_timestamp_is_also_the_seed() -> None:
    assert json.loads(stamped(ITEM % (UUID.encode(), 1, 1), b"sentNS", 5)).items() >= {"seed": 5, "sentNS": 5}.items()


# ---------------------------------------------------------------------- the programs


def start(program: str, *how: str, folder: pathlib.Path | None = None) -> Peer:
    trust = {} if folder is None else trusting(folder)
    return Peer([sys.executable, str(PEERS / program), *how], {**environment(), **trust}, os.sched_getaffinity(0))


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("program", [("ours.py", "blocking"), ("ours.py", "futures"), ("ours_asyncio.py",)], ids=str)
def test_our_program_runs_every_case(program: tuple[str, ...], scheme: str, tmp_path: pathlib.Path) -> None:
    with ServerProcess(certify(tmp_path)) as ports, start(*program, folder=tmp_path) as peer:
        control = Control(ports["control"])
        peer.ask(20, "open", url=f"{scheme}://127.0.0.1:{ports['port' if scheme == 'ws' else 'tls']}/v1")
        assert peer.ask(20, "serial", count=3, seconds=20)["count"] == 3
        control("hold", count=5)
        assert peer.ask(20, "flight", count=5)["right"] == 5
        assert len(peer.ask(20, "partial", tasks=1)["lags"]) >= 19
        assert all(lag > 0 for lag in peer.ask(20, "polled", ms=[10, 20], spacing=0)["lags"])
        assert peer.ask(20, "large", count=1, size=1_000)["wall"] > 0
        assert peer.ask(20, "upload", count=1, size=1_000_000)["wall"] > 0
        assert len(peer.ask(20, "tokens", pieces=3, every=1)["lags"]) == 3
        found = peer.ask(20, "mixed", seconds=0.02, size=300_000, every=0.01)
        assert len(found["lags"]) == 2
        assert found["moved"] >= 300_000
        assert len(peer.ask(20, "beside", what="thread", pauses=1, calls=2, every=0.01)["lags"]) == 2
        peer.forget_peak()
        before = peer.peak()
        peer.ask(20, "peak", count=4, size=10_000_000)
        assert peer.peak() - before > 20_000_000
        peer.ask(20, "forget")
        assert peer.cpu() > 0
        assert peer.waits() > 0
        assert peer.resident() > 0
        control.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "program",
    [("ours.py", "blocking"), ("ours.py", "futures"), ("ours_asyncio.py",), ("bare.py", "lean")],
    ids=str,
)
def test_calls_over_http_are_one_post_each(program: tuple[str, ...], scheme: str, tmp_path: pathlib.Path) -> None:
    with ServerProcess(certify(tmp_path)) as ports, start(*program, folder=tmp_path) as peer:
        control = Control(ports["control"])
        peer.ask(20, "open", url=f"{scheme}://127.0.0.1:{ports['port' if scheme == 'http' else 'tls']}/v1")
        assert peer.ask(20, "serial", count=3, seconds=20)["count"] == 3
        control("reset")
        control("hold", count=5)
        assert peer.ask(20, "flight", count=5)["right"] == 5
        ledger = control("ledger")
        assert (ledger["received"], ledger["executed"]) == (5, 5)
        assert (ledger["frames"], ledger["polls"]) == (0, 0)
        control.close()


def test_calls_beside_timers_are_made_in_their_event_loop() -> None:
    with ServerProcess() as ports, start("ours_asyncio.py") as peer, start("ours.py", "blocking") as blocking:
        for one in (peer, blocking):
            one.ask(20, "open", url=f"ws://127.0.0.1:{ports['port']}/v1")
        assert len(peer.ask(20, "beside", what="timers", pauses=9, calls=2, every=0.01)["lags"]) == 2
        with pytest.raises(CannotError, match="no event loop"):
            blocking.ask(20, "beside", what="timers", pauses=9, calls=2, every=0.01)


def test_calls_that_are_told_to_slow_down_end_with_that_error() -> None:
    with ServerProcess() as ports, start("ours.py", "futures", "once") as peer:
        control = Control(ports["control"])
        peer.ask(20, "open", url=f"ws://127.0.0.1:{ports['port']}/v1")
        control("hold", count=5, order="slow")
        found = peer.ask(20, "flight", count=5)
        assert found["right"] == 0
        assert found["error"].startswith("RateLimitError")
        control.close()


@pytest.mark.parametrize("how", ["unchecked", "store"])
def test_options_of_our_client_are_measured(how: str, tmp_path: pathlib.Path) -> None:
    line = [sys.executable, str(PEERS / "ours.py"), "futures", how]
    env = {**environment(), "TMPDIR": str(tmp_path)}
    with ServerProcess() as ports, Peer(line, env, os.sched_getaffinity(0)) as peer:
        peer.ask(20, "open", url=f"ws://127.0.0.1:{ports['port']}/v1")
        assert peer.ask(20, "serial", count=3, seconds=20)["count"] == 3
        assert bool(list(tmp_path.rglob("jobs.db"))) == (how == "store")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("kind", ["lean", "default", "socket"])
def test_limits_move_the_same_messages(kind: str, scheme: str, tmp_path: pathlib.Path) -> None:
    with ServerProcess(certify(tmp_path)) as ports, start("bare.py", kind, folder=tmp_path) as peer:
        peer.ask(20, "open", url=f"{scheme}://127.0.0.1:{ports['port' if scheme == 'ws' else 'tls']}/v1")
        assert peer.ask(20, "serial", count=3, seconds=20)["count"] == 3
        assert peer.ask(20, "large", count=2, size=500_000)["wall"] > 0
        assert peer.ask(20, "upload", count=1, size=1_000_000)["wall"] > 0


def test_unsupported_and_failed_work_is_reported() -> None:
    with start("bare.py", "socket") as peer:
        with pytest.raises(CannotError, match="one call at a time"):
            peer.ask(20, "flight", count=1)
        with pytest.raises(PeerError, match="AttributeError"):
            peer.ask(20, "serial", count=1, seconds=1)
        peer.tell("collect")
        peer.hear(20)
        with pytest.raises(PeerError, match="not through"):
            peer.hear(0.05)
        assert not peer.alive
