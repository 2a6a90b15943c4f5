"""Test the gallery in a headless Chromium: fill in the form, wait for the images, take a screenshot.

python examples/django_gallery/drive.py

It serves the project three times (runserver, gunicorn --preload with two workers, uvicorn), against a local Runware
server. Chromium is Debian's package `chromium`; the script uses its debugging protocol.
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
        port_file = pathlib.Path(profile, "DevToolsActivePort")
        wait_for(lambda: port_file.exists() and port_file.read_text().count("\n") >= 1)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as answer:
            page = next(one for one in json.load(answer) if one["type"] == "page")
        self._socket = websocket.create_connection(
            page["webSocketDebuggerUrl"], suppress_origin=True, timeout=30, skip_utf8_validation=True
        )
        self._number = 0

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the debugging protocol."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._number:
                return answer.get("result")

    def run(self, script: str) -> Any:
        """Run a script in the page, and return its value."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer.get("result", {}).get("value")

    def open(self, url: str) -> None:
        """Open a URL."""
        self.call("Page.navigate", url=url)
        wait_for(lambda: self.run("document.readyState") == "complete" and self.run("location.href") == url)

    def screenshot(self, path: pathlib.Path) -> None:
        """Save a screenshot of the page."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End Chromium."""
        self._socket.close()
        self._process.terminate()
        self._process.wait(20)


def wait_for(ready: Any, timeout: float = 40.0) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit("it took too long")
        time.sleep(0.05)


@contextlib.contextmanager
def served(arguments: list[str], environment: dict[str, str]) -> Iterator[str]:
    """Run a web server during a `with` block, and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *(argument.format(port=port) for argument in arguments)],
        cwd=HERE, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}/"

    def answers() -> bool:
        if process.poll() is not None:
            raise SystemExit(f"the web server ended with {process.returncode}: {' '.join(arguments)}")
        try:
            with urllib.request.urlopen(url, timeout=10):
                return True
        except urllib.error.URLError:
            return False

    try:
        wait_for(answers)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def visit(browser: Browser, url: str, prompt: str) -> str:
    """Request two images and wait until the page shows them; return the text of its footer."""
    browser.open(url)
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
            with LocalServer(delay=0.2) as server, tempfile.TemporaryDirectory() as images:
                environment = {
                    **os.environ,
                    "PYTHONPATH": str(PROJECT),
                    "RUNWARE_API_KEY": server.api_key,
                    "RUNWARE_URL": server.url,
                    "GALLERY_IMAGES": images,
                }
                with served(SERVERS[name], environment) as url:
                    feet = [
                        visit(browser, url + path, f"a red kite over the {place}, for /{path}")
                        for place in ("sea", "hills", "town")
                        for path in ("", "async/")
                    ]
                    browser.screenshot(options.out / f"{name}.png")
                ledger = server.ledger
                made, billed = ledger.results_by_prompt(), set(ledger.executions_by_prompt().values())
                print(f"{name}: {sum(made.values())} images, {len(set(feet))} kinds of page, ", end="")
                print(f"{ledger.connections} connections; each prompt was billed {billed} times")


if __name__ == "__main__":
    main()
