"""Build the snapshot of models in the package: `python -m tools.build_models`.

It reads `tools/model_facts.jsonl`, which has one fact sheet a line: a model's names, parameters, limits, rules and
prices. It writes `runware/models/snapshot.jsonl.gz`: a header, and one line a model with its request schema in the
vocabulary of JSON Schema. A test fails if the snapshot differs from what this writes.
"""

# ruff: noqa: INP001, T201 - it is a script, and prints what it wrote

from __future__ import annotations

import copy
import gzip
import json
import pathlib
import re
from collections.abc import Callable, Iterable
from typing import Any

from runware.models.schema import exact_limits

PROJECT = pathlib.Path(__file__).parent.parent
FACTS = PROJECT / "tools" / "model_facts.jsonl"
SNAPSHOT = PROJECT / "runware" / "models" / "snapshot.jsonl.gz"

Schema = dict[str, Any]

_TYPES = {"array<object>": "array"}
_NOT_LAST: Schema = {
    "contains": {"not": {"type": "object", "properties": {"frame": {"enum": ["last", -1]}}, "required": ["frame"]}}
}
_MEDIA_FILE: Schema = {"type": "string", "anyOf": [{"format": "uuid"}, {"format": "uri"}]}
_WEIGHT: Schema = {"type": "number", "minimum": -4, "maximum": 4}
_BOOLEAN: Schema = {"type": "boolean"}
_WATERMARK: Schema = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "minLength": 2, "maxLength": 32},
        "image": {"type": "string"},
        "displayPosition": {"type": "string"},
        "opacity": {"type": "number", "minimum": 0.1, "maximum": 1},
        "fontColor": {"type": "string"},
        "bgColor": {"type": "string"},
    },
    "oneOf": [{"required": ["text"]}, {"required": ["image"]}],
}
_ACCELERATORS: Schema = {
    "type": "object",
    "properties": {
        "cacheStartStep": {"type": "integer", "minimum": 0},
        "cacheStartStepPercentage": {"type": "number", "minimum": 0, "maximum": 99},
        "cacheEndStep": {"type": "integer", "minimum": 1},
        "cacheEndStepPercentage": {"type": "number", "minimum": 1, "maximum": 100},
        "cacheMaxConsecutiveSteps": {"type": "integer", "minimum": 1, "maximum": 5, "default": 3},
        "fbCache": _BOOLEAN,
        "fbCacheThreshold": {"type": "number"},
        "teaCache": _BOOLEAN,
        "teaCacheDistance": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5},
        "dbCache": _BOOLEAN,
        "dbCacheThreshold": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.25},
        "dbCacheSkipInterval": {"type": "integer", "minimum": 1, "default": 5},
        "deepCache": _BOOLEAN,
        "deepCacheInterval": {"type": "integer"},
        "deepCacheBranchId": {"type": "integer"},
    },
}
_LISTED_MODEL: Schema = {
    "type": "object",
    "required": ["model"],
    "properties": {"model": {"type": "string"}, "weight": _WEIGHT},
}
# Shapes of nested objects that are the same for every model which has the parameter.
_SHAPES: dict[str, Schema] = {
    "lora": {"type": "array", "items": _LISTED_MODEL},
    "embeddings": {"type": "array", "items": _LISTED_MODEL},
    "acceleratorOptions": _ACCELERATORS,
    "safety": {
        "type": "object",
        "properties": {"checkContent": _BOOLEAN, "mode": {"type": "string", "enum": ["none", "fast", "full"]}},
    },
    "audioSettings": {
        "type": "object",
        "properties": {
            "bitrate": {"type": "number"},
            "channels": {"enum": [1, 2]},
            "sampleRate": {"type": "number"},
        },
    },
}
_BOUNDS: dict[str, Schema] = {
    "numberResults": {"minimum": 1},
    "ttl": {"minimum": 60},
    "taskUUID": {"format": "uuid"},
    "webhookURL": {"format": "uri"},
    "uploadEndpoint": {"format": "uri"},
}
_LORA_OF_LTX: Schema = {
    "type": "object",
    "required": ["model"],
    "properties": {
        "model": {"type": "string"},
        "weight": _WEIGHT,
        "transformer": {"type": "string", "enum": ["high", "low", "both"]},
    },
}
# What the fact sheets say in words.
_IN_WORDS: dict[str, Schema] = {
    "boolean": _BOOLEAN,
    "boolean true": {"const": True},
    "UUID or URL": _MEDIA_FILE,
    "UUID or URL, at most 30 s": _MEDIA_FILE,
    "URL or base64": {"type": "string"},
    "white = edit": {"type": "string"},
}
_PREFIXES: list[tuple[str, Schema]] = [
    ("exactly one of text", _WATERMARK),
    ("cacheStartStep>=0", _ACCELERATORS),
    ("items {model (required), weight", {"type": "array", "items": _LORA_OF_LTX}),
    (
        "items {id (at most 20 chars)",
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "maxLength": 20},
                    "description": {"type": "string"},
                    "frontalImage": {"type": "string"},
                    "images": {"type": "array", "minItems": 1},
                },
            },
        },
    ),
    (
        "items {id (required), description",
        {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": {"type": "string"},
                    "description": {"type": "string"},
                    "referenceIndex": {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
                    "sourceBox": {"type": ["array", "null"]},
                    "targetBox": {"type": ["array", "null"]},
                },
            },
        },
    ),
]
# Rules that a schema cannot express, as users read them; those that help nobody are left out.
_NOTES = {
    "2 frameImages: providerSettings.klingai.sound forbidden": (
        "With two frame_images, provider_settings.klingai.sound is not accepted."
    ),
    "2K or 4K: duration at most 10": "In 2K and 4K, duration is at most 10.",
    "3 or more plain frameImages: integer duration required": (
        "With three or more frame_images, an integer duration is required."
    ),
    "frameImages or video: settings.safetyTolerance at most 2": (
        "With frame_images or a video, settings.safety_tolerance is at most 2."
    ),
    "inputs.elements without inputs.frameImages: accepted but ignored (third-party observation)": (
        "inputs.elements has no effect without inputs.frame_images."
    ),
    'inputs.referenceVideos and providerSettings: the page states both "required" and "forbidden" for different '
    "sub-fields": "",
    "inputs.referenceVideos needs providerSettings (some sub-fields forbidden)": (
        "inputs.reference_videos needs provider_settings."
    ),
    "inputs.referenceVideos: sound and duration forbidden": (
        "With inputs.reference_videos, sound and duration are not accepted."
    ),
    "keepOriginalSound needs inputs.referenceVideos": "keep_original_sound needs inputs.reference_videos.",
    "providerSettings needs inputs.referenceVideos and inputs.referenceImages": (
        "provider_settings needs inputs.reference_videos and inputs.reference_images."
    ),
    "referenceImages <-> referenceVideos <-> characterOrientation belong together": (
        "reference_images, reference_videos and character_orientation belong together."
    ),
    "send without model on a validation error": "",
    "settings.background transparent needs outputFormat PNG or WEBP (must be present)": (
        "settings.background='transparent' needs output_format 'PNG' or 'WEBP'."
    ),
    "the live API (2026-09-20) refused a model field on promptEnhance although the schema requires it": "",
    "width x height must be one of dimensions": "",
    "with inputs.video or inputs.referenceVideos: at most 4 inputs.referenceImages": (
        "With inputs.video or inputs.reference_videos, inputs.reference_images takes at most 4."
    ),
    "without inputs.referenceImages a bounding box must have targetBox and no referenceIndex/sourceBox": (
        "Without inputs.reference_images, a bounding box needs target_box, and neither reference_index nor source_box."
    ),
}
_KEYWORDS = frozenset(
    ("default", "enum", "maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum", "multipleOf", "type")
)


def main() -> None:
    """Write the snapshot."""
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_bytes(build(FACTS.read_text(encoding="utf-8")))
    print(f"{SNAPSHOT.relative_to(PROJECT)}: {SNAPSHOT.stat().st_size:,} bytes")


def build(facts: str) -> bytes:
    """Return the snapshot for fact sheets, one a line."""
    sheets = [json.loads(line) for line in facts.splitlines()]
    meta = next(sheet for sheet in sheets if sheet["kind"] == "meta")
    records = [record(sheet) for sheet in _merged(sheets)]
    records.sort(key=lambda one: str(one["air"] or one["slug"]))
    families = {
        sheet["id"]: schema(sheet, "imageInference", None) for sheet in sheets if sheet["kind"] == "architecture"
    }
    header = {
        "date": meta["date"],
        "version": meta["schemas"],
        "enums": meta["enums"],
        "architectures": families,
        "models": [[one["air"], one["slug"], one["name"]] for one in records],
    }
    lines = [json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in [header, *records]]
    return gzip.compress("\n".join(lines).encode(), 9, mtime=0)


def _merged(sheets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one sheet a model. What is said of it outside the list of schemas adds to what the schemas say."""
    made: dict[str, dict[str, Any]] = {}
    for sheet in sheets:
        if sheet["kind"] in ("model", "unlisted"):
            name = str(sheet.get("air") or sheet["slug"])
            made[name] = {**made.get(name, {}), **sheet}
    return list(made.values())


def record(sheet: dict[str, Any]) -> dict[str, Any]:
    """Return a model's line in the snapshot: what the content service would say, and the request schema."""
    delivery = sheet.get("deliveryMethod") or {}
    whole = schema(sheet, sheet.get("taskType"), delivery)
    rules = _rules(sheet)
    enforced = [fragment for _, fragment in rules if fragment is not None]
    if enforced:
        whole["allOf"] = enforced
    kept = {
        "air": sheet.get("air"),
        "slug": sheet.get("slug") or "",
        "name": sheet.get("name") or _readable(sheet.get("slug") or sheet.get("air") or ""),
        "creator": sheet.get("creator"),
        "status": sheet.get("status") or "live",
        "taskType": sheet.get("taskType"),
        "outputModality": sheet.get("outputModality"),
        "capabilities": sheet.get("capabilities"),
        "architecture": sheet.get("architecture"),
        "releasedAt": sheet.get("releasedAt"),
        "deactivatesAt": sheet.get("deactivatesAt"),
        "replacedBy": sheet.get("replacedBy"),
        "zdr": sheet.get("zdr"),
        "hosted": sheet.get("hosted"),
        "contextWindow": sheet.get("contextWindow"),
        "pricingRates": sheet.get("pricing"),
        "pricingMeasured": sheet.get("pricingMeasured"),
        "pricingExamples": sheet.get("pricingExamples"),
        "dimensions": sheet.get("dimensions"),
        "modes": sheet.get("modes"),
        "inputHint": sheet.get("inputHint"),
        "notes": [
            note
            for words, fragment in rules
            if fragment is None and not words.startswith("required:") and (note := _NOTES[words])
        ],
        "limits": bool(sheet.get("constraints")),
        "schema": whole,
    }
    return {name: value for name, value in kept.items() if value not in (None, [], {}) or name in ("air", "slug")}


def _readable(slug: str) -> str:
    return " ".join(word.upper() if len(word) <= 2 else word.capitalize() for word in re.split(r"[-:@]", slug))


# ---------------------------------------------------------------------- parameters


def schema(sheet: dict[str, Any], task_type: str | None, delivery: dict[str, Any] | None) -> Schema:
    """Return the request schema of a fact sheet, without its rules."""
    properties = {name: _property(name, facts) for name, facts in (sheet.get("parameters") or {}).items()}
    for path, limits in (sheet.get("constraints") or {}).items():
        _limit(properties, path, limits)
    if task_type:
        properties.setdefault("taskType", {"type": "string", "const": task_type})
    allowed = (delivery or {}).get("allowed") or sheet.get("deliveryMethodByTaskType")
    if allowed and "deliveryMethod" in properties:
        properties["deliveryMethod"] = {"type": "string", "enum": allowed}
        if default := (delivery or {}).get("default"):
            properties["deliveryMethod"]["default"] = default
    if properties.get("inputs") == {"type": "object"}:
        for path in _hinted(sheet.get("inputHint") or {}):
            _limit(properties, path, {})
    required = [name for name, facts in (sheet.get("parameters") or {}).items() if facts.get("required")]
    whole: Schema = {"type": "object", "required": required, "properties": properties}
    if sheet.get("parameters"):
        whole["additionalProperties"] = False
    return whole


def _property(name: str, facts: dict[str, Any]) -> Schema:
    made: Schema = {}
    kinds = [_TYPES.get(kind, kind) for kind in str(facts.get("type", "")).split("|") if kind]
    if kinds:
        made["type"] = kinds[0] if len(kinds) == 1 else kinds
    if "object" in kinds and "enum" in facts:
        pass  # the enum is that of the other type, such as `true`
    else:
        made.update({key: facts[key] for key in ("const", "enum") if key in facts})
    if "enumRef" in facts:
        made["$ref"] = f"#/enums/{facts['enumRef']}"
    shape = _SHAPES.get(name)
    if shape is not None and made.get("type") == shape["type"]:
        made = _copy(shape)
    return made | _BOUNDS.get(name, {})


def _limit(properties: dict[str, Any], path: str, limits: Any) -> None:
    """Apply the limits of a dotted path to the properties."""
    head, _, rest = path.partition(".")
    target = properties.setdefault(head, {})
    if rest:
        target.setdefault("type", "object")
        _limit(target.setdefault("properties", {}), rest, limits)
    else:
        _merge(target, _schema_of(limits))


def _schema_of(limits: Any) -> Schema:
    if isinstance(limits, str):
        return _in_words(limits)
    if isinstance(limits, list):
        values = [str(value).removesuffix(" (default)") for value in limits]
        default = [value for value, given in zip(values, limits, strict=True) if value != given]
        return {"enum": values} | ({"default": default[0]} if default else {})
    made: Schema = {key: value for key, value in limits.items() if key in _KEYWORDS}
    made |= exact_limits(made)
    if "oneOf" in limits:
        made["oneOf"] = [_alternative(option) for option in limits["oneOf"]]
    item = limits.get("item", "")
    if "not last" in item or "contains" in limits:
        made |= _NOT_LAST
    if "only" in item:
        made |= {"items": _MEDIA_FILE} if "maxItems" in limits else _MEDIA_FILE
    if item.startswith("{model (required"):
        made["items"] = _LISTED_MODEL
    nested = {
        key: value for key, value in limits.items() if key not in _KEYWORDS | {"oneOf", "item", "contains", "note"}
    }
    if nested:
        made |= {"type": "object", "properties": {key: _schema_of(value) for key, value in nested.items()}}
    return made


def _alternative(option: str) -> Schema:
    span = re.fullmatch(r"integer (\d+)-(\d+)", option)
    return {"type": "integer", "minimum": int(span[1]), "maximum": int(span[2])} if span else {"const": option}


def _in_words(words: str) -> Schema:
    if words in _IN_WORDS:
        return _copy(_IN_WORDS[words])
    for prefix, found in _PREFIXES:
        if words.startswith(prefix):
            return _copy(found)
    raise SystemExit(f"model_facts.jsonl: no schema for {words!r}")


def _merge(target: Schema, more: Schema) -> None:
    for name, value in more.items():
        if name == "properties":
            for inner, facts in value.items():
                _merge(target.setdefault(name, {}).setdefault(inner, {}), facts)
        else:
            target[name] = value
    if "oneOf" in more or ("enum" in more and len({type(value) for value in more["enum"]}) > 1):
        target.pop("type", None)  # a number or a word
    if "enum" in more and target.get("const") not in (None, *more["enum"]):
        target.pop("const")


def _hinted(hint: dict[str, Any]) -> Iterable[str]:
    """Yield the paths at which a model takes its input images."""
    words = hint.get("imageInput", "")
    yield from re.findall(r"inputs\.\w+", words)


def _copy(value: Schema) -> Schema:
    return copy.deepcopy(value)


# ---------------------------------------------------------------------- rules


def _rules(sheet: dict[str, Any]) -> list[tuple[str, Schema | None]]:
    """Return each rule of a fact sheet with the schema that enforces it; `None` for those only a reader can apply."""
    known = set(sheet.get("parameters") or {})
    found: list[tuple[str, Schema | None]] = []
    for rule in sheet.get("rules", []):
        whole = _enforced(rule, sheet, known)
        parts = [rule] if whole is not None else rule.split("; ")
        found += [(words, whole or _enforced(words, sheet, known)) for words in parts]
    return found


def _enforced(words: str, sheet: dict[str, Any], known: set[str]) -> Schema | None:
    if words in _RULES_IN_WORDS:
        return _RULES_IN_WORDS[words]
    if words == "width x height must be one of dimensions" and "dimensions" in sheet:
        return _sizes(sheet["dimensions"])
    for pattern, make in _PATTERNS:
        if match := re.fullmatch(pattern, words):
            groups = [_paths(group, known) for group in match.groups()]
            if all(groups):
                return make(*groups)
    return None


def _sizes(dimensions: list[dict[str, Any]]) -> Schema:
    pairs = [
        {
            "title": size["label"],
            "properties": {"width": {"const": size["width"]}, "height": {"const": size["height"]}},
        }
        for size in dimensions
    ]
    return {"if": _any_of(["width", "height"]), "then": {"required": ["width", "height"], "oneOf": pairs}}


def _paths(words: str, known: set[str]) -> list[str]:
    """Return the paths in a list in words; empty if one of them is not understood.

    A bare name is a parameter, or the name of an input: `referenceImages` stands for `inputs.referenceImages`.
    """
    paths = []
    for word in re.split(r", | and | or |/|\+", words):
        if not re.fullmatch(r"[A-Za-z]+(\.[A-Za-z]+)*", word):
            return []
        if "." in word or word in known or word in ("width", "height"):
            paths.append(word)
        elif re.search(r"(Images?|Videos?|Audios?|video|audio)$", word):
            paths.append(f"inputs.{word}")
        else:
            return []
    return paths


def _present(path: str) -> Schema:
    head, _, rest = path.partition(".")
    made: Schema = {"required": [head]}
    if rest:
        made["properties"] = {head: _present(rest)}
    return made


def _any_of(paths: list[str]) -> Schema:
    made = [_present(path) for path in paths]
    return made[0] if len(made) == 1 else {"anyOf": made}


def _all_of(paths: list[str]) -> Schema:
    plain = [path for path in paths if "." not in path]
    made: list[Schema] = [{"required": plain}] if plain else []
    made += [_present(path) for path in paths if "." in path]
    return made[0] if len(made) == 1 else {"allOf": made}


def _excludes(one: list[str], others: list[str]) -> Schema:
    return {"not": {"allOf": [_any_of(one), _any_of(others)]}}


def _needs(one: list[str], others: list[str]) -> Schema:
    return {"if": _any_of(one), "then": _any_of(others)}


def _unless(required: list[str], others: list[str]) -> Schema:
    return {"if": {"not": _any_of(others)}, "then": _all_of(required)}


def _together(one: list[str], others: list[str]) -> Schema:
    names = [*one, *others]
    return {"dependentRequired": {name: [other for other in names if other != name] for name in names}}


_PATTERNS: list[tuple[str, Callable[..., Schema]]] = [
    (r"(width) and (height) only together", _together),
    (r"(\S+) excludes (.+)", _excludes),
    (r"with (.+): no (.+)", _excludes),
    (r"(inputs\.\w+) needs (.+)", _needs),
    (r"(resolution) needs (.+)", _needs),
    (r"(strength|maskImage|maskMargin) only with (.+)", _needs),
    (r"without (.+): (.+) required", lambda others, required: _unless(required, others)),
    (r"without (.+?) (width\+height) required", lambda others, required: _unless(required, others)),
    (r"(positivePrompt) required unless (.+)", _unless),
    (r"exactly one of (.+) \| (.+)", lambda one, others: {"oneOf": [_any_of(one), _all_of(others)]}),
    (r"either (.+) or (width\+height)", lambda one, others: {"anyOf": [_any_of(one), _all_of(others)]}),
    (
        r"with (.+): (width/height) forbidden; otherwise both required",
        lambda media, size: {"if": _any_of(media), "then": {"not": _any_of(size)}, "else": _all_of(size)},
    ),
]  # fmt: skip


_SIZE_OF_AUDIO = [(1920, 1080), (1080, 1920)]
_RULES_IN_WORDS: dict[str, Schema] = {
    "fps 48 or 50: duration at most 10": {
        "if": {"properties": {"fps": {"enum": [48, 50]}}, "required": ["fps"]},
        "then": {"properties": {"duration": {"maximum": 10}}},
    },
    "with inputs.video duration must be 7": {
        "if": _present("inputs.video"),
        "then": {"properties": {"duration": {"const": 7}}},
    },
    "settings.operation edit: duration must be auto": {
        "if": {
            "properties": {"settings": {"properties": {"operation": {"const": "edit"}}, "required": ["operation"]}},
            "required": ["settings"],
        },
        "then": {"properties": {"duration": {"const": "auto"}}},
    },
    "settings.operation needs inputs.video": _needs(["settings.operation"], ["inputs.video"]),
    "providerSettings.google.resizeMode needs inputs.frameImages": _needs(
        ["providerSettings.google.resizeMode"], ["inputs.frameImages"]
    ),
    "inputs.audio: no duration, no settings.cameraMovement": _excludes(
        ["inputs.audio"], ["duration", "settings.cameraMovement"]
    ),
    "inputs.audio: size 1920x1080 or 1080x1920": {
        "if": {"allOf": [_present("inputs.audio"), _any_of(["width", "height"])]},
        "then": {
            "oneOf": [
                {"properties": {"width": {"const": width}, "height": {"const": height}}}
                for width, height in _SIZE_OF_AUDIO
            ]
        },
    },
    "inputs.audio and inputs.referenceImages only together": {
        "if": _any_of(["inputs.audio", "inputs.referenceImages"]),
        "then": _all_of(["inputs.audio", "inputs.referenceImages"]),
    },
    "positivePrompt required when no media input": {
        "if": {"not": {"required": ["inputs"]}},
        "then": {"required": ["positivePrompt"]},
    },
    "positivePrompt required when no media input at all": {
        "if": {"not": {"required": ["inputs"]}},
        "then": {"required": ["positivePrompt"]},
    },
    "without frame or reference images width+height required": _unless(
        ["width", "height"], ["inputs.frameImages", "inputs.referenceImages"]
    ),
    "strength only with inputs.seedImage": _needs(["strength"], ["inputs.seedImage"]),
    "maskImage only with inputs.seedImage": _needs(["inputs.maskImage"], ["inputs.seedImage"]),
    "acceleratorOptions: step and percentage forms exclude each other": {
        "properties": {
            "acceleratorOptions": {
                "allOf": [
                    {"not": {"required": ["cacheStartStep", "cacheStartStepPercentage"]}},
                    {"not": {"required": ["cacheEndStep", "cacheEndStepPercentage"]}},
                ]
            }
        }
    },
}
for _words in (
    "fbCache, teaCache, dbCache, deepCache exclude each other pairwise",
    "at most one of fbCache, teaCache, dbCache, deepCache",
):
    _caches = ["fbCache", "teaCache", "dbCache", "deepCache"]
    _on = {name: {"properties": {name: {"const": True}}, "required": [name]} for name in _caches}
    _RULES_IN_WORDS[_words] = {
        "properties": {
            "acceleratorOptions": {
                "allOf": [
                    {"not": {"allOf": [_on[one], _on[other]]}}
                    for number, one in enumerate(_caches)
                    for other in _caches[number + 1 :]
                ]
            }
        }
    }


if __name__ == "__main__":
    main()
