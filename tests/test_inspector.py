"""The inspector of the local server: what its page may do, and the page in a browser."""

from __future__ import annotations

import http.client
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any, Self

import pytest

from runware import Runware, RunwareError
from runware.local import FAULTS, LocalServer

from .browser import CHROMIUM, Page, open_browser

MODEL = {"model": "runware:101@1", "width": 512, "height": 512}
FOLDER = pathlib.Path(__file__).parent.parent / "runware" / "local" / "page"


def ask(
    server: LocalServer, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, None if body is None else json.dumps(body), named)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, text, reply.headers


def act(server: LocalServer, do: str, what: str = "", **headers: str) -> tuple[int, str]:
    headers = {"Content_Type": "application/json", **headers}
    return ask(server, "POST", "/inspector/action", {"do": do, "what": what}, **headers)[:2]


class Events:
    """The server-sent events of the page."""

    def __init__(self, server: LocalServer) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        self._connection.request("GET", "/inspector/events")
        self._reply = self._connection.getresponse()
        assert self._reply.status == 200

    def next(self, wanted: str) -> Any:
        """Return the next event with a name."""
        name = ""
        while True:
            line = self._reply.readline().decode().strip()
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if line.startswith("data: ") and name == wanted:
                return json.loads(line.removeprefix("data: "))

    def task(self, status: str) -> Any:
        """Return the first task that is sent with a status."""
        while True:
            for task in self.next("tasks")["changed"]:
                if task["status"] == status:
                    return task

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reply.close()
        self._connection.close()


def test_browsers_get_the_page_and_programs_a_line_of_text(server: LocalServer) -> None:
    for path in ("/", "/inspector"):
        status, text, headers = ask(server, "GET", path, Accept="text/html,application/xhtml+xml,*/*;q=0.8")
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "<title>Runware local server</title>" in text
    assert server.inspector_url == f"{server.http_url}/inspector"
    assert ask(server, "GET", "/")[1].startswith("A Runware API server")


def test_page_needs_no_network_and_runs_no_script_but_its_own(server: LocalServer) -> None:
    page = (FOLDER / "inspector.html").read_text()
    used = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert used
    for path in used:
        assert ask(server, "GET", path)[0] == 200
    for file in FOLDER.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|document\.write|eval\(", text), file
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=", page)
    policy = ask(server, "GET", "/inspector")[2]["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_files_of_clients_run_no_script_with_the_origin_of_the_page(server: LocalServer, rw: Runware) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>fetch("/inspector/action")</script></svg>' + b" " * 99
    server.respond("vectorize", file=svg)
    (drawn,) = rw.image_inference(positive_prompt="a kite", **MODEL)
    image = rw.vectorize(model="recraft:1@1", inputs={"image": drawn.url})
    assert image.url is not None
    paths = [image.url.removeprefix(server.http_url)]
    with Events(server) as events:
        paths += [file["path"] for task in events.next("tasks")["changed"] for one in task["results"]
                  for file in one["media"] if file["format"] == "svg"]  # fmt: skip
    assert len(paths) == 2
    for path in paths:
        status, text, headers = ask(server, "GET", path)
        assert (status, headers["Content-Type"], "<script>" in text) == (200, "image/svg+xml", True)
        assert headers["Content-Security-Policy"].startswith("sandbox; script-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_foreign_pages_are_refused(server: LocalServer, headers: dict[str, str]) -> None:
    assert act(server, "play", "X6", **headers)[0] == 403
    assert ask(server, "GET", "/inspector/events", **headers)[0] == 403
    assert ask(server, "GET", "/inspector/media/x", **headers)[0] == 403
    assert not server.faults.playing


def test_html_form_of_a_foreign_page_cannot_act(server: LocalServer) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert act(server, "play", "X6", Content_Type=kind)[0] == 403
    assert ask(server, "GET", "/inspector/action")[0] == 405
    assert ask(server, "POST", "/inspector/events")[0] == 405
    assert not server.faults.playing


def test_actions_switch_faults_on_and_off(server: LocalServer) -> None:
    assert act(server, "play", "X6:replay=all,times=3") == (200, '{"error":""}')
    assert act(server, "play", "duplicate_webhooks:")[0] == 200
    first, second = server.faults.playing
    assert (first.parameters["replay"], first.times, second.name) == ("all", 3, "W1")
    assert act(server, "stop", "X6")[0] == 200
    assert server.faults.playing == (second,)
    assert act(server, "stop")[0] == 200
    assert not server.faults.playing


@pytest.mark.parametrize(
    ("do", "what", "message"),
    [
        ("play", "X99", "unknown fault"),
        ("play", "X6:replay", "NAME=VALUE"),
        ("play", "X6:color=red", "no parameter 'color'"),
        ("play", "X6:times=often", "times of fault X6 must be"),
        ("play", "X17:after=soon", "after of fault X17 must be a number"),
        ("explode", "", "no such action"),
    ],
)
def test_wrong_actions_are_refused_with_a_reason(server: LocalServer, do: str, what: str, message: str) -> None:
    status, text = act(server, do, what)
    assert status == 400
    assert message in json.loads(text)["error"]
    for body in ([], {}, {"do": []}, "x"):
        assert ask(server, "POST", "/inspector/action", body, Content_Type="application/json")[0] == 400


def test_events_have_every_state_of_a_task(server: LocalServer, rw: Runware) -> None:
    server.configure(frame_size=1)
    with Events(server) as events, server.hold():
        assert [fault["alias"] for fault in events.next("faults")] == [fault.alias for fault in FAULTS.values()]
        job = rw.submit.image_inference(positive_prompt="a kite", number_results=2, include_cost=True, **MODEL)
        running = events.task("running")
        assert (running["type"], running["prompt"], running["expected"]) == ("imageInference", "a kite", 2)
        assert running["results"] == []
        server.ledger.wait_for(lambda ledger: ledger.held == 2)
        server.release(1)
        (first,) = events.task("running")["results"]
        status, _, headers = ask_bytes(server, first["media"][0]["path"])
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        assert server.ledger.media_requests == 0, "the page is no client"
        server.release()
        done = events.task("done")
    assert len(job.result()) == len(done["results"]) == 2
    assert done["cost"] == server.ledger.billed
    assert done["request"]["width"] == 512


def ask_bytes(server: LocalServer, path: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, body, reply.headers


def test_events_have_errors_and_chats(server: LocalServer, rw: Runware) -> None:
    with Events(server) as events:
        with pytest.raises(RunwareError):
            rw.image_inference(positive_prompt="[error:invalidModel]", **MODEL)
        assert events.task("rejected")["errors"][0]["code"] == "invalidModel"
        with pytest.raises(RunwareError):
            rw.image_inference(positive_prompt="[provider-error]", retry=0, **MODEL)
        assert events.task("failed")["errors"][0]["code"] == "providerInternalError"
        rw.chat("google-gemma-4-31b").send("What is 2+2?")
        assert events.task("done")["type"] == "chat"


def test_events_have_webhooks(server: LocalServer, rw: Runware) -> None:
    server.configure(webhook_tries=1)
    with Events(server) as events:
        rw.image_inference(positive_prompt="a kite", webhook_url="http://127.0.0.1:9/hook", **MODEL)
        while not (found := events.task("done")["deliveries"]) or not found[0]["statuses"]:
            pass
    assert found[0]["url"] == "http://127.0.0.1:9/hook"
    assert not found[0]["ok"]


def test_long_values_are_cut_and_the_key_is_absent(server: LocalServer, rw: Runware) -> None:
    with Events(server) as events:
        assert events.next("server")["key"] is None, "somebody chose this key"
        rw.image_inference(positive_prompt="a kite", output_type="base64Data", **MODEL)
        done = events.task("done")
        assert len(json.dumps(done)) < 2000
        assert "characters)" in done["results"][0]["fields"]["imageBase64Data"]
        assert server.api_key not in json.dumps([request.task for request in server.ledger.requests])
    with LocalServer() as other, Events(other) as events:
        assert events.next("server")["key"] == other.api_key


def test_forgotten_tasks_leave_the_page(server: LocalServer, rw: Runware) -> None:
    with Events(server) as events:
        rw.image_inference(positive_prompt="a kite", **MODEL)
        number = events.task("done")["number"]
        server.forget()
        assert number in events.next("tasks")["gone"]


def test_server_stops_while_a_page_is_open(rw: Runware, server: LocalServer) -> None:
    with Events(server) as events:
        events.next("server")
        server.stop()
        assert not server.ledger.errors


# In a browser.


@pytest.fixture
def page(tmp_path: pathlib.Path, server: LocalServer) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with open_browser(tmp_path / "profile") as page:
        page.open(f"{server.http_url}/")
        page.until('document.getElementById("live").textContent === "live"')
        page.until('document.querySelectorAll("#faults > li").length')
        yield page
        assert page.messages == []


def test_image_appears_while_the_task_runs(server: LocalServer, rw: Runware, page: Page) -> None:
    server.configure(frame_size=1)
    loaded = '[...document.querySelectorAll(".thumbs img")].filter((one) => one.naturalWidth === 512).length'
    status = 'document.querySelector(".task .status").textContent'
    with server.hold():
        job = rw.submit.image_inference(positive_prompt="a kite <b>&amp;", number_results=2, **MODEL)
        page.until(f'{status} === "running"')
        server.ledger.wait_for(lambda ledger: ledger.held == 2)
        server.release(1)
        page.until(f"{loaded} === 1")
        assert page.evaluate(status) == "running"
        assert not job.done()
    page.until(f'{status} === "done" && {loaded} === 2')
    assert len(job.result()) == 2
    assert page.evaluate('document.querySelector(".task .prompt").textContent') == "a kite <b>&amp;"
    assert page.evaluate('document.querySelector("[data-counter=results]").textContent') == "2"


def test_next_call_survives_a_fault_that_a_click_switches_on(server: LocalServer, rw: Runware, page: Page) -> None:
    rw.connect()
    page.until('document.querySelectorAll("#connections li").length === 1')
    page.click('#faults > li[data-fault="X6"] button')
    page.until('document.querySelector("#on button")?.textContent.startsWith("drop_between_results")')
    assert [fault.name for fault in server.faults.playing] == ["X6"]
    server.configure(frame_size=1)
    assert len(rw.image_inference(positive_prompt="a kite", number_results=3, **MODEL)) == 3
    assert server.ledger.faults == ["X6"]
    assert server.ledger.resumes == 1
    page.until('document.querySelectorAll("#on button").length === 0')
    page.until('document.querySelector(".task .status").textContent === "done"')
    assert page.evaluate('document.querySelector(".task .small").textContent').startswith("3 of 3, $")


def test_fault_is_switched_on_and_off_by_keyboard_with_parameters(server: LocalServer, page: Page) -> None:
    page.evaluate('document.querySelector(\'#faults > li[data-fault="X6"] input[name="times"]\').value = "5"')
    page.evaluate("document.querySelector('#faults > li[data-fault=\"X5\"] select:last-of-type').focus()")
    focused = 'document.activeElement.closest("li")?.dataset.fault + document.activeElement.tagName'
    while page.evaluate(focused) != "X6BUTTON":
        page.press("Tab")
    page.press("Enter")
    page.until('document.querySelectorAll("#on button").length === 1')
    assert [(fault.name, fault.times) for fault in server.faults.playing] == [("X6", 5)]
    assert page.evaluate('document.activeElement.getAttribute("aria-pressed")') == "true"
    page.press(" ")
    page.until('document.querySelectorAll("#on button").length === 0')
    assert not server.faults.playing


def test_wrong_parameter_is_explained_on_the_page(server: LocalServer, page: Page) -> None:
    page.evaluate('document.querySelector(\'#faults > li[data-fault="X17"] input\').value = "soon"')
    page.click('#faults > li[data-fault="X17"] button')
    page.until('document.getElementById("problem").textContent.includes("must be a number")')
    page.messages.clear()  # the browser logs the refusal
    assert not server.faults.playing


def test_results_are_held_and_connections_dropped_by_click(server: LocalServer, rw: Runware, page: Page) -> None:
    page.click("#hold")
    page.until('document.getElementById("hold").getAttribute("aria-pressed") === "true"')
    job = rw.submit.image_inference(positive_prompt="a kite", **MODEL)
    page.until('document.getElementById("hold").textContent === "Release 1 held"')
    page.click("#drop")
    server.ledger.wait_for(lambda ledger: ledger.resumes == 1)
    page.click("#hold")
    assert len(job.result()) == 1
    page.until(
        'document.getElementById("hold").getAttribute("aria-pressed") === "false"'
    )  # else a click releases again
    page.click("#hold")
    page.until('document.getElementById("hold").getAttribute("aria-pressed") === "true"')
    server.release()  # by the program, which ends every hold
    page.until('document.getElementById("hold").getAttribute("aria-pressed") === "false"')


def test_details_and_theme_and_filter(server: LocalServer, rw: Runware, page: Page) -> None:
    rw.image_inference(positive_prompt="a kite", **MODEL)
    rw.text_inference(model="google:gemma@4-31b", messages=[{"role": "user", "content": "hello"}])
    page.until('document.querySelectorAll(".task").length === 2')
    page.click(".task:last-child summary")
    page.until('document.querySelector(".task:last-child pre").textContent.includes("positivePrompt")')
    before = page.evaluate("document.documentElement.dataset.theme")
    page.click("#theme")
    assert {before, page.evaluate("document.documentElement.dataset.theme")} == {"light", "dark"}
    page.evaluate('(() => { const one = document.getElementById("filter"); one.value = "text gemma";'
                  ' one.dispatchEvent(new Event("input")); })()')  # fmt: skip
    visible = '[...document.querySelectorAll(".task:not([hidden]) b")].map((one) => one.textContent).join()'
    assert page.evaluate(visible) == "textInference"
    page.click("#clear")
    page.until('!document.getElementById("none").hidden')


def test_export_lines_are_copyable(server: LocalServer, page: Page) -> None:
    text = page.evaluate('document.getElementById("connect").textContent')
    assert text == f"export RUNWARE_API_KEY=the-key-of-this-server\nexport RUNWARE_URL={server.url}"
    page.command("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.click("#copy")
    page.until('document.getElementById("copy").textContent === "Copied"')
    assert page.evaluate("navigator.clipboard.readText()") == text


def test_page_comes_back_with_the_server(rw: Runware, server: LocalServer, page: Page) -> None:
    rw.image_inference(positive_prompt="a kite", **MODEL)
    page.until('document.querySelectorAll(".task").length === 1')
    server.stop()
    page.until('document.getElementById("live").dataset.state === "lost"')
    server.start()
    page.until('document.getElementById("live").dataset.state === "live"')
    page.until('document.querySelectorAll(".task").length === 1')
    page.messages.clear()  # the browser logs the lost connection
