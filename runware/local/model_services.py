"""Answer the services that describe models: the catalogue (the content service), and the registry and schemas.

They need no API key, and answer GET only. The responses have the form of those of `content.runware.ai` and
`schemas.runware.ai`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from runware.local.encoding import encode_json
from runware.local.model_check import SchemaValidators
from runware.local.model_records import ModelRecords

__all__ = ["ModelServices", "ServiceAnswer"]

_PAGE = "https://runware.ai/docs/models/"
_MAX_AGE = 300
_DEFAULT_LIMIT = 20
_OPERATIONS = frozenset(("edit", "upscale", "remove-background", "extend", "tool-calling"))
_FORMS = frozenset(("checkpoint", "lora", "lycoris", "vae", "embeddings"))
_FEATURES = frozenset(("audio", "transparency"))
# Fields of the snapshot that no record of the content service has.
_INTERNAL = frozenset(("slug", "schema", "limits", "notes", "modes", "inputHint", "dimensions", "taskType"))
_MODALITIES = {
    "image": "imageInference", "video": "videoInference", "audio": "audioInference", "text": "textInference",
    "3d": "3dInference",
}  # fmt: skip


class ServiceAnswer(NamedTuple):
    """The response to a request: status, headers, and the body as JSON."""

    status: int
    headers: dict[str, str]
    body: str


class ModelServices:
    """The services, from the records of the snapshot.

    Args:
        records: The models.
        own_models: The models that were uploaded to this server or trained by it, as `modelSearch` describes them.
    """

    def __init__(self, records: ModelRecords, own_models: list[dict[str, Any]]) -> None:
        self._records = records
        self._own_models = own_models
        self._registry: tuple[str, str] | None = None

    def answer(self, path: str, query: Mapping[str, str], etag: str | None = None) -> ServiceAnswer | None:
        """Return the answer to a GET; `None` if the path is none of the services'.

        Args:
            path: The path with its percent-encoding, since an AIR is one segment of it.
            query: The parameters of the query.
            etag: The header `If-None-Match`.
        """
        first, _, rest = path.lstrip("/").partition("/")
        if first == "registry.json" and not rest:
            return self._answer_registry(etag)
        answers: dict[str, Callable[[str, Mapping[str, str]], Any]] = {
            "models": self._models,
            "collections": self._collections,
            "capabilities": self._capabilities,
            "creators": self._creators,
            "resolve": self._resolve,
        }
        if first not in answers:
            return None
        found = answers[first](rest.rstrip("/"), query)
        if found is None:
            return ServiceAnswer(404, {}, encode_json({"error": "Not found."}))
        return ServiceAnswer(200, {}, encode_json(found))

    # The schema service.

    def _answer_registry(self, etag: str | None) -> ServiceAnswer:
        if self._registry is None:
            body = encode_json(self._registry_of_all())
            self._registry = body, f'"{hashlib.sha256(body.encode()).hexdigest()[:16]}"'
        body, current = self._registry
        headers = {"ETag": current, "Cache-Control": f"max-age={_MAX_AGE}"}
        known = {one.strip().removeprefix("W/") for one in (etag or "").split(",")}
        return ServiceAnswer(304, headers, "") if known & {current, "*"} else ServiceAnswer(200, headers, body)

    def _registry_of_all(self) -> dict[str, Any]:
        records = [record for record in self._records.all() if record.get("taskType")]
        return {
            "version": self._records.version,
            "models": {one["air"]: {"taskType": one["taskType"], "id": one["slug"]} for one in records},
            "architectureTaskTypes": dict.fromkeys(self._records.families, "imageInference"),
            "modalityTaskTypes": _MODALITIES,
        }

    def _resolve(self, rest: str, query: Mapping[str, str]) -> dict[str, Any] | None:  # noqa: ARG002
        name = unquote(rest)
        record = self._records.find(name)
        if record is not None:
            schema, page = record["schema"], record["slug"]
        else:
            own = next((one for one in self._own_models if one["air"].lower() == name.lower()), {})
            page = str(own.get("architecture", ""))
            schema = self._records.families.get(page)
        if schema is None:
            return None
        return {"requestSchema": schema, "responseSchema": None, "documentation": _PAGE + page}

    # The content service.

    def _models(self, rest: str, query: Mapping[str, str]) -> Any:
        if not rest:
            return self._page(query)
        name, _, part = rest.partition("/")
        record = self._records.find(unquote(name))
        if record is None:
            return None
        parts: dict[str, Callable[[], Any]] = {
            "": lambda: _described(record),
            "examples": lambda: _examples(record, query.get("capability")),
            "pricing": lambda: _pricing(record),
            "guides": list,
        }
        return parts[part]() if part in parts else None

    def _page(self, query: Mapping[str, str]) -> Any:
        found = [_described(record) for record in self._records.all() if _fits(record, query)]
        _sort(found, query.get("sort", ""), query.get("order", ""))
        if query.get("paginate") != "true":
            return found
        offset, limit = _number(query.get("offset"), 0), _number(query.get("limit"), _DEFAULT_LIMIT)
        return {"total": len(found), "limit": limit, "offset": offset, "items": found[offset : offset + limit]}

    def _collections(self, rest: str, query: Mapping[str, str]) -> Any:
        made: dict[str, list[dict[str, Any]]] = {}
        for record in self._records.all():
            kind = record.get("outputModality")
            if kind is not None and query.get("category") in (None, kind):
                made.setdefault(kind, []).append(_described(record))
        listed = [{"id": kind, "name": kind.capitalize(), "models": models} for kind, models in sorted(made.items())]
        return _all_or_one(listed, rest)

    def _capabilities(self, rest: str, query: Mapping[str, str]) -> Any:  # noqa: ARG002
        names = sorted(
            {_with_prefix(one) for record in self._records.all() for one in record.get("capabilities") or ()}
        )
        found = [{"id": one, "label": one.partition(":")[2].replace("-", " ").capitalize()} for one in names]
        return None if rest else found

    def _creators(self, rest: str, query: Mapping[str, str]) -> Any:  # noqa: ARG002
        made: dict[str, dict[str, Any]] = {}
        for record in self._records.all():
            if name := record.get("creator"):
                creator = made.setdefault(_id_of(name), {"id": _id_of(name), "name": name, "models": []})
                creator["models"].append(_described(record))
        return _all_or_one([made[one] for one in sorted(made)], rest)


def _all_or_one(listed: list[dict[str, Any]], rest: str) -> Any:
    return next((one for one in listed if one["id"] == unquote(rest)), None) if rest else listed


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default


def _id_of(name: str) -> str:
    return name.lower().replace(" ", "-")


def _with_prefix(capability: str) -> str:
    for prefix, names in (("op", _OPERATIONS), ("form", _FORMS), ("feat", _FEATURES)):
        if capability in names:
            return f"{prefix}:{capability}"
    return f"io:{capability}"


def _described(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as the content service has it."""
    made = {"model": record["slug"], **{name: value for name, value in record.items() if name not in _INTERNAL}}
    if "creator" in record:
        made["creator"] = _id_of(record["creator"])
    if "capabilities" in record:
        made["capabilities"] = [_with_prefix(one) for one in record["capabilities"]]
    return made


def _fits(record: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """Return whether a model fits all filters of a query."""
    words = f"{record['name']} {record['air']} {record['slug']}".lower()
    mine = record.get("capabilities") or ()
    return (
        query.get("status") in (None, record.get("status"))
        and query.get("category") in (None, record.get("outputModality"))
        and query.get("creator") in (None, _id_of(record.get("creator") or ""))
        and all(word in words for word in query.get("q", "").lower().split())
        and ("capability" not in query or query["capability"] in {*mine, *map(_with_prefix, mine)})
    )


def _pricing(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the prices of a model as the content service has them."""
    head = ("model", "air", "name", "status", "releasedAt")
    made = {name: value for name, value in _described(record).items() if name in head or name.startswith("pricing")}
    return {**made, "category": [record["outputModality"]] if "outputModality" in record else []}


def _examples(record: Mapping[str, Any], capability: str | None) -> list[dict[str, Any]]:
    """Return one example: the smallest request that the model's schema accepts, if one can be made."""
    mine = [_with_prefix(one) for one in record.get("capabilities") or ()]
    request = _smallest_request(record)
    if request is None or (capability is not None and capability not in mine):
        return []
    example = {"id": "smallest", "title": "The smallest request", "model": record["slug"], "request": request}
    return [{**example, "capability": mine[0] if mine else None, "asset": None, "response": {}}]


_SORTS: dict[str, tuple[str, bool]] = {
    "releasedAt": ("releasedAt", True),
    "newest": ("releasedAt", True),
    "name": ("name", False),
    "alpha": ("name", False),
    "creator": ("creator", False),
}
"""The field of each order, and whether the largest comes first. The snapshot has neither weight nor popularity."""


def _sort(found: list[dict[str, Any]], sort: str, order: str) -> None:
    field, descending = _SORTS.get(sort, ("", False))
    if field:
        found.sort(key=lambda one: str(one.get(field) or "").lower(), reverse=order == "desc" if order else descending)


def _smallest_request(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a small request that a model accepts; `None` if it requires what cannot be invented, such as a file."""
    schema = record["schema"]
    texts: dict[str, Any] = {
        "taskType": record.get("taskType"),
        "model": record["air"],
        "positivePrompt": "a lighthouse at dusk",
        "messages": [{"role": "user", "content": "Hello"}],
    }
    size = next(iter(record.get("dimensions") or ()), {"width": 1024, "height": 1024})
    known: dict[str, Any] = {**texts, "width": size["width"], "height": size["height"]}
    needed = [name for name in schema.get("required", ()) if name != "taskUUID"]
    if "width" in schema.get("properties", {}) and "width" not in needed and record.get("dimensions"):
        needed += ["width", "height"]
    if "positivePrompt" in schema.get("properties", {}) and "positivePrompt" not in needed:
        needed.append("positivePrompt")  # many models require one if the request has no inputs
    if any(known.get(name) is None for name in needed):
        return None
    request = {name: known[name] for name in needed}
    return None if SchemaValidators().refusals(record, request) else request
