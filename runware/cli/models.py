"""The commands `models ...`: what models take and cost. Only `search` needs an API key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import attrs
import typer
from typer.core import TyperGroup

from runware._support.lazy_modules import lazy_module
from runware.cli.completion import complete_model, complete_parameter
from runware.cli.output import Output, client, echo, reporting
from runware.cli.parameters import read_parameters

if TYPE_CHECKING:
    from runware import models as knowledge
    from runware.models.catalogue import Model
    from runware.models.estimates import Estimate
else:
    knowledge = lazy_module("runware.models")

__all__ = ["app", "show_estimate"]


class _SearchByDefault(TyperGroup):
    """Takes `models TEXT` as `models search TEXT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the name of the command, if it is missing."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["search", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_SearchByDefault,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="List models, and show what they take and cost. Without a command, search.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


Model_ = Annotated[str, typer.Argument(metavar="MODEL", help="The model's AIR or slug.", autocompletion=complete_model)]
Pairs = Annotated[
    Optional[list[str]],
    typer.Argument(metavar="[NAME=VALUE]...", help="Parameters of the request.", autocompletion=complete_parameter),
]


# ---------------------------------------------------------------------- commands


@app.command("list")
def _list(
    category: Annotated[
        Optional[str], typer.Option("--category", help="What they make: image, video, audio, text or 3d.")
    ] = None,
    creator: Annotated[Optional[str], typer.Option("--creator", help="Who made them.")] = None,
    capability: Annotated[
        Optional[str], typer.Option("--capability", help="What they can do, such as text-to-video.")
    ] = None,
    text: Annotated[Optional[str], typer.Option("-q", help="Words in their name, AIR or slug.")] = None,
    as_json: Json = False,
) -> None:
    """List the known models. Needs no key and no network."""
    with reporting(as_json):
        found = knowledge.list(category=category, creator=creator, capability=capability, q=text)
        if as_json:
            Output.json([_facts(model) for model in found])
            return
        wide = max((len(model.air or model.slug) for model in found), default=0)
        for model in found:
            about = "  ".join(filter(None, (model.name, model.creator, model.task_type)))
            echo(f"{model.air or model.slug:{wide}}  {about}")
        typer.echo(f"{len(found)} models of {knowledge.catalogue().catalogue.snapshot.date}", err=True)


@app.command()
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Search text.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Maximum number of models.")] = 20,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Number of models to skip.")] = 0,
    as_json: Json = False,
    local: Annotated[
        bool, typer.Option("--local", help="Use a temporary server on this machine: no key, no network, no cost.")
    ] = False,
) -> None:
    """Search all models of the platform, those of the community too."""
    with reporting(as_json, local), client(local) as rw:
        output = Output(as_json)
        page = output.wait(rw.submit.model_search(search=text or None, limit=limit, offset=offset or None))
        if as_json:
            output.json([one.raw for one in page])
            return
        wide = max((len(one.air or "") for one in page), default=0)
        for one in page:
            kind = " ".join(filter(None, (one.category, one.architecture)))
            echo(f"{one.air or '':{wide}}  {one.name or ''} {one.version or ''}".rstrip() + f"  {kind}".rstrip())
        left_out = f" after the first {offset}" if offset else ""
        typer.echo(f"{len(page)} of {page.total_results}{left_out}", err=True)


@app.command()
def show(model: Model_, as_json: Json = False) -> None:
    """Show what a model makes, takes and costs. Needs no key and no network."""
    with reporting(as_json):
        found = knowledge.get(model)
        if as_json:
            parts = {name: [attrs.asdict(one) for one in getattr(found, name)] for name in _PARTS}
            Output.json({**_facts(found), "documentation": found.documentation, **parts})
        else:
            echo(str(found), lines=True)


@app.command()
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
def refresh(
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds for all of it.")] = 5.0, as_json: Json = False
) -> None:
    """Fetch what is new from the catalogue into the cache of this user. Needs no key."""
    with reporting(as_json):
        knowledge.refresh(timeout)
        count = len(knowledge.list())
        if as_json:
            Output.json({"models": count})
        else:
            typer.echo(f"{count} models", err=True)


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
