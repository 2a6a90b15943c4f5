"""Write `docs/operations.md`: every operation, parameter, object and result, made from the classes.

python tools/reference.py           writes the file
python tools/reference.py --check   says whether it is up to date
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
from runware.requests.signatures import answer_of, fields, parameters, spell  # noqa: E402
from runware.requests.validation import Checked  # noqa: E402
from runware.results import Part  # noqa: E402

GENERAL = {
    Generation: "Making several results",
    MediaTask: "Making files",
    Inference: "Running a model",
    Delivered: "Delivery",
    Task: "Every operation",
}
HEAD = """# Operations

Every operation is a method of three faces: `rw.caption(...)` waits for the result, `rw.submit.caption(...)` returns a
`Job` at once, and `await rw.aio.caption(...)` is for asyncio. All parameters are given by name. A parameter that is
not given is not sent, so that the server's or the model's own default applies.

Where *Media* is written, a `Path`, `bytes` (`bytearray`, `memoryview`), a binary file, a PIL image, one of our results
or a `str` (UUID, URL, data URI or base64) may stand. A `str` is never opened as a file, and refused if it can only be
the name of one. Where a class *or* `Mapping` is written, a plain dict does as well, with the names of the class or
those of the wire as keys. What the wire has and no parameter names goes into `extra={...}`; a whole task in the wire's
words goes into `rw.run({"taskType": ...})`.

This page is made from the classes by `tools/reference.py`.
"""
RESULTS = """
Each has `raw`, the wire's object, whole. An attribute is `None` when the server does not tell it. What comes as an
answer of its own also has [`meta`](#meta): what was sent for it, and how long it took.
"""


def page() -> str:
    """Make the text of the page."""
    rows = table()
    parts = [
        HEAD,
        "| operation | also called | returns | |\n|---|---|---|---|\n"
        + "\n".join(
            f"| [`{name}`](#{name}) | {', '.join(f'`{alias}`' for alias in aliases)} | {code(spell(answer_of(cls)))} | "
            f"{summary(cls)} |"
            for name, (cls, aliases) in rows.items()
        ),
        *(operation_section(name, cls, aliases) for name, (cls, aliases) in rows.items()),
        "# Parameters of many operations",
        *(general_section(cls, title) for cls, title in GENERAL.items()),
        "# Objects in requests",
        *(object_section(cls) for cls in public(Checked) if not issubclass(cls, Task)),
        "# Results",
        RESULTS,
        *(result_section(cls) for cls in sorted([*public(Part), runware.Meta], key=lambda cls: cls.__name__)),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def table() -> dict[str, tuple[Any, list[str]]]:
    """Return the request class and the aliases of each operation."""
    return {name: (getattr(requests, request), aliases) for name, (request, *aliases) in requests.OPERATIONS.items()}


def public(base: type) -> list[Any]:
    """Give the public classes below *base*, by name."""
    found = (getattr(runware, name) for name in runware.__all__)
    classes = [cls for cls in found if isinstance(cls, type) and issubclass(cls, base)]
    return sorted(classes, key=lambda cls: cls.__name__)


def operation_section(name: str, cls: Any, aliases: list[str]) -> str:
    """Describe one operation."""
    own = {field.name for base in cls.__mro__ if base in GENERAL for field in attrs.fields(base) if not field.inherited}
    asked = {field.name for field in attrs.fields(cls) if not field.inherited}
    mine = [field for field in fields(cls) if field.name not in own or field.name in asked]
    general = [f"[{GENERAL[base].lower()}](#{anchor(GENERAL[base])})" for base in cls.__mro__ if base in GENERAL]
    also = f" Also called {' and '.join(f'`{alias}`' for alias in aliases)}." if aliases else ""
    return "\n\n".join(
        (
            f"## {name}",
            f"{description(cls)}",
            f"Task type `{cls.task_type}`, class `{cls.__name__}`, returns {code(spell(answer_of(cls)))}.{also}",
            rows_of(cls, mine, parameters(cls)) if mine else "It has no parameters of its own.",
            f"Further parameters: {', '.join(general)}.",
        )
    )


def general_section(cls: Any, title: str) -> str:
    """Describe what many operations have."""
    mine = [field for field in attrs.fields(cls) if not field.inherited]
    return f"## {title}\n\n{rows_of(cls, mine, parameters(cls))}"


def object_section(cls: Any) -> str:
    """Describe an object that stands in a request."""
    return f"## {cls.__name__}\n\n{description(cls)}\n\n{rows_of(cls, attrs.fields(cls), parameters(cls))}"


def result_section(cls: Any) -> str:
    """Describe a result."""
    words, hints = parameters(cls, "Attributes:"), get_type_hints(cls)
    named = [field for field in attrs.fields(cls) if field.name != "raw" and not field.name.startswith("_")]
    shown = [field for field in named if not field.inherited]
    lines = [f"| `{field.name}` | {code(spell(hints[field.name]))} | {cell(words[field.name])} |" for field in shown]
    for name, value in vars(cls).items():
        if isinstance(value, property) and not name.startswith("_"):
            kind = spell(get_type_hints(value.fget)["return"])
            lines.append(f"| `{name}` | {code(kind)} | {cell(inspect.getdoc(value) or '').splitlines()[0]} |")
    base = cls.__mro__[1]
    whole = base in (Part, object)
    more = "" if whole else f"It has the attributes of [`{base.__name__}`](#{base.__name__.lower()}) too."
    rows = "\n".join(["| attribute | type | meaning |", "|---|---|---|", *lines]) if lines else ""
    return "\n\n".join(filter(None, (f"## {cls.__name__}", description(cls), rows, more)))


def rows_of(cls: Any, shown: Iterable[attrs.Attribute[Any]], words: dict[str, str]) -> str:
    """Make the table of parameters."""
    hints = get_type_hints(cls, include_extras=True)
    lines = ["| parameter | type | default | meaning |", "|---|---|---|---|"]
    for field in shown:
        kind = spell(hints[field.name]).removesuffix(" | None")
        default = "needed" if field.default is attrs.NOTHING else f"`{field.default!r}`"
        shown_default = "" if field.default is None else default
        lines.append(f"| `{field.name}` | {code(kind)} | {shown_default} | {cell(words[field.name])} |")
    return "\n".join(lines)


def description(cls: Any) -> str:
    """Give a docstring without its sections."""
    text = inspect.getdoc(cls) or ""
    for heading in ("Args:", "Attributes:"):
        text = text.partition(f"\n{heading}\n")[0]
    return text.strip()


def summary(cls: Any) -> str:
    """Give the first sentence of a docstring."""
    return cell(description(cls).partition(". ")[0].partition("\n")[0].rstrip(".") + ".")


def code(text: str) -> str:
    """Write a type."""
    return f"`{cell(text)}`"


def cell(text: str) -> str:
    """Write text into a cell of a table."""
    return text.replace("|", "\\|")


def anchor(title: str) -> str:
    """Tell what a heading is called in a link."""
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
