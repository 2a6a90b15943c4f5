"""An agent that makes images: a language model decides which of the tools to call, within a budget.

python examples/agent_tools.py --local                    # no key and no network: a server on this machine
RUNWARE_API_KEY=... python examples/agent_tools.py        # against the API
python examples/agent_tools.py "Draw a red kite." "Now make it blue."

The files are in the folder `pictures`. With `--local`, the model calls a tool when the message says so:
`[call:make_image {"prompt": "a red kite"}]`.
"""

from __future__ import annotations

import argparse
import contextlib

from runware import Runware
from runware.agents import ToolResult, tools

REQUESTS = ["Draw a lighthouse at dusk.", "What can you see in it?", "What would five seconds of video of it cost?"]
LOCAL_CALLS = [
    '[call:make_image {"prompt": "a lighthouse at dusk", "width": 512, "height": 512}]',
    '[call:describe_image {"image": "ID"}]',
    '[call:get_price {"model": "minimax:h3@fast", "duration": 5}]',
]


def main() -> None:
    parser = argparse.ArgumentParser(description="An agent that makes images.")
    parser.add_argument("requests", nargs="*", default=REQUESTS, help="what to ask, one after another")
    parser.add_argument(
        "--model", default="google:gemma@4-31b", help="the language model (default: google:gemma@4-31b)"
    )
    parser.add_argument("--folder", default="pictures", help="where files are saved (default: pictures)")
    parser.add_argument("--budget", type=float, default=0.10, help="dollars that the tools may spend (default: 0.10)")
    parser.add_argument("--local", action="store_true", help="use a server on this machine")
    arguments = parser.parse_args()

    with contextlib.ExitStack() as stack:
        if arguments.local:
            from runware.local import LocalServer

            server = stack.enter_context(LocalServer())
            rw = stack.enter_context(Runware(server.api_key, url=server.url))
        else:
            rw = stack.enter_context(Runware())

        functions = tools(rw, folder=arguments.folder, budget=arguments.budget)
        chat = rw.chat(arguments.model, system_prompt="Use the tools. Answer in a few sentences.", tools=functions)
        newest = ""
        for number, request in enumerate(arguments.requests):
            print(f"> {request}")
            if arguments.local and number < len(LOCAL_CALLS):
                request = LOCAL_CALLS[number].replace("ID", newest)  # noqa: PLW2901 - the same request, for the local model
            answer = chat.send(request)
            for run in answer.tool_calls:
                print(f"[{run.name}] {run.output}")
                if isinstance(run.result, ToolResult) and run.result.paths:
                    newest = run.result.results[0].uuid  # type: ignore[attr-defined] # results with files have one
            print(answer.text)


if __name__ == "__main__":
    main()
