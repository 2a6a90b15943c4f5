"""The open questions of the protocol (docs/protocol.md, section 7), each as a switch.

The documentation of the real service does not answer them. A client has to work with every answer, so this server can
give each of them; the default is the likeliest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["SWITCHES", "Switch", "SwitchValue", "Switches"]

SwitchValue = str | int | float | bool


class Switch(NamedTuple):
    """One open question.

    Attributes:
        name: The short name: `q1` to `q18` and `p5` to `p25` for Q1 to Q18 and P5 to P25 of docs/protocol.md.
        alias: A descriptive name; accepted wherever `name` is.
        values: The allowed values. `None`: any value of the default's type that is not negative.
        help: The meaning of the values.
    """

    name: str
    alias: str
    values: tuple[SwitchValue, ...] | None
    help: str


SWITCHES: tuple[Switch, ...] = (
    Switch(
        "q1", "resumed_session", ("same", "new"), "the session UUID in the reply to a resume: the same, or a new one"
    ),
    Switch(
        "q2",
        "unknown_session",
        ("new", "error"),
        "a resume of an unknown or expired session: create a new session, or answer with an error",
    ),
    Switch(
        "q3",
        "rejected_key",
        ("open", "1008", "1000"),
        "the connection after a rejected key: keep it open, or close it with this code",
    ),
    Switch(
        "q4",
        "replay_time",
        ("after", "before"),
        "when a resume replays undelivered frames: after or before the authentication reply",
    ),
    Switch(
        "q5",
        "replay_written",
        ("no", "yes"),
        "whether a resume also replays frames that were written to the lost connection",
    ),
    Switch(
        "q6",
        "unknown_poll",
        ("auto", "empty", "error"),
        "getResponse for an unknown task: taskNotFound over WebSocket and empty data over HTTP (auto), or always one",
    ),
    Switch(
        "q7",
        "failed_poll",
        ("mixed", "errors", "item"),
        "failures in a poll: an errors array if the whole task failed and otherwise an item (mixed), or always one",
    ),
    Switch(
        "q8",
        "acknowledgement",
        ("none", "processing", "finished"),
        "what an acknowledgement contains besides taskType and taskUUID: nothing, a status, or finished results",
    ),
    Switch(
        "q9",
        "placeholders",
        ("all", "one", "known"),
        "items for unfinished results in a poll: for all, for one, or for none (known)",
    ),
    Switch(
        "q10",
        "websocket_stream",
        ("error", "sync"),
        "deliveryMethod stream over WebSocket: an error, or delivery as for sync",
    ),
    Switch(
        "q11",
        "dry_run_reply",
        ("items", "empty"),
        "the response to a dry run: items with cost but without media, or no items",
    ),
    Switch(
        "q12",
        "webhook_body",
        ("flat", "data"),
        "the body of a webhook: the item (flat), or an object with the item in its data",
    ),
    Switch("q13", "max_message_size", None, "size of the largest accepted message in bytes; 0: unlimited"),
    Switch(
        "q14",
        "bad_request_code",
        None,
        "the error code for malformed JSON, a message that is not an array, or a missing taskUUID",
    ),
    Switch("q15", "max_tasks", None, "the largest number of tasks in one message; 0: unlimited"),
    Switch("q16", "ping_interval", None, "seconds between ping frames from the server; 0: no pings"),
    Switch(
        "q17",
        "poll_task_type",
        ("original", "getResponse"),
        "the taskType of items in a poll: that of the task, or getResponse",
    ),
    Switch("q18", "balance", ("number", "object"), "the form of the account balance"),
    Switch(
        "p5",
        "stream_tools",
        ("tools", "toolCalls", "none"),
        "calls of tools in a token stream: `tools` as in messages, `toolCalls` in parts as OpenAI has them, or none",
    ),
    Switch(
        "p7",
        "dropped_stream",
        ("runs", "unknown"),
        "what getResponse and getTaskDetails know of a streamed task: the whole text, or nothing",
    ),
    Switch("p25", "stream_index", ("absent", "present"), "resultIndex in the events of a token stream"),
    Switch(
        "task_details", "task_details_form", ("object", "array"), "the form of the field response in getTaskDetails"
    ),
    Switch("replay", "replays", (True, False), "whether a resume replays undelivered frames"),
    Switch("sync_polls", "poll_sync_tasks", (True, False), "whether getResponse finds synchronous tasks"),
    Switch(
        "running_details",
        "details_of_running",
        ("partial", "unknown"),
        "getTaskDetails for a running task: its results so far, or taskNotFound",
    ),
    Switch("unasked_async", "async_unasked", (False, True), "whether tasks without deliveryMethod are asynchronous"),
    Switch(
        "p8",
        "chat_errors",
        ("errors", "error", "openai", "provider"),
        "errors of the endpoint for chats: an errors array, a single error, or as OpenAI or others have them",
    ),
    Switch("p21", "model_list", ("array", "data"), "the list of models: an array, or an object with data"),
    Switch(
        "empty_parameters",
        "tools_without_parameters",
        ("refused", "accepted"),
        "tools without parameters in a chat: refused with status 400, or accepted",
    ),
    Switch(
        "default_max_tokens",
        "chat_default_length",
        ("fits", "exceeds"),
        "the length of an answer without max_tokens: what the model can do, or more, which is refused with status 400",
    ),
    Switch(
        "webhook_error",
        "webhook_error_body",
        ("auto", "errors", "error", "item", "data", "flat"),
        "the body of a webhook for an error: as q12 (auto), an object with errors or error, the item with its error"
        " (item; data: in data), or an item that is the error itself (flat)",
    ),
    Switch("strict", "reject_unknown", (True, False), "whether all task types reject unknown parameters"),
    Switch(
        "models",
        "model_checks",
        ("lenient", "strict", "off"),
        "models that cannot exist are refused (lenient), also those that the snapshot does not know, and whatever a"
        " model's request schema refuses (strict), or nothing because of its model (off)",
    ),
    Switch(
        "prices",
        "model_prices",
        ("rates", "measured", "flat"),
        "what a task costs: its model's rates (rates), also what a run of its model did cost (measured), and"
        " otherwise one price for a result of its task type (flat)",
    ),
)

_BY_NAME = {name: switch for switch in SWITCHES for name in (switch.name, switch.alias)}


@dataclass(slots=True)
class Switches:
    """The current value of every switch; `SWITCHES` describes them."""

    q1: str = "same"
    q2: str = "new"
    q3: str = "open"
    q4: str = "after"
    q5: str = "no"
    q6: str = "auto"
    q7: str = "mixed"
    q8: str = "none"
    q9: str = "all"
    q10: str = "error"
    q11: str = "items"
    q12: str = "flat"
    q13: int = 64 * 2**20
    q14: str = "invalidRequest"
    q15: int = 0
    q16: float = 0.0
    q17: str = "original"
    q18: str = "number"
    p5: str = "tools"
    p7: str = "runs"
    p25: str = "absent"
    task_details: str = "object"
    replay: bool = True
    sync_polls: bool = True
    running_details: str = "partial"
    unasked_async: bool = False
    p8: str = "errors"
    p21: str = "array"
    empty_parameters: str = "refused"
    default_max_tokens: str = "fits"
    webhook_error: str = "auto"
    strict: bool = False
    models: str = "lenient"
    prices: str = "rates"

    def update(self, values: Mapping[str, SwitchValue]) -> None:
        """Set switches by name or alias. Strings, as from a command line, are converted.

        Raises:
            ValueError: A name is unknown or a value is not allowed; then no switch is changed.
        """
        checked = [self._checked(name, value) for name, value in values.items()]
        for attribute, value in checked:
            setattr(self, attribute, value)

    def _checked(self, name: str, value: SwitchValue) -> tuple[str, SwitchValue]:
        switch = _BY_NAME.get(name.lower())
        if switch is None:
            raise ValueError(f"unknown switch {name!r}; the switches are: {', '.join(s.name for s in SWITCHES)}")
        if switch.values is not None:
            by_text = {str(allowed).lower(): allowed for allowed in switch.values}
            found = by_text.get(str(value).lower())
            if found is None:
                raise ValueError(f"switch {switch.name} must be one of {', '.join(by_text)}; got {value!r}")
            return switch.name, found
        kind = type(getattr(self, switch.name))
        try:
            converted: SwitchValue = kind(value)
        except ValueError as error:
            raise ValueError(f"switch {switch.name} must be of type {kind.__name__}; got {value!r}") from error
        if not isinstance(converted, str) and converted < 0:
            raise ValueError(f"switch {switch.name} must not be negative; got {value!r}")
        return switch.name, converted
