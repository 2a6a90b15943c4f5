"""What the commands share: the client, progress on a terminal, results as text or JSON, and errors as one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import typer

from runware import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    Job,
    MediaResult,
    Result,
    Results,
    Runware,
    RunwareError,
    TaskTimeoutError,
    Text,
    ValidationError,
)
from runware.media import Media
from runware.options import KEY_VARIABLE

__all__ = ["CODES", "Output", "client", "media", "plural", "reporting"]

R = TypeVar("R")

CODES: tuple[tuple[type[BaseException], int], ...] = (
    (AuthenticationError, 3),
    (ConnectionFailedError, 4),
    (ConnectionLostError, 4),
    (TaskTimeoutError, 5),
    (ValidationError, 2),
    (ConfigurationError, 2),
    (RunwareError, 1),
    (json.JSONDecodeError, 2),
    (OSError, 2),
)
"""Exit codes by kind of error; the first that fits counts."""

_REDRAW = 0.2
_SECRET = frozenset(("apiKey", "key", "token"))


@contextmanager
def client(local: bool, **options: Any) -> Iterator[Runware]:
    """Give a client of the real service, or of a server on this machine that ends with the command."""
    with ExitStack() as stack:
        if local:
            from runware.local import LocalServer

            server = stack.enter_context(LocalServer(delay=0.3, spread=0.2))
            rw = Runware(server.api_key, url=server.url, **options)
        else:
            rw = Runware(**options)
        stack.callback(rw.close)
        yield rw


@contextmanager
def reporting(as_json: bool = False) -> Iterator[None]:
    """Turn what goes wrong into one line, or one JSON object, and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        _complain("interrupted", as_json, {})
        raise typer.Exit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(0) from None
    except (RunwareError, OSError, json.JSONDecodeError, ImportError) as error:
        facts = {}
        if isinstance(error, RunwareError):
            names = ("code", "parameter", "task_type", "task_uuid", "documentation")
            facts = {name: value for name in names if (value := getattr(error, name))}
        _complain(_in_words(error), as_json, {"type": type(error).__name__, **facts})
        raise typer.Exit(next((code for kind, code in CODES if isinstance(error, kind)), 1)) from None


def _in_words(error: BaseException) -> str:
    if isinstance(error, AuthenticationError):
        return f"{error.message} The key was taken from {KEY_VARIABLE}."
    if isinstance(error, TaskTimeoutError) and error.may_be_running and error.task_uuid:
        return f"{error.message} Pick it up with: python -m runware job {error.task_uuid}"
    if isinstance(error, json.JSONDecodeError):
        return f"The file is not JSON: {error}."
    if isinstance(error, OSError) and error.filename and not isinstance(error, RunwareError):
        return f"{error.filename}: {error.strerror}."
    return str(error)


def _complain(message: str, as_json: bool, facts: Mapping[str, Any]) -> None:
    message = " ".join(message.split())
    if as_json:
        typer.echo(json.dumps({"error": {"message": message, **facts}}, ensure_ascii=False))
    else:
        typer.echo(f"error: {message}", err=True)


def media(text: str) -> Media:
    """Read an argument that means a file, an address, or something the server keeps.

    Raises:
        FileNotFoundError: It looks like a file, and there is none.
    """
    from runware._engine.ids import is_uuid

    if text.startswith(("http://", "https://", "data:")) or is_uuid(text):
        return text
    path = Path(text)
    with path.open("rb"):  # so that it fails with the system's own word for it
        return path


def plural(number: int, what: str) -> str:
    """Count things in words."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


class Output:
    """How one command shows what it does.

    Args:
        as_json: Whether results are printed as JSON.
        directory: Where results are saved; `None` prints their addresses instead.
        overwrite: Whether files that are there are replaced.
    """

    def __init__(self, as_json: bool, directory: Path | None = None, overwrite: bool = False) -> None:
        self._json = as_json
        self._where = directory
        self._overwrite = overwrite
        self._live = not as_json and sys.stderr.isatty()

    def wait(self, job: Job[R]) -> R:
        """Wait for a job, and show on a terminal how far it is."""
        try:
            while True:
                try:
                    return job.result(_REDRAW if self._live else None)
                except TimeoutError:
                    if job.done():
                        raise
                self._draw(job)
        except KeyboardInterrupt:
            job.cancel()
            typer.echo(f"\nThe task may go on. Pick it up with: python -m runware job {job.task_uuid}", err=True)
            raise
        finally:
            if self._live:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()

    def _draw(self, job: Job[Any]) -> None:
        now = job.progress
        percent = f" {now.percent:.0f} %" if now.percent is not None else ""
        count = f" {now.completed} of {now.total}" if now.total > 1 else ""
        sys.stderr.write(f"\r\x1b[K{job.task_type} {now.status}{count}{percent} {now.elapsed:.0f} s")
        sys.stderr.flush()

    def show(self, answer: Any) -> None:
        """Save and print results."""
        results = list(answer) if isinstance(answer, Results) else [answer]
        files = Results(one for one in results if isinstance(one, MediaResult))
        paths: dict[int, Path] = {}
        if self._where is not None and files:
            self._where.mkdir(parents=True, exist_ok=True)
            saved = files.save_all(self._where, overwrite=self._overwrite)
            paths = {id(one): path for one, path in zip(files, saved, strict=True)}
        if self._json:
            self.json([{**without_secrets(one.raw), **_path(paths.get(id(one)))} for one in results])
            return
        for one in results:
            typer.echo(self._line(one, paths.get(id(one))))
        if (cost := Results(results).cost) is not None:
            typer.echo(f"{plural(len(results), 'result')}, ${cost:.6f}".rstrip("0"), err=True)

    @staticmethod
    def _line(one: Result, path: Path | None) -> str:
        if path is not None:
            return str(path)
        if isinstance(one, Text):
            return str(one)
        if isinstance(one, MediaResult) and one.url:
            return one.url
        return json.dumps(without_secrets(one.raw), ensure_ascii=False)

    @staticmethod
    def json(value: Any) -> None:
        """Print JSON."""
        typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _path(path: Path | None) -> dict[str, str]:
    return {} if path is None else {"path": str(path)}


def without_secrets(value: Any) -> Any:
    """Give a wire object without the values that are nobody else's business, and without media."""
    if isinstance(value, Mapping):
        return {name: without_secrets(one) for name, one in value.items() if name not in _SECRET}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [without_secrets(one) for one in value]
    return f"<text of length {len(value)}>" if isinstance(value, str) and len(value) > 65_536 else value
