"""Runware: images, video, audio, text and 3D, over one persistent WebSocket or over HTTP.

    from runware import Runware

    rw = Runware()
    images = rw.image_inference(positive_prompt="a lighthouse at dusk", model="runware:101@1", width=1024, height=1024)
    images[0].save("out/")

`rw.submit` returns jobs instead of waiting, `rw.aio` is for asyncio, and `runware.local` is a server to try it with.
"""

import logging as _logging
from typing import TYPE_CHECKING

from runware._version import __version__

_MIXTURE = (
    "The package `runware` is a mixture of two: the distributions `runware`, `runware-sdk` and `runware-client` share "
    "this import name. Run: pip uninstall runware runware-sdk runware-client && pip install runware-client"
)

try:
    from runware import requests
    from runware._support.event_loops import RunwareAsyncUsageWarning
    from runware._support.lazy_modules import load_module as _load_module
    from runware.errors import (
        AnswerFormatError,
        AuthenticationError,
        BudgetExceededError,
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
        OverwriteError,
        PayloadTooLargeError,
        ProviderError,
        RateLimitError,
        RunwareError,
        ServerError,
        StoreError,
        TaskCancelledError,
        TaskError,
        TaskTimeoutError,
        ToolRoundsError,
        UsageError,
        ValidationError,
        WebhookError,
        WebhookTokenError,
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
    "Acknowledgement",
    "Answer",
    "AnswerFormatError",
    "App",
    "AppJob",
    "AppSubmitter",
    "AppTask",
    "AsyncApp",
    "AsyncChat",
    "AsyncChatStream",
    "AsyncRunware",
    "AsyncTextStream",
    "Audio",
    "AuthenticationError",
    "Budget",
    "BudgetExceededError",
    "Chat",
    "ChatPiece",
    "ChatStream",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "ContentModerationError",
    "Detection",
    "DownloadError",
    "FilesResult",
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
    "OverwriteError",
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
    "Source",
    "Spending",
    "StoreError",
    "StoredMedia",
    "StoredTask",
    "StreamJob",
    "Task",
    "TaskCancelledError",
    "TaskDetails",
    "TaskError",
    "TaskTimeoutError",
    "TaskType",
    "TeamMember",
    "Text",
    "TextPiece",
    "TextStream",
    "Tool",
    "ToolCall",
    "ToolOutput",
    "ToolRoundsError",
    "ToolRun",
    "TrainedModel",
    "UploadedModel",
    "Usage",
    "UsageError",
    "UsageReport",
    "UsageRow",
    "UsageTotals",
    "ValidationError",
    "Video",
    "WebhookError",
    "WebhookTokenError",
    "WrongThreadError",
    "__version__",
    "get_client",
    "task_uuid_for",
    "tool",
]
__all__ += requests.__all__
list.sort(__all__)  # so, as type checkers follow no method calls on `__all__`

_MODULES = frozenset(
    ("agents", "events", "jobs", "local", "media", "options", "results", "testing", "text", "webhooks")
)
_WHERE = {
    name: f"runware.{module}"
    for module, names in {
        "client": "AsyncRunware Runware get_client",
        "jobs": "Job Progress",
        "media": "Media",
        "options": "Budget RetryPolicy",
        "protocol.ids": "task_uuid_for",
        "requests.base": "Task",
        "store.lines": "StoredTask",
        "task_types": "TaskType",
        "serverless": "App AppJob AppSubmitter AppTask AsyncApp",
        "results": (
            "Acknowledgement Audio Detection FilesResult GuideImage Image MaskImage MediaResult Meta Model3D Partial"
            " Result Results Source StoredMedia Text TextPiece ToolCall ToolOutput Usage Video"
        ),
        "text": (
            "Answer AsyncChat AsyncChatStream AsyncTextStream Chat ChatPiece ChatStream StreamJob TextStream Tool"
            " ToolRun tool"
        ),
    }.items()
    for name in names.split()
}

if TYPE_CHECKING:
    from runware.client import AsyncRunware, Runware, get_client
    from runware.jobs import Job, Progress
    from runware.media import Media
    from runware.options import Budget, RetryPolicy
    from runware.protocol.ids import task_uuid_for
    from runware.requests import *  # noqa: F403
    from runware.requests.base import Task
    from runware.results import (
        Acknowledgement,
        Audio,
        Detection,
        FilesResult,
        GuideImage,
        Image,
        MaskImage,
        MediaResult,
        Meta,
        Model3D,
        Partial,
        Result,
        Results,
        Source,
        StoredMedia,
        Text,
        TextPiece,
        ToolCall,
        ToolOutput,
        Usage,
        Video,
    )
    from runware.results.platform import (
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
        UsageReport,
        UsageRow,
        UsageTotals,
    )
    from runware.serverless import App, AppJob, AppSubmitter, AppTask, AsyncApp
    from runware.store.lines import StoredTask
    from runware.task_types import TaskType
    from runware.text import (
        Answer,
        AsyncChat,
        AsyncChatStream,
        AsyncTextStream,
        Chat,
        ChatPiece,
        ChatStream,
        StreamJob,
        TextStream,
        Tool,
        ToolRun,
        tool,
    )
else:
    _ELSEWHERE = {
        "IRequestImage": "ImageInference",
        "IImageBackgroundRemoval": "RemoveBackground",
        "IImageCaption": "Caption",
        "IImageUpscale": "Upscale",
        "RunwareAPIError": "RunwareError",
        "RunOptions": "the parameters of a call, such as timeout=, or rw.with_options(...)",
        "OpenAI": "Runware",
        "AsyncOpenAI": "AsyncRunware",
        "Client": "Runware",
        "AsyncClient": "AsyncRunware",
        "APIError": "RunwareError",
        "APIConnectionError": "ConnectionFailedError and ConnectionLostError",
        "APITimeoutError": "TaskTimeoutError",
        "DiffusionPipeline": "Runware",
    }

    def _official(name: str) -> str | None:
        """Return what to use in place of a name of the official packages; `None` for any other name."""
        if name in _ELSEWHERE and name[:1] == "I":
            return f"use {_ELSEWHERE[name]}, or the method's parameters themselves."
        if name[:1] == "I" and name[1:2].isupper() and not name.isupper():
            if (ours := name[1:]) in __all__:
                return f"use {ours}, or the method's parameters themselves."
            return "parameters and results have no classes with an I; pass parameters to the methods of Runware."
        return "use Runware(transport=...)." if name in ("RunwareBase", "RunwareServer", "RunwareClient") else None

    def __getattr__(name: str) -> object:
        # Loaded when it is first used, and not by every import.
        if name in _MODULES:
            return _load_module(f"runware.{name}")
        if name not in __all__:
            if name in _ELSEWHERE and name[:1] != "I":
                raise ImportError(
                    f"runware-client has no {name}: use {_ELSEWHERE[name]}. (docs/from-other-libraries.md)"
                )
            if (ours := _official(name)) is not None:
                # No AttributeError: `from runware import ...` would replace its text.
                raise ImportError(
                    f"runware-client has no {name}, which is of the package `runware`: {ours} "
                    "(docs/from-official-sdks.md)"
                )
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = "runware.requests" if name in requests.__all__ else _WHERE.get(name, "runware.results.platform")
        try:
            found = globals()[name] = getattr(_load_module(module), name)
        except ImportError as error:
            if not (error.name or "").startswith("runware"):
                raise
            raise ImportError(_MIXTURE) from error
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
