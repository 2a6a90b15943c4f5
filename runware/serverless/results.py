"""The result of calling an app."""

from __future__ import annotations

from typing import Any

import attrs

from runware.results.base import ApiObject

__all__ = ["AppTask"]


@attrs.frozen(kw_only=True, repr=False, slots=False)
class AppTask(ApiObject):
    """A task of a serverless app: one call of one of its endpoints.

    Attributes:
        id: UUID of the task.
        status: `"pending"`, `"completed"` or `"failed"`.
        output: What the endpoint returned, unchanged; `None` until then.
        error: Why the task failed, unchanged.
        app_id: The app that runs the task.
        endpoint: Path of the endpoint.
        created_at: Time of creation, as the server writes it.
        completed_at: Time of the end, as the server writes it; `None` while the task runs.
    """

    id: str = ""
    status: str | None = None
    output: Any = attrs.field(default=None, repr=False, hash=False)
    error: Any = attrs.field(default=None, repr=False, hash=False)
    app_id: str | None = None
    endpoint: str | None = None
    created_at: str | None = None
    completed_at: str | None = None

    def _fallback(self, name: str) -> Any:
        path = self.raw.get("endpointPath") if name == "endpoint" else None
        return path if isinstance(path, str) else None

    @property
    def done(self) -> bool:
        """Whether the task is over, successfully or not."""
        return self.status in ("completed", "failed") or self.completed_at is not None
