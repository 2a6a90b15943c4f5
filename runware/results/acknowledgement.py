"""The result of a call that does not wait for results."""

from __future__ import annotations

from typing import Any

import attrs

from runware.results.base import Result

__all__ = ["Acknowledgement"]


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Acknowledgement(Result):
    """The server's word that it has a task. Calls with `webhook_url` or `skip_response` return it instead of results.

    If the operation returns a list, the acknowledgement is in a list too.

    The results go to the webhook, or are collected with `rw.job(acknowledgement.task_uuid)`. The methods are annotated
    with the results of all other calls; check with `isinstance(result, Acknowledgement)` where both may come.
    """

    def __repr__(self) -> str:
        where = (
            "results go to the webhook"
            if "webhookURL" in self.meta.request
            else "collect results with rw.job(task_uuid)"
        )
        return f"<{super().__repr__()}: {where}>"

    def __getattr__(self, name: str) -> Any:
        # Called for unknown names only. It reads nothing from `self`, which may be incomplete while it is unpickled.
        raise AttributeError(
            f"An Acknowledgement has no attribute {name!r}: the call did not wait for results. They go to the webhook, "
            "or are collected with rw.job(acknowledgement.task_uuid).",
            name=name,
            obj=self,
        )
