"""The state that all parts of the server share: options, switches, ledger, files, models, executed tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runware.local.apps import AppRun, DeployedApp
from runware.local.ledger import Ledger
from runware.local.media import Media, MediaStore
from runware.local.model_records import ModelRecords
from runware.local.options import ServerOptions
from runware.local.planned_answers import PlannedAnswers
from runware.local.recording import Recording
from runware.local.switches import Switches
from runware.local.task_run import TaskRun

__all__ = ["ServerState"]


@dataclass(slots=True)
class ServerState:
    """The state that outlives connections, and the stop and restart of a server.

    Attributes:
        options: The behaviour of the server.
        switches: Its answers to the open questions of the protocol.
        ledger: Its record of what it received, executed and billed.
        media: The files it can serve.
        models: The models that a search finds.
        records: The models of the snapshot.
        planned: The answers that a test gave.
        recording: The recording that answers tasks. `None`: the server makes up the answers.
        own_airs: The AIRs of the models that were uploaded to this server or trained by it, in lower case.
        runs: Every executed task by its taskUUID.
        apps: The serverless apps by name.
        app_runs: Their tasks by taskId, the oldest first.
        http_url: The base URL of its files.
        keep: The number of task runs that are kept at least. `None`: all.
    """

    options: ServerOptions
    switches: Switches
    ledger: Ledger
    media: MediaStore
    models: list[dict[str, Any]]
    records: ModelRecords = field(default_factory=ModelRecords)
    planned: PlannedAnswers = field(default_factory=PlannedAnswers)
    recording: Recording | None = None
    own_airs: set[str] = field(default_factory=set)
    runs: dict[str, TaskRun] = field(default_factory=dict)
    apps: dict[str, DeployedApp] = field(default_factory=dict)
    app_runs: dict[str, AppRun] = field(default_factory=dict)
    http_url: str = ""
    keep: int | None = None

    def url(self, media: Media) -> str:
        """Return the URL of a file."""
        return f"{self.http_url}/{media.kind}/{media.uuid}.{media.extension}"

    def add_run(self, run: TaskRun) -> None:
        """Store a task run, and discard the oldest finished ones if there are more than twice `keep`."""
        self.runs[run.uuid] = run
        if self.keep is not None and len(self.runs) > 2 * self.keep:
            finished = [uuid for uuid, old in self.runs.items() if old.done]
            for uuid in finished[: len(self.runs) - self.keep]:
                del self.runs[uuid]
