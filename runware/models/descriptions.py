"""Descriptions of models: text for a terminal, and HTML for a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runware._support.escaping import one_line
from runware._support.lazy_modules import lazy_module
from runware.models.wording import money

if TYPE_CHECKING:
    import html
    import textwrap

    from runware.models.catalogue import Model, Parameter
else:
    html = lazy_module("html")
    textwrap = lazy_module("textwrap")

__all__ = ["described", "described_as_html", "listed_as_html", "price_lines"]

_MOST_PRICES = 8
_WIDTH = 80
"""The width of the text in a terminal."""
_WIDEST_DEFAULT = 24
_NARROWEST = 20
_LONGEST_TAKES = 70
_MOST_SIZES = 12
_UNITS = {
    "durationSecond": "second",
    "output": "result",
    "outputMegapixel": "megapixel",
    "inputImage": "input image",
    "character": "character",
    "utf8Byte": "byte of text",
    "step": "step",
    "inputToken": "input token",
    "outputToken": "output token",
    "cachedInputToken": "cached input token",
    "cacheWriteToken": "cache write token",
}


def described(model: Model) -> str:
    """Return what a model makes, takes and costs, as text."""
    lines = [f"{model.name}  ({model.air or model.slug})", *_facts(model), "", *_table(model)]
    for note in _notes(model):
        lines += textwrap.wrap(note, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    prices = list(price_lines(model))
    if prices:
        lines += ["", *(f"  {price}" for price in prices)]
    if model.documentation:
        lines += ["", f"  {model.documentation}"]
    return "\n".join(one_line(line, limit=None) for line in lines)  # the service may have sent control characters


def described_as_html(model: Model) -> str:
    """Return what a model makes, takes and costs, as HTML."""
    cell = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"
    rows = "".join(
        "<tr>" + "".join(f'<td style="{cell}">{html.escape(text)}</td>' for text in _row(one)) + "</tr>"
        for one in model.parameters
    )
    heads = "".join(f'<th style="{cell}">{head}</th>' for head in ("parameter", "takes", "default"))
    facts = "<br>".join(map(html.escape, _facts(model)))
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in _notes(model))
    prices = "".join(f"<li>{html.escape(price)}</li>" for price in price_lines(model))
    link = f'<a href="{html.escape(model.documentation)}">documentation</a>' if model.documentation else ""
    return (
        f'<div style="font-family:sans-serif;font-size:13px"><b>{html.escape(model.name)}</b> '
        f"<code>{html.escape(model.air or model.slug)}</code> {link}<br>{facts}"
        f"<table><tr>{heads}</tr>{rows}</table>"
        f"{f'<ul>{notes}</ul>' if notes else ''}{f'<ul>{prices}</ul>' if prices else ''}</div>"
    )


def listed_as_html(models: Sequence[Model]) -> str:
    """Return a table of models, as HTML."""
    cell = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"
    rows = "".join(
        "<tr>" + "".join(f'<td style="{cell}">{html.escape(text)}</td>' for text in texts) + "</tr>"
        for one in models
        for texts in [(one.air or one.slug, one.name, one.creator or "", ", ".join(one.capabilities), one.status)]
    )
    heads = "".join(f'<th style="{cell}">{head}</th>' for head in ("AIR", "name", "creator", "can do", "status"))
    return f'<table style="font-family:sans-serif;font-size:13px"><tr>{heads}</tr>{rows}</table>'


def _facts(model: Model) -> list[str]:
    facts = [
        " · ".join(filter(None, [model.creator, model.task_type, model.status, model.released_at])),
        ", ".join(model.capabilities),
        f"Replaced by {model.replaced_by}." if model.replaced_by else "",
        "" if model.limits else "The limits of its parameters are not known.",
    ]
    return [fact for fact in facts if fact]


def _notes(model: Model) -> Iterator[str]:
    sizes = model.sizes
    if sizes:
        listed = [f"{width}x{height}{f' ({label})' if label else ''}" for width, height, label in sizes[:_MOST_SIZES]]
        more = f", and {len(sizes) - _MOST_SIZES} others" if len(sizes) > _MOST_SIZES else ""
        yield f"width x height: {', '.join(listed)}{more}."
    for note in model.notes:
        yield f"Note: {note}"


def _table(model: Model) -> Iterator[str]:
    """Yield the parameters as lines of a table, those inside others indented."""
    rows = [_row(one) for one in model.parameters]
    if not rows:
        return
    names = [_indented(name) for name, *_ in rows]
    first = max(map(len, [*names, "parameter"]))
    last = min(_WIDEST_DEFAULT, max(len(default) for *_, default in [*rows, ("default",)]))
    middle = max(_NARROWEST, _WIDTH - first - last - 6)
    for name, (_, words, default) in zip(["parameter", *names], [("", "takes", "default"), *rows], strict=True):
        for number, line in enumerate(textwrap.wrap(words, middle) or [""]):
            cells = (name, default) if number == 0 else ("", "")
            yield f"  {cells[0]:<{first}}  {line:<{middle}}  {cells[1]}".rstrip()
    if any(one.required for one in model.parameters):
        yield "  * required"


def _indented(name: str) -> str:
    *outer, last = name.split(".")
    return "  " * len(outer) + last


def _row(one: Parameter) -> tuple[str, str, str]:
    takes = textwrap.shorten(one.takes, _LONGEST_TAKES, placeholder=" ...")
    default = "" if one.default is None else repr(one.default)
    return one.name + (" *" if one.required else ""), takes, default


def price_lines(model: Model) -> Iterator[str]:
    """Yield the rates and prices of a model, each in words."""
    for rate in model.rates:
        unit = _UNITS.get(rate.unit, rate.unit)
        tokens = rate.unit.endswith("Token")
        words = f"{money(rate.amount * 1e6)} per million {unit}s" if tokens else f"{money(rate.amount)} per {unit}"
        after = f" from unit {rate.after + 1:,} on" if rate.after else ""
        yield words + after + (f" ({rate.label})" if rate.label else "")
    for price in model.prices[:_MOST_PRICES]:
        seconds = f", {price.seconds:.0f} s" if price.seconds is not None else ""
        yield f"{money(price.price)}{seconds} ({price.configuration})"
