"""Ask the service the questions that its documentation leaves open; `runware doctor --probe`.

`lines` has connections of its own, because the client hides what is asked here. The other modules contain the
questions: about connections, tasks, requests over HTTP, and text. `report` lists all of them, with what the
client assumes.
"""

from runware.cli.probe.lines import COST, Probe
from runware.cli.probe.report import Answer, run_probe

__all__ = ["COST", "Answer", "Probe", "run_probe"]
