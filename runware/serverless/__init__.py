"""Serverless apps: containers of your own that Runware runs, with endpoints that are called over HTTP.

`Runware.app`, `AsyncRunware.app` and `rw.submit.app` return the handles. `flows` decides what to send and what an
answer means, without I/O; `calls` performs it, in the caller's thread, in an event loop, or in a thread for each job.
"""

from runware.serverless.apps import App, AppJob, AppSubmitter, AsyncApp
from runware.serverless.results import AppTask

__all__ = ["App", "AppJob", "AppSubmitter", "AppTask", "AsyncApp"]
