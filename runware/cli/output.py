"""Shared parts of the commands: the client, results as files, text or JSON, and one-line errors.

Results go to standard output; progress, costs, notes and errors go to standard error.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    StoredMedia,
    TaskCancelledError,
    TaskTimeoutError,
    Text,
    ValidationError,
)
from runware._support.api_names import python_name, wire_name
from runware._support.escaping import escape_controls, escape_json, one_line
from runware._support.lazy_modules import lazy_module
from runware.cli.common import SETTINGS
from runware.cli.key_sources import NO_KEY, find_key
from runware.cli.saving import Target, actual_format
from runware.cli.screen import JobProgress, dollars, is_terminal, print_styled
from runware.media import Media
from runware.media.kinds import SNIFFED_BYTES, sniff
from runware.protocol.codec import finite_number
from runware.protocol.ids import is_uuid

if TYPE_CHECKING:
    from runware import local as local_package
else:
    local_package = lazy_module("runware.local")

__all__ = [
    "CODES",
    "Output",
    "accept_any_text",
    "client",
    "drop_standard_output",
    "echo",
    "media",
    "note",
    "plural",
    "replace_closed_streams",
    "report",
    "reporting",
    "without_secrets",
]

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

_REDRAW = 0.1
_SECRET = frozenset(("apiKey", "key", "token"))


@contextmanager
def client(local: bool, **options: Any) -> Iterator[Runware]:
    """Open a client of the Runware API, or of a temporary server on this machine."""
    with ExitStack() as stack:
        if local:
            server = stack.enter_context(local_package.LocalServer(delay=0.3, spread=0.2))
            rw = Runware(server.api_key, url=server.url, **options)
        else:
            key = find_key()
            if not key.value:
                raise ConfigurationError(NO_KEY, parameter="api_key")
            rw = Runware(key.value, **options)
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
        drop_standard_output()
        raise typer.Exit(0) from None
    except (RunwareError, OSError, json.JSONDecodeError, UnicodeDecodeError, ImportError) as error:
        if _is_broken_pipe(error):
            drop_standard_output()
            raise typer.Exit(0) from None
        _report(_facts(error, local), as_json)
        raise typer.Exit(_exit_code(error)) from None


def _is_broken_pipe(error: BaseException) -> bool:
    """Return whether an error means that the reader of a pipe has gone, in the form that Windows reports."""
    return type(error) is OSError and error.errno == errno.EINVAL and error.filename is None and os.name == "nt"


def replace_closed_streams() -> None:
    """Replace standard streams that were closed when the process began, as by `<&-`, with the null device."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(nowhere, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - until the end


def accept_any_text() -> None:
    """Escape characters that the encoding of an output does not have, instead of failing.

    Pipes on Windows have a code page of 256 characters, unless `PYTHONUTF8=1` is set.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not _is_unicode(stream):
            stream.reconfigure(errors="backslashreplace")
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":  # names of files may be any bytes
            stream.reconfigure(errors="backslashreplace" if os.name == "nt" else "surrogateescape")


def _is_unicode(stream: object) -> bool:
    return str(getattr(stream, "encoding", None) or "utf-8").lower().startswith(("utf", "cp65001"))


def drop_standard_output() -> None:
    """Stop writing to standard output, whose reader has gone, so that the interpreter's last flush reports no error."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # it has no file descriptor
        pass


def _exit_code(error: BaseException) -> int:
    return next((code for kind, code in CODES if isinstance(error, kind)), 1)


def _facts(error: BaseException, local: bool) -> dict[str, Any]:
    message = " ".join(_message(error, local).split())
    for python, command in _COMMANDS.items():
        message = message.replace(python, command)
    if parameter := getattr(error, "parameter", None):  # the Python function or class before it says nothing here
        message = re.sub(rf"^\w+(\(\))?: (?={re.escape(parameter)}\b)", "", message)
    facts: dict[str, Any] = {"message": message, "type": type(error).__name__}
    if isinstance(error, RunwareError):
        names = ("code", "parameter", "task_type", "task_uuid", "documentation")
        facts |= {name: value for name in names if (value := getattr(error, name))}
    return facts


def _message(error: BaseException, local: bool) -> str:
    message = str(error)
    if isinstance(error, AuthenticationError):
        message = f"{error.message} The key was read from {find_key().source}."
    elif isinstance(error, TaskTimeoutError) and error.may_be_running and error.task_uuid:
        ended = "Timeout. The server of --local ends with the command; allow more time with --timeout."
        message = ended if local else f"{error.message} {_advice(error)}"
    elif isinstance(error, TaskCancelledError):
        message = "interrupted" if local else f"interrupted; the task may continue. {_advice(error)}"
    elif isinstance(error, IncompleteResultsError):  # its message contains only one of the errors
        others = (one.message for one in error.errors if one.message not in error.message)
        message = " ".join(dict.fromkeys([message, *others]))
    elif isinstance(error, json.JSONDecodeError):
        message = f"The file is not JSON: {error}."
    elif isinstance(error, UnicodeDecodeError):
        message = f"The text is not UTF-8: {error}."
    elif isinstance(error, OSError) and error.filename and not isinstance(error, RunwareError):
        message = f"{error.filename}: {error.strerror}."
    return message


_COMMANDS = {
    "rw.models.list(q=...)": "`runware models list -q WORD`",
    "rw.models.search(...)": "`runware models search WORD`",
    "pass overwrite=True to replace it": "--overwrite replaces it",
    "job(): ref must be a job's ref, the UUID of a task, or an Acknowledgement.": "REF must be the UUID of a task.",
}
"""Advice for Python code, and the same advice in terms of commands."""


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
        try:
            Output.json({"error": facts}, indent=None)
            return
        except OSError:  # standard output is what failed, such as for lack of space
            drop_standard_output()
    if is_terminal(err=True):
        print_styled(("error: ", "bold red"), (one_line(facts["message"], limit=None), ""), err=True)
    else:
        echo(f"error: {facts['message']}", err=True)


def report(error: BaseException, as_json: bool = False, local: bool = False) -> None:
    """Print an error as one line, or as one JSON object."""
    _report(_facts(error, local), as_json)


def note(text: str) -> None:
    """Print a remark to standard error, dimmed on a terminal."""
    if is_terminal(err=True):
        print_styled((one_line(text, limit=None), "dim"), err=True)
    else:
        echo(text, err=True)


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
        out: The value of `-o`. `None` prints URLs instead; with *local*, whose URLs die with the command, and with
            *open_files*, it saves to the current directory.
        overwrite: Replace existing files.
        local: Whether the server ends with the command.
        open_files: Open the saved files.
    """

    def __init__(
        self,
        as_json: bool,
        out: str | None = None,
        overwrite: bool = False,
        local: bool = False,
        open_files: bool = False,
    ) -> None:
        self._json = as_json
        self._local = local
        self._open = open_files
        self._here = (local or open_files) and out is None
        self._target = Target("." if self._here else out, overwrite)
        self._live = not as_json and is_terminal(err=True)
        if self._target.is_stream and as_json:
            raise ValidationError("-o - and --json cannot both use standard output.", parameter="-o")
        if self._target.is_stream and open_files:
            raise ValidationError("-o - saves no file that --open could open.", parameter="-o")

    def check(self, results: int) -> None:
        """Check `-o` before anything is sent.

        Args:
            results: How many results the command may get.

        Raises:
            ValidationError: Results cannot be saved in this way.
        """
        self._target.check(results)

    def file_format(self, given: str | None, formats: Mapping[str, str]) -> str | None:
        """Return the file format to request: the given one, or else that of the file's name.

        Args:
            given: The value of `--format`.
            formats: The formats of the command, and their extensions.

        Raises:
            ValidationError: The name has another format, or one that the command does not make.
        """
        wanted = self._target.extension
        if not wanted:
            return given
        if wanted not in formats.values():
            raise ValidationError(
                f"{self._target.text} is no file of this command, whose formats are {', '.join(formats)}.",
                parameter="-o",
            )
        if given is not None and formats[given] != wanted:
            raise ValidationError(
                f"{self._target.text} is not a name for {given}, which --format wants.", parameter="-o"
            )
        return next(name for name, extension in formats.items() if extension == wanted)

    def wait(self, job: Job[R]) -> R:
        """Wait for a job, showing its progress on a terminal."""
        self._watch([job])
        return job.result()

    def finish(self, *jobs: Job[Any]) -> None:
        """Wait for jobs, and save and print every result that arrived, since it has been billed even if others failed.

        Raises:
            RunwareError: There are no results, and a single error to report.
            typer.Exit: Something failed and was reported.
        """
        interrupted = False
        try:
            self._watch(jobs)
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
        paths: dict[int, Path] = {}
        try:
            self._save(results, paths)
        except BrokenPipeError:
            raise
        except (RunwareError, OSError) as error:  # their URLs can still be downloaded
            reports.append(_facts(error, self._local))
        self._print(results, paths, reports)
        if interrupted:
            raise typer.Exit(130)
        if reports:
            codes = {_exit_code(error) for error in failed.values()}
            raise typer.Exit(codes.pop() if len(failed) == len(jobs) and len(codes) == 1 else 1)

    def _watch(self, jobs: Sequence[Job[Any]]) -> None:
        with JobProgress(self._live, len(jobs)) as progress:
            for job in jobs:
                while not job.done():
                    try:
                        job.exception(_REDRAW if self._live else None)
                    except TimeoutError:
                        progress.draw(job)
                progress.next_job()

    def _save(self, results: Sequence[Result], paths: dict[int, Path]) -> None:
        files = Results(one for one in results if isinstance(one, MediaResult))
        if self._target.text is not None and files:
            self._target.save(files, paths)

    def _print(
        self, results: Sequence[Result], paths: Mapping[int, Path], reports: Sequence[Mapping[str, Any]]
    ) -> None:
        if self._json:
            items = [{**without_secrets(one.raw), **_path(paths.get(id(one)))} for one in results]
            self.json([*items, *({"error": facts} for facts in reports)])
            return
        for one in results:
            if not (self._target.is_stream and isinstance(one, MediaResult)):
                self._show(one, paths.get(id(one)))
        if (cost := Results(results).cost) is not None:
            note(f"{plural(len(results), 'result')}, {dollars(cost)}")
        if self._here and self._local and paths:
            note("saved to the current directory, since the server of --local ends now; choose another with -o")
        self._describe_files(paths.values())
        for facts in reports:
            task = f"task {facts['task']}: " if "task" in facts else ""
            _report({"message": f"{task}{facts['message']}"}, as_json=False)

    @staticmethod
    def _show(one: Result, path: Path | None) -> None:
        if path is not None:
            # The path comes from the caller, and a program that reads this output needs it unchanged.
            typer.echo(one_line(path, limit=None) if sys.stdout.isatty() else str(path))
        elif isinstance(one, Text):
            echo(str(one), lines=True)
        elif isinstance(one, StoredMedia) and one.uuid:
            echo(one.uuid)
        elif isinstance(one, MediaResult) and one.url:
            echo(one.url)
        else:
            typer.echo(
                escape_json(json.dumps(without_secrets(one.to_dict()), ensure_ascii=not _is_unicode(sys.stdout)))
            )

    def _describe_files(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if (found := actual_format(path)) is not None:
                note(f"{path} is a {found} file, not what its name says: the server delivered {found}.")
            if self._open and not open_file(path):
                note(f"{path} is not opened: it is no image, video, sound or 3D model.")

    @staticmethod
    def json(value: Any, indent: int | None = 2) -> None:
        """Print a value as JSON, with the names that `--names` asks for."""
        named = renamed(value, _python_name if SETTINGS.get().names == "python" else _api_name)
        typer.echo(escape_json(json.dumps(named, ensure_ascii=not _is_unicode(sys.stdout), indent=indent)))


_DAYS = {"last7Days": "last_7_days", "last30Days": "last_30_days"}


def _python_name(name: str) -> str:
    return _DAYS.get(name) or python_name(name)


def _api_name(name: str) -> str:
    return wire_name(name) if "_" in name and name.islower() and name.replace("_", "").isalnum() else name


def renamed(value: Any, name: Callable[[str], str]) -> Any:
    """Return a JSON value with other names in its objects, and without NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {name(key): renamed(one, name) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [renamed(one, name) for one in value]
    return finite_number(value) if isinstance(value, float) else value


_MODELS_3D = frozenset((".glb", ".gltf", ".obj", ".fbx", ".stl", ".ply", ".usdz", ".3mf"))


def open_file(path: Path) -> bool:
    """Open a saved file in its viewer; return whether it is media, since anything else might be a program."""
    if path.is_dir():  # a 3D model of several files
        return typer.launch(str(path)) == 0
    with path.open("rb") as file:
        found = sniff(file.read(SNIFFED_BYTES))[1]
    if not found and path.suffix.lower() not in _MODELS_3D:
        return False
    if found and actual_format(path) is not None:
        return False
    if typer.launch(str(path)) != 0:
        note(f"{path} could not be opened: no viewer was found.")
    return True


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
