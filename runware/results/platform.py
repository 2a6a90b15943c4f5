"""What comes back of the platform (models, tasks, the account), and which class an item becomes.

It is loaded when it is first needed. Reading never fails here either; see `results`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import attrs

from runware.errors import RunwareError, error_from_wire
from runware.results.base import Part, Result, Results, shown_length, shown_url, wire_objects
from runware.results.media import GuideImage, Image, MaskImage, Model3D, StoredMedia, Video, class_by_name
from runware.results.text import Text

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
    "class_for",
]


def _shown_number(value: Any) -> str:
    """Return what a `repr` shows of a field that mostly is a number, and is given as it came."""
    return repr(value) if isinstance(value, (int, float)) else f"<{type(value).__name__}>"


@attrs.frozen(kw_only=True, repr=False, slots=False)
class TrainedModel(Result):
    """A model that was trained.

    Attributes:
        air: Its AIR.
        outputs: What else the training made, as it came.
    """

    air: str | None = None
    outputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)


@attrs.frozen(kw_only=True, repr=False, slots=False)
class UploadedModel(Result):
    """A model of your own, or how far its upload is: `status` tells.

    Attributes:
        air: Its AIR.
        message: What the server says of it.
    """

    air: str | None = None
    message: str | None = attrs.field(default=None, repr=shown_length)


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Model(Part):
    """A model that was found.

    Attributes:
        air: Its AIR, which tasks name it by.
        name: Its name.
        version: Its version.
        category: What kind of model it is, such as `"checkpoint"`.
        architecture: Its architecture, such as `"sdxl"`.
        type: For checkpoints, which type.
        conditioning: For ControlNet models, what they are guided by.
        tags: Its tags.
        hero_image: The address of a picture of it.
        image_url: The address of another picture.
        thumbnail_url: The address of a small picture.
        nsfw_level: How unsuitable its pictures may be, as it came.
        private: Whether only you can use it.
        comment: A note.
        default_width: The width used by default.
        default_height: The height used by default.
        default_steps: The steps made by default.
        default_scheduler: The scheduler used by default.
        default_cfg: The guidance used by default.
        default_strength: The strength used by default.
        default_weight: The weight used by default.
        positive_trigger_words: Words that bring it out, as they came.
    """

    air: str | None = None
    name: str | None = None
    version: str | None = None
    category: str | None = None
    architecture: str | None = None
    type: str | None = None
    conditioning: str | None = None
    tags: Sequence[str] | None = attrs.field(default=None, hash=False)
    hero_image: str | None = attrs.field(default=None, repr=shown_url)
    image_url: str | None = attrs.field(default=None, repr=shown_url)
    thumbnail_url: str | None = attrs.field(default=None, repr=shown_url)
    nsfw_level: Any = attrs.field(default=None, repr=_shown_number, hash=False)
    private: bool | None = None
    comment: str | None = attrs.field(default=None, repr=shown_length)
    default_width: int | None = None
    default_height: int | None = None
    default_steps: int | None = None
    default_scheduler: str | None = None
    default_cfg: float | None = None
    default_strength: float | None = None
    default_weight: float | None = None
    positive_trigger_words: Any = attrs.field(default=None, repr=False, hash=False)


@attrs.frozen(kw_only=True, repr=False, slots=False)
class ModelPage(Result):
    """One page of the models that were found. It can be iterated and indexed, and has a length.

    Attributes:
        results: The models of this page.
        total_results: How many there are on all pages.
    """

    results: Sequence[Model] = attrs.field(default=(), hash=False)
    total_results: int | None = None

    def __iter__(self) -> Iterator[Model]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, index: int) -> Model: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Model]: ...
    def __getitem__(self, index: int | slice) -> Model | Sequence[Model]:
        return self.results[index]


@attrs.frozen(kw_only=True, repr=False, slots=False)
class TaskDetails(Result):
    """What was sent for a task, and what was answered.

    Attributes:
        response: The answer, as it came: an object, or a list of objects.
    """

    response: Any = attrs.field(default=None, repr=False, hash=False)

    @property
    def request(self) -> list[dict[str, Any]]:
        """The wire objects that were sent."""
        return wire_objects(self.raw.get("request"))

    @property
    def results(self) -> Results[Result]:
        """The results, each of the class of its kind; their `errors` are those below."""
        from runware.protocol.codec import structure

        items = (item for part in wire_objects(self.response) for item in wire_objects(part.get("data")))
        return Results(
            (structure(item, class_for(item)) for item in items if not item.get("error")), errors=self.errors
        )

    @property
    def errors(self) -> Sequence[RunwareError]:
        """What went wrong; empty when all went well."""
        found = []
        for part in wire_objects(self.response):
            found += wire_objects(part.get("errors")) + wire_objects(part.get("error"))
            found += [error for item in wire_objects(part.get("data")) for error in wire_objects(item.get("error"))]
        return tuple(error_from_wire(error, task_uuid=self.task_uuid) for error in found)


@attrs.frozen(kw_only=True, repr=False, slots=False)
class TeamMember(Part):
    """A member of the account's team.

    Attributes:
        name: The name.
        email: The address.
        roles: The roles, such as `"Owner"`, `"Admin"` or `"Developer"`.
        joined_at: When the member joined.
    """

    name: str | None = None
    email: str | None = attrs.field(default=None, repr=False)
    roles: Sequence[str] | None = attrs.field(default=None, hash=False)
    joined_at: str | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class AccountKey(Part):
    """An API key of the account.

    Attributes:
        name: Its name.
        api_key: The key, with all but its first characters masked.
        description: What it is for.
        created_at: When it was made.
        enabled: Whether it can be used.
        requests: How many requests were made with it.
        last_used_at: When it was used last.
    """

    name: str | None = None
    api_key: str | None = attrs.field(default=None, repr=False)
    description: str | None = attrs.field(default=None, repr=shown_length)
    created_at: str | None = None
    enabled: bool | None = None
    requests: int | None = None
    last_used_at: str | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Spending(Part):
    """What was used in some time.

    Attributes:
        credits: US dollars.
        requests: How many requests.
    """

    credits: float | None = None
    requests: int | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class AccountUsage(Part):
    """What was used of the account.

    Attributes:
        total: All of it.
        today: Today.
        last_7_days: In the last seven days.
        last_30_days: In the last thirty days.
    """

    total: Spending | None = None
    today: Spending | None = None
    last_7_days: Spending | None = None
    last_30_days: Spending | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Account(Result):
    """The account. What other operations than `"getDetails"` answer is in `raw`.

    Attributes:
        operation: What was asked.
        organization_uuid: The organization's UUID.
        organization_name: Its name.
        air_source: The first part of the AIRs of its own models.
        balance: What is left, in US dollars; some servers answer with an object, which is given as it came.
        team: Its members.
        api_keys: Its keys.
        usage: What was used.
    """

    operation: str | None = None
    organization_uuid: str | None = None
    organization_name: str | None = None
    air_source: str | None = None
    balance: Any = attrs.field(default=None, repr=_shown_number, hash=False)
    team: Sequence[TeamMember] = attrs.field(default=(), hash=False)
    api_keys: Sequence[AccountKey] = attrs.field(default=(), hash=False)
    usage: AccountUsage | None = None


_BY_TASK_TYPE: dict[str, type[Result]] = {
    "imageInference": Image,
    "photoMaker": Image,
    "vectorize": Image,
    "videoInference": Video,
    "3dInference": Model3D,
    "textInference": Text,
    "caption": Text,
    "imageCaption": Text,
    "promptEnhance": Text,
    "controlNetPreprocess": GuideImage,
    "imageControlNetPreProcess": GuideImage,
    "imageMasking": MaskImage,
    "training": TrainedModel,
    "modelUpload": UploadedModel,
    "modelSearch": ModelPage,
    "imageUpload": StoredMedia,
    "mediaStorage": StoredMedia,
    "getTaskDetails": TaskDetails,
    "accountManagement": Account,
}


def class_for(item: Mapping[str, Any]) -> type[Result]:
    """Tell which class a wire item becomes, by its task type or else by the names in it."""
    return _BY_TASK_TYPE.get(str(item.get("taskType"))) or class_by_name(item, Result)
