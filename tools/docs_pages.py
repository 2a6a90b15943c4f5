"""MkDocs hook: add the repository's other documents and its examples to the site, and rewrite links to them.

The files under `docs/` link to files of the repository (`../examples/videos.py`), for readers of the repository. On the
site, each such file is a page of its own, and the links are rewritten to it.
"""  # noqa: INP001 - loaded by MkDocs

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENTS = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks/measuring.md",
    "benchmarks/RESULTS.md": "benchmarks/results.md",
    "examples/django_gallery/README.md": "examples/django_gallery.md",
}
"""The page of each document of the repository."""
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


def examples() -> dict[str, str]:
    """Return the page of each example."""
    found = [path for ext in ("py", "ipynb") for path in sorted((PROJECT / "examples").glob(f"*.{ext}"))]
    return {f"examples/{path.name}": f"examples/{path.stem}.md" for path in found}


def on_files(files: Any, config: Any) -> Any:
    """Add a page for each document and each example."""
    for source, uri in {**DOCUMENTS, **examples()}.items():
        content = page_text(PROJECT / source)
        files.append(File.generated(config, uri, content=content))
    for chart in sorted((PROJECT / "benchmarks" / "charts").glob("*.svg")):
        files.append(File.generated(config, f"benchmarks/charts/{chart.name}", content=chart.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite links to files of the repository as links to pages of the site."""
    places = {
        **DOCUMENTS,
        **examples(),
        "README.md": "index.md",
        "examples/django_gallery": "examples/django_gallery.md",
    }
    uri = page.file.src_uri
    source = next((source for source, place in places.items() if place == uri and uri != "index.md"), f"docs/{uri}")

    def moved(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
        place = places.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(place, posixpath.dirname(uri) or ".") + (found[2] or "")

    # GitHub needs `|` escaped in code within tables, and Python-Markdown would show the backslash.
    markdown = re.sub(r"^\|.*$", unescaped, markdown, flags=re.MULTILINE)
    if uri == "operations.md":  # a page has one title; the table of contents shows nothing of further ones
        first, rest = markdown.split("\n", 1)
        markdown = first + "\n" + re.sub(r"^# ", "## ", rest, flags=re.MULTILINE)
    return LINK.sub(moved, markdown)


def unescaped(row: re.Match[str]) -> str:
    """Return a row of a table with plain bars inside code."""
    return re.sub(r"`[^`]*`", lambda code: code[0].replace(r"\|", "|"), row[0])


def page_text(path: Path) -> str:
    """Return the Markdown of a page for a file: documents as they are, scripts and notebooks with a title."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    parts = [f"# {path.name}"]
    if path.suffix == ".py":
        parts.append(f"```python\n{text}```")
    else:
        for cell in json.loads(text)["cells"]:
            source = "".join(cell["source"])
            parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(parts) + "\n"
