"""Notebook views of results and jobs. Nothing is downloaded; the page loads media by URL.

The views are `_repr_mimebundle_` methods, so IPython is not required. Everything from prompts or the server is escaped,
and only http(s) URLs and inline media are linked or embedded.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from runware._support.lazy_modules import lazy_module
from runware.errors import DownloadError
from runware.media.files import decode_base64
from runware.media.kinds import SNIFFED_BYTES, sniff, url_extension

if TYPE_CHECKING:
    from IPython import display as ipython_display
    from IPython.core import getipython

    from runware.jobs import Job
    from runware.results import MediaResult, Model3D, Result, Text
else:
    getipython = lazy_module("IPython.core.getipython")
    ipython_display = lazy_module("IPython.display")

__all__ = ["Bar", "in_notebook", "job_bundle", "result_bundle", "results_bundle"]

Bundle = dict[str, str]

_MAX_EMBEDDED = 12 << 20
"""Maximum length of base64 data embedded per result, since it is stored in the notebook file."""
_MAX_SHOWN = 60
_REFRESH = 0.1

_CARD = "margin:0;min-width:0;font-family:sans-serif;font-size:13px;line-height:1.4"
_GRID = (
    "display:grid;grid-template-columns:repeat(auto-fill,minmax(180px,1fr));gap:12px;align-items:start;max-width:960px"
)
_VIEW = "display:block;max-width:100%;height:auto;border-radius:6px"
_DIM = "opacity:.7;font-size:12px"
_CLIPPED = "display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden;overflow-wrap:anywhere"


def result_bundle(result: Result) -> Bundle:
    """Return the view of a result."""
    bundle = {"text/plain": repr(result)}
    if result.shown_as:
        width = "720px" if result.shown_as == "text" else "480px"
        bundle["text/html"] = f'<div style="max-width:{width}">{_card(result)}</div>'
    return bundle


def results_bundle(results: Sequence[object], errors: Sequence[BaseException] = ()) -> Bundle:
    """Return the view of a list of results: a grid, and the errors of missing results."""
    plain = f"[{', '.join(map(repr, results))}]"
    if not any(map(_shown_as, results)):
        return {"text/plain": plain}
    return {"text/plain": plain, "text/html": _grid(results) + _summary(results, errors)}


def job_bundle(job: Job[Any]) -> Bundle:
    """Return the view of a job: its status, and the results so far."""
    now = job.progress
    results = job.results
    if now.status == "succeeded":
        share: float | None = 100.0
    elif now.percent is not None:
        share = now.percent
    else:
        share = 100.0 * now.completed / now.total if now.completed and now.total else None
    value = "" if share is None else f' value="{min(max(share, 0.0), 100.0):.0f}"'
    ended = now.status in ("succeeded", "partial", "failed", "cancelled")
    bar = (
        "" if now.status in ("failed", "cancelled") else f'<progress max="100"{value} style="width:220px"></progress> '
    )
    facts = [
        f"{now.completed} of {now.total}",
        "" if now.percent is None or ended else f"{now.percent:.0f} %",
        _dollars(job.cost),
        "" if ended else f"{now.elapsed:.1f} s",
        f"{len(job.attempts)} earlier attempts" if job.attempts else "",
    ]
    head = (
        f'<div style="{_CARD};margin-bottom:8px"><b>{escape(job.task_type or "job")}</b> '
        f"{escape(now.status)} {bar}{_facts(facts)}"
        f'<div style="{_DIM};font-family:monospace">{escape(job.task_uuid)}</div></div>'
    )
    return {"text/plain": repr(job), "text/html": head + (_grid(results) if results else "")}


def _shown_as(result: object) -> str:
    return str(getattr(result, "shown_as", ""))


def in_notebook() -> bool:
    """Return whether this process is a notebook kernel."""
    if "ipykernel" not in sys.modules:
        return False
    return getattr(getipython.get_ipython(), "kernel", None) is not None


class Bar:
    """A progress bar for notebooks, without widgets. Implements the part of the tqdm interface used here.

    Args:
        total: Total count; `None` if unknown.
        desc: Label.
    """

    def __init__(self, total: int | None = None, desc: str = "") -> None:
        display: Any = ipython_display.display
        self.n: float = 0
        self._total = total
        self._label = desc
        self._state = ""
        self._closed = False
        self._started = self._shown = time.monotonic()
        self._handle = display(self._bundle(), raw=True, display_id=True)

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Set the status text."""
        self._state = s
        if refresh:
            self.refresh()

    def update(self, n: float = 1) -> None:
        """Advance the count."""
        self.n += int(n)
        if n and time.monotonic() - self._shown > _REFRESH:
            self.refresh()

    def refresh(self) -> None:
        """Redraw the bar."""
        self._shown = time.monotonic()
        self._handle.update(self._bundle(), raw=True)

    def close(self) -> None:
        """Draw the final state."""
        if not self._closed:
            self._closed = True
            self.refresh()

    def _bundle(self) -> Bundle:
        count = f"{self.n} of {self._total}" if self._total else str(self.n or "")
        facts = [self._state, count, f"{time.monotonic() - self._started:.1f} s"]
        bar = ""
        if self._total or not self._closed:
            value = f' value="{self.n}"' if self._total else ""
            bar = f'<progress max="{self._total or 1}"{value} style="width:220px"></progress> '
        html = f'<div style="{_CARD}"><b>{escape(self._label)}</b> {bar}{_facts(facts)}</div>'
        return {"text/plain": " ".join(filter(None, [self._label, *facts])), "text/html": html}


def _grid(results: Sequence[object]) -> str:
    cards = "".join(_card(cast("Result", one)) for one in results[:_MAX_SHOWN] if hasattr(one, "shown_as"))
    more = len(results) - _MAX_SHOWN
    rest = f'<div style="{_CARD};{_DIM}">and {more} more</div>' if more > 0 else ""
    columns = (
        _GRID if any(_shown_as(one) not in ("", "text") for one in results) else "display:grid;gap:12px;max-width:720px"
    )
    return f'<div style="{columns}">{cards}</div>{rest}'


def _summary(results: Sequence[object], errors: Iterable[BaseException]) -> str:
    costs = [cost for one in results if (cost := getattr(one, "cost", None)) is not None]
    facts = [f"{len(results)} results", _dollars(sum(costs) if costs else None)] if len(results) > 1 else []
    lines = [_facts(facts)] if facts else []
    lines += [f"{escape(type(error).__name__)}: {escape(str(error))}" for error in errors]
    return "".join(f'<div style="{_CARD};{_DIM};margin-top:8px">{line}</div>' for line in lines)


def _card(result: Result) -> str:
    request = result.meta.request
    prompt = getattr(result, "positive_prompt", None) or request.get("positivePrompt")
    prompt = prompt if isinstance(prompt, str) else ""
    if result.shown_as not in ("", "text"):
        media = cast("MediaResult", result)
        body = _view(media, prompt)
        seed = media.seed
        size = _size(request)
        flagged = "flagged by the safety check" if media.nsfw_content else ""
    else:
        text = cast("Text", result).text if result.shown_as == "text" else None
        body = f'<div style="white-space:pre-wrap;overflow-wrap:anywhere">{escape(text or "")}</div>'
        seed, size, flagged = getattr(result, "seed", None), "", ""
    facts = ["" if seed is None else f"seed {seed}", size, _dollars(result.cost), flagged]
    caption = f'<div style="{_CLIPPED}" title="{escape(prompt)}">{escape(prompt)}</div>' if prompt else ""
    return f'<figure style="{_CARD}">{body}<figcaption>{caption}{_facts(facts)}</figcaption></figure>'


def _view(result: MediaResult, prompt: str) -> str:
    if result.shown_as == "model" and len(files := cast("Model3D", result).files) > 1:
        return "".join(_link(file.url, f"file {number}") for number, file in enumerate(files, 1))
    source = _source(result)
    if source is None:
        held = result.base64_data or result.data_uri
        words = f"{len(held) * 3 // 4 / 1e6:.1f} MB; use save() to view it" if held else "no URL to show"
        return f'<div style="{_DIM}">{escape(type(result).__name__)}: {words}</div>'
    quoted = escape(source)
    if result.shown_as == "video":
        return f'<video controls preload="metadata" style="{_VIEW}" src="{quoted}"></video>'
    if result.shown_as == "audio":
        return f'<audio controls preload="metadata" style="width:100%" src="{quoted}"></audio>'
    if result.shown_as in ("model", "file"):
        return _link(result.url, "3D model" if result.shown_as == "model" else "file")
    return f'<img loading="lazy" style="{_VIEW}" alt="{escape(prompt or type(result).__name__)}" src="{quoted}">'


def _source(result: MediaResult) -> str | None:
    """Return the `src` for a page: inline data, or an http(s) URL."""
    if text := result.base64_data or result.data_uri:
        if len(text) > _MAX_EMBEDDED:
            return None
        encoded = text.partition(",")[2] if text.startswith("data:") else text
        try:
            kind = sniff(decode_base64(encoded[:SNIFFED_BYTES]))[0]
        except DownloadError:
            return None
        return f"data:{kind};base64,{encoded}"
    return _web(result.url)


def _web(url: str | None) -> str | None:
    try:
        return url if url and urlsplit(url).scheme in ("http", "https") else None
    except ValueError:
        return None


def _link(url: str | None, words: str) -> str:
    href = _web(url)
    name = url_extension(url or "").removeprefix(".")
    words = f"{words} ({name})" if name else words
    if href is None:
        return f"<div>{escape(words)}</div>"
    return f'<div><a href="{escape(href)}" target="_blank" rel="noopener noreferrer">{escape(words)}</a></div>'


def _size(request: Mapping[str, Any]) -> str:
    width, height, duration = (request.get(name) for name in ("width", "height", "duration"))
    size = f"{width} × {height}" if isinstance(width, int) and isinstance(height, int) else ""
    return f"{size} {duration:g} s".strip() if isinstance(duration, (int, float)) else size


def _dollars(cost: float | None) -> str:
    if cost is None:
        return ""
    whole, _, fraction = f"{cost:.6f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def _facts(facts: Iterable[str]) -> str:
    return f'<span style="{_DIM}">{" · ".join(escape(fact) for fact in facts if fact)}</span>'
