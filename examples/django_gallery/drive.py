"""Use the gallery as a visitor would: fill in the form in a headless Chromium, see the pictures, take a screenshot.

python examples/django_gallery/drive.py

It serves the project three times (runserver, gunicorn --preload with two workers, uvicorn), against a Runware server on
this machine. Chromium is Debian's package `chromium`; it is spoken to over its own debugging protocol.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import websocket

from runware.local import LocalServer

HERE = pathlib.Path(__file__).parent
PROJECT = HERE.parent.parent
SERVERS = {
    "runserver": ["manage.py", "runserver", "--noreload", "127.0.0.1:{port}"],
    "gunicorn": ["-m", "gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:{port}", "gallery.wsgi"],
    "uvicorn": ["-m", "uvicorn", "--port", "{port}", "--log-level", "error", "gallery.asgi:application"],
}
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --window-size=1000,900 --remote-debugging-port=0"
)


class Browser:
    """A page in a headless Chromium."""

    def __init__(self, profile: str) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if program is None:
            raise SystemExit("This needs Chromium: apt-get install chromium")
        self._process = subprocess.Popen(
            [program, *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.DEVNULL
        )
        told = pathlib.Path(profile, "DevToolsActivePort")
        wait_for(lambda: told.exists() and told.read_text().count("\n") >= 1)
        port = told.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as answer:
            page = next(one for one in json.load(answer) if one["type"] == "page")
        self._socket = websocket.create_connection(
            page["webSocketDebuggerUrl"], suppress_origin=True, timeout=30, skip_utf8_validation=True
        )
        self._number = 0

    def call(self, method: str, **parameters: Any) -> Any:
        """Ask Chromium for something."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._number:
                return answer.get("result")

    def run(self, script: str) -> Any:
        """Run a script in the page, and give what it gives."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer.get("result", {}).get("value")

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)
        wait_for(lambda: self.run("document.readyState") == "complete" and self.run("location.href") == url)

    def screenshot(self, path: pathlib.Path) -> None:
        """Save what the page looks like."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End Chromium."""
        self._socket.close()
        self._process.terminate()
        self._process.wait(20)


def wait_for(ready: Any, timeout: float = 40.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit("it took too long")
        time.sleep(0.05)


@contextlib.contextmanager
def served(arguments: list[str], environment: dict[str, str]) -> Iterator[str]:
    """Run a web server for the length of a `with` block, and give its address."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *(argument.format(port=port) for argument in arguments)],
        cwd=HERE, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}/"

    def answers() -> bool:
        if process.poll() is not None:
            raise SystemExit(f"the web server ended with {process.returncode}: {' '.join(arguments)}")
        try:
            with urllib.request.urlopen(address, timeout=10):
                return True
        except urllib.error.URLError:
            return False

    try:
        wait_for(answers)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def visit(browser: Browser, address: str, prompt: str) -> str:
    """Ask for two pictures and wait until they are on the page; give what its foot says."""
    browser.open(address)
    before = browser.run("document.images.length")
    browser.run(f"document.forms[0].prompt.value = {json.dumps(prompt)}; document.forms[0].number.value = 2;")
    browser.run("document.title = 'before'; document.forms[0].querySelector('button').click()")
    seen = "document.title == 'Gallery' && [...document.images].filter(one => one.complete && one.naturalWidth).length"
    wait_for(lambda: browser.run(seen) == before + 2)
    return str(browser.run("document.querySelector('footer').innerText"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Use the gallery with a headless Chromium.")
    parser.add_argument("servers", nargs="*", default=list(SERVERS), help=f"of {', '.join(SERVERS)} (default: all)")
    parser.add_argument("-o", "--out", default="screenshots", type=pathlib.Path, help="directory for the screenshots")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        browser = Browser(profile)
        stack.callback(browser.close)
        for name in options.servers:
            with LocalServer(delay=0.2) as server, tempfile.TemporaryDirectory() as pictures:
                environment = {
                    **os.environ,
                    "PYTHONPATH": str(PROJECT),
                    "RUNWARE_API_KEY": server.api_key,
                    "RUNWARE_URL": server.url,
                    "GALLERY_PICTURES": pictures,
                }
                with served(SERVERS[name], environment) as address:
                    feet = [
                        visit(browser, address + path, f"a red kite over the {place}, for /{path}")
                        for place in ("sea", "hills", "town")
                        for path in ("", "async/")
                    ]
                    browser.screenshot(options.out / f"{name}.png")
                ledger = server.ledger
                made, billed = ledger.results_by_prompt(), set(ledger.executions_by_prompt().values())
                print(f"{name}: {sum(made.values())} pictures, {len(set(feet))} kinds of page, ", end="")
                print(f"{ledger.connections} connections; each prompt was billed {billed} times")


if __name__ == "__main__":
    main()
