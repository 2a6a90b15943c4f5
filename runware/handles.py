"""The common base of the client classes: a handle on a core, which pickles as the client's options without its key."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, TypeVar, cast

import attrs

from runware._support.unknown_names import fold_name, near_name
from runware.core import Core
from runware.errors import ConfigurationError
from runware.options import Options, restore_options
from runware.shared_cores import shared_core

__all__ = ["OPTIONS", "Handle", "unpickle"]

H = TypeVar("H", bound="Handle")

OPTIONS = frozenset(field.name for field in attrs.fields(Options)) - {
    "check",
    "environment",
    "extra_headers",
    "key_from_environment",
    "store_from_environment",
}
"""Names of options, which are no attributes of a client: assigning one would do nothing."""

_ELSEWHERE = {
    "images": "image_inference(positive_prompt=..., model=...)",
    "generate": "image_inference(positive_prompt=..., model=...)",
    "generateimage": "image_inference(positive_prompt=..., model=...)",
    "texttoimage": "image_inference(positive_prompt=..., model=...)",
    "videos": "video_inference(positive_prompt=..., model=...)",
    "audio": "audio_inference(...)",
    "completions": "chat(model).send(...), or text_inference(...)",
    "responses": "chat(model).send(...), or text_inference(...)",
    "predictions": "submit, whose operations return jobs",
    "subscribe": "run({...}), or submit, whose operations return jobs",
    "balance": "account_management().balance",
    "account": "account_management()",
    "imagebackgroundremoval": "remove_background(...)",
    "imageupscale": "upscale(...)",
    "imagecaption": "caption(...)",
    "withrawresponse": "image_inference(...)[0].raw, the API's own object",
}
"""Attributes of other libraries' clients, and what does the same here."""


class Handle:
    """Common base of the client classes: a handle on a core. Pickles as its options, without the key."""

    _core: Core
    _blocking_class: ClassVar[type[Any]] = object
    """`Runware`, once it is defined. Its attributes are named where another form has none of that name."""
    _shared = False
    """Whether others in the process have the client too, as that of `get_client`."""

    def __reduce__(self) -> tuple[object, ...]:
        return unpickle, (type(self), self._core.options.portable())

    def __setattr__(self, name: str, value: object) -> None:
        if name in OPTIONS:
            raise AttributeError(
                f"{type(self).__name__} has fixed options, so {name} cannot be assigned. Pass it when you create the "
                f"client, or use rw.with_options({name}=...) for some calls."
            )
        object.__setattr__(self, name, value)

    if not TYPE_CHECKING:  # else every name would be one of its attributes

        def __getattr__(self, name: str) -> NoReturn:
            words = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_"):
                hint = ""
                if elsewhere := _ELSEWHERE.get(fold_name(name)):
                    hint = f". Use rw.{elsewhere}."
                elif near := near_name(name, [known for known in dir(type(self)) if not known.startswith("_")]):
                    hint = f". Did you mean: {near!r}?"
                elif hasattr(self._blocking_class, name):
                    hint = f". It is one of the client: rw.{name}."
                if hint:  # with the client as `obj`, the interpreter would add a suggestion of its own
                    raise AttributeError(words + hint, name=name, obj=None)
            raise AttributeError(words, name=name, obj=self)

    def __copy__(self) -> Self:
        return self  # it is a handle on the client's one connection

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__} {self._core.options.server_url} {self._core.state}>"
        except ConfigurationError:
            return f"<{type(self).__name__} without its key>"

    @property
    def closed(self) -> bool:
        """Whether the client is closed."""
        return self._core.closed


class _NoCore:
    """Stand-in for the core of a client that cannot work in this process; raises the reason on each use."""

    def __init__(self, error: ConfigurationError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise copy(self._error)


def unpickle(cls: type[H], portable: dict[str, Any]) -> H:
    """Return the client of a class with the options of one that was pickled. It shares the connection of its equals."""
    client = cls.__new__(cls)
    try:
        client._core = shared_core(restore_options(portable))
    except ConfigurationError as error:
        # Raised at the first use: a worker process that fails to unpickle its task dies, and its caller waits for ever.
        client._core = cast("Core", _NoCore(error))
    return client
