"""A Runware API server on this machine, for development, demonstrations and tests.

It speaks the protocol of the real service well enough for any client of it, needs no key and no network, costs
nothing, and fails on request:

    from runware.local import LocalServer

    with LocalServer() as server:
        client = Runware(api_key=server.api_key, url=server.url)

Prompts ask for failures: `[unsafe]` (invalidProviderContent), `[provider-error]` (providerInternalError), `[timeout]`
(timeoutProvider) and `[rate-limit]` (rateLimitExceeded) fail the task, always or with `[rate-limit:2]` the first two
times that prompt comes; `[fail:2]` fails the second of several results (inferenceError, or `[fail:2=CODE]`);
`[error:CODE]` rejects the task with that code; `[nsfw]` sets `NSFWContent` where it is asked for. Everything else that
can go wrong is a fault (`LocalServer.play`, `FAULTS`), and what is unknown about the real service is a switch
(`LocalServer.switch`, `SWITCHES`). `python -m runware.local --list` lists and explains all of both.

It shares no code with the client, so that an error in one cannot hide in the other.
"""

try:
    import aiohttp as _aiohttp
    import PIL as _PIL
except ImportError as error:
    raise ImportError(
        f"the local server needs {error.name or 'aiohttp and Pillow'}: pip install 'runware-client[local]'"
    ) from error

from runware.local.faults import Fault
from runware.local.ledger import Ledger, TaskRecord
from runware.local.scenarios import FAULTS
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
    "Switch",
    "Switches",
    "TaskRecord",
]
