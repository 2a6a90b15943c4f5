"""Request classes for 3D models (docs/protocol.md, section 4)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import attrs

from runware.media import Media
from runware.requests.inference import Generation
from runware.requests.validation import RequestModel
from runware.results import Model3D, Results

__all__ = ["ThreeDInference", "ThreeDInputs"]


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ThreeDInputs(RequestModel):
    """Input media of a 3D task. Which fields apply depends on the model.

    Args:
        image: The input image.
        images: Several input images.
        mask: The mask.
        mesh_file: A 3D model.
        reference_images: Reference images.
    """

    image: Media | None = None
    images: Sequence[Media | Mapping[str, Any]] | None = None
    mask: Media | None = None
    mesh_file: Media | None = None
    reference_images: Sequence[Media | Mapping[str, Any]] | None = None


@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class ThreeDInference(Generation[Results[Model3D]]):
    """Generate 3D models. The server runs the task asynchronously; the client polls until it is done.

    Args:
        model: The model's AIR.
        inputs: Input media.
        positive_prompt: What to generate.
        negative_prompt: What to avoid.
        output_format: File format; the server's default is `"GLB"`. Not every model supports every format.
        seed: Seed for reproducible results; random by default.
        settings: Model-specific settings, such as `sparseStructure` or `dracoCompression`, by Python or API name.
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
