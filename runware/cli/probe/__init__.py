"""Ask the service the questions that its documentation leaves open; `runware doctor --probe`.

`lines` talks to the service without the client's engine, whose purpose is to hide what is asked here. The other modules
hold the questions: about connections, tasks, requests over HTTP, and text. `report` lists all of them, with what the
client assumes.
"""

from runware.cli.probe.lines import COST, Probe
from runware.cli.probe.report import Answer, run_probe

__all__ = ["COST", "Answer", "Probe", "run_probe"]
