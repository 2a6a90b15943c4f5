"""What the tasks of models share: how they are delivered, and how their results come (protocol reference, 4.2)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

import attrs

from runware.requests.base import Task, works_on_video
from runware.requests.validation import Checked

__all__ = ["Delivered", "DeliveryMethod", "Generation", "Inference", "MediaTask", "OutputType", "Safety"]

R_co = TypeVar("R_co", covariant=True)

OutputType = Literal["URL", "base64Data", "dataURI"]
DeliveryMethod = Literal["sync", "async"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Safety(Checked):
    """The safety check of a task.

    Args:
        check_content: Whether the results are checked; `True` is the same as `mode="fast"`.
        mode: How thoroughly; it wins over *check_content*.
        tolerance: How much is tolerated, where the model has such a setting.
        check_inputs: Whether the inputs are checked as well.
    """

    check_content: bool | None = None
    mode: Literal["none", "fast", "full"] | None = None
    tolerance: Any = None
    check_inputs: bool | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Delivered(Task[R_co]):
    """A task whose results can come in several ways.

    Args:
        delivery_method: `"sync"` pushes results, `"async"` acknowledges and lets us ask for them, which happens
            without your doing. The default is the model's; for videos (also those that are upscaled, captioned or freed
            of their background), 3D models and training it is `"async"`.
        webhook_url: An address to which the server sends each result with HTTP POST; the call then returns after
            the acknowledgement.
    """

    delivery_method: DeliveryMethod | None = None
    webhook_url: str | None = None

    def wire(self) -> dict[str, Any]:
        """Make the wire object, without its UUID."""
        wire = super().wire()
        if self.polled or self.skip_response or works_on_video(wire):  # what is pushed has no acknowledgement
            wire.setdefault("deliveryMethod", "async")
        return wire


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Inference(Delivered[R_co]):
    """A task that a model runs.

    Args:
        routing: How a provider is chosen, as the wire has it.
    """

    counted: ClassVar[str] = "numberResults"

    routing: Mapping[str, Any] | None = None

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        number = getattr(self, "number_results", None)
        if number is not None and number < 1:
            self._reject("number_results", f"must be 1 or more, not {number}")


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class MediaTask(Inference[R_co]):
    """A task that makes a file.

    Args:
        output_type: How results come: as a `"URL"` (the default), in base64, or as a data URI. Videos and 3D models
            come as URLs only.
        output_quality: Quality of compressed formats, 20–99; the server's default is 95.
        upload_endpoint: An address to which the server sends each result with HTTP PUT.
        ttl: Seconds for which a result's URL is valid, 60 or more; the server's default is used without it.
        safety: The safety check.
        check_nsfw: The older form of *safety*.
    """

    output_type: OutputType | None = None
    output_quality: int | None = None
    upload_endpoint: str | None = None
    ttl: int | None = None
    safety: Safety | Mapping[str, Any] | None = None
    check_nsfw: bool | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Generation(MediaTask[R_co]):
    """A task that makes any number of files.

    Args:
        number_results: How many results to make, up to 20 pictures, 4 videos or 3 sounds; the default is 1.
    """

    number_results: int | None = None
