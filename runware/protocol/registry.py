"""Finding the calls that a message is about."""

from __future__ import annotations

from collections.abc import Iterable

from runware.protocol.call import Call, Completion, Item, Question

__all__ = ["CallRegistry"]

_ANSWER = Completion.ANSWER  # an attribute of an enum takes longer than a global variable


class CallRegistry:
    """The open calls by their keys, and lookups by the task they are about.

    Attributes:
        calls: Every open call by its key. It is always the same dict.
        lookups: The callers' own getResponse and getTaskDetails calls, by the UUID of the task they are about.
    """

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.lookups: dict[str, list[Call]] = {}

    def add(self, call: Call) -> None:
        """Add a call under its key."""
        self.calls[call.key] = call
        if call.completion is _ANSWER:
            self.lookups.setdefault(call.uuid, []).append(call)

    def remove(self, call: Call) -> None:
        """Remove a call, if it is there: another one may have its key."""
        if self.calls.get(call.key) is call:
            del self.calls[call.key]
            if call.completion is _ANSWER:
                self.lookups[call.uuid].remove(call)
                if not self.lookups[call.uuid]:
                    del self.lookups[call.uuid]

    def rename(self, call: Call, uuid: str) -> None:
        """Register a call under the UUID of its next attempt, in place of another one that waits for this one."""
        del self.calls[call.key]
        call.uuid = call.key = uuid
        if (other := self.calls.get(uuid)) is not None:
            other.key = f"{uuid}:{other.sequence}"
            self.calls[other.key] = other
        self.calls[uuid] = call

    def matching(self, item: Item) -> list[Call]:
        """Return the calls that an item or an error is for: the one it names, and lookups of that task."""
        uuid = item.get("taskUUID")
        if not isinstance(uuid, str):
            return []
        call, kind = self.calls.get(uuid), item.get("taskType")
        found = [] if call is None else [call]
        if uuid in self.lookups:
            # The answer to getResponse has the task's own type, the one to getTaskDetails has that type. Details are
            # also for a lookup of results whose own answer was empty.
            details = kind == Question.DETAILS.value
            found += [
                lookup
                for lookup in self.lookups[uuid]
                if (lookup.task_type == Question.DETAILS.value) is details or (details and lookup.polling.empty_answer)
            ]
        return found

    def named(self, uuids: Iterable[str]) -> list[Call]:
        """Return the calls that are about tasks of these UUIDs, each once."""
        return list(dict.fromkeys(call for uuid in uuids for call in self.matching({"taskUUID": uuid})))
