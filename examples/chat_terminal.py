"""A chat in the terminal: answers appear as they are written, and the model may call two functions.

python examples/chat_terminal.py --local                  # no key and no network: a server on this machine
RUNWARE_API_KEY=... python examples/chat_terminal.py      # against the API
python examples/chat_terminal.py --file chat.json         # goes on with the chat in the file, and saves it there

End with Ctrl-D, or an empty line. Ctrl-C ends an answer. With `--local`, the model calls a function when the message
says so: `[call:roll_dice {"sides": 20}]`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from runware import Chat, Runware, RunwareError


def roll_dice(sides: int = 6, count: int = 1) -> list[int]:
    """Roll dice.

    Args:
        sides: How many sides each has.
        count: How many there are.
    """
    return [random.randint(1, sides) for _ in range(count)]


async def get_time(zone: str) -> str:
    """Return the time in a time zone.

    Args:
        zone: The name of the zone, such as Europe/Oslo.
    """
    return datetime.now(ZoneInfo(zone)).isoformat(timespec="minutes")


TOOLS = [roll_dice, get_time]


def start(rw: Runware, model: str, file: Path | None) -> Chat[None]:
    """Restore the chat in the file, or start a new one."""
    if file is not None and file.exists():
        chat: Chat[None] = Chat.from_dict(json.loads(file.read_text()), rw, tools=TOOLS)
        print(f"Going on with {len(chat.messages)} messages.")
        return chat
    return rw.chat(model, system_prompt="Answer in a few sentences.", tools=TOOLS)


def lines() -> Iterator[str]:
    """Yield what the user writes."""
    with contextlib.suppress(EOFError):
        while line := input("> ").strip():
            yield line


def show(chat: Chat[None], message: str) -> None:
    """Send a message, and print the answer as it comes."""
    with chat.stream(message) as stream:
        for piece in stream:
            if (run := piece.tool_call) is not None and run.done:
                print(f"[{run.name}: {run.output}]")
            print(piece.text, end="", flush=True)
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description="Chat in the terminal.")
    parser.add_argument("--model", default="google:gemma@4-31b", help="the model (default: google:gemma@4-31b)")
    parser.add_argument("--file", type=Path, help="keep the chat in this file")
    parser.add_argument("--local", action="store_true", help="use a server on this machine")
    arguments = parser.parse_args()

    with contextlib.ExitStack() as stack:
        if arguments.local:
            from runware.local import LocalServer

            server = stack.enter_context(LocalServer(spread=0.02))
            rw = stack.enter_context(Runware(server.api_key, url=server.url))
        else:
            rw = stack.enter_context(Runware())

        chat = start(rw, arguments.model, arguments.file)
        for message in lines():
            try:
                show(chat, message)
            except KeyboardInterrupt:
                print(" (stopped)")
            except RunwareError as error:
                print(f"error: {error}")
        if arguments.file is not None:
            arguments.file.write_text(json.dumps(chat.to_dict(), indent=2))
        print(f"{len(chat.messages)} messages, ${chat.cost or 0:.4f}")


if __name__ == "__main__":
    main()
