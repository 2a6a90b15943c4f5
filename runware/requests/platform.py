"""Models, storage, tasks and the account (protocol reference, 4.10, 4.11 and 4.20 to 4.26)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import attrs

from runware.media import Media
from runware.requests.base import Task
from runware.requests.inference import Delivered
from runware.requests.validation import Checked
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

Category = Literal["checkpoint", "lora", "lycoris", "vae", "embeddings", "controlnet"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ImportModel(Checked):
    """How the trained model is filed.

    Args:
        air: Its AIR.
        name: Its name.
        unique_identifier: An identifier of your own.
        version: Its version.
        private: Whether only you can use it.
        hero_image_url: The address of a picture of it.
        short_description: What it does, in few words.
        architecture: Its architecture.
        category: Its category.
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
class TrainingInputs(Checked):
    """What a model is trained with.

    Args:
        dataset: The data set: media, or as the model wants it.
    """

    dataset: Any = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Training(Delivered[TrainedModel]):
    """Train a model. It can take hours: pass a `timeout`, or `skip_response=True` and ask later with `get_response`.

    Args:
        model: The AIR of the model that trains.
        inputs: What it is trained with.
        import_model: How the trained model is filed.
        trigger_word: The word that stands for what was trained.
        training_steps: How many steps.
        learning_rate: How large a step is.
        settings: Settings of the training, with names as on the wire.
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
    """Add a model of your own. The server fetches it, says how far it is, and in the end that it is ready.

    `on_partial` gets each of its words; `status` is `"validated"`, `"downloaded"`, `"optimized"`, `"stored"` and
    `"ready"`, in that order. Failure is an error.

    Args:
        category: What kind of model it is.
        architecture: Its architecture, such as `"sdxl"`.
        name: Its name.
        version: Its version.
        download_url: Where the server can fetch it.
        format: The format of the file.
        air: Its AIR; older servers ask for it.
        unique_identifier: An identifier of your own.
        type: For checkpoints `"base"`, `"inpainting"` or `"refiner"`; for embeddings `"positive"` or `"negative"`.
        conditioning: For ControlNet models, what they are guided by.
        private: Whether only you can use it; the server's default is `True`.
        default_scheduler: The scheduler used by default.
        default_steps: The steps made by default.
        default_cfg: The guidance used by default, 0–30.
        default_strength: The strength used by default.
        default_weight: The weight used by default, −4 to 4.
        positive_trigger_words: Words that bring it out.
        negative_trigger_words: Words that it is held back with.
        tags: Tags, at most 100.
        hero_image_url: The address of a picture of it.
        short_description: What it does, in few words.
        comment: A note.
    """

    task_type: ClassVar[str] = "modelUpload"
    priced: ClassVar[bool] = False
    result_class = UploadedModel
    statuses: ClassVar[bool] = True
    main: ClassVar[str] = ""  # one value is not enough
    always: ClassVar[tuple[str, ...]] = ("format",)

    category: Category
    architecture: str
    name: str
    version: str
    download_url: str
    format: str = "safetensors"
    air: str | None = None
    unique_identifier: str | None = None
    type: Literal["base", "inpainting", "refiner", "positive", "negative"] | None = None
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
    """Search for models. The answer is one page of them.

    Args:
        search: What to look for.
        tags: Tags they must have.
        category: What kind of model.
        type: For checkpoints, which type.
        architecture: Their architecture.
        conditioning: For ControlNet models, what they are guided by.
        capabilities: What they must be able to do.
        source: Whose models.
        visibility: Whose models, by who can use them; the server's default is all.
        sort: What they are sorted by: `_score`, or `popularity`, `name`, `addedUnixTimestamp` or
            `updatedDateUnixTimestamp` with a minus in front for descending order.
        limit: How many to tell, 1–100; the server's default is 20.
        offset: How many to pass over, 0 or more.
    """

    task_type: ClassVar[str] = "modelSearch"
    priced: ClassVar[bool] = False
    result_class = ModelPage
    repeatable: ClassVar[bool] = True

    search: str | None = None
    tags: Sequence[str] | None = None
    category: Category | None = None
    type: Literal["base", "inpainting", "refiner"] | None = None
    architecture: str | None = None
    conditioning: str | None = None
    capabilities: Sequence[str] | None = None
    source: Literal["official", "community"] | None = None
    visibility: Literal["public", "private", "all", "favorite", "owned"] | None = None
    sort: str | None = None
    limit: int | None = None
    offset: int | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ImageUpload(Task[StoredMedia]):
    """Store a picture. This is the older form of `media_storage`, which takes videos and sounds too.

    Args:
        image: The picture. It is made smaller if a side has more than 2048 pixels.
    """

    task_type: ClassVar[str] = "imageUpload"
    priced: ClassVar[bool] = False
    result_class = StoredMedia

    image: Media


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class MediaStorage(Task[StoredMedia]):
    """Store media, to be named by their UUID from then on; or delete them.

    Args:
        media: What is stored; or, to delete, the UUID or our result.
        operation: `"upload"` or `"delete"`.
    """

    task_type: ClassVar[str] = "mediaStorage"
    priced: ClassVar[bool] = False
    result_class = StoredMedia
    always: ClassVar[tuple[str, ...]] = ("operation",)

    media: Media
    operation: Literal["upload", "delete"] = "upload"


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Inspection(Task[R_co]):
    """A question about another task.

    Args:
        task_uuid: The UUID of the task that is asked about.
    """

    priced: ClassVar[bool] = False
    repeatable: ClassVar[bool] = True
    inspects: ClassVar[bool] = True

    task_uuid: str = attrs.field()

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.task_uuid is None:
            self._reject("task_uuid", "is needed, and must not be None")


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class GetResponse(Inspection[Results[Result]]):
    """Look once what has come of a task that was delivered asynchronously, without waiting for it.

    The answer holds what the server has: results, each of the class of its kind, and for what is not done yet a word
    with `status` and perhaps `progress`. Its `errors` tell what failed; when all of it did, the error is raised.
    """

    task_type: ClassVar[str] = "getResponse"
    many: ClassVar[bool] = True
    class_of: ClassVar[Any] = staticmethod(class_for)


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Existing(GetResponse):
    """A task that was submitted before, waited for until nothing of it runs any more. It is `rw.job(...)`."""


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class GetTaskDetails(Inspection[TaskDetails]):
    """Tell what was sent for a task and what was answered, for any task of the account."""

    task_type: ClassVar[str] = "getTaskDetails"
    result_class = TaskDetails


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class AccountManagement(Task[Account]):
    """Tell about the account: its balance, team, keys and usage.

    Args:
        operation: What to tell. Without `"getDetails"`, the answer is in the result's `raw`.
        start_date: For usage, the first day, such as `"2026-01-31"`.
        end_date: For usage, the last day.
        models: For usage, the AIRs of the models that count.
        api_keys: For usage, the keys that count.
        group_by: For usage, what it is grouped by.
        timezone: For usage, the time zone of the days.
    """

    task_type: ClassVar[str] = "accountManagement"
    priced: ClassVar[bool] = False
    result_class = Account
    repeatable: ClassVar[bool] = True
    main: ClassVar[str] = ""  # it is about no thing
    always: ClassVar[tuple[str, ...]] = ("operation",)

    operation: Literal["getDetails", "getUsageActivity", "getUsagePerformance", "getUsageErrors"] = "getDetails"
    start_date: str | None = None
    end_date: str | None = None
    models: Sequence[str] | None = None
    api_keys: Sequence[str] | None = None
    group_by: Sequence[str] | None = None
    timezone: str | None = None
