"""Result classes for models, tasks and the account, and the choice of a result class for an item.

Loaded on first use. As with all results, reading an attribute never fails (see `runware.results.base`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import attrs

from runware.errors import RunwareError, error_from_wire
from runware.protocol.codec import structure
from runware.results.base import ApiObject, Result, Results, shown_length, shown_url, wire_objects
from runware.results.media import GuideImage, Image, MaskImage, Model3D, StoredMedia, ToolOutput, Video, class_by_name
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
    "UsageReport",
    "UsageRow",
    "UsageTotals",
    "class_for",
]


def _shown_number(value: Any) -> str:
    """Return the representation in a `repr` of a field that is usually a number but may be anything."""
    return repr(value) if isinstance(value, (int, float)) else f"<{type(value).__name__}>"


@attrs.frozen(kw_only=True, repr=False, slots=False)
class TrainedModel(Result):
    """A trained model.

    Attributes:
        air: AIR of the model.
        outputs: Further outputs of the training, unchanged.
    """

    air: str | None = None
    outputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)


@attrs.frozen(kw_only=True, repr=False, slots=False)
class UploadedModel(Result):
    """An uploaded model, or the progress of its upload, as `status`.

    Attributes:
        air: AIR of the model.
        message: Message from the server.
    """

    air: str | None = None
    message: str | None = attrs.field(default=None, repr=shown_length)


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Model(ApiObject):
    """A model found by a search.

    Attributes:
        air: AIR, which identifies the model in tasks.
        name: Name.
        version: Version.
        category: Category, such as `"checkpoint"`.
        architecture: Architecture, such as `"sdxl"`.
        type: For checkpoints, their type.
        conditioning: For ControlNet models, the kind of guide image.
        tags: Tags.
        hero_image: URL of the preview image.
        image_url: URL of another image.
        thumbnail_url: URL of a thumbnail.
        nsfw_level: NSFW level of the model's images, unchanged.
        private: Whether only your account can use the model.
        comment: Comment.
        default_width: Default width in pixels.
        default_height: Default height in pixels.
        default_steps: Default number of steps.
        default_scheduler: Default scheduler.
        default_cfg: Default guidance scale.
        default_strength: Default strength.
        default_weight: Default weight.
        positive_trigger_words: Prompt words that activate the model, unchanged.
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
    """One page of search results. Supports iteration, indexing and `len()`.

    Attributes:
        results: The models on this page.
        total_results: Number of models on all pages.
    """

    results: Sequence[Model] = attrs.field(default=(), hash=False)
    total_results: int | None = None

    def __iter__(self) -> Iterator[Model]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, index: int, /) -> Model: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[Model]: ...
    @overload
    def __getitem__(self, index: str, /) -> Any: ...
    def __getitem__(self, index: int | slice | str, /) -> Any:
        return super().__getitem__(index) if isinstance(index, str) else self.results[index]


@attrs.frozen(kw_only=True, repr=False, slots=False)
class TaskDetails(Result):
    """The request and the response of a task.

    Attributes:
        response: The response, unchanged: an object, or a list of objects.
    """

    response: Any = attrs.field(default=None, repr=False, hash=False)

    @property
    def request(self) -> list[dict[str, Any]]:
        """The API objects that were sent."""
        return wire_objects(self.raw.get("request"))

    @property
    def results(self) -> Results[Result]:
        """The results, each an instance of its own result class. Their `errors` are those below."""
        items = (item for part in wire_objects(self.response) for item in wire_objects(part.get("data")))
        return Results(
            (structure(item, class_for(item)) for item in items if not item.get("error")), errors=self.errors
        )

    @property
    def errors(self) -> Sequence[RunwareError]:
        """The errors of the task; empty if it succeeded."""
        found = []
        for part in wire_objects(self.response):
            found += wire_objects(part.get("errors")) + wire_objects(part.get("error"))
            found += [error for item in wire_objects(part.get("data")) for error in wire_objects(item.get("error"))]
        return tuple(error_from_wire(error, task_uuid=self.task_uuid) for error in found)


@attrs.frozen(kw_only=True, repr=False, slots=False)
class TeamMember(ApiObject):
    """A member of the account's team.

    Attributes:
        name: Name.
        email: Email address.
        roles: Roles, such as `"Owner"`, `"Admin"` or `"Developer"`.
        joined_at: Time of joining.
    """

    name: str | None = None
    email: str | None = attrs.field(default=None, repr=False)
    roles: Sequence[str] | None = attrs.field(default=None, hash=False)
    joined_at: str | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class AccountKey(ApiObject):
    """An API key of the account.

    Attributes:
        name: Name of the key.
        api_key: The key, masked except for its first characters.
        description: Description.
        created_at: Time of creation.
        enabled: Whether the key is enabled.
        requests: Number of requests made with the key.
        last_used_at: Time of last use.
    """

    name: str | None = None
    api_key: str | None = attrs.field(default=None, repr=False)
    description: str | None = attrs.field(default=None, repr=shown_length)
    created_at: str | None = None
    enabled: bool | None = None
    requests: int | None = None
    last_used_at: str | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Spending(ApiObject):
    """Usage in a period.

    Attributes:
        credits: Amount in US dollars.
        requests: Number of requests.
    """

    credits: float | None = None
    requests: int | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class UsageRow(ApiObject):
    """A row of a usage report. Which columns it has depends on the operation and the grouping.

    Attributes:
        date: The day.
        model: AIR of the model.
        model_name: Name of the model.
        api_key: The API key, by its UUID.
        count: Number of requests.
        spend: Amount in US dollars.
        client_errors: Number of errors caused by requests.
        server_errors: Number of errors caused by the server.
        avg_inference_time: Mean inference time, in the server's unit.
        p90_inference_time: 90th percentile of the inference time.
        p99_inference_time: 99th percentile of the inference time.
    """

    date: str | None = None
    model: str | None = None
    model_name: str | None = None
    api_key: str | None = attrs.field(default=None, repr=False)
    count: int | None = None
    spend: float | None = None
    client_errors: int | None = None
    server_errors: int | None = None
    avg_inference_time: float | None = None
    p90_inference_time: float | None = None
    p99_inference_time: float | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class UsageTotals(ApiObject):
    """The totals of a usage report.

    Attributes:
        total_requests: Number of requests.
        total_results: Number of results.
        total_spend: Amount in US dollars.
        avg_daily_spend: Mean amount of a day in US dollars.
        projected_spend: Expected amount in US dollars.
        total_errors: Number of errors.
        error_rate: Part of the requests that failed, as the server reports it.
        avg_inference_time: Mean inference time, in the server's unit.
        p50_inference_time: Median of the inference time.
        p90_inference_time: 90th percentile of the inference time.
        p99_inference_time: 99th percentile of the inference time.
    """

    total_requests: int | None = None
    total_results: int | None = None
    total_spend: float | None = None
    avg_daily_spend: float | None = None
    projected_spend: float | None = None
    total_errors: int | None = None
    error_rate: float | None = None
    avg_inference_time: float | None = None
    p50_inference_time: float | None = None
    p90_inference_time: float | None = None
    p99_inference_time: float | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class UsageReport(ApiObject):
    """A report of the account's usage. Supports iteration over its rows, indexing and `len()`.

    Attributes:
        data: The rows.
        meta: The totals.
    """

    data: Sequence[UsageRow] = attrs.field(default=(), hash=False)
    meta: UsageTotals | None = None

    def __iter__(self) -> Iterator[UsageRow]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return True  # a report without rows still has totals

    @overload
    def __getitem__(self, index: int, /) -> UsageRow: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[UsageRow]: ...
    @overload
    def __getitem__(self, index: str, /) -> Any: ...
    def __getitem__(self, index: int | slice | str, /) -> Any:
        return super().__getitem__(index) if isinstance(index, str) else self.data[index]


@attrs.frozen(kw_only=True, repr=False, slots=False)
class AccountUsage(ApiObject):
    """Usage of the account. The details of the account have its first four attributes, the usage reports the others.

    Attributes:
        total: Total usage.
        today: Usage today.
        last_7_days: Usage in the last 7 days.
        last_30_days: Usage in the last 30 days.
        timeseries: The report by date.
        model: The report by model.
        api_key: The report by API key.
    """

    total: Spending | None = None
    today: Spending | None = None
    last_7_days: Spending | None = None
    last_30_days: Spending | None = None
    timeseries: UsageReport | None = None
    model: UsageReport | None = None
    api_key: UsageReport | None = None


@attrs.frozen(kw_only=True, repr=False, slots=False)
class Account(Result):
    """The account, or a report of its usage.

    Attributes:
        operation: The operation that was requested.
        organization_uuid: UUID of the organization.
        organization_name: Name of the organization.
        air_source: First part of the AIRs of the organization's own models.
        balance: Balance in US dollars; some servers return an object, which is passed on unchanged.
        team: Team members.
        api_keys: API keys.
        usage: Usage of the account; for the usage operations, its reports.
        start_date: First day of the usage report.
        end_date: Last day of the usage report.
    """

    operation: str | None = None
    organization_uuid: str | None = None
    organization_name: str | None = None
    air_source: str | None = None
    balance: Any = attrs.field(default=None, repr=_shown_number, hash=False)
    team: Sequence[TeamMember] = attrs.field(default=(), hash=False)
    api_keys: Sequence[AccountKey] = attrs.field(default=(), hash=False)
    usage: AccountUsage | None = None
    start_date: str | None = None
    end_date: str | None = None

    @property
    def balance_amount(self) -> float | None:
        """The balance in US dollars, whether the server sends a number or an object; `None` if it sends neither."""
        amount = self.balance.get("amount") if isinstance(self.balance, Mapping) else self.balance
        return amount if isinstance(amount, (int, float)) and not isinstance(amount, bool) else None


_BY_TASK_TYPE: dict[str, type[Result]] = {
    "imageInference": Image,
    "photoMaker": Image,
    "vectorize": Image,
    "videoInference": Video,
    "3dInference": Model3D,
    "tools": ToolOutput,
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
    """Return the result class of an item, judging by its task type, or else by its field names."""
    return _BY_TASK_TYPE.get(str(item.get("taskType"))) or class_by_name(item, Result)
