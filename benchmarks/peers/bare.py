"""The limits: `lean` and `default` are loops on websocket-client with JSON (see `baseline.py`), `tcp` is bytes only."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import urlsplit

from serving import HOLD, Cannot, Peer, medium, serve

from benchmarks.baseline import Bare, tcp_ping_pong


class Loop(Peer):
    """A loop that does nothing else: no callbacks, no polling, no second connection."""

    def __init__(self, *, lean: bool) -> None:
        self.lean = lean

    def open(self, url: str) -> None:
        self.bare = Bare(urlsplit(url).port or 0, lean=self.lean)

    def do_serial(self, count: int, seconds: float) -> dict[str, Any]:
        return {"count": count, "wall": self.bare.serial_json(count).wall}

    def do_flight(self, count: int, *, surviving: bool = False) -> dict[str, Any]:
        return {"wall": self.bare.pipelined(count, HOLD).wall, "right": count}

    def do_large(self, count: int, size: int, *, plain: bool = False) -> dict[str, Any]:
        return {"wall": self.bare.large(count, size).wall}

    def do_upload(self, count: int, size: int) -> dict[str, Any]:
        return {"wall": self.bare.upload(count, medium(size)).wall}


class Tcp(Peer):
    """Round trips of bytes."""

    def do_open(self, url: str) -> dict[str, Any]:
        self.port = urlsplit(url).port or 0
        return {}

    def do_serial(self, count: int, seconds: float) -> dict[str, Any]:
        return {"count": count, "wall": tcp_ping_pong(self.port, count)}

    def do_large(self, count: int, size: int, *, plain: bool = False) -> dict[str, Any]:
        raise Cannot("bytes only")

    def do_upload(self, count: int, size: int) -> dict[str, Any]:
        raise Cannot("bytes only")


if __name__ == "__main__":
    kind = sys.argv[1]
    serve(Tcp() if kind == "tcp" else Loop(lean=kind == "lean"))
