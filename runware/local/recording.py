"""Recordings of sessions: JSON lines with requests and their responses, without secrets and media.

The first line names the format. Each further line is one request:

    {"task": {"taskType": ..., ...}, "results": [{...}], "errors": [{...}], "complete": true}

Omitted are API keys and fields with names of secrets, UUIDs of tasks, URLs of webhooks and uploads, the queries of
URLs, and the content of files. Files in requests are represented by their checksums, so that requests can be compared.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from runware.local.encoding import encode_json
from runware.local.planned_answers import PlannedAnswer
from runware.local.uuids import match_uuid
from runware.local.validation import ApiError

__all__ = ["Recording", "SessionRecorder"]

_FORMAT = {"format": "runware session", "version": 1}
_PROTOCOL = frozenset(("authentication", "ping", "getResponse", "getTaskDetails"))
_PERSONAL = frozenset(("accountManagement",))
"""Task types whose results name people and keys. They are not recorded."""
_NOT_COMPARED = frozenset(("taskUUID", "webhookURL", "uploadEndpoint", "deliveryMethod", "includeCost", "ttl"))
_NO_RESULT = frozenset(("taskType", "taskUUID", "status", "progress"))
_RUNNING = frozenset(("processing", "running", "queued", "pending", "validated", "downloaded", "optimized", "stored"))
_FILE_FIELDS = ("URL", "Base64Data", "DataURI")
_SECRET = re.compile(r"api[_-]?key|secret|passw|authorization|access[_-]?token|credential", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{400,}={0,2}\s*")
_HIDDEN = "***"
_LONGEST_DIFFERENCE = 60


def _clean(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return a JSON value without secrets and files."""
    if isinstance(value, dict):
        return {name: _HIDDEN if _SECRET.search(name) else _clean(one, secrets) for name, one in value.items()}
    if isinstance(value, list):
        return [_clean(one, secrets) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _clean_text(value, secrets) if isinstance(value, str) else value


def _clean_text(text: str, secrets: Iterable[str]) -> str:
    if text[:5].lower() == "data:" or _BASE64.fullmatch(text):
        data = text.rpartition(",")[2].encode("utf-8", "surrogatepass")
        return f"sha256:{hashlib.sha256(data).hexdigest()[:32]}"
    if match_uuid(text):
        return f"file:{text.lower()}"
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    if not re.match(r"https?://\S+$", text, re.IGNORECASE):
        return text
    parts = urlsplit(text)
    stem = parts.path.rpartition("/")[2].partition(".")[0]
    if match_uuid(stem):  # the URL of a result, which has the address of another server when it is replayed
        return f"file:{stem.lower()}"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _comparable(task: Mapping[str, Any], secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Return a task as it is recorded and compared."""
    return {name: value for name, value in _clean(dict(task), secrets).items() if name not in _NOT_COMPARED}


def _count(task: Mapping[str, Any]) -> int:
    count = task.get("numberResults", task.get("promptVersions", 1))
    return count if isinstance(count, int) and count > 0 else 1


# Recording.


class _Entry:
    """One request with its results and errors."""

    def __init__(self, task: dict[str, Any], expected: int) -> None:
        self.task = task
        self.expected = expected
        self.results: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.seen: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether every result came, or the error of the whole task."""
        return len(self.results) + len(self.errors) >= self.expected or bool(self.errors and not self.results)


class SessionRecorder:
    """Writes a recording during a session.

    Args:
        path: The file. A recording that it holds has been paid for, so it is replaced only by the first request that
            is recorded.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = Path(path)
        self._entries: dict[str, _Entry] = {}
        self._secrets: set[str] = set()
        with self._path.open("a", encoding="utf-8") as file:
            self._replaces = file.tell() > 0
        if not self._replaces:
            self._begin()

    def _begin(self) -> None:
        self._path.write_text(f"{encode_json(_FORMAT)}\n", encoding="utf-8")
        self._replaces = False

    def hide(self, secret: object) -> None:
        """Leave a secret out of everything that is recorded from now on."""
        if isinstance(secret, str) and len(secret) >= 4:
            self._secrets.add(secret)

    def sent(self, task: dict[str, Any]) -> None:
        """Record a request, unless it is recorded already or belongs to the protocol."""
        kind, uuid = task.get("taskType"), task.get("taskUUID")
        self.hide(task.get("apiKey"))
        if kind not in _PROTOCOL and kind not in _PERSONAL and isinstance(uuid, str) and uuid not in self._entries:
            self._entries[uuid] = _Entry(_comparable(task, self._secrets), _count(task))

    def received(self, frame: Any) -> list[dict[str, Any]]:
        """Record the results and errors of a message; return those that are new, as they came."""
        new = []
        for part in frame if isinstance(frame, list) else [frame]:
            if not isinstance(part, dict):
                continue
            new += [item for item in _objects(part.get("data")) if self._item_received(item)]
            errors = [*_objects(part.get("errors")), *_objects(part.get("error"))]
            new += [error for error in errors if self._error_received(error)]
        return new

    def _entry(self, item: Mapping[str, Any]) -> _Entry | None:
        uuid = item.get("taskUUID")
        return self._entries.get(uuid) if isinstance(uuid, str) else None

    def _item_received(self, item: dict[str, Any]) -> bool:
        entry = self._entry(item)
        if entry is None or item.get("status") in _RUNNING or item.keys() <= _NO_RESULT - {"status"}:
            return False
        if item.get("status") in ("error", "failed") or "error" in item:
            error = item.get("error")
            return self._error_received({**(error if isinstance(error, dict) else item), "taskUUID": item["taskUUID"]})
        files = {name: value for name, value in item.items() if name.endswith(_FILE_FIELDS)}
        kept = {name: value for name, value in item.items() if name not in files and name not in _NO_RESULT}
        fields = {name: self._field(value) for name, value in kept.items()}
        return self._keep(entry, entry.results, fields, kept or files)

    def _field(self, value: Any) -> Any:
        # A UUID of a result stays as it is: it is the name of a file in later requests.
        if isinstance(value, dict) and "files" in value:
            value = {name: one for name, one in value.items() if name != "files"}
        return value if isinstance(value, str) and match_uuid(value) else _clean(value, self._secrets)

    def _error_received(self, error: dict[str, Any]) -> bool:
        entry = self._entry(error)
        if entry is None:
            return False
        kept = {name: value for name, value in error.items() if name not in _NO_RESULT}
        return self._keep(entry, entry.errors, _clean(kept, self._secrets), kept)

    def _keep(self, entry: _Entry, where: list[dict[str, Any]], kept: dict[str, Any], whole: dict[str, Any]) -> bool:
        known = json.dumps(whole, sort_keys=True)
        if known in entry.seen or entry.complete:  # a poll returns earlier results again
            return False
        entry.seen.add(known)
        where.append(kept)
        if entry.complete:
            self._write(entry)
        return True

    def _write(self, entry: _Entry) -> None:
        line = {"task": entry.task, "results": entry.results, "errors": entry.errors, "complete": entry.complete}
        if self._replaces:
            self._begin()
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{encode_json(line)}\n")

    def finish(self) -> None:
        """Write the requests whose results did not all come."""
        for entry in self._entries.values():
            if not entry.complete:
                self._write(entry)
        self._entries.clear()


def _objects(value: object) -> list[dict[str, Any]]:
    several = value if isinstance(value, list) else [value]
    return [one for one in several if isinstance(one, dict)]


# Replaying.


class Recording:
    """A recording that answers requests.

    Args:
        path: The file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a recording.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._name = Path(path).name
        self._entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._tasks: list[dict[str, Any]] = []
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                self._read(json.loads(line), first=number == 1)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"{path}, line {number}: not a line of a recorded session ({type(error).__name__}: {error})"
                ) from error
        if not lines:
            raise ValueError(f"{path} is empty; a recorded session has a first line that names its format")

    def _read(self, line: dict[str, Any], *, first: bool) -> None:
        if first:
            if line != _FORMAT:
                raise ValueError(f"expected {encode_json(_FORMAT)}")
            return
        task = {**line["task"]}
        self._entries[_key(task)].append({"results": [*line["results"]], **line})
        self._tasks.append(task)

    def take(self, task: dict[str, Any], count: int) -> PlannedAnswer:
        """Return the recorded answer to a task: of several, the oldest that was not used; the last one repeats.

        Args:
            task: The task.
            count: How many results, or statuses, the server makes for it.

        Raises:
            ApiError: It was not recorded.
        """
        entries = self._entries.get(_key(_comparable(task)))
        if not entries:
            raise ApiError("missingRecording", self._explain(task), "taskType", type="string")
        entry = entries.pop(0) if len(entries) > 1 else entries[0]
        if not entry.get("complete", True):
            message = f"The recording {self._name} ended before {task['taskType']} did. Record it again."
            raise ApiError("missingRecording", message, "taskType", type="string")
        results, errors = entry["results"], [_to_error(error) for error in entry.get("errors", ())]
        answer = PlannedAnswer(str(task["taskType"]), times=None)
        if not results and errors:
            answer.error = errors[0]
            return answer
        missing = max(0, count - len(results))
        answer.result_errors = {len(results) + index: error for index, error in enumerate(errors[:missing])}
        # Statuses before the last one have no content of their own.
        padding: list[dict[str, Any]] = [{}] * missing
        answer.results = [*results, *padding] if errors else [*padding, *results[:count]]
        return answer

    def _explain(self, task: dict[str, Any]) -> str:
        kind, wanted = task.get("taskType"), _comparable(task)
        recorded = [one for one in self._tasks if one.get("taskType") == kind]
        again = "Record the session again, or answer the task with respond()."
        if kind in _PERSONAL:
            return f"{kind} is never recorded, since its results name people and keys; answer it with respond()."
        if not recorded:
            kinds = sorted({str(one.get("taskType")) for one in self._tasks})
            return f"The recording {self._name} has no {kind}; it has {', '.join(kinds) or 'nothing'}. {again}"
        nearest = min((_differences(one, wanted) for one in recorded), key=len)
        return (
            f"The recording {self._name} has no {kind} with these parameters. The nearest one differs in "
            f"{'; '.join(nearest)}. {again}"
        )


def _key(task: Mapping[str, Any]) -> str:
    return json.dumps(task, sort_keys=True)


def _differences(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    found = []
    for name in dict.fromkeys([*recorded, *wanted]):
        one, other = recorded.get(name), wanted.get(name)
        if one != other:
            found.append(f"{name}: recorded {_brief(one)}, sent {_brief(other)}")
    return found


def _brief(value: Any) -> str:
    text = "nothing" if value is None else encode_json(value)
    return text if len(text) <= _LONGEST_DIFFERENCE else f"{text[:_LONGEST_DIFFERENCE]}…"


def _to_error(error: Mapping[str, Any]) -> ApiError:
    known = {"code", "message", "parameter", "documentation"}
    more = {name: value for name, value in error.items() if name not in known}
    code, message = str(error.get("code", "unknownError")), str(error.get("message", ""))
    return ApiError(code, message, error.get("parameter"), **more)
