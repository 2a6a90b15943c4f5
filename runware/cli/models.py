"""The commands `models ...`: find models, and show their parameters and prices. Only `search` needs an API key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Optional

import attrs
import typer

from runware._support.escaping import one_line
from runware._support.lazy_modules import lazy_module
from runware.cli.common import App, Group, Json, Local, command
from runware.cli.completion import complete_model, complete_parameter
from runware.cli.output import Output, client, echo, note, reporting
from runware.cli.parameters import read_parameters
from runware.cli.screen import is_terminal, print_styled, print_table

if TYPE_CHECKING:
    from runware import models as knowledge
    from runware.models.catalogue import Model
    from runware.models.estimates import Estimate
else:
    knowledge = lazy_module("runware.models")

__all__ = ["app", "show_estimate"]


class _SearchByDefault(Group):
    """Takes `models TEXT` as `models search TEXT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the name of the command, if it is missing."""
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "-h")):
            args = ["search", *args]
        return super().parse_args(ctx, args)


app = App(
    cls=_SearchByDefault,
    help="List models, and show what they take and cost. Without a command, search.",
)

Model_ = Annotated[str, typer.Argument(metavar="MODEL", help="The model's AIR or slug.", autocompletion=complete_model)]
Pairs = Annotated[
    Optional[list[str]],
    typer.Argument(metavar="NAME=VALUE", help="Parameters of the request.", autocompletion=complete_parameter),
]


# ---------------------------------------------------------------------- commands


@app.command("list")
@command
def _list(
    category: Annotated[
        Optional[str],
        typer.Option("--category", metavar="KIND", help="What they make: image, video, audio, text or 3d."),
    ] = None,
    creator: Annotated[Optional[str], typer.Option("--creator", metavar="NAME", help="Who made them.")] = None,
    capability: Annotated[
        Optional[str], typer.Option("--capability", metavar="NAME", help="What they can do, such as text-to-video.")
    ] = None,
    text: Annotated[
        Optional[str], typer.Option("-q", metavar="WORDS", help="Words in their name, AIR or slug.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the known models. Needs no key and no network."""
    with reporting(as_json):
        found = knowledge.list(category=category, creator=creator, capability=capability, q=text)
        if as_json:
            Output.json([_facts(model) for model in found])
            return
        rows = [(model.air or model.slug, model.name, model.creator, model.task_type) for model in found]
        if is_terminal() and rows:
            print_table(("AIR", "Name", "Creator", "Task"), rows)
        else:
            _print_aligned(rows)
        note(f"{len(found)} models of {knowledge.catalogue().catalogue.snapshot.date}")


@app.command()
@command
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Search text.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", metavar="COUNT", min=1, max=100, help="Maximum number of models.")
    ] = 20,
    offset: Annotated[int, typer.Option("--offset", metavar="COUNT", min=0, help="Number of models to skip.")] = 0,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Search all models of the platform, including those of the community."""
    with reporting(as_json, local), client(local) as rw:
        output = Output(as_json)
        page = output.wait(rw.submit.model_search(search=text or None, limit=limit, offset=offset or None))
        if as_json:
            output.json([one.raw for one in page])
            return
        rows = [
            (
                one.air or "",
                f"{one.name or ''} {one.version or ''}".strip(),
                " ".join(filter(None, (one.category, one.architecture))),
            )
            for one in page
        ]
        if is_terminal() and rows:
            print_table(("AIR", "Name", "Kind"), rows)
        else:
            _print_aligned(rows)
        left_out = f" after the first {offset}" if offset else ""
        note(f"{len(page)} of {page.total_results}{left_out}")


@app.command()
@command
def show(model: Model_, as_json: Json = False) -> None:
    """Show what a model makes, takes and costs. Needs no key and no network."""
    with reporting(as_json):
        found = knowledge.get(model)
        if as_json:
            parts = {name: [attrs.asdict(one) for one in getattr(found, name)] for name in _PARTS}
            Output.json({**_facts(found), "documentation": found.documentation, **parts})
        elif is_terminal():
            _draw(found)
        else:
            echo(str(found), lines=True)


def _draw(model: Model) -> None:
    """Print a model on a terminal, in columns that fit it."""
    print_styled((one_line(model.name), "bold"), ("  ", ""), (one_line(model.air or model.slug), "bold cyan"))
    for facts in ((model.creator, model.task_type, model.status), model.capabilities):
        if any(facts):
            echo(", ".join(filter(None, facts)))
    if model.parameters:
        rows = [
            (f"{one.name}{' *' if one.required else ''}", one.takes, "" if one.default is None else one.default)
            for one in model.parameters
        ]
        typer.echo()
        print_table(("Parameter", "Takes", "Default"), rows, wrap=True)
        print_styled(("* required", "dim"))
    typer.echo()
    for line in (*(model.price_lines or ["Its prices are not known."]), *filter(None, [model.documentation])):
        echo(line)


@app.command()
@command
def price(model: Model_, pairs: Pairs = None, as_json: Json = False) -> None:
    """Estimate what a request will cost, or show a model's prices. Needs no key and no network."""
    with reporting(as_json):
        found = knowledge.get(model)
        if pairs:
            show_estimate(found.estimate(**read_parameters(pairs, found.schema)), as_json)
        elif as_json:
            Output.json({name: [attrs.asdict(one) for one in getattr(found, name)] for name in ("rates", "prices")})
        else:
            echo("\n".join(found.price_lines) or "Its prices are not known.", lines=True)


@app.command()
@command
def refresh(
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Seconds for all of it.")] = 5.0,
    as_json: Json = False,
) -> None:
    """Fetch new models from the catalogue into the cache of this user. Needs no key."""
    with reporting(as_json):
        knowledge.refresh(timeout)
        count = len(knowledge.list())
        if as_json:
            Output.json({"models": count})
        else:
            note(f"{count} models")


def _print_aligned(rows: Sequence[Sequence[str | None]]) -> None:
    wide = max((len(row[0] or "") for row in rows), default=0)
    for first, *others in rows:
        echo(f"{first or '':{wide}}  {'  '.join(filter(None, others))}".rstrip())


_PARTS = ("parameters", "rates", "prices")


def _facts(model: Model) -> dict[str, Any]:
    names = ("air", "slug", "name", "creator", "status", "task_type", "modality", "capabilities", "replaced_by")
    return {name: getattr(model, name) for name in names}


def show_estimate(found: Estimate, as_json: bool) -> None:
    """Print an estimate."""
    if as_json:
        Output.json(attrs.asdict(found))
    else:
        words = {"rates": "from its rates", "measured": "from earlier runs", "dry run": "from a dry run"}
        basis = words.get(found.basis)
        echo(f"{found} ({basis})" if basis else str(found))
