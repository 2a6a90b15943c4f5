"""Importing late, and safely beside a fork.

A process that forks while another of its threads imports leaves the child with that module's lock held for ever. What
this package imports late, on whatever thread, it imports under this lock, and a fork waits for it.
"""

from __future__ import annotations

import os

from runware._support.locks import make_rlock

__all__ = ["loading"]

loading = make_rlock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=loading.acquire, after_in_parent=loading.release, after_in_child=loading.release)
