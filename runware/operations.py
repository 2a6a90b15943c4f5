"""The one table of operations, and what makes each of them a method in three forms.

Each operation is declared once, by its request class. `operation` is a descriptor: on `Runware` it is a blocking
method, on `AsyncRunware` an asyncio one, and on `rw.submit` one that returns a `Job` at once. All three have the
signature of the request class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import cached_property
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar, overload

from runware import requests
from runware._support.import_lock import loading

if TYPE_CHECKING:
    import inspect

    from runware.jobs import Job
    from runware.requests.base import Task

__all__ = ["AsyncFace", "BlockingFace", "JobFace", "Operations", "operation"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class BlockingFace(ABC):
    """A face whose operations wait for the result."""

    gives: ClassVar[str] = "{}"

    @abstractmethod
    def run(self, task: Task[R]) -> R:
        """Run one task and wait for its result."""


class AsyncFace(ABC):
    """A face whose operations are coroutines."""

    gives: ClassVar[str] = "Coroutine[Any, Any, {}]"

    @abstractmethod
    async def run(self, task: Task[R]) -> R:
        """Run one task and wait for its result in the running event loop."""


class JobFace(ABC):
    """A face whose operations return a job at once."""

    gives: ClassVar[str] = "Job[{}]"

    @abstractmethod
    def run(self, task: Task[R]) -> Job[R]:
        """Start one task."""


class _Shown:
    """An attribute of every operation that is made when it is asked for; that of the class itself is another."""

    def __init__(self, of_class: Any, make: Callable[[Any], Any]) -> None:
        self._of_class = of_class
        self._make = make

    def __get__(self, row: Any, owner: type[Any]) -> Any:
        return self._of_class if row is None else self._make(row)


def _documented(row: operation[Any, Any]) -> str:
    with loading:
        from runware.requests.signatures import document

    return document(row.request)


def _signed(row: operation[Any, Any], gives: str = "{}") -> inspect.Signature:
    with loading:
        from inspect import Parameter

        from runware.requests.signatures import signature

    shown = signature(row.request, gives)
    face = Parameter("self", Parameter.POSITIONAL_ONLY)
    return shown.replace(parameters=[face, *shown.parameters.values()])


class operation(Generic[P, R_co]):  # noqa: N801 - it reads as a decorator does
    """One operation of the table.

    Args:
        load: Gives the request class, whose parameters are the operation's. It is asked at the first use, so that
            the classes of operations that are not used need not be loaded.
    """

    __doc__ = _Shown(__doc__, _documented)  # pyright: ignore[reportAssignmentType]
    __signature__ = _Shown(None, _signed)

    def __init__(self, load: Callable[[], Callable[P, Task[R_co]]]) -> None:
        self._load = load
        self._name = ""
        self._methods: dict[str, Callable[..., Any]] = {}  # by what the form of the operation gives

    def __repr__(self) -> str:
        return f"<operation {self._name}>"

    @overload
    def __call__(self, face: BlockingFace, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, face: AsyncFace, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]: ...
    @overload
    def __call__(self, face: JobFace, /, *args: P.args, **kwargs: P.kwargs) -> Job[R_co]: ...
    def __call__(self, face: Any = None, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call it as the method that it is: `Runware.caption(rw, ...)` is `rw.caption(...)`."""
        if not isinstance(face, (BlockingFace, AsyncFace, JobFace)):
            raise TypeError(f"{self._name}() is a method: call it on a client, as in Runware().{self._name}(...).")
        return self.__get__(face, type(face))(*args, **kwargs)

    @cached_property
    def request(self) -> Callable[P, Task[R_co]]:
        """The request class."""
        return self._load()

    @overload
    def __get__(self, face: None, owner: type[Any]) -> operation[P, R_co]: ...
    @overload
    def __get__(self, face: BlockingFace, owner: type[Any]) -> Callable[P, R_co]: ...
    @overload
    def __get__(self, face: AsyncFace, owner: type[Any]) -> Callable[P, Coroutine[Any, Any, R_co]]: ...
    @overload
    def __get__(self, face: JobFace, owner: type[Any]) -> Callable[P, Job[R_co]]: ...
    def __get__(self, face: Any, owner: type[Any]) -> Any:
        if face is None:
            return self
        method = self._methods.get(face.gives)
        # Bound anew at each use: a bound one that the object kept would be a cycle, and the object would live, with
        # its connection, until a garbage collection.
        return MethodType(self._method_for(face) if method is None else method, face)

    def _method_for(self, face: BlockingFace | AsyncFace | JobFace) -> Callable[..., Any]:
        """Make the function that is the method of all objects of this form."""
        with loading:
            from runware.requests.signatures import document

            request = self.request

        def method(face: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            return face.run(request(*args, **kwargs))

        method.__name__ = self._name
        method.__qualname__ = self.__qualname__
        method.__doc__ = document(request)
        method.request = request  # type: ignore[attr-defined]
        method.__signature__ = _signed(self, face.gives)  # type: ignore[attr-defined]
        self._methods[face.gives] = method
        return method

    def __set_name__(self, owner: type[Any], name: str) -> None:
        if not self._name:  # an alias is the same operation
            self._name = self.__name__ = name
            self.__qualname__ = f"{owner.__name__}.{name}"
            self.__module__ = owner.__module__


class Operations:
    """Every operation, once, under the wire's name for it; and the JavaScript library's names beside them."""

    image_inference = operation(lambda: requests.ImageInference)
    request_images = image_inference
    video_inference = operation(lambda: requests.VideoInference)
    audio_inference = operation(lambda: requests.AudioInference)
    three_d_inference = operation(lambda: requests.ThreeDInference)
    text_inference = operation(lambda: requests.TextInference)

    upscale = operation(lambda: requests.Upscale)
    upscale_gan = upscale
    remove_background = operation(lambda: requests.RemoveBackground)
    remove_image_background = remove_background
    caption = operation(lambda: requests.Caption)
    request_image_to_text = caption
    prompt_enhance = operation(lambda: requests.PromptEnhance)
    enhance_prompt = prompt_enhance
    controlnet_preprocess = operation(lambda: requests.ControlNetPreprocess)
    control_net_preprocess = controlnet_preprocess
    control_net_pre_process = controlnet_preprocess
    image_masking = operation(lambda: requests.ImageMasking)
    photo_maker = operation(lambda: requests.PhotoMaker)
    vectorize = operation(lambda: requests.Vectorize)

    training = operation(lambda: requests.Training)
    model_upload = operation(lambda: requests.ModelUpload)
    model_search = operation(lambda: requests.ModelSearch)
    image_upload = operation(lambda: requests.ImageUpload)
    media_storage = operation(lambda: requests.MediaStorage)
    get_response = operation(lambda: requests.GetResponse)
    get_task_details = operation(lambda: requests.GetTaskDetails)
    account_management = operation(lambda: requests.AccountManagement)
