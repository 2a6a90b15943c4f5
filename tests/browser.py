"""A headless Chromium, driven through its DevTools protocol; its pages may open loopback addresses only."""

from __future__ import annotations

import base64
import json
import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

_OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--disable-extensions", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0", "--log-level=3",
]  # fmt: skip
_TIMEOUT = 30.0

# Resolves when an expression becomes true: at once, or at a change of the document or when an image has loaded.
_UNTIL = """
new Promise((resolve) => {
  const check = () => {
    const value = (() => { try { return (%s); } catch { return null; } })();
    if (value) { observer.disconnect(); clearInterval(timer); resolve(value); }
  };
  const observer = new MutationObserver(check);
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  document.addEventListener("load", check, true);
  const timer = setInterval(check, 50);
  check();
})
"""


class Page:
    """One page of a browser."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self._connection = connection
        self._sent = 0
        self.messages: list[str] = []
        """What scripts wrote to the console, errors and violations of the content security policy included."""

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and return its result."""
        self._sent += 1
        self._connection.send(json.dumps({"id": self._sent, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv())
            self._note(message)
            if message.get("id") == self._sent:
                assert "error" not in message, message
                return dict(message["result"])

    def _note(self, message: dict[str, Any]) -> None:
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Log.entryAdded":
            self.messages.append(parameters["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.messages.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.messages.append(json.dumps(parameters["args"]))

    def open(self, url: str) -> None:
        """Load a page, and wait until it is live."""
        for domain in ("Page", "Runtime", "Log"):
            self.command(f"{domain}.enable")
        assert "errorText" not in self.command("Page.navigate", url=url)
        self.until('document.readyState === "complete"')

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; of a promise, its result."""
        answer = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until an expression becomes true, and return its value."""
        return self.evaluate(_UNTIL % expression)

    def click(self, selector: str) -> None:
        """Click an element with the mouse, where it is."""
        box = self.evaluate(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            " one.scrollIntoView({block: 'center'});"
            " const {x, y, width, height} = one.getBoundingClientRect(); return [x + width / 2, y + height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.command("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key: `Tab`, `Enter`, or a space."""
        codes = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " ")}
        code, text = codes[key]
        more = {"key": key, "windowsVirtualKeyCode": code}
        self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **more)
        self.command("Input.dispatchKeyEvent", type="keyUp", **more)

    def screenshot(self, path: pathlib.Path) -> None:
        """Write what the page shows to a PNG file."""
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def open_browser(folder: pathlib.Path, width: int = 1360, height: int = 900) -> Iterator[Page]:
    """Start a browser with a profile in a folder, and return its page."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *_OPTIONS, f"--window-size={width},{height}", f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            lines: list[str] = []
            for line in process.stderr:
                lines.append(line)
                if "DevTools listening on " in line:
                    break
            assert lines, "Chromium did not start"
            assert "DevTools" in lines[-1], lines
            address = lines[-1].rpartition(" ")[2].strip()
            browser = websocket.create_connection(address, timeout=_TIMEOUT, suppress_origin=True)
            browser.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
            targets = json.loads(browser.recv())["result"]["targetInfos"]
            target = next(one["targetId"] for one in targets if one["type"] == "page")
            url = f"{address.rpartition('/devtools/')[0]}/devtools/page/{target}"
            connection = websocket.create_connection(url, timeout=_TIMEOUT, suppress_origin=True)
            yield Page(connection)
            connection.close()
            browser.send(json.dumps({"id": 2, "method": "Browser.close"}))  # so that its other processes end too
            process.wait(_TIMEOUT)
            browser.close()
        finally:
            process.kill()
