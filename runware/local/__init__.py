"""A Runware API server on this machine, for development, demonstrations and tests.

It implements the protocol of the real service (docs/protocol.md), needs no account and no network, costs nothing, and
fails on request:

    from runware.local import LocalServer

    with LocalServer() as server:
        client = Runware(api_key=server.api_key, url=server.url)

Marks in a prompt cause failures. `[unsafe]` (invalidProviderContent), `[provider-error]` (providerInternalError),
`[timeout]` (timeoutProvider) and `[rate-limit]` (rateLimitExceeded) make the task fail: always, or with a number, as in
`[rate-limit:2]`, the first two times that the prompt is submitted. `[fail:2]` makes the second of several results fail
(inferenceError, or `[fail:2=CODE]`). `[error:CODE]` rejects the task with that code. `[nsfw]` sets `NSFWContent` where
the task asks for the check.

The endpoint for chats (`/v1/chat/completions`) has these marks too, with `[overloaded]` (serviceUnavailable) in place
of `[fail]`, `[error]` and `[nsfw]`. There, `[call:NAME {"argument": 1}]` makes the model call a tool; several are
called at the same time, and `[then]` begins the next round. `[loop:NAME {}]` calls a tool in every round, and
`[answer TEXT]` is the answer, word for word.

`LocalServer.respond` sets the answers to tasks, and faults break connections, responses and webhooks
(`LocalServer.play`, `FAULTS`).
Where the behaviour of the real service is not documented, a switch selects it (`LocalServer.switch`, `SWITCHES`).
`python -m runware.local --list` describes all faults and switches.

It knows the models of the snapshot: it serves the catalogue (`/models`) and the schemas (`/registry.json`,
`/resolve/{model}`), charges their rates, and refuses models that cannot exist. With the switch `models="strict"` it
refuses whatever the request schema of a model refuses, and with `models="off"` it accepts any model.

It shares no code with the client, so that no bug can be in both and stay hidden.
"""

try:
    import aiohttp as _aiohttp
    import PIL as _PIL
except ImportError as error:
    raise ImportError(
        f"the local server needs {error.name or 'aiohttp and Pillow'}: pip install 'runware-client[local]'"
    ) from error

from runware.local.fault_registry import FAULTS
from runware.local.faults import Fault
from runware.local.ledger import Ledger, ReceivedRequest, TaskRecord
from runware.local.planned_answers import PlannedAnswer
from runware.local.server import Holding, LocalServer
from runware.local.switches import SWITCHES, Switch, Switches

del _PIL, _aiohttp

__all__ = [
    "FAULTS",
    "SWITCHES",
    "Fault",
    "Holding",
    "Ledger",
    "LocalServer",
    "PlannedAnswer",
    "ReceivedRequest",
    "Switch",
    "Switches",
    "TaskRecord",
]
