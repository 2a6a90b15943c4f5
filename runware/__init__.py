"""Runware: images, video, audio, text and 3D from one persistent WebSocket.

    from runware import Runware

    rw = Runware()
    images = rw.image_inference(positive_prompt="a lighthouse at dusk", model="runware:101@1", width=1024, height=1024)
    images[0].save("out/")
"""

import logging as _logging

from runware._version import __version__

try:
    from runware.client import AsyncRunware, Runware, RunwareAsyncUsageWarning
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
    from runware.jobs import Job
    from runware.media import Media
    from runware.options import RetryPolicy
    from runware.results import Image, MediaResult, Partial, Result, Results
    from runware.tasks.base import Safety, Task
    from runware.tasks.image import (
        AcceleratorOptions,
        AcePlusPlus,
        AdvancedFeatures,
        ControlNet,
        Embedding,
        FluxKontext,
        ImageInference,
        ImageInputs,
        InstantID,
        IPAdapter,
        Lora,
        Lycoris,
        Outpaint,
        PhotoMakerSettings,
        PuLID,
        Refiner,
        Region,
        RegionalPrompting,
        Ultralytics,
        Watermark,
    )
except ImportError as _error:
    if not (_error.name or "").startswith("runware"):
        raise
    raise ImportError(
        "The package `runware` is a mixture of two: the distributions `runware`, `runware-sdk` and `runware-client` "
        "share this import name. Run: pip uninstall runware runware-sdk runware-client && pip install runware-client"
    ) from _error

_logging.getLogger("runware").addHandler(_logging.NullHandler())

__all__ = [
    "AcceleratorOptions",
    "AcePlusPlus",
    "AdvancedFeatures",
    "AsyncRunware",
    "AuthenticationError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "ContentModerationError",
    "ControlNet",
    "DownloadError",
    "Embedding",
    "FluxKontext",
    "IPAdapter",
    "Image",
    "ImageInference",
    "ImageInputs",
    "IncompleteResultsError",
    "InstantID",
    "InsufficientCreditsError",
    "Job",
    "Lora",
    "Lycoris",
    "Media",
    "MediaResult",
    "NotFoundError",
    "Outpaint",
    "Partial",
    "PayloadTooLargeError",
    "PhotoMakerSettings",
    "ProviderError",
    "PuLID",
    "RateLimitError",
    "Refiner",
    "Region",
    "RegionalPrompting",
    "Result",
    "Results",
    "RetryPolicy",
    "Runware",
    "RunwareAsyncUsageWarning",
    "RunwareError",
    "Safety",
    "ServerError",
    "Task",
    "TaskCancelledError",
    "TaskError",
    "TaskTimeoutError",
    "Ultralytics",
    "ValidationError",
    "Watermark",
    "WrongThreadError",
    "__version__",
]
