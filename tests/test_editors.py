"""What editors and documentation tools show of the operations."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runware import AsyncRunware, Runware, requests
from runware.client import Submitter

PROJECT = Path(__file__).parent.parent
FORMS = {"rw": Runware, "rw.aio": AsyncRunware, "rw.submit": Submitter}
MAIN = ["positive_prompt", "model", "width", "height"]


@pytest.fixture(scope="module")
def jedi(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = pytest.importorskip("jedi", reason="jedi is an optional part of the test environment")
    # Not the user's cache, which several processes would write at the same time.
    found.settings.cache_directory = str(tmp_path_factory.mktemp("jedi"))
    return found


class TestJedi:
    @pytest.fixture
    def source(self, jedi: Any) -> Any:
        project = jedi.Project(PROJECT)

        def make(line: str) -> Any:
            return jedi.Script(f"from runware import Runware\nrw = Runware()\n{line}", project=project)

        return make

    @pytest.mark.parametrize("form", FORMS)
    def test_jedi_completes_parameters(self, source: Any, form: str) -> None:
        assert "positive_prompt=" in [one.name for one in source(f"{form}.image_inference(posi").complete()]

    @pytest.mark.parametrize(
        "call",
        [
            "rw.image_inference(positive_prompt='x')[0].",
            "rw.submit.image_inference(positive_prompt='x').result()[0].",
            "async def f():\n    (await rw.aio.image_inference(positive_prompt='x'))[0].",
        ],
    )
    def test_jedi_completes_attributes_of_results(self, source: Any, call: str) -> None:
        assert {"save", "image_url", "seed"} <= {one.name for one in source(call).complete()}

    @pytest.mark.parametrize("form", FORMS)
    def test_jedi_signature_has_the_main_parameters_first(self, source: Any, form: str) -> None:
        [shown] = source(f"{form}.image_inference(").get_signatures()
        assert [one.name for one in shown.params if one.name not in ("self", "*")][:4] == MAIN

    @pytest.mark.parametrize("form", FORMS)
    def test_jedi_hover_shows_the_docstring(self, source: Any, form: str) -> None:
        [shown] = source(f"{form}.image_inference").help()
        words = shown.docstring()
        assert "positive_prompt: What to generate" in words
        assert words.index("positive_prompt:") < words.index("seed_image:") < words.index("retry:")

    @pytest.mark.parametrize("alias", ["request_images", "image_inference"])
    def test_jedi_completes_live_objects(self, jedi: Any, alias: str) -> None:
        rw = Runware("key")
        found = jedi.Interpreter(f"rw.{alias}(posi", [{"rw": rw}]).complete()
        assert "positive_prompt=" in [one.name for one in found]


_ANSWER = 60.0
"""Seconds to wait for a message of the language server."""


class LanguageServer:
    """Pyright's language server, over its standard input and output.

    Args:
        root: The user's project.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._received: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._last = 0
        # In a session of its own, so that its id ends the server together with the interpreter it starts.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pyright.langserver", "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        output = self.process.stdout
        assert output is not None
        length = 0
        for line in output:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif not line.strip() and length:  # not a line of npm, which may fetch the server first
                self._received.put(json.loads(output.read(length)))
        self._received.put(None)

    def send(self, **message: Any) -> None:
        """Write a message."""
        assert self.process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.process.stdin.flush()

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        """Send a request and return its result; `None` once the server has ended."""
        self._last += 1
        with suppress(BrokenPipeError):
            self.send(id=self._last, method=method, params=params)
        while (message := self._received.get(timeout=_ANSWER)) is not None:
            if message.get("id") == self._last and "method" not in message:
                return message["result"]
            if "id" in message:  # a request of the server, such as one for its settings
                items = message.get("params", {}).get("items", ())
                self.send(id=message["id"], result=[None for _ in items] if items else None)
        return None

    def open(self, text: str) -> str:
        """Open a file of the user, and return its URI."""
        file = self.root / "user.py"
        file.write_text(text)
        document = {"uri": file.as_uri(), "languageId": "python", "version": 1, "text": text}
        self.send(method="textDocument/didOpen", params={"textDocument": document})
        return file.as_uri()

    def close(self) -> None:
        """End the server."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        self._reader.join(30)
        for end in (self.process.stdin, self.process.stdout):
            assert end is not None
            with suppress(BrokenPipeError):
                end.close()


@pytest.mark.timeout(150)
@pytest.mark.skipif(os.name == "nt", reason="the server and its interpreter are ended by their session's id")
class TestLanguageServer:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[LanguageServer]:
        if importlib.util.find_spec("pyright") is None:
            pytest.skip("pyright is an optional part of the test environment")
        server = LanguageServer(tmp_path)
        try:
            folder = {"uri": tmp_path.as_uri(), "name": "user"}
            wanted = {"textDocument": {"hover": {"contentFormat": ["plaintext"]}}}
            params = {"processId": None, "rootUri": tmp_path.as_uri(), "workspaceFolders": [folder]}
            try:
                started = server.ask("initialize", {**params, "capabilities": wanted})
            except queue.Empty:  # it is being fetched
                started = None
            if started is None:
                pytest.skip("pyright's language server cannot start: it needs Node.js, or the network to fetch it")
            server.send(method="initialized", params={})
            yield server
        finally:
            server.close()

    @pytest.mark.parametrize("form", FORMS)
    def test_language_server_shows_words_and_the_main_parameters_first(self, server: LanguageServer, form: str) -> None:
        call = f"{form}.image_inference("
        uri = server.open(f"from runware import Runware\n\nrw = Runware()\n{call})\n")
        at = {"textDocument": {"uri": uri}, "position": {"line": 3, "character": len(call) - 2}}
        hover = server.ask("textDocument/hover", at)["contents"]["value"]
        _, _, words = hover.partition("Args:")  # after the signature
        assert words.index("positive_prompt: What to generate") < words.index("seed_image:") < words.index("retry:")

        at["position"] = {"line": 3, "character": len(call)}
        [shown] = server.ask("textDocument/signatureHelp", at)["signatures"]
        labels = [one["label"] for one in shown["parameters"]]
        names = [
            (one if isinstance(one, str) else shown["label"][one[0] : one[1]]).partition(":")[0].strip()
            for one in labels
        ]
        assert [name for name in names if name not in ("*", "/")][:4] == MAIN


def test_griffe_sees_every_method() -> None:
    griffe = pytest.importorskip("griffe", reason="griffe comes with the documentation's tools")
    package = griffe.load("runware", search_paths=[PROJECT], resolve_aliases=True, resolve_external=False)
    for form in FORMS.values():
        seen = package[f"client.{form.__name__}"].all_members
        for name, (request, *aliases) in requests.OPERATIONS.items():
            method = seen[name]
            assert method.is_function
            shown = [one.name for one in method.parameters]
            assert shown == [*inspect.signature(getattr(form, name)).parameters]
            kinds = {part.kind.value for part in method.docstring.parse("google")}
            assert {"text", "parameters", "returns", "raises"} <= kinds
            parts = {part.kind.value: part for part in method.docstring.parse("google")}
            assert [one.name for one in parts["parameters"].value] == [name for name in shown if name != "self"]
            assert all(alias in seen for alias in aliases), request


@pytest.mark.filterwarnings("ignore")  # of Sphinx about its own extensions
def test_sphinx_autodoc_sees_every_method(tmp_path: Path) -> None:
    application = pytest.importorskip("sphinx.application", reason="Sphinx is an optional part of the test environment")
    (tmp_path / "conf.py").write_text("extensions = ['sphinx.ext.autodoc', 'sphinx.ext.napoleon']\n")
    classes = "\n\n".join(
        f".. autoclass:: runware.client.{form.__name__}\n   :members:\n   :inherited-members:"
        for form in FORMS.values()
    )
    (tmp_path / "index.rst").write_text(f"Operations\n==========\n\n{classes}\n")
    out = tmp_path / "out"
    app = application.Sphinx(tmp_path, tmp_path, out, tmp_path / "trees", "text", status=None, warning=None)
    app.build()
    text = (out / "index.txt").read_text()
    for name in requests.OPERATIONS:
        assert text.count(f" {name}(") >= len(FORMS), name
    assert "**positive_prompt**" in text
