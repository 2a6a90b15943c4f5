"""Shared parts of the commands: the client, progress on a terminal, results as text or JSON, and one-line errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from runware import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    IncompleteResultsError,
    Job,
    MediaResult,
    Result,
    Results,
    Runware,
    RunwareError,
    TaskCancelledError,
    TaskTimeoutError,
    Text,
    ValidationError,
)
from runware._support.escaping import escape_controls, escape_json, one_line
from runware._support.lazy_modules import lazy_module
from runware.media import Media
from runware.options import KEY_VARIABLE
from runware.protocol.ids import is_uuid

if TYPE_CHECKING:
    from runware import local as local_package
else:
    local_package = lazy_module("runware.local")

__all__ = ["CODES", "Output", "client", "echo", "media", "plural", "reporting", "without_secrets"]

R = TypeVar("R")

CODES: tuple[tuple[type[BaseException], int], ...] = (
    (AuthenticationError, 3),
    (ConnectionFailedError, 4),
    (ConnectionLostError, 4),
    (TaskTimeoutError, 5),
    (TaskCancelledError, 130),
    (ValidationError, 2),
    (ConfigurationError, 2),
    (RunwareError, 1),
    (json.JSONDecodeError, 2),
    (UnicodeDecodeError, 2),
    (OSError, 2),
)
"""Exit codes by exception class; the first match applies."""

_REDRAW = 0.2
_SECRET = frozenset(("apiKey", "key", "token"))


@contextmanager
def client(local: bool, **options: Any) -> Iterator[Runware]:
    """Open a client of the Runware API, or of a temporary server on this machine."""
    with ExitStack() as stack:
        if local:
            server = stack.enter_context(local_package.LocalServer(delay=0.3, spread=0.2))
            rw = Runware(server.api_key, url=server.url, **options)
        else:
            rw = Runware(**options)
        stack.callback(rw.close)
        yield rw


@contextmanager
def reporting(as_json: bool = False, local: bool = False) -> Iterator[None]:
    """Convert exceptions to one line or one JSON object, and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        _report({"message": "interrupted"}, as_json)
        raise typer.Exit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(0) from None
    except (RunwareError, OSError, json.JSONDecodeError, UnicodeDecodeError, ImportError) as error:
        _report(_facts(error, local), as_json)
        raise typer.Exit(_exit_code(error)) from None


def _exit_code(error: BaseException) -> int:
    return next((code for kind, code in CODES if isinstance(error, kind)), 1)


def _facts(error: BaseException, local: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"message": " ".join(_message(error, local).split()), "type": type(error).__name__}
    if isinstance(error, RunwareError):
        names = ("code", "parameter", "task_type", "task_uuid", "documentation")
        facts |= {name: value for name in names if (value := getattr(error, name))}
    return facts


def _message(error: BaseException, local: bool) -> str:
    message = str(error)
    if isinstance(error, AuthenticationError):
        message = f"{error.message} The key was read from {KEY_VARIABLE}."
    elif isinstance(error, TaskTimeoutError) and error.may_be_running and error.task_uuid:
        ended = "Timeout. The server of --local ends with the command; allow more time with --timeout."
        message = ended if local else f"{error.message} {_advice(error)}"
    elif isinstance(error, TaskCancelledError):
        message = "interrupted" if local else f"interrupted; the task may continue. {_advice(error)}"
    elif isinstance(error, IncompleteResultsError):  # its message contains only one of them
        others = (one.message for one in error.errors if one.message not in error.message)
        message = " ".join(dict.fromkeys([message, *others]))
    elif isinstance(error, json.JSONDecodeError):
        message = f"The file is not JSON: {error}."
    elif isinstance(error, UnicodeDecodeError):
        message = f"The text is not UTF-8: {error}."
    elif isinstance(error, OSError) and error.filename and not isinstance(error, RunwareError):
        message = f"{error.filename}: {error.strerror}."
    return message


def _advice(error: RunwareError) -> str:
    return f"Resume it with: python -m runware job {error.task_uuid}"


def echo(text: str, *, err: bool = False, lines: bool = False) -> None:
    """Print text that may come from a server or a file, with control characters escaped.

    Args:
        text: The text.
        err: Print to standard error.
        lines: Keep line feeds and tabs.
    """
    typer.echo(escape_controls(text) if lines else one_line(text, limit=None), err=err)


def _report(facts: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(escape_json(json.dumps({"error": facts}, ensure_ascii=False)))
    else:
        echo(f"error: {facts['message']}", err=True)


def media(text: str) -> Media:
    """Parse an argument: a file, a URL, or the UUID of stored media.

    Raises:
        FileNotFoundError: The argument looks like a file, and there is none.
    """
    if text.startswith(("http://", "https://", "data:")) or is_uuid(text):
        return text
    path = Path(text)
    with path.open("rb"):  # raises the operating system's error if it cannot be read
        return path


def plural(number: int, what: str) -> str:
    """Format a count with its noun."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


class Output:
    """Output of one command.

    Args:
        as_json: Print results as JSON.
        directory: Directory to save results to. `None` prints their URLs instead; with *local*, whose URLs die with the
            command, it saves to the current directory.
        overwrite: Replace existing files.
        local: Whether the server ends with the command.
    """

    def __init__(
        self, as_json: bool, directory: Path | None = None, overwrite: bool = False, local: bool = False
    ) -> None:
        self._json = as_json
        self._local = local
        self._here = local and directory is None
        self._where = Path() if self._here else directory
        self._overwrite = overwrite
        self._live = not as_json and sys.stderr.isatty()

    def wait(self, job: Job[R]) -> R:
        """Wait for a job, showing its progress on a terminal."""
        self._watch(job)
        return job.result()

    def finish(self, *jobs: Job[Any]) -> None:
        """Wait for jobs, and save and print every result that arrived, since it has been billed even if others failed.

        Raises:
            RunwareError: There are no results, and a single error to report.
            typer.Exit: Something failed and was reported.
        """
        interrupted = False
        try:
            for job in jobs:
                self._watch(job)
        except KeyboardInterrupt:
            interrupted = True
            for job in jobs:
                job.cancel()
        results = [one for job in jobs for one in job.results]
        failed = {number: error for number, job in enumerate(jobs, 1) if (error := _failure(job)) is not None}
        reported = {number: _facts(error, self._local) for number, error in failed.items()}
        if failed and not results and len({facts["message"] for facts in reported.values()}) == 1:
            raise next(iter(failed.values()))
        reports = [{"task": number, **facts} if len(jobs) > 1 else facts for number, facts in reported.items()]
        try:
            paths = self._save(results)
        except (RunwareError, OSError) as error:  # their URLs still work
            paths = {}
            reports.append(_facts(error, self._local))
        self._print(results, paths, reports)
        if interrupted:
            raise typer.Exit(130)
        if reports:
            codes = {_exit_code(error) for error in failed.values()}
            raise typer.Exit(codes.pop() if len(failed) == len(jobs) and len(codes) == 1 else 1)

    def _watch(self, job: Job[Any]) -> None:
        try:
            while not job.done():
                try:
                    job.exception(_REDRAW if self._live else None)
                except TimeoutError:
                    self._draw(job)
        finally:
            if self._live:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()

    def _draw(self, job: Job[Any]) -> None:
        now = job.progress
        percent = f" {now.percent:.0f} %" if now.percent is not None else ""
        count = f" {now.completed} of {now.total}" if now.total > 1 else ""
        sys.stderr.write(f"\r\x1b[K{one_line(job.task_type)} {now.status}{count}{percent} {now.elapsed:.0f} s")
        sys.stderr.flush()

    def _save(self, results: Sequence[Result]) -> dict[int, Path]:
        files = Results(one for one in results if isinstance(one, MediaResult))
        if self._where is None or not files:
            return {}
        self._where.mkdir(parents=True, exist_ok=True)
        saved = files.save_all(self._where, overwrite=self._overwrite)
        return {id(one): path for one, path in zip(files, saved, strict=True)}

    def _print(
        self, results: Sequence[Result], paths: Mapping[int, Path], reports: Sequence[Mapping[str, Any]]
    ) -> None:
        if self._json:
            items = [{**without_secrets(one.raw), **_path(paths.get(id(one)))} for one in results]
            self.json([*items, *({"error": facts} for facts in reports)])
            return
        for one in results:
            self._show(one, paths.get(id(one)))
        if (cost := Results(results).cost) is not None:
            typer.echo(f"{plural(len(results), 'result')}, ${cost:.6f}".rstrip("0"), err=True)
        if self._here and paths:
            typer.echo(
                "saved to the current directory, since the server of --local ends now; choose another with -o", err=True
            )
        for facts in reports:
            task = f"task {facts['task']}: " if "task" in facts else ""
            _report({"message": f"{task}{facts['message']}"}, as_json=False)

    @staticmethod
    def _show(one: Result, path: Path | None) -> None:
        if path is not None:
            # The path is the caller's, and a program that reads this output needs it unchanged.
            typer.echo(one_line(path, limit=None) if sys.stdout.isatty() else str(path))
        elif isinstance(one, Text):
            echo(str(one), lines=True)
        elif isinstance(one, MediaResult) and one.url:
            echo(one.url)
        else:
            typer.echo(escape_json(json.dumps(without_secrets(one.raw), ensure_ascii=False)))

    @staticmethod
    def json(value: Any) -> None:
        """Print a value as JSON."""
        typer.echo(escape_json(json.dumps(value, ensure_ascii=False, indent=2)))


def _failure(job: Job[Any]) -> BaseException | None:
    try:
        return job.exception(0)
    except TaskCancelledError as error:
        return error


def _path(path: Path | None) -> dict[str, str]:
    return {} if path is None else {"path": str(path)}


def without_secrets(value: Any) -> Any:
    """Return an API object without keys and tokens, and with inline media replaced by a note."""
    if isinstance(value, Mapping):
        return {name: without_secrets(one) for name, one in value.items() if name not in _SECRET}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [without_secrets(one) for one in value]
    return f"<text of length {len(value)}>" if isinstance(value, str) and len(value) > 65_536 else value
