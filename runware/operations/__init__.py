"""The operations as methods, in three forms: blocking, for asyncio, and as jobs.

Each operation is declared once, by its request class. `tools/generate_operations.py` writes the modules `blocking`,
`asynchronous` and `jobs` from these: signatures and docstrings, for editors and documentation tools. This module gives
each method the behaviour that `calls` defines, and its aliases.
"""

from runware import requests
from runware.operations.asynchronous import AsyncOperations
from runware.operations.blocking import BlockingOperations
from runware.operations.calls import running
from runware.operations.jobs import JobOperations
from runware.operations.own import operation

__all__ = ["AsyncOperations", "BlockingOperations", "JobOperations", "operation"]

for _form in (BlockingOperations, AsyncOperations, JobOperations):
    for _name, (_request, *_aliases) in (requests.OPERATIONS | requests.STREAMS).items():
        # The streams of `rw.submit` are jobs, as all others.
        _streams = _name in requests.STREAMS and _form is not JobOperations
        _method = running(vars(_form)[_name], _request, through="stream" if _streams else "run")
        for _each in (_name, *_aliases):
            setattr(_form, _each, _method)
