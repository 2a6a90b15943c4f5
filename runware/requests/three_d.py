"""Making 3D models (protocol reference, section 4.8)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import attrs

from runware.media import Media
from runware.requests.inference import Generation
from runware.requests.validation import Checked
from runware.results import Model3D, Results

__all__ = ["ThreeDInference", "ThreeDInputs"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ThreeDInputs(Checked):
    """The media a 3D model is made from; models differ in what they take of it.

    Args:
        image: A picture.
        images: Several pictures.
        mask: A mask.
        mesh_file: A 3D model.
        reference_images: Pictures to go by.
    """

    image: Media | None = None
    images: Sequence[Media] | None = None
    mask: Media | None = None
    mesh_file: Media | None = None
    reference_images: Sequence[Media] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ThreeDInference(Generation[Results[Model3D]]):
    """Make 3D models. It takes a while: the task is acknowledged, and asked for until it is done.

    Args:
        model: The model's AIR.
        inputs: The media to start from.
        positive_prompt: What to make.
        negative_prompt: What not to make.
        output_format: The format; the server's default is `"GLB"`, and not every model has every format.
        seed: The seed; the default is random.
        settings: Settings of the model, such as `sparseStructure` or `dracoCompression`, with names as on the wire.
    """

    task_type: ClassVar[str] = "3dInference"
    result_class = Model3D
    many: ClassVar[bool] = True
    polled: ClassVar[bool] = True
    main: ClassVar[str] = "positive_prompt"

    model: str
    inputs: ThreeDInputs | Mapping[str, Any] | None = None
    positive_prompt: str | None = None
    negative_prompt: str | None = None
    output_format: Literal["GLB", "PLY", "OBJ", "FBX", "STL", "USDZ", "3MF"] | str | None = None
    seed: int | None = None
    settings: Mapping[str, Any] | None = None
