"""Opening of files in the program that the system has for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from runware.errors import ConfigurationError

__all__ = ["check_display", "open_file"]


def _opener() -> str:
    """Return the command that opens files; `""` on Windows, which has a function for it.

    Raises:
        ConfigurationError: There is no display, or no such command.
    """
    if sys.platform == "win32":
        return ""
    if sys.platform != "darwin" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ConfigurationError("show() needs a display, and this machine has none. Use save() instead.")
    name = "open" if sys.platform == "darwin" else "xdg-open"
    if (found := shutil.which(name)) is None:
        raise ConfigurationError(f"show() needs the command {name}, which is not installed. Use save() instead.")
    return found


def check_display() -> None:
    """Check that files can be shown, before one is downloaded.

    Raises:
        ConfigurationError: There is no display, or no program that opens files.
    """
    _opener()


def open_file(path: Path) -> None:
    """Open a file in the program that the system has for it, and return without waiting for it.

    Raises:
        ConfigurationError: There is no display, or no program that opens files.
    """
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606 - a file that was just saved
        return
    opener = _opener()
    if subprocess.run([opener, path], stdin=subprocess.DEVNULL, check=False).returncode:  # noqa: S603 - a command of the system
        raise ConfigurationError(f"No program opens {path.name}. It is saved as {path}.")
