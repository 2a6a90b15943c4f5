"""Former name of `runware.results.platform`, which results pickled by version 0.2.0 refer to."""

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
)

__all__ = [
    "Account",
    "AccountKey",
    "AccountUsage",
    "Model",
    "ModelPage",
    "Spending",
    "TaskDetails",
    "TeamMember",
    "TrainedModel",
    "UploadedModel",
]
