"""Tools for agents: functions with small signatures and good descriptions, which a language model can call.

    from runware import Runware, agents

    rw = Runware()
    functions = agents.tools(rw, folder="pictures", budget=1.00)

They are plain typed functions, so that every framework can use them: `rw.chat(..., tools=functions)`, LangChain,
openai-agents, pydantic-ai. `runware mcp` serves the same tools to MCP hosts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from runware import options
from runware.agents.budget import Budget, BudgetError
from runware.agents.inputs import InputFiles
from runware.agents.results import ToolResult
from runware.agents.toolbox import Toolbox
from runware.client import Runware

__all__ = ["Budget", "BudgetError", "InputFiles", "ToolResult", "Toolbox", "tools"]


def tools(
    rw: Runware,
    *,
    folder: str | os.PathLike[str] | None = None,
    read: Iterable[str | os.PathLike[str]] = (),
    budget: float | options.Budget | None = None,
    wait: float = 45.0,
) -> list[Callable[..., str]]:
    """Return the tools of a client: make and edit an image, make a video, speech, describe, search, price, job status.

    Each returns a text for the model, which is also a `ToolResult`: its `results` and `paths` are for the program. An
    error is a text too; it says what would work, and is in `error`. The functions block, and may be called from any
    thread; asyncio frameworks run them on threads of their own.

    Args:
        rw: The client.
        folder: Where files are saved; created if missing. Images in it can be inputs. `None` saves nothing: the model
            gets URLs, which are valid for a limited time.
        read: Further folders whose images can be inputs. No other file is ever opened.
        budget: The most that all tools of this list may spend together, in US dollars, or a `runware.Budget`. The
            price of a task is reserved before it is sent, and replaced by its bill; a task that does not fit is
            refused, as is one whose price cannot be told. `None` sets no limit; 0 refuses everything that costs.
        wait: Seconds that a tool waits for its result, 45 by default. After that it returns the id of the job, for
            `job_status`. 0 does not wait.

    Raises:
        ConfigurationError: An argument is invalid; `parameter` names it.
    """
    return Toolbox(rw, folder=folder, read=read, budget=budget, wait=wait).functions
