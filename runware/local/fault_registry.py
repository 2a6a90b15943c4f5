"""All faults by name: X1 to X25, W1 to W6 and A1 to A5 of docs/protocol.md, section 8."""

from __future__ import annotations

from runware.local.app_faults import (
    FreshTask,
    LateAppAnswer,
    LostAppAnswer,
    PausedEnvironment,
    RefusedAppRequest,
)
from runware.local.connection_faults import (
    CleanClose,
    DropBetweenResults,
    EarlyReplay,
    FailingService,
    HalfOpen,
    IgnoredPings,
    Inactivity,
    IrregularStream,
    LostHttpResponse,
    LostSubmission,
    NewSession,
    RejectedKey,
    RevokedKey,
    SilentAuthentication,
)
from runware.local.faults import Fault
from runware.local.result_faults import (
    ErrorShapes,
    ExtraResults,
    FailingPoll,
    InstantResults,
    IrregularPolls,
    IrregularUpload,
    LargeResult,
    MeaninglessFrames,
    ReusedTaskUuid,
    SingleResults,
    UnknownTaskError,
)
from runware.local.webhook_faults import (
    DuplicateWebhooks,
    EarlyWebhooks,
    IrregularWebhooks,
    LateWebhooks,
    LostWebhooks,
    ReorderedWebhooks,
)

__all__ = ["FAULTS"]

FAULTS: dict[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        SilentAuthentication, RejectedKey, HalfOpen, IgnoredPings, LostSubmission, DropBetweenResults, CleanClose,
        EarlyReplay, UnknownTaskError, ErrorShapes, LargeResult, InstantResults, ExtraResults, MeaninglessFrames,
        IrregularPolls, FailingPoll, Inactivity, NewSession, ReusedTaskUuid, LostHttpResponse, IrregularStream,
        RevokedKey, SingleResults, IrregularUpload, FailingService,
        DuplicateWebhooks, ReorderedWebhooks, LateWebhooks, EarlyWebhooks, LostWebhooks, IrregularWebhooks,
        LostAppAnswer, LateAppAnswer, RefusedAppRequest, PausedEnvironment, FreshTask,
    )
}  # fmt: skip
"""Every fault class by its name."""
