"""Programs on a terminal of their own."""

from __future__ import annotations

import os
import pathlib
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

import pytest

PROJECT = pathlib.Path(__file__).parent.parent


class Shown(NamedTuple):
    """What a program wrote on its terminal, and its exit code."""

    text: str
    code: int


def on_terminal(
    *arguments: str, typed: Sequence[tuple[str, str | signal.Signals]] = (), columns: int = 100, **environment: str
) -> Shown:
    """Run the command line on a terminal.

    Args:
        arguments: Its arguments.
        typed: Pairs of a text to wait for, and what follows: keys, or a signal, as Ctrl-C sends it.
        columns: The width of the terminal.
        environment: Further environment variables.
    """
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))
    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        pytest.skip(f"no terminal is to be had here: {error}")
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    variables = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONIOENCODING": "utf-8", "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        variables.pop(name, None)
    waiting = list(typed)
    with subprocess.Popen(
        [sys.executable, "-m", "runware", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True, env={**variables, **environment},
    ) as process:  # fmt: skip
        os.close(theirs)
        data, seen = b"", 0
        try:
            while piece := os.read(ours, 65536):
                data += piece
                while waiting and (found := data.find(waiting[0][0].encode(), seen)) >= 0:
                    expected, keys = waiting.pop(0)
                    seen = found + len(expected.encode())
                    if isinstance(keys, signal.Signals):
                        process.send_signal(keys)
                    else:
                        os.write(ours, keys.encode())
        except OSError:  # how Linux reports that the other side is closed
            pass
        except BaseException:  # the limit of the test; leaving the block would wait for the program
            process.kill()
            raise
        finally:
            os.close(ours)
        code = process.wait(50)
    text = data.decode()
    assert not waiting, text
    return Shown(text, code)
