"""The commands `text` and `chat`, which print the answers of language models as they arrive."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from runware import RunwareError, ValidationError
from runware._support.escaping import escape_controls
from runware._support.lazy_modules import lazy_module, load_module
from runware.cli.common import Extra, Json, Local, Model, Seed, Timeout, command, read_settings
from runware.cli.output import Output, client, media, note, report, reporting, without_secrets
from runware.cli.screen import dollars, is_terminal, waiting

if TYPE_CHECKING:
    from runware import Runware
    from runware.results.text import Text
    from runware.text import Chat, TextStream
    from runware.text import chat as text_chat
else:
    text_chat = lazy_module("runware.text.chat")

__all__ = ["chat", "text"]

_MODEL = "google:gemma@4-31b"

System = Annotated[
    Optional[str], typer.Option("--system", "-s", metavar="TEXT", help="Instructions that precede the conversation.")
]
MaxTokens = Annotated[
    Optional[int], typer.Option("--max-tokens", metavar="NUMBER", help="Maximum length of the answer, in tokens.")
]
Temperature = Annotated[Optional[float], typer.Option("--temperature", metavar="NUMBER", help="Sampling temperature.")]


class Screen:
    """Prints pieces of a text on standard output as they arrive, without the server's control characters."""

    def __init__(self) -> None:
        self._held = ""
        self._last = "\n"

    def write(self, text: str) -> None:
        """Print a piece."""
        text = self._held + text
        # A CR at the end may be the first half of CRLF.
        self._held = "\r" if text.endswith("\r") else ""
        shown = escape_controls(text[: len(text) - len(self._held)])
        if shown:
            self._last = shown[-1]
            sys.stdout.write(shown)
            sys.stdout.flush()

    def end(self) -> None:
        """End the last line."""
        if self._last != "\n":
            sys.stdout.write("\n")
            sys.stdout.flush()
        self._held, self._last = "", "\n"


@command
def text(
    prompt: Annotated[
        list[str],
        typer.Argument(metavar="PROMPT", help="What to ask. - reads stdin; several parts become paragraphs."),
    ],
    model: Model = _MODEL,
    system: System = None,
    image: Annotated[
        Optional[list[str]], typer.Option("--image", metavar="MEDIA", help="Image to ask about; repeatable.")
    ] = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    seed: Seed = None,
    extra: Extra = None,
    reasoning: Annotated[
        bool, typer.Option("--reasoning", help="Show the model's reasoning, on standard error.")
    ] = False,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Generate text. It is printed while it is generated.

    runware text "Why is the sky blue?"; git diff | runware text "Review this:" -
    """
    further = read_settings(extra)
    with reporting(as_json, local):
        inputs = {"images": [media(one) for one in image]} if image else None
        parts = [sys.stdin.read().strip() if part == "-" else part for part in prompt]
        with client(local) as rw:
            stream = rw.stream_text(
                model=model,
                messages=[{"role": "user", "content": "\n\n".join(parts)}],
                system_prompt=system,
                inputs=inputs,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
                extra=further,
                timeout=timeout,
                include_cost=True,
                include_usage=True,
            )
            answer = _print_stream(stream, model, shown=not as_json, reasoning=reasoning)
            if as_json:
                Output.json([without_secrets(answer.raw)])
                return
            if answer.finish_reason == "length":
                note("the answer ends at its maximum length; allow more with --max-tokens")
            if answer.cost is not None:
                note(_usage_line(answer.usage, answer.cost))


def _print_stream(stream: TextStream, model: str, *, shown: bool, reasoning: bool) -> Text:
    """Print a text as it arrives, and return it.

    Args:
        stream: The stream, which is closed at the end.
        model: The model's name, for the line that is shown until the first piece arrives.
        shown: Whether anything is printed.
        reasoning: Whether the model's reasoning is printed, on standard error.
    """
    screen = Screen()
    after_reasoning = False
    with stream, waiting(f"waiting for {model}") as status:
        try:
            for piece in stream:
                if reasoning and piece.reasoning and shown:
                    status("")
                    after_reasoning = True
                    _print_reasoning(piece.reasoning)
                if piece.text and shown:
                    status("")
                    if after_reasoning:
                        sys.stderr.write("\n\n")
                        after_reasoning = False
                    screen.write(piece.text)
        finally:
            status("")
            screen.end()
        return stream.received


def _print_reasoning(text: str) -> None:
    """Print a piece of reasoning on standard error, dimmed on a terminal."""
    shown = escape_controls(text)
    sys.stderr.write(f"\x1b[2m{shown}\x1b[0m" if is_terminal(err=True) else shown)
    sys.stderr.flush()


def _usage_line(usage: Any, cost: float) -> str:
    """Return tokens and cost in words."""
    tokens = getattr(usage, "total_tokens", None)
    return f"{tokens} tokens, {dollars(cost)}" if isinstance(tokens, int) else dollars(cost)


# ---------------------------------------------------------------------- chat

_HELP = """/help     this list
/model    show the model
/cost     what the chat has cost so far
/clear    forget the conversation
/exit     leave, as Ctrl-D does; Ctrl-C stops an answer"""


@command
def chat(
    model: Model = _MODEL,
    system: System = None,
    history: Annotated[
        Optional[Path],
        typer.Option("--history", metavar="FILE", help="Continue the chat in this file, and keep it there."),
    ] = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    timeout: Timeout = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Chat with a model. In a pipe, each line of standard input is a message."""
    with reporting(as_json, local), client(local) as rw:
        kept = _load(history, rw) if history is not None else None
        found = kept or rw.chat(
            model, system_prompt=system, max_tokens=max_tokens, temperature=temperature, timeout=timeout
        )
        _Conversation(found, history, as_json).run()


def _load(path: Path, rw: Runware) -> Chat[None] | None:
    """Return the chat in a file; `None` if there is no such file."""
    if not path.exists():
        if not path.parent.is_dir():  # found now, and not when the first answer is to be kept
            raise ValidationError(
                f"{path.parent} is no directory, and the chat cannot be kept in it.", parameter="--history"
            )
        return None
    data = json.loads(path.read_text("utf-8"))
    if not isinstance(data, Mapping):
        raise ValidationError(f"{path} holds no chat.", parameter="--history")
    return text_chat.Chat.from_dict(data, rw)


class _Conversation:
    """Messages from the terminal or a pipe, and their answers."""

    def __init__(self, chat: Chat[Any], history: Path | None, as_json: bool) -> None:
        self._chat = chat
        self._history = history
        self._json = as_json
        self._interactive = sys.stdin.isatty()

    def run(self) -> None:
        """Answer each message until the input ends."""
        if self._interactive:
            note(f"{self._chat.model}; /help lists commands, Ctrl-D leaves")
        for message in self._messages():
            if message.startswith("/") and self._interactive:
                if not self._command(message.strip()):
                    break
            elif message.strip():
                self._answer(message)
        if self._interactive and self._chat.cost is not None:
            note(_usage_line(self._chat.usage, self._chat.cost))

    def _messages(self) -> Iterator[str]:
        """Yield the messages that the user types, or the lines of standard input."""
        if not self._interactive:
            yield from (line.rstrip("\n") for line in sys.stdin)
            return
        _edit_lines()
        interrupted = False
        while True:
            try:
                line = _ask("> ")
            except EOFError:
                sys.stderr.write("\n")
                return
            except KeyboardInterrupt:
                sys.stderr.write("\n")
                if interrupted:
                    raise
                interrupted = True
                note("Ctrl-D or /exit leaves; so does Ctrl-C once more")
                continue
            interrupted = False
            yield line

    def _command(self, name: str) -> bool:
        """Run a command of the user, such as `/cost`; return whether the chat continues."""
        if name == "/exit":
            return False
        if name == "/clear":
            self._chat.messages = []
            self._keep()
            note("forgotten")
        elif name == "/cost":
            note(_usage_line(self._chat.usage, self._chat.cost or 0.0))
        elif name == "/model":
            note(self._chat.model)
        else:
            for line in _HELP.splitlines():
                note(line)
        return True

    def _answer(self, message: str) -> None:
        """Send a message, and print its answer as it arrives."""
        screen = Screen()
        try:
            with self._chat.stream(message) as stream, waiting(f"waiting for {self._chat.model}") as status:
                try:
                    for words in stream.text():
                        status("")
                        if not self._json:
                            screen.write(words)
                finally:
                    status("")
                    screen.end()
                answer = stream.result()
        except KeyboardInterrupt:
            if not self._interactive:
                raise
            note("stopped; the message and its answer are forgotten, but may be billed")
            return
        except RunwareError as error:
            if not self._interactive:
                raise
            report(error, self._json)
            return
        if self._json:
            usage = dict(answer.usage.raw) if answer.usage is not None else None
            Output.json({"text": answer.text, "cost": answer.cost, "usage": usage}, indent=None)
        self._keep()

    def _keep(self) -> None:
        """Write the chat to the file of `--history`."""
        if self._history is not None:
            text = json.dumps(self._chat.to_dict(), ensure_ascii=False, indent=1) + "\n"
            self._history.write_text(text, "utf-8", "backslashreplace")  # a lone surrogate becomes an escape of JSON


def _ask(prompt: str) -> str:
    """Return a line that the user types. Raise `EOFError` at the end of the input."""
    if is_terminal():
        return input(prompt)
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _edit_lines() -> None:
    """Enable line editing and history for `input`, where the system has them."""
    try:
        load_module("readline")
    except ImportError:  # Windows has no such module, and its terminal edits lines itself
        pass
