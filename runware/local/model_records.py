"""The models that the server knows: the records of the package's snapshot, which is read as a data file."""

from __future__ import annotations

import gzip
import json
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["ModelRecords"]

_FILE = Path(__file__).parent.parent / "models" / "snapshot.jsonl.gz"

Record = dict[str, Any]


class ModelRecords:
    """The records of all models, each with its request schema. Nothing is read before the first use.

    The first line of the file is a header; each further line is one record.
    """

    def __init__(self, file: Path = _FILE) -> None:
        self._file = file

    @cached_property
    def _lines(self) -> list[str]:
        return gzip.decompress(self._file.read_bytes()).decode().splitlines()

    @cached_property
    def _header(self) -> Record:
        header: Record = json.loads(self._lines[0])
        return header

    @cached_property
    def _positions(self) -> dict[str, int]:
        """The line of each model by its AIR and its slug, in lower case."""
        return {
            name.lower(): line
            for line, names in enumerate(self._header["models"], 1)
            for name in names[:2]
            if name
        }  # fmt: skip

    @cached_property
    def _read(self) -> dict[int, Record]:
        return {}

    @property
    def version(self) -> str:
        """The version of the schemas."""
        return str(self._header["version"])

    @cached_property
    def sources(self) -> frozenset[str]:
        """The first parts of all AIRs, such as `klingai`."""
        return frozenset(names[0].partition(":")[0].lower() for names in self._header["models"] if names[0])

    @cached_property
    def families(self) -> dict[str, Any]:
        """The request schemas of model families by name; community models have that of their family."""
        return {name: self._resolved(schema) for name, schema in self._header["architectures"].items()}

    def find(self, name: str) -> Record | None:
        """Return the record of a model by its AIR or slug; `None` if it is not known."""
        line = self._positions.get(name.lower())
        return None if line is None else self._record(line)

    def find_air(self, air: str) -> Record | None:
        """Return the record of a model by its AIR; `None` if it is not known."""
        found = self.find(air) if ":" in air else None
        return found if found is not None and str(found.get("air")).lower() == air.lower() else None

    def all(self) -> list[Record]:
        """Return all records, sorted by AIR."""
        return [self._record(line) for line in range(1, len(self._lines))]

    def _record(self, line: int) -> Record:
        record = self._read.get(line)
        if record is None:
            record = json.loads(self._lines[line])
            record["schema"] = self._resolved(record["schema"])
            self._read[line] = record
        return record

    def _resolved(self, schema: Any) -> Any:
        """Replace references to shared lists of values by these lists."""
        if isinstance(schema, list):
            return [self._resolved(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        made = {name: self._resolved(part) for name, part in schema.items() if name != "$ref"}
        if "$ref" in schema:
            made["enum"] = self._header["enums"][schema["$ref"].removeprefix("#/enums/")]
        return made
