"""Questions that dry runs and free requests answer: checks, prices, the account, schemas, headers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from runware._support.lazy_modules import lazy_module
from runware.cli.probe.lines import Item, Probe, Reply, UndecidedError, new_uuid
from runware.cli.probe.tasks import IMAGE_MODEL, TEXT_MODEL, image_task, text_task

if TYPE_CHECKING:
    from runware import models as knowledge
else:
    knowledge = lazy_module("runware.models")

__all__ = ["ask_account", "ask_checks", "ask_dry_runs", "ask_headers", "ask_prices", "ask_schemas", "ask_statuses"]

_MEASURED = ("runware:400@2", {"width": 1024, "height": 1024, "steps": 4}, 0.00078)
"""A model without published rates, and the price of an earlier run."""
_RATED = ("bfl:5@1", {"width": 1024, "height": 1024}, 0.03)
"""A model with a published rate, and that rate."""
_USUAL = frozenset(
    [
        "accept-ranges",
        "age",
        "alt-svc",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-security-policy",
        "content-type",
        "date",
        "etag",
        "keep-alive",
        "last-modified",
        "nel",
        "report-to",
        "server",
        "server-timing",
        "set-cookie",
        "strict-transport-security",
        "transfer-encoding",
        "vary",
        "via",
        "x-content-type-options",
        "x-frame-options",
        "x-powered-by",
        "access-control-allow-origin",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-credentials",
        "access-control-expose-headers",
        "access-control-max-age",
        "referrer-policy",
    ]
)


def _accepted(reply: Reply) -> bool:
    return reply.status < 400 and not reply.errors


def _refused(reply: Reply) -> str:
    return reply.code or f"status {reply.status}"


def ask_dry_runs(probe: Probe) -> None:
    """Q11, P3, P6, P9, P13, P20: what a dry run returns, and what it accepts."""
    line = probe.connect(dry=True)
    data, errors = line.ask(image_task(numberResults=2))
    if errors:
        raise UndecidedError(f"the dry run was refused ({errors[0].get('code')})")
    probe.found["q11"] = "items" if data else "empty"
    whole = probe.post([image_task(numberResults=2)], dry=True)
    fields = sorted({name for one in whole.data for name in one})
    later = probe.post([image_task(deliveryMethod="async")], dry=True)
    kind = "a result" if any("cost" in one for one in later.data) else "an acknowledgement" if later.data else "nothing"
    probe.found["P3"] = (
        f"{len(whole.data)} items for 2 results, with {', '.join(fields) or 'no fields'}; asynchronous: {kind}"
    )
    roles = [{"role": "user", "content": "x"}, {"role": "tool", "id": "call_1", "content": "y"}]
    reply = probe.post([text_task() | {"messages": roles}], dry=True)
    probe.found["P6"] = "accepted" if _accepted(reply) else f"refused ({_refused(reply)})"
    model = knowledge.catalogue().catalogue.get(IMAGE_MODEL)
    if model is not None and model.slug:
        reply = probe.post([image_task() | {"model": model.slug}], dry=True)
        probe.found["P9"] = "accepted" if _accepted(reply) else f"refused ({_refused(reply)})"
    uuid = new_uuid()
    refused = probe.post([image_task() | {"taskUUID": uuid, "width": -1}], dry=True)
    if _accepted(refused):
        probe.notes["P13"] = "a width of -1 was not refused"
    else:
        again = probe.post([image_task() | {"taskUUID": uuid}], dry=True)
        probe.found["P13"] = "reusable" if _accepted(again) else f"refused ({_refused(again)})"
    reply = probe.post([image_task(CFGScale=3.33)], dry=True)
    probe.found["P20"] = "3.33 accepted" if _accepted(reply) else f"3.33 refused ({_refused(reply)})"


def ask_checks(probe: Probe) -> None:
    """Which requests are refused: with unknown parameters or models, or with values that a schema does not allow."""
    reply = probe.post([image_task(probeParameter=1)], dry=True)
    probe.found["strict"] = str(not _accepted(reply))
    impossible = probe.post([image_task() | {"model": "nobody-has-this-model"}], dry=True)
    # clipSkip belongs to other models of the same task type.
    foreign = image_task(clipSkip=1) | {"model": _MEASURED[0], "width": 1024, "height": 1024}
    if _accepted(impossible):
        probe.found["models"] = "off"
    else:
        probe.found["models"] = "lenient" if _accepted(probe.post([foreign], dry=True)) else "strict"


def ask_prices(probe: Probe) -> None:
    """What tasks cost, by dry runs."""
    rated, measured = (_dry_cost(probe, *one) for one in (_RATED, _MEASURED))
    probe.notes["prices"] = f"{_RATED[0]}: {rated}; {_MEASURED[0]}: {measured}"
    if not _near(rated, _RATED[2]):
        probe.found["prices"] = "flat"
    else:
        probe.found["prices"] = "measured" if _near(measured, _MEASURED[2]) else "rates"


def _dry_cost(probe: Probe, model: str, parameters: Item, _: float) -> float:
    task = {
        "taskType": "imageInference", "taskUUID": new_uuid(), "model": model, "positivePrompt": "a red dot",
        "includeCost": True, **parameters,
    }  # fmt: skip
    reply = probe.post([task], dry=True)
    costs = [one["cost"] for one in reply.data if isinstance(one.get("cost"), (int, float))]
    if not costs:
        raise UndecidedError(f"a dry run of {model} has no cost ({_refused(reply)})")
    return float(costs[0])


def _near(value: float, expected: float) -> bool:
    return abs(value - expected) <= 0.1 * expected


def ask_account(probe: Probe) -> None:
    """Q18, P23, P24: the balance, and where models come from. The balance itself is not reported."""
    data = probe.post([{"taskType": "accountManagement", "taskUUID": new_uuid(), "operation": "getDetails"}]).data
    balance = data[0].get("balance") if data else None
    if isinstance(balance, Mapping):
        probe.found["q18"] = "object"
        probe.found["P23"] = f"an object with {', '.join(sorted(map(str, balance)))}"
        currency = balance.get("currency")
        probe.found["P23"] += f"; currency {currency}" if isinstance(currency, str) and len(currency) == 3 else ""
    elif isinstance(balance, (int, float)):
        probe.found["q18"], probe.found["P23"] = "number", "a number, without a currency"
    else:
        probe.notes["q18"] = probe.notes["P23"] = "the account has no balance for this key"
    search = {"taskType": "modelSearch", "taskUUID": new_uuid(), "limit": 100}
    found = {
        str(one["source"]) for page in probe.post([search]).data for one in page.get("results", ()) if one.get("source")
    }
    if found:
        probe.found["P24"] = ", ".join(sorted(found)[:10])
    else:
        probe.notes["P24"] = "the first 100 models have no field source"


def ask_statuses(probe: Probe) -> None:
    """P1, P22: the status of an answer with data and errors, and endpoints that may not be there."""
    good = {"taskType": "modelSearch", "taskUUID": new_uuid(), "limit": 1}
    bad = {"taskType": "getTaskDetails", "taskUUID": new_uuid()}
    reply = probe.post([good, bad])
    if reply.data and reply.errors:
        probe.found["P1"] = str(reply.status)
    else:
        probe.notes["P1"] = f"status {reply.status}, but not both data and errors"
    found = {name: probe.post({}, path=f"/{name}").status for name in ("decisions", "systemone")}
    probe.found["P22"] = ", ".join(
        f"/v1/{name} {'is not there' if status in (404, 405) else f'answers {status}'}"
        for name, status in found.items()
    )


def ask_schemas(probe: Probe) -> None:
    """P18, P19: the schemas of some models."""
    base = probe.options.service_url("schemas")
    have, operations = 0, set[str]()
    models = (IMAGE_MODEL, _MEASURED[0], TEXT_MODEL, "klingai:kling-video@2.6-pro")
    answered = 0
    for model in models:
        reply = probe.get(f"{base}/resolve/{model}", key=False)
        if reply.status >= 400 or not isinstance(reply.body, Mapping):
            continue
        answered += 1
        have += bool(reply.body.get("responseSchema"))
        operations |= {str(one) for one in _operations(reply.body)}
    if not answered:
        raise UndecidedError("no schema could be fetched")
    probe.found["P18"] = f"{have} of {answered} models have a responseSchema"
    probe.found["P19"] = ", ".join(sorted(operations)[:10]) or "none"


def _operations(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        constraints = value.get("x-constraints")
        for one in constraints if isinstance(constraints, list) else [constraints] if constraints else []:
            if isinstance(one, Mapping):
                yield one.get("operation") or one.get("type") or ", ".join(map(str, one))
        for inner in value.values():
            yield from _operations(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _operations(inner)


def ask_headers(probe: Probe) -> None:
    """P14, P15: the names of headers; asked last, about all responses of the probe."""
    if not probe.header_names:
        raise UndecidedError("there was no answer over HTTP")
    unusual = sorted(probe.header_names - _USUAL)
    probe.found["P14"] = ", ".join(unusual[:20]) or "none"
    if "retry-after" in probe.header_names:
        probe.found["P15"] = "yes"
    else:
        probe.notes["P15"] = "no answer of this probe had it; a probe does not provoke a rate limit"
