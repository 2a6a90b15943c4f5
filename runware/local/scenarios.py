"""The fault scenarios X1 to X24 of the protocol's description, by name."""

from __future__ import annotations

from runware.local.faults import Fault
from runware.local.faults_connection import (
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
from runware.local.faults_results import (
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
"""Every fault by its name; `summary`, `defaults` and `choices` of each say what it does and takes."""
