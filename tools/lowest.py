"""Print the lowest version that each declared dependency allows, as constraints for pip.

python tools/lowest.py > lowest.txt && pip install -c lowest.txt -e '.[all,test]'
"""

# A script in a folder of scripts, which prints its result.
# ruff: noqa: INP001, T201

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
declared = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
lowest = set()
for requirement in declared:
    if requirement.startswith(project["name"]):  # an extra that consists of others
        continue
    found = re.match(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)", requirement)
    if found is None:
        raise SystemExit(f"{requirement} has no lower bound")
    lowest.add("{}=={}".format(*found.groups()))
print("\n".join(sorted(lowest)))
