"""All faults by name: X1 to X24 of docs/protocol.md, section 8."""

from __future__ import annotations

from runware.local.connection_faults import (
    CleanClose,
    DropBetweenResults,
    EarlyReplay,
    HalfOpen,
    IgnoredPings,
    Inactivity,
    LostReply,
    LostSubmission,
    NewSession,
    OddStream,
    RefusedKey,
    RevokedKey,
    SilentAuthentication,
)
from runware.local.faults import Fault
from runware.local.result_faults import (
    Drip,
    ErrorShapes,
    FailingPoll,
    InstantResults,
    LargeResult,
    Noise,
    OddPolls,
    OddUpload,
    OverDelivery,
    SharedUuid,
    StrayError,
)

__all__ = ["FAULTS"]

FAULTS: dict[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        SilentAuthentication, RefusedKey, HalfOpen, IgnoredPings, LostSubmission, DropBetweenResults, CleanClose,
        EarlyReplay, StrayError, ErrorShapes, LargeResult, InstantResults, OverDelivery, Noise, OddPolls, FailingPoll,
        Inactivity, NewSession, SharedUuid, LostReply, OddStream, RevokedKey, Drip, OddUpload,
    )
}  # fmt: skip
"""Every fault class by its name."""
