"""The open questions with what the client assumes, the run of a probe, and its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import attrs

from runware import RunwareError
from runware._support.escaping import one_line
from runware.cli.probe import connections, requests, tasks, text
from runware.cli.probe.lines import COST, Probe, UndecidedError, WebSocketLine

__all__ = ["COST", "QUESTIONS", "Answer", "Question", "run_probe"]


@attrs.frozen
class Question:
    """One open question.

    Attributes:
        key: Its name: `q1`, `P1`, or the switch of the local server.
        asks: The question.
        assumed: The answer that the client assumes; `""` if it assumes nothing. reason: Why no probe can decide it;
        `""` if one can.
    """

    key: str
    asks: str
    assumed: str = ""
    reason: str = ""


QUESTIONS: tuple[Question, ...] = (
    Question("q1", "Does a resumed session keep its UUID?", "same"),
    Question("q2", "What happens with an unknown session?", "new"),
    Question("q3", "Is the connection closed after a rejected key?", "open"),
    Question("q4", "Do replays come before or after the answer to authentication?", "after"),
    Question("q5", "Is what was written to the lost connection replayed?", "no"),
    Question("replay", "Are results replayed at all?", "True"),
    Question("q6", "What is the answer about an unknown task?", "auto"),
    Question("q7", "In which form does a poll report a failure?", "mixed"),
    Question("q8", "What else is in an acknowledgement?", "none"),
    Question("q9", "Does a poll list results that still run?", "all"),
    Question("q10", "What happens to a stream over a WebSocket?", "error"),
    Question("q11", "What is the answer to a dry run?", "items"),
    Question("q12", "What is the body of a webhook?", "flat"),
    Question("webhook_error", "In which form does a webhook report a failure?", "item"),
    Question("q13", "How large may a message be?", "16 MiB or more"),
    Question("q14", "Which code do malformed requests get?", "invalidRequest"),
    Question("q15", "How many tasks may a message have?", "101 or more"),
    Question("q16", "Does the server send protocol pings?", "no"),
    Question("q17", "Is the taskType of polled results ever getResponse?", "original"),
    Question("q18", "Is the balance a number or an object?", "number"),
    Question("sync_polls", "Does getResponse know synchronous tasks?", "True"),
    Question("running_details", "Does getTaskDetails know running tasks?", "partial"),
    Question("task_details", "Which form has the response in getTaskDetails?", "object"),
    Question("unasked_async", "Are tasks acknowledged without having requested it?", "False"),
    Question("strict", "Are unknown parameters refused?", "False"),
    Question("models", "Which models are refused, and by what?", "lenient"),
    Question("prices", "What does a task cost?", "rates"),
    Question("P1", "Which status has an answer with data and errors?", "200"),
    Question("P2", "How often is a webhook delivered, from where, and is it signed?", "",
             "needs a public receiver that fails on purpose, and hours"),
    Question("P3", "What does a dry run return?"),
    Question("P4", "How long can results be read by taskUUID?", "", "takes days"),
    Question("p5", "How does a stream hold calls of tools?", "tools"),
    Question("P6", "Is a message of the role tool accepted natively?", "accepted"),
    Question("p7", "What is known of a dropped stream afterwards?", "runs"),
    Question("p8", "Which form do errors of the endpoint for chats have?", "errors"),
    Question("P9", "Are model slugs accepted besides AIRs?"),
    Question("P10", "How long do serverless apps keep tasks, and wait?", "", "needs an app of this account"),
    Question("P11", "What do inputs and settings of the task tools hold?", "",
             "the fields differ by tool, and a refusal names only one of them"),
    Question("P12", "Which fields has routing?", "", "a refusal would name one field, not those that exist"),
    Question("P13", "Can a taskUUID be used again after a refusal?", "reusable"),
    Question("P14", "Which unusual headers do answers have?", "none"),
    Question("P15", "Does Retry-After occur?"),
    Question("P16", "How are failures of an uploadEndpoint reported?", "", "needs a public address that takes uploads"),
    Question("P17", "How large may a request over HTTP be?"),
    Question("P18", "Do schemas describe responses?"),
    Question("P19", "Which x-constraints do schemas have?"),
    Question("P20", "Is a multipleOf of 0.01 checked with a tolerance?", "3.33 accepted"),
    Question("p21", "Is the list of chat models an array?", "array"),
    Question("P22", "Which endpoints for decisions are there?"),
    Question("P23", "In which form and currency is the balance?"),
    Question("P24", "Which sources do models have?"),
    Question("p25", "Do events of a stream have a resultIndex?", "absent"),
    Question("P26", "Are there numeric rate limits?", "", "finding them means running into them with the account"),
    Question("empty_parameters", "Does the endpoint for chats take tools without parameters?", "refused"),
    Question("default_max_tokens", "How long are answers without max_tokens?", "fits"),
)  # fmt: skip

_ASKED: tuple[tuple[Callable[[Probe], None], tuple[str, ...]], ...] = (
    (connections.ask_keys, ("q2", "q3")),
    (tasks.ask_unasked, ("unasked_async", "sync_polls")),
    (tasks.ask_details, ("task_details",)),
    (tasks.ask_polls, ("q6", "q8", "q9", "q17", "running_details")),
    (tasks.ask_failures, ("q7",)),
    (tasks.ask_webhooks, ("q12", "webhook_error")),
    (connections.ask_sessions, ("q1", "q4", "q5", "replay")),
    (connections.ask_malformed, ("q14",)),
    (requests.ask_dry_runs, ("q11", "P3", "P6", "P9", "P13", "P20")),
    (requests.ask_checks, ("strict", "models")),
    (requests.ask_prices, ("prices",)),
    (requests.ask_account, ("q18", "P23", "P24")),
    (requests.ask_statuses, ("P1", "P22")),
    (requests.ask_schemas, ("P18", "P19")),
    (text.ask_websocket_stream, ("q10",)),
    (text.ask_streams, ("p5", "p25")),
    (text.ask_dropped_stream, ("p7",)),
    (text.ask_chats, ("p8", "p21", "empty_parameters", "default_max_tokens")),
    (connections.ask_limits, ("q13", "q15", "P17")),
    (requests.ask_headers, ("P14", "P15")),
)
"""The functions that ask, each with its questions."""


@attrs.frozen
class Answer:
    """The result of a probe for one question.

    Attributes:
        key: The name of the question.
        asks: The question.
        found: The answer; `""` if it was not decided.
        assumed: The answer that the client assumes; `""` if it assumes nothing. note: More about the answer, or why
        there is none.
    """

    key: str
    asks: str
    found: str
    assumed: str
    note: str

    @property
    def holds(self) -> bool | None:
        """Whether the assumption holds; `None` if there is none, or no answer."""
        return self.found == self.assumed if self.found and self.assumed else None

    @property
    def mark(self) -> str:
        """The outcome in a word: `holds`, `differs`, `found` or `open`."""
        if not self.found:
            return "open"
        return {True: "holds", False: "differs", None: "found"}[self.holds]

    def as_text(self) -> str:
        """Return the answer as a line of text."""
        assumed = f" (assumed: {self.assumed})" if self.holds is False else ""
        note = f"; {self.note}" if self.note and self.found else self.note
        return f"{self.mark:7}  {self.key:18}  {self.asks} {one_line(f'{self.found}{assumed}{note}')}"

    def as_json(self) -> dict[str, Any]:
        """Return the answer as an object for `--json`."""
        facts = {name: getattr(self, name) or None for name in ("found", "assumed", "note")}
        return {"question": self.key, "asks": self.asks, "outcome": self.mark, **facts}


def run_probe(probe: Probe, began: Callable[[str], object] = lambda _: None) -> Iterator[Answer]:
    """Ask all questions, and yield their answers, without secrets.

    Args:
        probe: The connections to use.
        began: Called with the questions that are asked next.
    """
    watched: tuple[WebSocketLine, Thread] | None = None
    try:
        idle = probe.connect()
        watched = idle, idle.watch(probe.listening)
    except UndecidedError as error:
        probe.notes["q16"] = str(error)
    for ask, keys in _ASKED:
        began(", ".join(keys))
        try:
            ask(probe)
        except (UndecidedError, RunwareError) as error:
            _note(probe, keys, str(error))
        except Exception as error:  # an unexpected answer must not end the probe
            _note(probe, keys, f"the answer could not be read ({type(error).__name__})")
    if watched is not None:
        began("q16")
        _count_pings(probe, *watched)
    for one in QUESTIONS:
        found = probe.found.get(one.key, "")
        note = probe.notes.get(one.key) or ("" if found else one.reason or "not asked")
        yield Answer(one.key, one.asks, probe.hide(found), one.assumed, probe.hide(note))


def _count_pings(probe: Probe, idle: WebSocketLine, watching: Thread) -> None:
    try:
        watching.join(probe.limit(probe.listening + 1.0))
    except UndecidedError as error:
        probe.notes["q16"] = str(error)
        return
    probe.found["q16"] = "yes" if idle.pings else "no"
    if not idle.pings:
        probe.notes["q16"] = f"none within {probe.listening:g} s"


def _note(probe: Probe, keys: tuple[str, ...], reason: str) -> None:
    for key in keys:
        if key not in probe.found:
            probe.notes.setdefault(key, reason)
