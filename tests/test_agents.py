"""Tools for language models, made from methods. Each framework is tested where it is installed."""

from __future__ import annotations

import asyncio
import inspect
import json
import pathlib
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest

from runware import Runware
from runware.agents import ToolResult, tools
from runware.local import LocalServer

REASON = "it is tried in an environment of its own: pip install langchain-core openai-agents pydantic-ai-slim mcp"
GIVEN = {"input_image": "https://example.com/a.png", "prompt": "a boat?"}
PICTURE = {"positive_prompt": "a boat", "model": "runware:101@1", "width": 512, "height": 512}
# These parameters of a method are functions, which no model can send.
CALLBACKS = {"on_partial"}


@pytest.fixture
def rw(server: LocalServer) -> Iterator[Runware]:
    with Runware(server.api_key, url=server.url) as client:
        yield client


def sent(server: LocalServer) -> dict[str, Any]:
    [task] = server.ledger.tasks("caption")
    return task


@pytest.mark.parametrize("name", ["caption", "image_inference", "video_inference", "text_inference", "model_upload"])
def test_json_schema_has_the_parameters_of_the_method(rw: Runware, name: str) -> None:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is an optional part of the test environment")
    for client in (rw, rw.aio):
        method = getattr(client, name)
        hints = get_type_hints(method, include_extras=True)
        shown = inspect.signature(method).parameters
        model = pydantic.create_model(
            name,
            **{one.name: (hints[one.name], ... if one.default is one.empty else one.default) for one in shown.values()},
        )
        schema = model.model_json_schema()
        assert set(schema["properties"]) == set(shown) - CALLBACKS


def test_langchain_structured_tool_calls_the_api(rw: Runware, server: LocalServer) -> None:
    tools = pytest.importorskip("langchain_core.tools", reason=REASON)
    from langchain_core.utils.function_calling import convert_to_openai_tool

    tool = tools.StructuredTool.from_function(rw.caption)
    assert tool.name == "caption"
    assert {"input_image", "prompt", "timeout"} <= set(tool.args)
    assert not CALLBACKS & set(tool.args)
    shown = convert_to_openai_tool(tool)["function"]
    assert shown["parameters"]["properties"]["model"]["anyOf"][0] == {"type": "string"}
    assert shown["description"].startswith("Describe")
    assert str(tool.invoke(GIVEN))
    assert sent(server)["prompt"] == "a boat?"
    asynchronous = tools.StructuredTool.from_function(coroutine=rw.aio.caption)
    assert str(asyncio.run(asynchronous.ainvoke(GIVEN)))
    for method in (rw.image_inference, rw.video_inference):
        assert tools.StructuredTool.from_function(method).args["positive_prompt"]


def test_openai_agents_function_tool_calls_the_api(rw: Runware, server: LocalServer) -> None:
    agents = pytest.importorskip("agents", reason=REASON)
    from agents.tool_context import ToolContext

    # The strict mode of OpenAI forbids free objects, such as `extra`.
    tool = agents.function_tool(rw.caption, strict_mode=False)
    assert tool.name == "caption"
    assert tool.description.startswith("Describe")
    properties = tool.params_json_schema["properties"]
    assert properties["prompt"]["description"]
    assert not CALLBACKS & set(properties)
    arguments = json.dumps(GIVEN)
    context: Any = ToolContext(context=None, tool_name="caption", tool_call_id="1", tool_arguments=arguments)
    assert str(asyncio.run(tool.on_invoke_tool(context, arguments)))
    assert sent(server)["prompt"] == "a boat?"
    assert agents.function_tool(rw.aio.image_inference, strict_mode=False).params_json_schema


def test_mcp_tool_calls_the_api(rw: Runware, server: LocalServer) -> None:
    mcp = pytest.importorskip("mcp.server", reason=REASON)
    try:
        from mcp.server.fastmcp import FastMCP as Server
    except ImportError:
        Server = mcp.MCPServer  # its name since mcp 2

    tools: Any = Server("runware")
    tools.add_tool(rw.aio.caption)
    tools.add_tool(rw.aio.image_inference)
    tools.add_tool(rw.caption, name="blocking")

    async def use() -> Any:
        listed = {tool.name: tool for tool in await tools.list_tools()}
        return listed, await tools.call_tool("caption", GIVEN), await tools.call_tool("image_inference", PICTURE)

    listed, answer, pictures = asyncio.run(use())
    assert set(listed) == {"caption", "image_inference", "blocking"}
    assert listed["caption"].description.startswith("Describe")
    text = json.dumps(answer, default=str)
    assert sent(server)["prompt"] == "a boat?"
    assert "'taskType': 'caption'" in text or '"taskType": "caption"' in text
    assert "imageURL" in json.dumps(pictures, default=str)


# ---------------------------------------------------------------------- the tools of `runware.agents`

KITE = {"prompt": "a kite", "width": 512, "height": 512}


def test_langchain_calls_the_tools(rw: Runware, server: LocalServer, tmp_path: pathlib.Path) -> None:
    langchain = pytest.importorskip("langchain_core.tools", reason=REASON)
    from langchain_core.utils.function_calling import convert_to_openai_tool

    made = [langchain.StructuredTool.from_function(one, parse_docstring=True) for one in tools(rw, folder=tmp_path)]
    for tool in made:
        shown = convert_to_openai_tool(tool, strict=True)["function"]
        assert shown["description"]
        assert all(facts["description"] for facts in shown["parameters"]["properties"].values())
    assert isinstance(made[0].invoke(KITE), ToolResult)
    call = {"name": "make_image", "args": KITE, "id": "1", "type": "tool_call"}
    message = asyncio.run(made[0].ainvoke(call))
    assert message.content.startswith("1 image for $")
    assert len(server.ledger.tasks("imageInference")) == 2


def test_openai_agents_calls_the_tools(rw: Runware, server: LocalServer, tmp_path: pathlib.Path) -> None:
    agents = pytest.importorskip("agents", reason=REASON)
    from agents.tool_context import ToolContext

    made = [agents.function_tool(one) for one in tools(rw, folder=tmp_path, budget=0.001)]  # strict, as is the default
    for tool in made:
        assert tool.description
        assert all(facts["description"] for facts in tool.params_json_schema["properties"].values())
    arguments = json.dumps({**KITE, "model": "runware:400@2", "number": 9})
    context: Any = ToolContext(context=None, tool_name="make_image", tool_call_id="1", tool_arguments=arguments)
    answer = asyncio.run(made[0].on_invoke_tool(context, arguments))
    assert "The budget does not allow it" in answer
    assert server.ledger.executed == 0


def test_pydantic_ai_calls_the_tools(rw: Runware, server: LocalServer, tmp_path: pathlib.Path) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai", reason=REASON)
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    def model(messages: list[Any], _: Any) -> Any:
        returned = [part for part in messages[-1].parts if part.part_kind == "tool-return"]
        return ModelResponse([TextPart(returned[0].content) if returned else ToolCallPart("make_image", KITE)])

    agent = pydantic_ai.Agent(FunctionModel(model), tools=tools(rw, folder=tmp_path))
    run = asyncio.run(agent.run("Draw something."))
    assert run.output.startswith("1 image for $")
    assert server.ledger.tasks("imageInference")[0]["positivePrompt"] == "a kite"
