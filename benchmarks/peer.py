"""A client in a process of its own: commands, limits, and the kernel's figures of the process."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["CannotError", "Peer", "PeerError"]


class PeerError(Exception):
    """The client failed at a command, did not end in time, or has died."""


class CannotError(Exception):
    """The client does not support it."""


class Peer:
    """A running client.

    Args:
        line: The command that starts its program.
        env: Its environment variables.
        cores: The processors it may use.
    """

    def __init__(self, line: list[str], env: dict[str, str], cores: set[int]) -> None:
        self.started = time.perf_counter()
        self.alive = True
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            line, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0
        )
        os.sched_setaffinity(self._process.pid, cores)
        assert self._process.stdout is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, do: str, **more: Any) -> None:
        """Send a command; `hear` returns its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        except OSError:
            self._gone()

    def hear(self, limit: float) -> dict[str, Any]:
        """Wait for an answer.

        Raises:
            PeerError: There is none in time (the process is killed then), or it reports a failure.
            CannotError: It reports that it does not support this.
        """
        assert self._process.stdout is not None
        end = time.monotonic() + limit
        while b"\n" not in self._buffer:
            if not self._selector.select(max(0.0, end - time.monotonic())):
                self.close()
                raise PeerError(f"not through after {limit:g} s")
            data = os.read(self._process.stdout.fileno(), 1 << 20)
            if not data:
                self._gone()
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise PeerError(str(answer["failed"]))
        if "cannot" in answer:
            raise CannotError(str(answer["cannot"]))
        return answer

    def ask(self, limit: float, do: str, **more: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.tell(do, **more)
        return self.hear(limit)

    def _gone(self) -> None:
        self._process.kill()
        code = self._process.wait()
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        self.close()
        raise PeerError(" ".join([f"it ended with {code}", *last])[:200])

    def close(self) -> None:
        """End the process, whatever it does."""
        if not self.alive:
            return
        self.alive = False
        self._process.kill()
        self._process.wait()
        self._selector.close()
        for end in (self._process.stdin, self._process.stdout, self._errors):
            if end is not None:
                end.close()

    # ------------------------------------------------------------------ the kernel's view (Linux)

    def cpu(self) -> float:
        """Return the CPU seconds of all its threads, those that have ended as well."""
        return time.clock_gettime(~self._process.pid << 3 | 2)  # what clock_getcpuclockid(3) returns on Linux

    def waits(self) -> int:
        """Return how often its threads have waited."""
        mark = "\nvoluntary_ctxt_switches:"
        return sum(int(text.partition(mark)[2].split()[0]) for text in self._of_threads("status"))

    def resident(self) -> int:
        """Return its resident memory in bytes."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def forget_peak(self) -> None:
        """Let the peak of its resident memory start from what is resident now."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5", encoding="ascii")

    def peak(self) -> int:
        """Return the peak of its resident memory in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("\nVmHWM:")[2].split()[0]) * 1024

    def _of_threads(self, what: str) -> list[str]:
        found = []
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            try:
                found.append((thread / what).read_text(encoding="ascii"))
            except OSError:  # it has just ended
                continue
        return found
