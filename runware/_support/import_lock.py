"""A lock for lazy imports that makes them safe beside a fork.

If a process forks while another thread imports a module, the import lock of that module stays locked in the child for
ever. Lazy imports of this package run under this lock, and a fork waits until it is free.
"""

from __future__ import annotations

import os

from runware._support.locks import make_rlock

__all__ = ["loading"]

loading = make_rlock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=loading.acquire, after_in_parent=loading.release, after_in_child=loading.release)
