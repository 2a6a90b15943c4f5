"""A model in words: as text for a terminal, and as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runware._support.escaping import one_line
from runware._support.lazy_modules import lazy_module

if TYPE_CHECKING:
    import html

    from runware.models.catalogue import Model, Parameter
else:
    html = lazy_module("html")

__all__ = ["described", "described_as_html", "listed_as_html", "price_lines"]

_MOST_PRICES = 8


def described(model: Model) -> str:
    """Return what a model makes, takes and costs, as text."""
    lines = [f"{model.name}  ({model.air or model.slug})", *_facts(model), ""]
    rows = [("parameter", "takes", "default"), *map(_row, model.parameters)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines += [f"  {name:<{widths[0]}}  {what:<{widths[1]}}  {default}".rstrip() for name, what, default in rows]
    lines += [f"  Note: {note}" for note in model.notes]
    prices = list(price_lines(model))
    if prices:
        lines += ["", *(f"  {price}" for price in prices)]
    if model.documentation:
        lines += ["", f"  {model.documentation}"]
    return "\n".join(one_line(line, limit=None) for line in lines)  # a service may have written them


def described_as_html(model: Model) -> str:
    """Return what a model makes, takes and costs, as HTML."""
    cell = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"
    rows = "".join(
        "<tr>" + "".join(f'<td style="{cell}">{html.escape(text)}</td>' for text in _row(one)) + "</tr>"
        for one in model.parameters
    )
    heads = "".join(f'<th style="{cell}">{head}</th>' for head in ("parameter", "takes", "default"))
    facts = "<br>".join(map(html.escape, _facts(model)))
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in model.notes)
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


def _row(one: Parameter) -> tuple[str, str, str]:
    takes = one.takes if len(one.takes) <= 60 else one.takes[:57] + "..."
    default = "" if one.default is None else repr(one.default)
    return one.name + (" *" if one.required else ""), takes, default


def price_lines(model: Model) -> Iterator[str]:
    """Yield the rates and prices of a model, each in words."""
    for rate in model.rates:
        after = f" from unit {rate.after + 1} on" if rate.after else ""
        yield f"${rate.amount:g} per {rate.unit}{after}{f' ({rate.label})' if rate.label else ''}"
    for price in model.prices[:_MOST_PRICES]:
        seconds = f", {price.seconds:.0f} s" if price.seconds is not None else ""
        yield f"${price.price:g}{seconds} ({price.configuration})"
