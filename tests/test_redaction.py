"""Text from a server in errors and logs: without keys, passwords and media, and unable to forge log lines."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import random
import socket
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from runware import (
    AuthenticationError,
    ConnectionFailedError,
    IncompleteResultsError,
    Runware,
    RunwareError,
    TaskTimeoutError,
    ValidationError,
)
from runware._support.escaping import escape_controls, one_line, plain_word
from runware.errors import error_from_wire
from runware.events import Disconnected
from runware.local import LocalServer
from runware.options import Options
from runware.protocol.redaction import REDACTED, Redactor, secrets_of

from .net import listening, read_head
from .support import A, Desk, image, video

KEY = "rw-4fT9xQ2mZ7pL0vKcB8sN"
PASSWORD = "p@ss/word-91&x"
EVIL = "nope\r\n2026-01-01 ERROR root: all is lost \x1b]0;owned\x07\x9b31m\u202eTXT.exe\u2028end"
FORBIDDEN = ("\r", "\n", "\x1b", "\x07", "\x9b", "\u202e", "\u2028")
PICTURE = base64.b64encode(random.Random(5).randbytes(600)).decode()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Return every line that the package has logged, as it was formatted."""
    caplog.set_level(logging.DEBUG, "runware")
    found: list[str] = []
    yield found
    found += [record.getMessage() for record in caplog.records if not record.name.startswith("runware.local")]


# ---------------------------------------------------------------------- the redactor


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"The key '{KEY}' is not known.",
        f"https://api.example/v1?key={KEY}&x=1",
        KEY.upper(),
        KEY[:10],
        KEY[5:14],
        KEY[-9:],
        f"{KEY}{KEY}",
        f"Basic {base64.b64encode(f'user:{KEY}'.encode()).decode()}",
        *(f"{base64.b64encode(b'x' * shift + KEY.encode() + b'tail').decode()}" for shift in range(3)),
        base64.urlsafe_b64encode(KEY.encode()).decode(),
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
    ],
)
def test_key_is_redacted_in_every_form(text: str) -> None:
    hidden = Redactor([KEY]).hide(text)
    assert REDACTED in hidden
    lowered = hidden.lower()
    for form in (KEY, KEY.encode().hex(), *(base64.b64encode(b"x" * n + KEY.encode()).decode()[4:] for n in range(3))):
        pieces = [form[at : at + 15].lower() for at in range(len(form) - 14)]
        assert not any(piece in lowered for piece in pieces)
    assert not any(KEY[at : at + 8].lower() in lowered for at in range(len(KEY) - 7))


def test_text_around_a_key_is_kept() -> None:
    assert Redactor([KEY]).hide(f"before {KEY} and {KEY[:9]} after") == f"before {REDACTED} and {REDACTED} after"


@pytest.mark.parametrize(
    "text",
    ["", "Invalid API key.", "rw-4fT9...B8sN", "0b5f3c1e-7a52-4c1d-9a40-6d1f2b8e0a01", "imageInference", "İ" * 20],
)
def test_other_text_is_left_alone(text: str) -> None:
    assert Redactor([KEY]).hide(text) == text
    assert Redactor().hide(text) == text


def test_short_secret_does_not_redact_ordinary_words() -> None:
    redactor = Redactor(["key", "none"])
    assert redactor.clean({"message": "no key, none at all"}) == {"message": "no key, none at all"}
    assert Redactor(["rw-key"]).hide("Bearer rw-key.") == f"Bearer {REDACTED}."


def test_keys_of_earlier_connections_are_remembered_and_bounded() -> None:
    redactor = Redactor([PASSWORD])
    keys = [f"{number}x{random.Random(number).randbytes(12).hex()}" for number in range(40)]
    for key in keys:
        redactor.add(key)
        redactor.add(key)
    assert redactor.hide(keys[-1]) == redactor.hide(keys[-5]) == REDACTED
    assert redactor.hide(keys[0]) == keys[0]
    assert redactor.hide(PASSWORD) == REDACTED


def test_proxy_password_is_a_secret() -> None:
    proxy = f"http://me:{quote(PASSWORD, safe='')}@127.0.0.1:3128"
    for options in (
        Options(api_key=KEY, url="wss://a.example", proxy=proxy),
        Options(api_key=KEY, url="wss://a.example", environment={"HTTPS_PROXY": proxy}),
    ):
        assert secrets_of(options) == [KEY, PASSWORD]
    assert secrets_of(Options(api_key=lambda: KEY, url="wss://a.example", proxy="")) == []
    redactor = Redactor([PASSWORD])
    encoded = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    for text in (PASSWORD, quote(PASSWORD, safe=""), f"Basic {encoded}"):
        assert PASSWORD not in (hidden := redactor.hide(text))
        assert REDACTED in hidden


def test_media_in_errors_are_replaced_by_their_length() -> None:
    redactor = Redactor([KEY])
    uri = f"data:image/png;base64,{PICTURE}"
    url = "https://im.runware.ai/" + "a/very-long_path" * 20
    assert redactor.clean({"message": f"Bad image '{uri}', see {url}."})["message"] == (
        f"Bad image '<data URI of length {len(uri)}>', see {url}."
    )
    assert redactor.clean([{"value": [PICTURE]}]) == [{"value": [f"<base64 of length {len(PICTURE)}>"]}]
    assert redactor.clean("data:image/png;base64,iVBORw0K") == "<data URI of length 30>"
    assert redactor.clean(PICTURE[:40]) == PICTURE[:40]
    escaped = PICTURE.replace("/", "\\/").replace("+", "%2B")
    assert PICTURE[100:130] not in redactor.clean(f"it is {escaped}")


def test_long_and_deep_errors_are_bounded() -> None:
    redactor = Redactor([KEY])
    cleaned = redactor.clean({"message": "word " * 100_000})["message"]
    assert len(cleaned) < 4200
    assert cleaned.endswith("(500000 characters)")
    deep: Any = KEY
    for _ in range(500):
        deep = [deep]
    assert KEY not in json.dumps(redactor.clean({"value": deep}))
    assert redactor.clean({"a": 1, "b": None, "c": [True, 2.5]}) == {"a": 1, "b": None, "c": [True, 2.5]}
    assert redactor.clean({KEY: 1}) == {REDACTED: 1}


# ---------------------------------------------------------------------- escaping


def test_control_characters_are_escaped() -> None:
    assert escape_controls("a\tb\nc\r\nd \x1b[31m\x9b \u202e \x00 \ud800") == (
        "a\tb\nc\nd \\x1b[31m\\x9b \\u202e \\x00 \\ud800"
    )
    assert one_line("a\tb\nc\r\u2028") == "a\\tb\\nc\\r\\u2028"
    assert one_line("x" * 2000) == "x" * 1000 + "... (2000 characters)"
    for text in ("plain", "ünïcode 漢字　空", "👩‍🚀", "a\u00a0b"):
        assert escape_controls(text) == one_line(text) == text


def test_only_plain_words_of_the_server_are_logged() -> None:
    for word in ("invalidApiKey", A, "runware:101@1", "3dInference"):
        assert plain_word(word) == word
    assert plain_word("a lighthouse at dusk") == "<str of length 20>"
    assert plain_word("x" * 101) == "<str of length 101>"
    assert plain_word({"a": 1}) == "<dict>"
    assert plain_word(None) == "<NoneType>"


def test_error_contains_no_terminal_sequences() -> None:
    raw = {"code": EVIL, "message": EVIL, "parameter": [EVIL, "width"], "taskType": EVIL, "taskUUID": EVIL}
    error = error_from_wire({**raw, "documentation": f"https://x/{EVIL}"})
    for one in (error, pickle.loads(pickle.dumps(error))):
        said = [str(one), one.code, *one.parameter, one.task_type, one.task_uuid, one.documentation]
        assert not [mark for mark in FORBIDDEN for text in said if mark in text]
        assert one.message.startswith("nope\n2026-01-01")  # line feeds belong to the message itself
        assert not [mark for mark in FORBIDDEN[2:] if mark in one.message]
    assert str(RunwareError("one\n\ttwo")) == "one two"
    assert error_from_wire({"code": "invalidWidth", "message": "a"}).code == "invalidWidth"


def test_documentation_must_be_an_http_url() -> None:
    def documentation(given: Any) -> str | None:
        return error_from_wire({"code": "x", "message": "y", "documentation": given}).documentation

    assert documentation("https://runware.ai/docs#x") == "https://runware.ai/docs#x"
    for given in ("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "", 7, None):
        assert documentation(given) is None


def test_message_and_lists_of_an_error_are_bounded() -> None:
    error = error_from_wire({"code": "c" * 9000, "message": ["x" * 9000], "parameter": ["p" * 9000] * 9000})
    assert len(error.message) < 5100
    assert error.code is not None
    assert len(error.code) < 300
    assert len(str(error)) < 40_000


# ---------------------------------------------------------------------- the session


def leaks(error: BaseException) -> bool:
    told = [str(error), repr(error), repr(error.args), repr(vars(error)), pickle.dumps(error).decode("latin-1")]
    told += map(repr, getattr(error, "errors", ()))
    return any(KEY[at : at + 8] in text for text in told for at in range(len(KEY) - 7))


def opened(**config: Any) -> Desk:
    desk = Desk(**config)
    desk.session.redactor.add(KEY)
    return desk


ECHO = {"message": f"The key {KEY} may not.", "documentation": f"https://x/?k={KEY}", "parameter": KEY, "got": [KEY]}


def failed(desk: Desk, call: Any) -> RunwareError:
    error = desk.ended[call]
    assert error is not None
    return error


@pytest.mark.parametrize("shape", ["errors", "error", "in a list"])
def test_error_of_a_task_does_not_hold_the_key(shape: str) -> None:
    desk = opened()
    call = desk.submit(A)
    desk.ready()
    error = {"code": "invalidWidth", "taskUUID": A, **ECHO}
    desk.receive({"errors": {"errors": [error]}, "error": {"error": error}, "in a list": [{"errors": [error]}]}[shape])
    assert isinstance(failed(desk, call), ValidationError)
    assert failed(desk, call).raw["got"] == [REDACTED]
    assert not leaks(failed(desk, call))


def test_rejection_of_the_key_does_not_hold_it() -> None:
    desk = opened()
    call = desk.submit(A)
    desk.open()
    desk.receive({"errors": [{"code": "invalidApiKey", **ECHO}]})
    assert isinstance(failed(desk, call), AuthenticationError)
    assert not leaks(failed(desk, call))


def test_error_of_an_item_does_not_hold_the_key() -> None:
    desk = opened()
    call = desk.submit(A, task_type="videoInference", body={"deliveryMethod": "async", "numberResults": 2}, expected=2)
    desk.ready()
    error = {"code": "invalidSeed", **ECHO}
    kind = {"taskType": "videoInference", "taskUUID": A}
    desk.receive({"data": [kind]})
    desk.pass_time(3.0)
    desk.receive({"data": [video(), {**kind, "status": "error", "error": error}]})
    assert isinstance(failed(desk, call), IncompleteResultsError)
    assert not leaks(failed(desk, call))


@pytest.mark.parametrize("more", [{"status": "failed"}, {"status": "error", "error": f"{KEY} no"}, {"error": KEY}])
def test_item_that_failed_does_not_hold_the_key(more: dict[str, Any]) -> None:
    desk = opened()
    call = desk.submit(A, task_type="videoInference", body={"deliveryMethod": "async"})
    desk.ready()
    kind = {"taskType": "videoInference", "taskUUID": A}
    desk.receive({"data": [kind]})
    desk.pass_time(3.0)
    desk.receive({"data": [{**kind, "message": f"no {KEY}", "input": PICTURE, **more}]})
    assert not leaks(failed(desk, call))
    assert failed(desk, call).message == f"no {REDACTED}"
    assert PICTURE not in repr(failed(desk, call).raw)


def test_details_of_a_task_do_not_hold_the_key() -> None:
    desk = opened()
    call = desk.submit(A)
    desk.ready()
    desk.lose()
    desk.ready()
    desk.receive({"data": []})  # an empty response; the details are looked up
    desk.pass_time(1.0)
    error = {"code": "invalidSeed", **ECHO}
    found = {"request": [{"apiKey": KEY, "positivePrompt": "x"}], "response": {"errors": [error], "data": []}}
    items = [{"taskType": "getTaskDetails", "taskUUID": A, **found}]
    desk.session.redactor.clean_frame(items, [])
    assert KEY not in repr(items)
    assert items[0]["request"] == [{"apiKey": REDACTED, "positivePrompt": "x"}]
    desk.receive({"data": [{"taskType": "getTaskDetails", "taskUUID": A, **found}]})
    desk.pass_time(60.0)
    assert not leaks(failed(desk, call))


def test_results_are_left_unchanged() -> None:
    desk = opened()
    call = desk.submit(A)
    desk.ready()
    item = image(A, imageBase64Data=PICTURE, positivePrompt=KEY)
    desk.receive({"data": [item]})
    assert call.items == [item]


def test_key_of_each_connection_is_redacted() -> None:
    desk = Desk()
    call = desk.submit(A)
    desk.session.connection_opened(desk.session.epoch, KEY, desk.now)
    desk.perform()
    desk.accept_key()
    desk.lose()
    desk.ready()  # with another key
    desk.receive({"errors": [{"code": "invalidWidth", "taskUUID": A, "message": f"not {KEY}, not rw-test-key"}]})
    assert failed(desk, call).message == f"not {REDACTED}, not {REDACTED}"


def test_text_of_the_server_forges_no_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "runware")
    desk = opened(events=True)
    call = desk.submit(A)
    desk.open()
    desk.receive({"errors": [{"code": EVIL, "message": f"{EVIL} a clandestine prompt {KEY}"}]})  # no authentication
    desk.ready()
    desk.receive({"errors": [{"code": EVIL, "message": EVIL, "taskUUID": EVIL}, {"code": KEY, "taskUUID": KEY}]})
    desk.receive({"data": [{"taskType": EVIL, "taskUUID": EVIL}, {"taskType": {KEY: 1}, "taskUUID": KEY}]})
    desk.receive({"errors": [{"code": EVIL, "message": EVIL, "taskUUID": A, "status": "error"}]})
    desk.lose(EVIL)
    desk.fail_dial(ConnectionFailedError(f"the proxy said {EVIL}", stage="proxy", host=EVIL))
    desk.close()
    said = [record.getMessage() for record in caplog.records] + [str(event) for event in desk.happened]
    assert len(said) > 8
    for text in said:
        assert not [mark for mark in FORBIDDEN if mark in text], text
        assert KEY not in text
        assert "clandestine" not in text
    reasons = [event.reason for event in desk.happened if isinstance(event, Disconnected)]
    assert reasons[0].startswith("the server answered <str of length")
    assert call in desk.ended


def test_unassigned_error_in_a_timeout_is_harmless() -> None:
    desk = opened()
    call = desk.submit(A, timeout=5.0)
    desk.ready()
    desk.receive({"errors": [{"code": EVIL, "message": EVIL}]})
    desk.pass_time(6.0)
    error = failed(desk, call)
    assert isinstance(error, TaskTimeoutError)
    assert not [mark for mark in FORBIDDEN if mark in str(error)]


# ---------------------------------------------------------------------- a client


def echoing(server: LocalServer) -> None:
    """Repeat the connection's key in every error."""

    def script(task: dict[str, Any]) -> list[Any] | None:
        if task["taskType"] != "imageInference":
            return None
        error = {"code": "invalidWidth", "message": f"{KEY}: {task['seedImage']}", "taskUUID": task["taskUUID"]}
        return [{"errors": [{**error, "headers": {"Authorization": f"Bearer {KEY}"}}]}]

    server.script(script)


@pytest.mark.parametrize("key", [KEY, lambda: KEY], ids=["text", "function"])
def test_client_hides_a_key_that_the_server_repeats(key: Any) -> None:
    with LocalServer(api_key=KEY) as server, Runware(key, url=server.url, max_retries=0) as rw:
        echoing(server)
        with pytest.raises(ValidationError) as caught:
            rw.image_inference(positive_prompt="x y", model="runware:101@1", seed_image=PICTURE)
    assert not leaks(caught.value)
    assert caught.value.message == f"{REDACTED}: <base64 of length {len(PICTURE)}>"
    assert KEY not in "".join(traceback.format_exception(caught.value))


def refused(url: str, **options: Any) -> ConnectionFailedError:
    rw = Runware(KEY, url=url, max_retries=0, **options)
    try:
        with pytest.raises(ConnectionFailedError) as caught:
            rw.connect()
    finally:
        rw.close()
    return caught.value


@pytest.mark.parametrize("status", ["407 no", "502 no", "302 no"])
def test_proxy_that_repeats_its_password_leaks_nothing(status: str, lines: list[str]) -> None:
    basic = base64.b64encode(f"me:{PASSWORD}".encode()).decode()

    def refuse(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(f"HTTP/1.1 {status} {PASSWORD} {basic} \x1b[31m\x9b\r\n\r\n".encode("latin-1"))

    heard: list[str] = []
    with listening(refuse) as port:
        proxy = f"http://me:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
        error = refused("wss://api.example/v1", proxy=proxy, on_event=lambda event: heard.append(str(event)))
    for text in ("".join(traceback.format_exception(error)), *lines, *heard):
        assert PASSWORD not in text
        assert basic[6:20] not in text
        assert "\x1b" not in text
        assert "\x9b" not in text


def test_refused_upgrade_logs_no_terminal_sequences() -> None:
    def refuse(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall("HTTP/1.1 404 \x1b[31mred\x9b\r\nX: \x1b]0;x\x07\r\nContent-Length: 3\r\n\r\n\x1b[m".encode())

    with listening(refuse) as port:
        text = "".join(traceback.format_exception(refused(f"ws://127.0.0.1:{port}")))
    assert "404" in text
    assert "\nX:" not in text
    assert not [mark for mark in ("\x1b", "\x9b", "\x07") if mark in text]
