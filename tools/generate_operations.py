"""Write the methods of the three interface forms (`runware/operations/`) from the request classes.

python tools/generate_operations.py           writes the files
python tools/generate_operations.py --check   exits with 1 if a file is out of date
"""  # noqa: INP001 - a script

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import attrs

PROJECT = Path(__file__).resolve().parent.parent
TARGET = PROJECT / "runware" / "operations"
sys.path.insert(0, str(PROJECT))

# Only modules that work without `runware.operations`, whose generated modules may be missing or out of date.
from runware import requests, results  # noqa: E402
from runware.requests.signatures import all_operations, answer_of, fields, parameters, spell, summary  # noqa: E402
from runware.results import platform  # noqa: E402

WIDTH = 120
NAMES = {name: f"requests.{name}" for name in requests.__all__}
"""How annotations name the classes of requests and results, which are loaded on first use, and other types."""
NAMES |= {name: f"results.{name}" for name in results.__all__ if name not in ("Result", "Results")}
NAMES |= {name: f"platform.{name}" for name in platform.__all__}
NAMES |= {name: name for name in ("Media", "PartialCallback", "ProgressCallback")}


class Form(NamedTuple):
    """One of the three interface forms of every operation."""

    module: str
    title: str
    class_name: str
    about: str
    define: str
    returns: str
    result: str
    errors: tuple[str, ...]
    stream: str
    stream_result: str
    stream_hidden: frozenset[str]


REFUSED = "ValidationError: A parameter is invalid; `parameter` names it, and nothing was sent."
CLOSED = "ClientClosedError: The client is closed."
FAILED = "RunwareError: The call failed; see `runware.errors` for the subclasses."
READ = "RunwareError: The stream failed; raised while it is read. See `runware.errors` for the subclasses."
FORMS = (
    Form(
        "blocking",
        "Operations that block until their result is available.",
        "BlockingOperations",
        "The operations of `Runware`.",
        "def",
        "{}",
        "{}",
        (REFUSED, FAILED),
        "TextStream",
        "`TextStream`: iterate over its pieces, in a `with` block. The request is sent when the first one is read.",
        frozenset(("on_partial",)),
    ),
    Form(
        "asynchronous",
        "Operations for asyncio.",
        "AsyncOperations",
        "The operations of `AsyncRunware`.",
        "async def",
        "{}",
        "{}",
        (REFUSED, FAILED),
        "AsyncTextStream",
        "`AsyncTextStream`: `async for` its pieces, in an `async with` block. The request is sent when the first one "
        "is read.",
        frozenset(("on_partial",)),
    ),
    Form(
        "jobs",
        "Operations that return a job immediately.",
        "JobOperations",
        "The operations of `rw.submit`.",
        "def",
        "Job[{}]",
        "A job; its result is {}",
        (REFUSED, CLOSED),
        "StreamJob",
        "A job. Iterate over it for the pieces as they come. What it gives: `Text`.",
        frozenset(),
    ),
)

HEAD = '''"""{title}

Generated from the request classes by `tools/generate_operations.py`. Do not edit. The bodies are never run:
`runware.operations.calls` defines what a method does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from runware import requests, results, text
from runware._support.lazy_modules import lazy_module
{jobs}from runware.media import Media
from runware.options import RetryPolicy
from runware.requests.base import PartialCallback, ProgressCallback, Task
from runware.results import Result, Results

if TYPE_CHECKING:
    from runware.results import platform
else:
    platform = lazy_module("runware.results.platform")

__all__ = ["{class_name}"]

R = TypeVar("R")


class {class_name}(ABC):
    """{about}"""

    @abstractmethod
    {define} run(self, task: Task[R]) -> {run_returns}:
        """Run a task."""
'''
STREAM = '''
    @abstractmethod
    def stream(self, task: requests.StreamText) -> text.{stream}:
        """Return the stream that an operation made."""
'''


def module_text(form: Form) -> str:
    """Return the text of the module of one form."""
    head = HEAD.format(
        title=form.title,
        jobs="from runware.jobs import Job\n" if form.module == "jobs" else "",
        class_name=form.class_name,
        about=form.about,
        define=form.define,
        run_returns=form.returns.format("R"),
    )
    methods = "\n".join(
        "\n".join(method_lines(form, name, request, aliases)) for name, (request, *aliases) in all_operations().items()
    )
    if form.module != "jobs":  # whose streams are jobs as all others
        head += STREAM.format(stream=form.stream)
    return head + "\n" + methods


def method_lines(form: Form, name: str, request_name: str, aliases: list[str]) -> Iterator[str]:
    """Yield the lines of one operation and its aliases."""
    request: Any = getattr(requests, request_name)
    hints = get_type_hints(request, include_extras=True)
    streamed = name in requests.STREAMS
    yield f"    {'def' if streamed else form.define} {name}("
    yield "        self,"
    yield "        *,"
    for field in shown_fields(form, request):
        kind = spell(hints[field.name], NAMES).replace("'", '"')
        default = "" if field.default is attrs.NOTHING else f" = {literal(field.default)}"
        yield from parameter(field.name, kind, default)
    answer = f"text.{form.stream}" if streamed else form.returns.format(spell(answer_of(request), NAMES))
    yield f"    ) -> {answer}:"
    yield from docstring(form, request)
    yield "        raise AssertionError"
    yield ""
    yield from (f"    {alias} = {name}" for alias in aliases)
    if aliases:
        yield ""


def shown_fields(form: Form, request: Any) -> list[Any]:
    """Return the parameters of an operation in one form."""
    hidden = form.stream_hidden if request.streamed else frozenset()
    return [field for field in fields(request) if field.name not in hidden]


def parameter(name: str, kind: str, default: str) -> Iterator[str]:
    """Yield the line of a parameter; or more of them, for a long list of literals."""
    line = f"        {name}: {kind}{default},"
    if len(line) <= WIDTH:
        yield line
        return
    literals, _, rest = kind.removeprefix("Literal[").partition("]")
    yield f"        {name}: Literal["
    yield from (f"            {one}," for one in literals.split(", "))
    yield "        ]"
    *others, last = rest.removeprefix(" | ").split(" | ")
    yield from (f"        | {one}" for one in others)
    yield f"        | {last}{default},"


def docstring(form: Form, request: Any) -> Iterator[str]:
    """Yield the lines of the docstring of a method."""
    about, *more = sentences(summary(request))
    yield from wrapped(f'"""{about}', indent=8)
    for paragraph in more:
        yield ""
        yield from wrapped(paragraph, indent=8)
    yield ""
    yield "        Args:"
    words = parameters(request)
    for field in shown_fields(form, request):
        yield from wrapped(f"{field.name}: {words[field.name]}", indent=12)
    yield ""
    yield "        Returns:"
    returned = form.stream_result if request.streamed else form.result.format(answer_words(request))
    yield from wrapped(returned, indent=12)
    yield ""
    yield "        Raises:"
    for error in (REFUSED, READ) if request.streamed and form.module != "jobs" else form.errors:
        yield from wrapped(error, indent=12)
    yield '        """'


def sentences(text: str) -> list[str]:
    """Split off the first sentence; the rest stays in its paragraphs."""
    first, *more = text.split("\n\n")
    about, stop, rest = first.replace("\n", " ").partition(". ")
    return [about + stop.strip(), *filter(None, (rest, *more))]


def answer_words(request: Any) -> str:
    """Describe the answer of a request."""
    kind = spell(answer_of(request))
    if kind.startswith("Results["):
        return f"`Results`, a list of `{kind[8:-1]}`."
    return " or ".join(f"`{one}`" for one in kind.split(" | ")) + "."


def wrapped(text: str, indent: int) -> list[str]:
    """Wrap a long line; continuation lines are indented by four more spaces."""
    margin = " " * indent
    further = margin if text.startswith('"""') or indent == 8 else margin + "    "
    return textwrap.wrap(
        text, WIDTH, initial_indent=margin, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )


def literal(value: object) -> str:
    """Return a default as source text."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def main() -> int:
    """Write the modules, or compare them with the existing ones."""
    stale = 0
    for form in FORMS:
        path = TARGET / f"{form.module}.py"
        text = module_text(form).rstrip() + "\n"
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
