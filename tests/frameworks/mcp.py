"""The command `runware mcp`, used by the official client library of the protocol."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile

from mcp import ClientSession, StdioServerParameters, stdio_client

REQUEST = {"prompt": "a red kite", "width": 512, "height": 512}


async def main(folder: str) -> None:
    arguments = ["-P", "-m", "runware", "mcp", "--folder", folder, "--budget", "1.00"]
    parameters = StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))
    async with (
        asyncio.timeout(90),
        stdio_client(parameters) as (read, write),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        names = [tool.name for tool in (await session.list_tools()).tools]
        assert "make_image" in names, names
        made = await session.call_tool("make_image", REQUEST)
        assert not made.is_error, made
        assert len(os.listdir(folder)) == 1
        price = await session.call_tool("get_price", {"model": "runware:400@2"})
        assert "$" in str(price.content)


with tempfile.TemporaryDirectory() as made_in:
    asyncio.run(main(made_in))
print("a session over standard input and output: an image, a price")
