"""Models from responses of the services that are newer than the snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from runware.models.catalogue import Model, Snapshot
from runware.models.schema import prepare

__all__ = ["NONSENSE", "NewerModels"]

NONSENSE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""The exceptions that reading a malformed response raises."""


class NewerModels:
    """Models by AIR and by slug, created at their first use. Thread-safe.

    Args:
        saved: The responses of the services: the registry, records of the catalogue, and request schemas by AIR. A
            malformed one raises one of `NONSENSE`.
        snapshot: The models in the package. A record is merged into that of the snapshot.
    """

    def __init__(self, saved: Mapping[str, Any], snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._facts: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, str] = {}
        self._made: dict[str, Model] = {}
        for air, facts in saved.get("registry", {}).get("models", {}).items():
            if air not in snapshot:
                self._add(
                    air, facts.get("id"), {"air": air, "slug": facts.get("id"), "taskType": facts.get("taskType")}
                )
        for record in saved.get("records", []):
            slug = record.get("slug") or record.get("model")
            self._add(record.get("air"), slug, {**record, "slug": slug})
        self._schemas = dict(self._prepared(saved.get("schemas", {})))

    def _add(self, air: Any, slug: Any, facts: Mapping[str, Any]) -> None:
        names = [name.lower() for name in (air, slug) if isinstance(name, str) and name]
        if names:
            key = next((self._keys[name] for name in names if name in self._keys), names[0])
            self._facts.setdefault(key, {}).update((name, one) for name, one in facts.items() if one is not None)
            self._keys.update(dict.fromkeys(names, key))

    def _prepared(self, schemas: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, schema in schemas.items():
            if name.lower() not in self._keys:
                known = self._snapshot.get(name)
                if known is None:
                    continue
                self._add(known.air, known.slug, {})
            prepared = prepare(schema)
            tried = Model(air=name, slug="", name=name, schema=prepared)
            tuple(tried.parameters)  # raises if it is not a schema
            tried.check()
            yield self._keys[name.lower()], prepared

    def __iter__(self) -> Iterator[str]:
        """Yield the key of each model."""
        return iter(self._facts)

    def key(self, *names: str | None) -> str | None:
        """Return the key of the model with one of some AIRs and slugs; `None` if it is not among these."""
        return next((self._keys[one] for name in names if name and (one := name.lower()) in self._keys), None)

    def model(self, key: str) -> Model:
        """Return a model by its key."""
        found = self._made.get(key)
        if found is None:
            found = self._made.setdefault(key, self._make(key, self._facts[key]))
        return found

    def _make(self, key: str, facts: Mapping[str, Any]) -> Model:
        known = self._snapshot.get(key)
        if known is None:
            made = Model.of(facts)
        else:
            made = Model.of({**known.raw, **facts})
            notes = made.notes or known.notes
            made = attrs.evolve(made, schema=known.schema, limits=known.limits, notes=notes)
        schema = self._schemas.get(key)
        return made if schema is None else attrs.evolve(made, schema=schema, limits=True)
