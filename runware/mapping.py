"""`rw.map` and `rw.aio.map`: many tasks, and an iterator over their answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, overload

from runware._support.import_lock import loading

if TYPE_CHECKING:
    from runware.core import Core
    from runware.jobs import Job, Progress
    from runware.requests.base import Task

    class _MapOptions(TypedDict, total=False):
        concurrency: int
        ordered: bool
        progress: bool | Callable[[Progress], object]


__all__ = ["AsyncMap", "BlockingMap"]

R = TypeVar("R")
T = TypeVar("T")


class BlockingMap:
    """What `Runware` has of it."""

    _core: Core

    @overload
    def map(
        self,
        what: Iterable[Task[R]],
        inputs: None = None,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R]: ...
    @overload
    def map(
        self,
        what: Iterable[Task[R]],
        inputs: None = None,
        *,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R | Exception]: ...
    @overload
    def map(
        self,
        what: Callable[..., Task[R]],
        inputs: Iterable[Any],
        *,
        common: Mapping[str, Any] | None = None,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R]: ...
    @overload
    def map(
        self,
        what: Callable[..., Task[R]],
        inputs: Iterable[Any],
        *,
        common: Mapping[str, Any] | None = None,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R | Exception]: ...
    @overload
    def map(
        self,
        what: Callable[..., R],
        inputs: Iterable[Any],
        *,
        common: Mapping[str, Any] | None = None,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R]: ...
    @overload
    def map(
        self,
        what: Callable[..., R],
        inputs: Iterable[Any],
        *,
        common: Mapping[str, Any] | None = None,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> Iterator[R | Exception]: ...
    def map(
        self,
        what: Any,
        inputs: Iterable[Any] | None = None,
        *,
        common: Mapping[str, Any] | None = None,
        concurrency: int = 16,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool | Callable[[Progress], object] = False,
    ) -> Iterator[Any]:
        """Run many tasks, and yield their answers as an iterator. Inputs are taken as room is made for them.

        Args:
            what: An operation of this client or a request class; or, without *inputs*, an iterable of request objects.
            inputs: For each task a dict of parameters, or the value of its main parameter: the prompt, the picture that
                is worked on, the search text. Request objects are taken as they are.
            common: Parameters that every input gets; an input's own win.
            concurrency: How many tasks run at once.
            ordered: Whether answers come in the order of the inputs; otherwise each comes as soon as it is there.
            return_exceptions: Yield errors in place of answers, those of inputs that cannot be made into a request too,
                so that nothing is lost. Otherwise the first one is raised in its place. That, like leaving the loop
                early, cancels what runs, and drops what is finished and was not yet yielded: the server may have run
                and billed both.
            progress: `True` shows a bar (extra `progress`); a function is called with a `Progress` at each answer.

        Raises:
            TypeError: *what*, *inputs* and *common* do not go together.
            Exception: The first error, unless *return_exceptions*. What *inputs* itself raises is raised when all
                that was submitted before has been yielded.
        """
        with loading:
            from runware.bulk import map_blocking, tasks_from

        core = self._core
        core.check_thread()
        outcomes = map_blocking(
            tasks_from(what, inputs, common),
            lambda task, held: core.submit(task, None, held),
            concurrency=concurrency,
            ordered=ordered,
            return_exceptions=return_exceptions,
        )
        if not progress:
            return outcomes
        from runware.display.progress import count

        return count(outcomes, progress, _length(what if inputs is None else inputs))


class AsyncMap:
    """What `AsyncRunware` has of it."""

    @abstractmethod
    async def _start(self, task: Task[R], held: list[Job[R]]) -> Job[R]:
        """Submit a task from an event loop; *held* gets the job before anything is sent."""

    @overload
    def map(
        self,
        what: Iterable[Task[R]],
        inputs: None = None,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R]: ...
    @overload
    def map(
        self,
        what: Iterable[Task[R]],
        inputs: None = None,
        *,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R | Exception]: ...
    @overload
    def map(
        self,
        what: Callable[..., Task[R]],
        inputs: Iterable[Any],
        *,
        common: Mapping[str, Any] | None = None,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R]: ...
    @overload
    def map(
        self,
        what: Callable[..., Task[R]],
        inputs: Iterable[Any],
        *,
        common: Mapping[str, Any] | None = None,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R | Exception]: ...
    @overload
    def map(
        self,
        what: Callable[..., Coroutine[Any, Any, R]],
        inputs: Iterable[Any],
        *,
        common: Mapping[str, Any] | None = None,
        return_exceptions: Literal[False] = False,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R]: ...
    @overload
    def map(
        self,
        what: Callable[..., Coroutine[Any, Any, R]],
        inputs: Iterable[Any],
        *,
        common: Mapping[str, Any] | None = None,
        return_exceptions: bool,
        **options: Unpack[_MapOptions],
    ) -> AsyncIterator[R | Exception]: ...
    def map(
        self,
        what: Any,
        inputs: Iterable[Any] | None = None,
        *,
        common: Mapping[str, Any] | None = None,
        concurrency: int = 16,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool | Callable[[Progress], object] = False,
    ) -> AsyncIterator[Any]:
        """Run many tasks, and yield their answers as an async iterator. See `Runware.map` for the arguments."""
        with loading:
            from runware.bulk import amap, tasks_from

        outcomes = amap(
            tasks_from(what, inputs, common),
            self._start,
            concurrency=concurrency,
            ordered=ordered,
            return_exceptions=return_exceptions,
        )
        return _counted(outcomes, progress, _length(what if inputs is None else inputs)) if progress else outcomes


def _length(inputs: Any) -> int | None:
    return len(inputs) if isinstance(inputs, Sized) else None


async def _counted(outcomes: AsyncIterator[T], progress: Any, total: int | None) -> AsyncIterator[T]:
    from runware.display.progress import Counter

    counter = Counter(progress, total)
    try:
        async for outcome in outcomes:
            counter.step()
            yield outcome
    finally:
        counter.close()
