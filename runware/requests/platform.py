"""Request classes for models, storage, tasks and the account (docs/protocol.md, section 4)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import attrs

from runware.media import Media
from runware.requests.base import ClassOf, Task
from runware.requests.inference import Delivered
from runware.requests.validation import RequestModel
from runware.results import Result, Results, StoredMedia
from runware.results.platform import Account, ModelPage, TaskDetails, TrainedModel, UploadedModel, class_for

__all__ = [
    "AccountManagement",
    "GetResponse",
    "GetTaskDetails",
    "ImageUpload",
    "ImportModel",
    "MediaStorage",
    "ModelSearch",
    "ModelUpload",
    "Training",
    "TrainingInputs",
]

R_co = TypeVar("R_co", covariant=True)

Category = Literal["checkpoint", "lora", "lycoris", "vae", "embeddings", "controlnet"] | str
"""Known categories, for editor completion; the server may accept others."""


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ImportModel(RequestModel):
    """Metadata under which a trained model is registered.

    Args:
        air: AIR of the new model.
        name: Name of the new model.
        unique_identifier: Identifier of your choice.
        version: Version of the new model.
        private: Restrict the model to your account.
        hero_image_url: URL of a preview image.
        short_description: Short description.
        architecture: Architecture, such as `"sdxl"`.
        category: Category, such as `"lora"`.
    """

    air: str | None = None
    name: str | None = None
    unique_identifier: str | None = None
    version: str | None = None
    private: bool | None = None
    hero_image_url: str | None = None
    short_description: str | None = None
    architecture: str | None = None
    category: str | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class TrainingInputs(RequestModel):
    """Training data.

    Args:
        dataset: The data set: media, or an object in the form the model expects.
    """

    dataset: Any = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Training(Delivered[TrainedModel]):
    """Train a model.

    Training can take hours: pass a `timeout`, or `skip_response=True` and collect the result later with `rw.job`.

    Args:
        model: AIR of the training model.
        inputs: Training data.
        import_model: Metadata under which the trained model is registered.
        trigger_word: Prompt word that activates what was trained.
        training_steps: Number of training steps.
        learning_rate: Learning rate.
        settings: Training-specific settings, by Python or API name.
    """

    task_type: ClassVar[str] = "training"
    result_class = TrainedModel
    polled: ClassVar[bool] = True

    model: str
    inputs: TrainingInputs | Mapping[str, Any] | None = None
    import_model: ImportModel | Mapping[str, Any] | None = None
    trigger_word: str | None = None
    training_steps: int | None = None
    learning_rate: float | None = None
    settings: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ModelUpload(Delivered[UploadedModel]):
    """Upload a model. The server downloads it from a URL and reports progress until it is ready.

    `on_partial` receives each status: `"validated"`, `"downloaded"`, `"optimized"`, `"stored"` and `"ready"`, in that
    order. A failure raises an error.

    Args:
        category: Category of the model.
        architecture: Architecture, such as `"sdxl"`.
        name: Name of the model.
        version: Version of the model.
        download_url: URL from which the server downloads the file.
        format: File format.
        air: AIR of the model; required by older versions of the API.
        unique_identifier: Identifier of your choice.
        type: For checkpoints `"base"`, `"inpainting"` or `"refiner"`; for embeddings `"positive"` or `"negative"`.
        conditioning: For ControlNet models, the kind of guide image.
        private: Restrict the model to your account; the server's default is `True`.
        default_scheduler: Default scheduler.
        default_steps: Default number of steps.
        default_cfg: Default guidance scale, 0–30.
        default_strength: Default strength.
        default_weight: Default weight, −4 to 4.
        positive_trigger_words: Prompt words that activate the model.
        negative_trigger_words: Prompt words for the negative prompt.
        tags: Tags, at most 100.
        hero_image_url: URL of a preview image.
        short_description: Short description.
        comment: Comment.
    """

    task_type: ClassVar[str] = "modelUpload"
    priced: ClassVar[bool] = False
    result_class = UploadedModel
    statuses: ClassVar[bool] = True
    main: ClassVar[str] = ""  # a bare value is not enough
    always: ClassVar[tuple[str, ...]] = ("format",)

    category: Category
    architecture: str
    name: str
    version: str
    download_url: str
    format: str = "safetensors"
    air: str | None = None
    unique_identifier: str | None = None
    type: Literal["base", "inpainting", "refiner", "positive", "negative"] | str | None = None
    conditioning: str | None = None
    private: bool | None = None
    default_scheduler: str | None = None
    default_steps: int | None = None
    default_cfg: float | None = None
    default_strength: float | None = None
    default_weight: float | None = None
    positive_trigger_words: str | Sequence[str] | None = None
    negative_trigger_words: str | Sequence[str] | None = None
    tags: Sequence[str] | None = None
    hero_image_url: str | None = None
    short_description: str | None = None
    comment: str | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ModelSearch(Task[ModelPage]):
    """Search for models. Returns one page of results.

    Args:
        search: Search text.
        tags: Tags a model must have.
        category: Category of the models.
        type: For checkpoints, their type.
        architecture: Architecture, such as `"sdxl"`.
        conditioning: For ControlNet models, the kind of guide image.
        capabilities: Capabilities a model must have.
        source: Source of the models: `"community"`; for Runware's own, `"featured"` or `"official"`, depending on the
            version of the API.
        visibility: Restrict the search by access or ownership; the server's default is `"all"`.
        sort: Sort key: `_score`, `popularity`, `name`, `addedUnixTimestamp` or `updatedDateUnixTimestamp`. Prefix any
            but `_score` with a minus for descending order.
        limit: Models per page, 1–100; the server's default is 20.
        offset: Number of models to skip, 0 or more.
    """

    task_type: ClassVar[str] = "modelSearch"
    priced: ClassVar[bool] = False
    result_class = ModelPage
    repeatable: ClassVar[bool] = True

    search: str | None = None
    tags: Sequence[str] | None = None
    category: Category | None = None
    type: Literal["base", "inpainting", "refiner"] | str | None = None
    architecture: str | None = None
    conditioning: str | None = None
    capabilities: Sequence[str] | None = None
    source: Literal["official", "featured", "community"] | str | None = None
    visibility: Literal["public", "private", "all", "favorite", "owned"] | str | None = None
    sort: str | None = None
    limit: int | None = None
    offset: int | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ImageUpload(Task[StoredMedia]):
    """Store an image on the server. Legacy form of `media_storage`, which also accepts video and audio.

    Args:
        image: The image. The server scales it down if a side exceeds 2048 pixels.
    """

    task_type: ClassVar[str] = "imageUpload"
    priced: ClassVar[bool] = False
    result_class = StoredMedia

    image: Media


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class MediaStorage(Task[StoredMedia]):
    """Store media on the server, to be referred to by UUID; or delete stored media.

    Args:
        media: The media to store; to delete, its UUID or the result of the upload.
        operation: `"upload"` (the default) or `"delete"`.
    """

    task_type: ClassVar[str] = "mediaStorage"
    priced: ClassVar[bool] = False
    result_class = StoredMedia
    always: ClassVar[tuple[str, ...]] = ("operation",)

    media: Media
    operation: Literal["upload", "delete"] = "upload"


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Inspection(Task[R_co]):
    """A query about another task.

    Args:
        task_uuid: UUID of the task.
    """

    priced: ClassVar[bool] = False
    repeatable: ClassVar[bool] = True
    inspects: ClassVar[bool] = True

    task_uuid: str = attrs.field()

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.task_uuid is None:
            self._reject("task_uuid", "is required and must not be None")


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class GetResponse(Inspection[Results[Result]]):
    """Fetch the current state of an asynchronous task once, without waiting for it.

    Returns what the server has: finished results, each an instance of its own result class, and for unfinished ones an
    item with `status` and possibly `progress`. `errors` holds the failures; if every result failed, the error is
    raised.
    """

    task_type: ClassVar[str] = "getResponse"
    many: ClassVar[bool] = True
    class_of: ClassVar[ClassOf | None] = staticmethod(class_for)


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Existing(GetResponse):
    """A task submitted earlier, polled until nothing of it runs any more. Used by `rw.job(...)`."""


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class GetTaskDetails(Inspection[TaskDetails]):
    """Fetch the request and the response of any task of the account."""

    task_type: ClassVar[str] = "getTaskDetails"
    result_class = TaskDetails


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class AccountManagement(Task[Account]):
    """Fetch details of the account: balance, team, keys and usage.

    Args:
        operation: What to fetch: the account's details, or a report of its usage.
        start_date: First day of the usage report, such as `"2026-01-31"`.
        end_date: Last day of the usage report; it covers at most 30 days.
        models: AIRs of the models to include in the usage report.
        api_keys: UUIDs of the API keys to include in the usage report.
        group_by: How to group the usage report: `"date"`, `"model"`, `"apiKey"`, or a list of them.
        timezone: Time zone of the days in the usage report.
    """

    task_type: ClassVar[str] = "accountManagement"
    priced: ClassVar[bool] = False
    result_class = Account
    repeatable: ClassVar[bool] = True
    main: ClassVar[str] = ""  # there is nothing a bare value could mean
    always: ClassVar[tuple[str, ...]] = ("operation",)

    operation: Literal["getDetails", "getUsageActivity", "getUsagePerformance", "getUsageErrors"] | str = "getDetails"
    start_date: str | None = None
    end_date: str | None = None
    models: Sequence[str] | None = None
    api_keys: Sequence[str] | None = None
    group_by: Literal["date", "model", "apiKey"] | str | Sequence[str] | None = None
    timezone: str | None = None

    def wire(self) -> dict[str, Any]:
        """Return the API object, without its UUID."""
        wire = super().wire()
        if isinstance(self.group_by, str) and "groupBy" not in (self.extra or {}):
            wire["groupBy"] = [self.group_by]  # the API takes a list
        return wire
