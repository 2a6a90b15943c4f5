"""Base classes of model tasks: delivery, output and number of results (docs/protocol.md, sections 4 and 5)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

import attrs

from runware.requests.base import Task, no_stream, works_on_video
from runware.requests.serialization import to_wire
from runware.requests.validation import RequestModel

__all__ = ["Delivered", "DeliveryMethod", "Generation", "Inference", "MediaTask", "OutputType", "Safety"]

R_co = TypeVar("R_co", covariant=True)

OutputType = Literal["URL", "base64Data", "dataURI"]
DeliveryMethod = Literal["sync", "async"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Safety(RequestModel):
    """Safety check of a task.

    Args:
        check_content: Check the results; `True` is the same as `mode="fast"`.
        mode: Thoroughness of the check; takes precedence over *check_content*.
        tolerance: Level of tolerance, for models that have one.
        check_inputs: Check the inputs as well.
    """

    check_content: bool | None = None
    mode: Literal["none", "fast", "full"] | str | None = None
    tolerance: Any = None
    check_inputs: bool | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Delivered(Task[R_co]):
    """A task whose results can be delivered in several ways.

    Args:
        delivery_method: `"sync"`: the server pushes results over the WebSocket. `"async"`: the server acknowledges the
            task, and the client polls for results on its own. The default depends on the model; it is `"async"` for 3D
            models, training and all video tasks, including upscaling, captioning and background removal.
        webhook_url: URL to which the server sends each result by HTTP POST; see `runware.webhooks`. The call returns an
            `Acknowledgement` as soon as the server has the task.
    """

    delivery_method: DeliveryMethod | None = None
    webhook_url: str | None = None

    @classmethod
    def _converted(cls, name: str, value: object, check: Any) -> object:
        if name == "delivery_method" and isinstance(value, str) and value == "stream":
            cls._reject(name, no_stream(cls.task_type))
        return super()._converted(name, value, check)

    def wire(self) -> dict[str, Any]:
        """Return the API object, without its UUID."""
        wire = to_wire(self)
        # A task with "sync" is not acknowledged, and cannot be polled if a webhook gets lost.
        if self.polled or self.skip_response or self.webhook_url or ("inputs" in wire and works_on_video(wire)):
            wire.setdefault("deliveryMethod", "async")
        return wire


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Inference(Delivered[R_co]):
    """A task that a model runs.

    Args:
        routing: Provider routing options, keyed by API name.
    """

    counted: ClassVar[str] = "numberResults"

    routing: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class MediaTask(Inference[R_co]):
    """A task that produces files.

    Args:
        output_type: How results are delivered: `"URL"` (the default), `"base64Data"` or `"dataURI"`. Videos and 3D
            models are delivered as URLs only.
        output_quality: Quality of compressed formats, 20–99; the server's default is 95.
        upload_endpoint: URL to which the server uploads each result by HTTP PUT.
        ttl: Lifetime of result URLs in seconds, 60 or more. `None` uses the server's default.
        safety: Safety check of the task.
        check_nsfw: Check the results (legacy form of *safety*).
    """

    output_type: OutputType | None = None
    output_quality: int | None = None
    upload_endpoint: str | None = None
    ttl: int | None = None
    safety: Safety | Mapping[str, Any] | None = None
    check_nsfw: bool | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Generation(MediaTask[R_co]):
    """A task that can produce several results.

    Args:
        number_results: Number of results: up to 20 images, 4 videos or 3 audio files; 1 by default.
    """

    number_results: int | None = None
