"""The tools for agents, as tools of openai-agents."""

from __future__ import annotations

import asyncio
import json
import tempfile

import agents
from agents.tool_context import ToolContext

from runware import Runware
from runware.agents import tools

agents.set_tracing_disabled(True)


async def main() -> None:
    with Runware() as rw, tempfile.TemporaryDirectory() as folder:
        made = [agents.function_tool(one) for one in tools(rw, folder=folder, budget=1.0)]
        arguments = json.dumps({"prompt": "a kite", "width": 512, "height": 512, "model": "runware:400@2", "number": 1})
        context = ToolContext(context=None, tool_name="make_image", tool_call_id="1", tool_arguments=arguments)
        answer = await made[0].on_invoke_tool(context, arguments)
        assert str(answer).startswith("1 image for $"), answer


asyncio.run(main())
print("tools with strict schemas, a tool call")
