"""What all parts of the server share: its options, its books, its files, its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runware.local.ledger import Ledger
from runware.local.media import Media, MediaStore
from runware.local.switches import Switches

if TYPE_CHECKING:
    from runware.local.jobs import Job

__all__ = ["Delay", "Options", "State"]

Delay = float | Mapping[str, float] | Callable[[dict[str, Any]], float]
ORDERS = ("as-is", "reversed", "shuffled")


@dataclass(slots=True)
class Options:
    """How the server behaves. Times are float seconds.

    Attributes:
        api_key: The one accepted key; `None` while it is revoked.
        delay: Until the first result: seconds, seconds by task type, or a function of the task.
        spread: Between the results of one task.
        result_order: `as-is`, `reversed` or `shuffled`: the order in which the results of one task finish.
        frame_size: Results in one frame. `None`: all that finish at the same moment.
        mix_tasks: Whether results of different tasks that are ready at the same moment share a frame.
        balance: Credits left, in 0.00001 dollars. `None`: no end.
        inactivity: A connection is closed this long after the last message. 0: never.
        resume_window: How long a session can be resumed after its connection was lost.
        sync_window: After this time an HTTP request for a synchronous task gets status 504, and the task goes on.
            0: never.
        webhook_timeout: How long a webhook's receiver may take to answer.
        webhook_delay: Before a webhook's first repetition; doubles up to 8 seconds.
        webhook_tries: How often a webhook is tried.
        allowed_hosts: Names, each with or without a port, that requests may have in `Host` and `Origin` besides those
            of this machine.
    """

    api_key: str | None
    delay: Delay = 0.0
    spread: float = 0.0
    result_order: str = "as-is"
    frame_size: int | None = None
    mix_tasks: bool = False
    balance: int | None = None
    inactivity: float = 120.0
    resume_window: float = 120.0
    sync_window: float = 0.0
    webhook_timeout: float = 5.0
    webhook_delay: float = 0.25
    webhook_tries: int = 5
    allowed_hosts: Sequence[str] = ()

    def delay_for(self, task: dict[str, Any], *, quick: bool = False) -> float:
        """Seconds until the first result of a task.

        Args:
            task: The task.
            quick: The task is only a question (a poll, a search): it waits only if `delay` names its type.
        """
        delay = self.delay
        if isinstance(delay, (int, float)):
            return 0.0 if quick else delay
        if isinstance(delay, Mapping):
            return float(delay.get(task["taskType"], 0.0))
        return float(delay(task))


@dataclass(slots=True)
class State:
    """Everything that outlives a connection.

    Attributes:
        options: How the server behaves.
        switches: How it answers the protocol's open questions.
        ledger: Its books.
        media: The files it knows.
        models: The models that a search finds.
        jobs: Every task that was executed, by its UUID.
        http_url: Where its files are served.
        keep: How many jobs are remembered. `None`: all.
    """

    options: Options
    switches: Switches
    ledger: Ledger
    media: MediaStore
    models: list[dict[str, Any]]
    jobs: dict[str, Job] = field(default_factory=dict)
    http_url: str = ""
    keep: int | None = None

    def url(self, media: Media) -> str:
        """The address of a file."""
        return f"{self.http_url}/{media.kind}/{media.uuid}.{media.extension}"

    def remember(self, job: Job) -> None:
        """Remember a job, and forget old finished ones if there are too many."""
        self.jobs[job.uuid] = job
        if self.keep is not None and len(self.jobs) > 2 * self.keep:
            finished = [uuid for uuid, old in self.jobs.items() if old.done]
            for uuid in finished[: len(self.jobs) - self.keep]:
                del self.jobs[uuid]
