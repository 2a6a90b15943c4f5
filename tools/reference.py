"""Generate `docs/operations.md`, the reference of operations, parameters, objects and results, from the classes.

python tools/reference.py           writes the file
python tools/reference.py --check   exits with 1 if the file is not up to date
"""  # noqa: INP001 - a script

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_type_hints

import attrs

PROJECT = Path(__file__).resolve().parent.parent
TARGET = PROJECT / "docs" / "operations.md"
sys.path.insert(0, str(PROJECT))

import runware  # noqa: E402
from runware import requests  # noqa: E402
from runware.requests.base import Task  # noqa: E402
from runware.requests.inference import Delivered, Generation, Inference, MediaTask  # noqa: E402
from runware.requests.signatures import all_operations, answer_of, fields, parameters, spell  # noqa: E402
from runware.requests.validation import RequestModel  # noqa: E402
from runware.results import ApiObject  # noqa: E402

GENERAL = {
    Generation: "Number of results",
    MediaTask: "Output",
    Inference: "Routing",
    Delivered: "Delivery",
    Task: "Call settings",
}
HEAD = """# Operations

Every operation exists in three forms: `rw.caption(...)` blocks until the result is available, `rw.submit.caption(...)`
returns a `Job` immediately, and `await rw.aio.caption(...)` is for asyncio. All parameters are keyword arguments.
Parameters that are not given are not sent, so the default of the server or the model applies.

*Media* accepts a `Path`, `bytes` (`bytearray`, `memoryview`), a binary file, a PIL image, a result, or a `str` (UUID,
URL, data URI or base64). A `str` is never opened as a file; one that can only be a file name is rejected. Where the
type is a class *or* `Mapping`, a plain dict may be used, with the field names of the class or the API's names as keys.
API parameters without a Python name go into `extra={...}`; a complete API object goes to
`rw.run({"taskType": ...})`.

The ranges and defaults are those of the [API reference](https://runware.ai/docs). A model may have narrower ranges.

This page is generated from the classes by `tools/reference.py`.
"""
RESULTS = """
Each has `raw`, the complete API object. An attribute is `None` if the server does not send it. Results of calls also
have [`meta`](#meta): the request and the elapsed time.
"""


def page() -> str:
    """Return the text of the page."""
    rows = table()
    parts = [
        HEAD,
        "| operation | also called | returns | |\n|---|---|---|---|\n"
        + "\n".join(
            f"| [`{name}`](#{name}) | {', '.join(f'`{alias}`' for alias in aliases)} | {code(returned(cls))} | "
            f"{summary(cls)} |"
            for name, (cls, aliases) in rows.items()
        ),
        *(operation_section(name, cls, aliases) for name, (cls, aliases) in rows.items()),
        "# Shared parameters",
        *(general_section(cls, title) for cls, title in GENERAL.items()),
        "# Objects in requests",
        *(object_section(cls) for cls in public(RequestModel) if not issubclass(cls, Task)),
        "# Results",
        RESULTS,
        *(result_section(cls) for cls in sorted([*public(ApiObject), runware.Meta], key=lambda cls: cls.__name__)),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def table() -> dict[str, tuple[Any, list[str]]]:
    """Return the request class and the aliases of each operation."""
    return {name: (getattr(requests, request), aliases) for name, (request, *aliases) in all_operations().items()}


def public(base: type) -> list[Any]:
    """Return the public subclasses of *base*, by name."""
    found = (getattr(runware, name) for name in runware.__all__)
    classes = [cls for cls in found if isinstance(cls, type) and issubclass(cls, base)]
    return sorted(classes, key=lambda cls: cls.__name__)


def operation_section(name: str, cls: Any, aliases: list[str]) -> str:
    """Return the section of an operation."""
    own = {field.name for base in cls.__mro__ if base in GENERAL for field in attrs.fields(base) if not field.inherited}
    asked = {field.name for field in attrs.fields(cls) if not field.inherited}
    mine = [field for field in fields(cls) if field.name not in own or field.name in asked]
    general = [
        f"[{GENERAL[base].lower()}](#{anchor(GENERAL[base])})"
        for base in cls.__mro__
        if base in GENERAL and not {field.name for field in attrs.fields(base) if not field.inherited} <= cls.hidden
    ]
    shown = own & {field.name for field in attrs.fields(Task)}
    without = f" Without {', '.join(f'`{one}`' for one in sorted(cls.hidden & shown))}." if cls.hidden else ""
    also = f" Also called {' and '.join(f'`{alias}`' for alias in aliases)}." if aliases else ""
    return "\n\n".join(
        (
            f"## {name}",
            f"{description(cls)}",
            f"Task type `{cls.task_type}`, class `{cls.__name__}`, returns {code(returned(cls))}.{also}",
            rows_of(cls, mine, parameters(cls)) if mine else "No parameters of its own.",
            f"Shared parameters: {', '.join(general)}.{without}",
        )
    )


def returned(cls: Any) -> str:
    """Return what an operation returns, as a type."""
    return "TextStream | AsyncTextStream | StreamJob" if cls.streamed else spell(answer_of(cls))


def general_section(cls: Any, title: str) -> str:
    """Return the section of parameters shared by many operations."""
    mine = [field for field in attrs.fields(cls) if not field.inherited]
    return f"## {title}\n\n{rows_of(cls, mine, parameters(cls))}"


def object_section(cls: Any) -> str:
    """Return the section of an object used in requests."""
    return f"## {cls.__name__}\n\n{description(cls)}\n\n{rows_of(cls, attrs.fields(cls), parameters(cls))}"


def result_section(cls: Any) -> str:
    """Return the section of a result class."""
    words, hints = parameters(cls, "Attributes:"), get_type_hints(cls)
    named = [field for field in attrs.fields(cls) if field.name != "raw" and not field.name.startswith("_")]
    shown = [field for field in named if not field.inherited]
    lines = [f"| `{field.name}` | {code(spell(hints[field.name]))} | {cell(words[field.name])} |" for field in shown]
    for name, value in vars(cls).items():
        if isinstance(value, property) and not name.startswith("_"):
            kind = spell(get_type_hints(value.fget)["return"])
            lines.append(f"| `{name}` | {code(kind)} | {cell(inspect.getdoc(value) or '').splitlines()[0]} |")
    base = cls.__mro__[1]
    whole = base in (ApiObject, object)
    more = "" if whole else f"It also has the attributes of [`{base.__name__}`](#{base.__name__.lower()})."
    rows = "\n".join(["| attribute | type | meaning |", "|---|---|---|", *lines]) if lines else ""
    return "\n\n".join(filter(None, (f"## {cls.__name__}", description(cls), rows, more)))


def rows_of(cls: Any, shown: Iterable[attrs.Attribute[Any]], words: dict[str, str]) -> str:
    """Return the table of parameters."""
    hints = get_type_hints(cls, include_extras=True)
    lines = ["| parameter | type | default | meaning |", "|---|---|---|---|"]
    for field in shown:
        kind = spell(hints[field.name]).removesuffix(" | None")
        default = "required" if field.default is attrs.NOTHING else f"`{field.default!r}`"
        shown_default = "" if field.default is None else default
        lines.append(f"| `{field.name}` | {code(kind)} | {shown_default} | {cell(words[field.name])} |")
    return "\n".join(lines)


def description(cls: Any) -> str:
    """Return the docstring of a class without its parameters."""
    text = inspect.getdoc(cls) or ""
    for heading in ("Args:", "Attributes:"):
        text = text.partition(f"\n{heading}\n")[0]
    return text.strip()


def summary(cls: Any) -> str:
    """Return the first sentence of a class's docstring."""
    return cell(description(cls).partition(". ")[0].partition("\n")[0].rstrip(".") + ".")


def code(text: str) -> str:
    """Format a type as code in a table."""
    return f"`{cell(text)}`"


def cell(text: str) -> str:
    """Escape text for a table cell."""
    return text.replace("|", "\\|")


def anchor(title: str) -> str:
    """Return the anchor of a heading."""
    return title.lower().replace(" ", "-")


def main() -> int:
    """Write the page, or check it."""
    text = page()
    if "--check" in sys.argv[1:]:
        return int(not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
