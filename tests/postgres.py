"""A PostgreSQL server of its own for a test, from the system's binaries."""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

__all__ = ["missing", "postgres"]

_PLACES = ["/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb", "/opt/homebrew/opt/postgresql*/bin/initdb"]


def _binaries() -> pathlib.Path | None:
    if found := shutil.which("initdb"):
        return pathlib.Path(found).resolve().parent
    places = sorted(place for pattern in _PLACES for place in glob.glob(pattern))
    return pathlib.Path(places[-1]).parent if places else None


def missing() -> str | None:
    """Return why there can be no server; `None` if there can be one."""
    if _binaries() is None:
        return "PostgreSQL is not installed"
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    if importlib.util.find_spec("sqlalchemy") is None:
        return "SQLAlchemy is not installed"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "PostgreSQL does not run as root, and setpriv is not installed"
    return None


@contextlib.contextmanager
def postgres(*, safe: bool = True) -> Iterator[str]:
    """Run a server on a socket in a private directory, and yield its URL for SQLAlchemy.

    Args:
        safe: Whether it waits for the disk, as it does by default.
    """
    binaries = _binaries()
    assert binaries is not None
    # The name of a socket is limited to some 100 characters, so that the directory of a test may be too long.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        directory, data = pathlib.Path(name), pathlib.Path(name) / "data"
        user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres")
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        log = directory / "log"

        def run(program: str, *arguments: str) -> None:
            command = [*user, str(binaries / program), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=directory)
            if done.returncode:
                raise RuntimeError(f"{program} failed: {done.stderr or done.stdout}")

        run("initdb", "-D", str(data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={directory}", "-c", "max_connections=60"]
        settings += [] if safe else ["-c", "fsync=off"]
        with log.open("w") as output:
            server = subprocess.Popen(
                [*user, str(binaries / "postgres"), "-D", str(data), *settings], stdout=output, stderr=output
            )
        try:
            deadline = time.monotonic() + 60.0
            while True:
                try:
                    run("pg_isready", "-h", str(directory), "-U", "postgres")
                    break
                except RuntimeError:
                    if server.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"the server did not start: {log.read_text()}") from None
                    time.sleep(0.05)  # it has no other sign
            yield f"postgresql+psycopg://postgres@/postgres?host={directory}"
        finally:
            server.send_signal(signal.SIGINT)  # fast: it ends the connections
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
