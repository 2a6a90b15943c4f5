"""Runware: images, video, audio, text and 3D from one persistent WebSocket.

    from runware import Runware

    rw = Runware()
    images = rw.image_inference(positive_prompt="a lighthouse at dusk", model="runware:101@1", width=1024, height=1024)
    images[0].save("out/")

`rw.submit` gives jobs instead of waiting, `rw.aio` is for asyncio, and `runware.local` is a server to try it with.
"""

import logging as _logging
from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from runware._version import __version__

_MIXTURE = (
    "The package `runware` is a mixture of two: the distributions `runware`, `runware-sdk` and `runware-client` share "
    "this import name. Run: pip uninstall runware runware-sdk runware-client && pip install runware-client"
)

try:
    from runware import tasks
    from runware._engine.loading import loading as _loading
    from runware.client import AsyncRunware, Runware, RunwareAsyncUsageWarning, get_client
    from runware.errors import (
        AuthenticationError,
        ClientClosedError,
        ConfigurationError,
        ConflictError,
        ConnectionFailedError,
        ConnectionLostError,
        ContentModerationError,
        DownloadError,
        IncompleteResultsError,
        InsufficientCreditsError,
        NotFoundError,
        PayloadTooLargeError,
        ProviderError,
        RateLimitError,
        RunwareError,
        ServerError,
        TaskCancelledError,
        TaskError,
        TaskTimeoutError,
        ValidationError,
        WrongThreadError,
    )
except ImportError as _error:
    if not (_error.name or "").startswith("runware"):
        raise
    raise ImportError(_MIXTURE) from _error

_logging.getLogger("runware").addHandler(_logging.NullHandler())

__all__ = [
    "Account",
    "AccountKey",
    "AccountUsage",
    "AsyncRunware",
    "Audio",
    "AuthenticationError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "ContentModerationError",
    "Detection",
    "DownloadError",
    "GuideImage",
    "Image",
    "IncompleteResultsError",
    "InsufficientCreditsError",
    "Job",
    "MaskImage",
    "Media",
    "MediaResult",
    "Meta",
    "Model",
    "Model3D",
    "ModelPage",
    "NotFoundError",
    "Partial",
    "PayloadTooLargeError",
    "Progress",
    "ProviderError",
    "RateLimitError",
    "Result",
    "Results",
    "RetryPolicy",
    "Runware",
    "RunwareAsyncUsageWarning",
    "RunwareError",
    "ServerError",
    "Spending",
    "StoredMedia",
    "Task",
    "TaskCancelledError",
    "TaskDetails",
    "TaskError",
    "TaskTimeoutError",
    "TeamMember",
    "Text",
    "TrainedModel",
    "UploadedModel",
    "Usage",
    "ValidationError",
    "Video",
    "WrongThreadError",
    "__version__",
    "get_client",
]
__all__ += tasks.__all__
list.sort(__all__)  # so, as type checkers follow no method calls on `__all__`

_MODULES = frozenset(("answers", "events", "jobs", "local", "media", "options", "results"))
_LATE = {
    name: f"runware.{module}"
    for module, names in {
        "jobs": "Job Progress",
        "media": "Media",
        "options": "RetryPolicy",
        "results": (
            "Audio Detection GuideImage Image MaskImage MediaResult Meta Model3D Partial Result Results StoredMedia"
            " Text Usage Video"
        ),
        "tasks.base": "Task",
    }.items()
    for name in names.split()
}

if TYPE_CHECKING:
    from runware.answers import (
        Account,
        AccountKey,
        AccountUsage,
        Model,
        ModelPage,
        Spending,
        TaskDetails,
        TeamMember,
        TrainedModel,
        UploadedModel,
    )
    from runware.jobs import Job, Progress
    from runware.media import Media
    from runware.options import RetryPolicy
    from runware.results import (
        Audio,
        Detection,
        GuideImage,
        Image,
        MaskImage,
        MediaResult,
        Meta,
        Model3D,
        Partial,
        Result,
        Results,
        StoredMedia,
        Text,
        Usage,
        Video,
    )
    from runware.tasks import *  # noqa: F403
    from runware.tasks.base import Task
else:

    def __getattr__(name: str) -> object:
        # Loaded when it is first used, and not by every import.
        if name in _MODULES:
            return _import_module(f"runware.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = "runware.tasks" if name in tasks.__all__ else _LATE.get(name, "runware.answers")
        try:
            with _loading:
                found = globals()[name] = getattr(_import_module(module), name)
        except ImportError as error:
            if not (error.name or "").startswith("runware"):
                raise
            raise ImportError(_MIXTURE) from error
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
