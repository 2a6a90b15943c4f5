"""The tools for agents, as tools of LangChain."""

from __future__ import annotations

import tempfile

from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from runware import Runware
from runware.agents import tools

with Runware() as rw, tempfile.TemporaryDirectory() as folder:
    made = [StructuredTool.from_function(one, parse_docstring=True) for one in tools(rw, folder=folder, budget=1.0)]
    for tool in made:
        assert convert_to_openai_tool(tool, strict=True)["function"]["description"]
    call = {"name": "make_image", "args": {"prompt": "a kite", "width": 512, "height": 512}, "id": "1"}
    message = made[0].invoke({**call, "type": "tool_call"})
    assert message.content.startswith("1 image for $"), message
print(f"{len(made)} tools, strict schemas, a tool call")
