"""Marks in a prompt that make a task fail, such as `[unsafe]` or `[fail:2]`; `help(runware.local)` lists them."""

from __future__ import annotations

from runware.local.task_run import TaskRun
from runware.local.validation import ApiError

__all__ = ["failure_of_result", "failure_of_task", "has_mark"]

_MARKS = {
    "[unsafe": ("invalidProviderContent", "Blocked by the provider."),
    "[provider-error": ("providerInternalError", "The provider failed."),
    "[timeout": ("timeoutProvider", "The provider did not answer in time."),
}


def has_mark(prompt: str, mark: str, attempt: int) -> bool:
    """Return whether a prompt asks for a failure: `[mark]` always, `[mark:2]` for the first two attempts."""
    start = prompt.find(mark)
    if start < 0:
        return False
    rest = prompt[start + len(mark) :]
    if rest.startswith("]"):
        return True
    times = rest[1:].partition("]")[0]
    return rest.startswith(":") and times.isdigit() and attempt <= int(times)


def failure_of_task(run: TaskRun) -> ApiError | None:
    """Return the error if a fault or the prompt makes the whole task fail."""
    if run.forced_failure is not None:
        return run.forced_failure
    if "[" not in run.prompt:
        return None
    for mark, (code, message) in _MARKS.items():
        if has_mark(run.prompt, mark, run.attempt):
            return ApiError(code, message)
    return None


def failure_of_result(run: TaskRun, index: int) -> ApiError | None:
    """Return the error if a fault or the prompt makes one result fail.

    `[fail:2]` and `[fail:2=CODE]` in the prompt make the second of several results fail.
    """
    if index in run.given_errors:
        return run.given_errors[index]
    _, found, rest = run.prompt.partition(f"[fail:{index + 1}")
    code = rest.partition("]")[0]
    if (found and code[:1] in ("", "=")) or index in run.failing_results:
        return ApiError(code[1:] or "inferenceError", f"Result {index + 1} of {run.count} failed.")
    return None
