"""All faults by name: X1 to X25, W1 to W6 and A1 to A5 of docs/protocol.md, section 8."""

from __future__ import annotations

from difflib import get_close_matches

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

__all__ = ["FAULTS", "find_fault"]

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

_BY_ALIAS = {fault.alias: fault for fault in FAULTS.values()}


def find_fault(name: str) -> type[Fault]:
    """Return a fault class by its name (`X6`) or its readable name (`drop_between_results`).

    Raises:
        ValueError: There is no such fault.
    """
    fault = FAULTS.get(name.upper()) or _BY_ALIAS.get(name.lower().replace("-", "_"))
    if fault is None:
        close = get_close_matches(name.lower().replace("-", "_"), _BY_ALIAS, 1)
        hint = f"Did you mean {close[0]!r}?" if close else f"The faults are: {', '.join(_BY_ALIAS)}."
        raise ValueError(f"unknown fault {name!r}. {hint} `runware serve --list` describes all faults.")
    return fault
