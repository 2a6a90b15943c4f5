"""Notebook views of results and jobs. The page loads media by URL, unless `runware.display.embed` is set.

The views are `_repr_mimebundle_` methods, so IPython is not required. Everything from prompts or the server is escaped,
and only http(s) URLs and inline media are linked or embedded.
"""

from __future__ import annotations

import html
import logging
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from runware import display as settings
from runware._support.lazy_modules import lazy_module
from runware._support.threads import start_thread
from runware.errors import DownloadError, RunwareError
from runware.media.files import decode_base64
from runware.media.kinds import SNIFFED_BYTES, sniff, url_extension

if TYPE_CHECKING:
    from IPython import display as ipython_display
    from IPython.core import getipython

    from runware.jobs import Job
    from runware.results import MediaResult, Model3D, Result, Text
    from runware.results.platform import Account, Model
    from runware.text.answers import Answer
else:
    getipython = lazy_module("IPython.core.getipython")
    ipython_display = lazy_module("IPython.display")

__all__ = ["Bar", "answer_bundle", "follow", "in_notebook", "job_bundle", "result_bundle", "results_bundle", "show"]

log = logging.getLogger("runware.display")

Bundle = dict[str, str]

_MAX_EMBEDDED = 12 << 20
"""Maximum length of base64 data embedded per result, since it is stored in the notebook file."""
_MAX_SHOWN = 60
_MAX_ROWS = 200
_REFRESH = 0.1
_REDRAW = 1.0

_CARD = "margin:0;min-width:0;font-family:sans-serif;font-size:13px;line-height:1.4"
_GRID = (
    "display:grid;grid-template-columns:repeat(auto-fill,minmax(180px,1fr));gap:12px;align-items:start;max-width:960px"
)
_VIEW = "display:block;max-width:100%;height:auto;border-radius:6px"
_CELL = "text-align:left;padding:2px 12px 2px 0;max-width:420px;overflow-wrap:anywhere"
_DIM = "opacity:.7;font-size:12px"
_CLIPPED = "display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden;overflow-wrap:anywhere"


def result_bundle(result: Result) -> Bundle:
    """Return the view of a result."""
    bundle = {"text/plain": repr(result)}
    if result.shown_as:
        bundle["text/html"] = _large(result)
    elif rows := _rows(result):
        bundle["text/html"] = _summary_of(result) + _table(rows)
    return bundle


def answer_bundle(answer: Answer[Any]) -> Bundle:
    """Return the view of a chat's answer."""
    tools = ", ".join(call.name for call in answer.tool_calls)
    total = None if answer.usage is None else answer.usage.total_tokens
    tokens = "" if total is None else f"{total} tokens"
    body = f'<div style="white-space:pre-wrap;overflow-wrap:anywhere">{escape(answer.text)}</div>'
    facts = _facts([f"called {tools}" if tools else "", tokens, _dollars(answer.cost)])
    return {"text/plain": repr(answer), "text/html": f'<div style="{_CARD};max-width:720px">{body}{facts}</div>'}


def results_bundle(results: Sequence[object], errors: Sequence[BaseException] = ()) -> Bundle:
    """Return the view of a list of results: a grid, and the errors of missing results."""
    plain = f"[{', '.join(map(repr, results))}]"
    if not any(map(_shown_as, results)):
        rows = [row for one in results for row in _rows(one)]
        if not rows and not errors:
            return {"text/plain": plain}
        return {"text/plain": plain, "text/html": _table(rows) + _summary((), errors)}
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
    why = _reason(job) if ended and now.status != "succeeded" else ""
    return {"text/plain": repr(job), "text/html": head + why + (_grid(results) if results else "")}


def _reason(job: Job[Any]) -> str:
    """Return why a job failed, and what that means for the bill."""
    try:
        error = job.exception(0)
    except RunwareError as cancelled:
        error = cancelled
    if error is None:
        return ""
    lines = [f"<b>{escape(type(error).__name__)}</b>: {escape(str(error))}"]
    if isinstance(error, RunwareError):
        if error.may_have_run:
            lines.append("The task may have run and been billed; rw.job(error.ref) picks it up.")
        link = _web(error.documentation)
        lines += (
            [f'<a href="{escape(link)}" target="_blank" rel="noopener noreferrer">more about it</a>'] if link else []
        )
        lines += [f"earlier attempt: {escape(attempt)}" for attempt in job.attempts]
    return f'<div style="{_CARD};overflow-wrap:anywhere;margin-bottom:8px">{"<br>".join(lines)}</div>'


def show(result: Result) -> None:
    """Show a result below the cell."""
    display: Any = ipython_display.display
    display(result)


def follow(job: Job[Any]) -> None:
    """Show a job below the cell, and update it there until it is done."""
    changed = threading.Event()
    job.listen(changed.set)
    display: Any = ipython_display.display
    handle = display(job_bundle(job), raw=True, display_id=True)
    start_thread(partial(_update, job, handle, changed), "runware-display", "to keep the display up to date")


def _update(job: Job[Any], handle: Any, changed: threading.Event) -> None:
    try:
        done = False
        while not done:
            # The time that has passed is shown too, so it is drawn without news as well.
            if changed.wait(_REDRAW):
                changed.clear()
                time.sleep(_REFRESH)  # results often come together
            done = job.done()
            handle.update(job_bundle(job), raw=True)
    finally:
        job.unlisten(changed.set)


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
        body = f'<div style="{_CARD}"><b>{escape(self._label)}</b> {bar}{_facts(facts)}</div>'
        return {"text/plain": " ".join(filter(None, [self._label, *facts])), "text/html": body}


def _large(result: Result) -> str:
    """Return the card of a single result."""
    return f'<div style="max-width:{"720px" if result.shown_as == "text" else "960px"}">{_card(result)}</div>'


def _rows(result: object) -> list[Mapping[str, str]]:
    """Return the rows of a result that is a table, or a row of one: models and the account; else none."""
    if isinstance(models := getattr(result, "results", None), Sequence) and hasattr(result, "total_results"):
        return [_model_row(one) for one in models]
    if not hasattr(result, "balance_amount"):
        return []
    account = cast("Account", result)
    facts = {
        "organization": account.organization_name,
        "balance": _dollars(account.balance_amount),
        **{f"usage {name.replace('_', ' ')}": _spent(account, name) for name in _PERIODS},
        "team": ", ".join(filter(None, (member.name for member in account.team))),
        "API keys": ", ".join(filter(None, (key.name for key in account.api_keys))),
    }
    rows = [{"account": name, "": str(value)} for name, value in facts.items() if value]
    for name in ("timeseries", "model", "api_key"):
        report = getattr(account.usage, name, None)
        for row in report.data if report is not None else ():
            what = row.date if name == "timeseries" else row.model_name or row.model if name == "model" else "API key"
            spent = " · ".join(
                filter(None, (_dollars(row.spend), "" if row.count is None else f"{row.count} requests"))
            )
            rows.append({"account": str(what or name), "": spent})
    return rows  # type: ignore[return-value]


_PERIODS = ("total", "today", "last_7_days", "last_30_days")


def _spent(account: Account, name: str) -> str:
    period = getattr(account.usage, name, None)
    if period is None:
        return ""
    return " · ".join(
        filter(None, (_dollars(period.credits), "" if period.requests is None else f"{period.requests} requests"))
    )


def _model_row(model: Model) -> Mapping[str, str]:
    size = f"{model.default_width} × {model.default_height}" if model.default_width and model.default_height else ""
    return {
        "AIR": model.air or "",
        "name": " ".join(filter(None, (model.name, model.version))),
        "category": model.category or "",
        "architecture": model.architecture or "",
        "default size": size,
        "private": "yes" if model.private else "",
    }


def _summary_of(result: object) -> str:
    total, shown = getattr(result, "total_results", None), getattr(result, "results", ())
    return "" if total is None else f'<div style="{_CARD}">{_facts([f"{len(shown)} of {total} models"])}</div>'


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return ""
    names = [name for name in rows[0] if any(row.get(name) for row in rows)]
    head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in names)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(row.get(name, ""))}</td>' for name in names) + "</tr>"
        for row in rows[:_MAX_ROWS]
    )
    more = len(rows) - _MAX_ROWS
    rest = f'<div style="{_CARD};{_DIM}">and {more} more</div>' if more > 0 else ""
    return f'<table style="{_CARD};border-collapse:collapse"><tr>{head}</tr>{body}</table>{rest}'


def _grid(results: Sequence[object]) -> str:
    if len(results) == 1 and _shown_as(results[0]):
        return _large(cast("Result", results[0]))
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
    if settings.embed and _web(result.url):
        try:
            return _source(result.embed())
        except RunwareError as error:  # it is shown by its URL then
            log.warning("a result is shown by its URL, and not embedded: %s", error)
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


def escape(text: str) -> str:
    """Escape a text for HTML. Lone surrogates, which a page cannot hold, become question marks."""
    return html.escape(text.encode("utf-8", "replace").decode())
