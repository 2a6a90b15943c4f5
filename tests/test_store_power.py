"""A power cut: what is left of the store if the disk loses every write that was not synchronized.

A program makes tasks over HTTP while `strace` notes its writes, its syncs and what it sends. The test plays them again:
at each moment at which a task is sent, it makes the files as a disk may have them if the power fails there, opens the
store in them, and looks for the task.
"""

from __future__ import annotations

import os
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from runware.local import LocalServer

PROJECT = pathlib.Path(__file__).parent.parent
CALLS = "openat,pwrite64,fsync,fdatasync,ftruncate,unlink,sendto"
PROGRAM = """
    import sys
    import sqlalchemy
    from runware import Runware
    url, store, pragma = sys.argv[1:]
    if pragma:
        @sqlalchemy.event.listens_for(sqlalchemy.Engine, "begin")
        def change(connection):
            connection.exec_driver_sql(pragma)
    PICTURE = {"positive_prompt": "a harbor", "model": "runware:101@1", "width": 128, "height": 128}
    for _ in range(2):  # the second client finds a store that was closed
        client = Runware("rw-test-key", url=url, store=store, transport="http", check="off", timeout=60.0)
        for _ in range(5):
            client.image_inference(**PICTURE)
        for job in [client.submit.image_inference(**PICTURE) for _ in range(10)]:
            job.result(60)
        client.close()
"""
_LINE = re.compile(r"^(\d+) +(.*)$")
_UUID = re.compile(rb'"taskUUID": ?"([0-9a-f-]{36})"')


def traced(server: LocalServer, store: pathlib.Path, log: pathlib.Path, pragma: str = "") -> None:
    """Run the program, and write what it does to the log."""
    strace = ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(log)]
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), server.http_url + "/v1", f"sqlite:///{store}", pragma]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [*strace, *command], capture_output=True, text=True, timeout=110, check=False, cwd=PROJECT, env=environment
    )
    if "ptrace" in done.stderr.lower() and done.returncode:
        pytest.skip("processes may not be traced here")
    assert done.returncode == 0, done.stderr


class File:
    """A file: what is on the disk for certain, and the writes that a power cut may lose."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.pending: list[tuple[int, bytes | None]] = []

    def synchronized(self) -> None:
        for offset, data in self.pending:
            _apply(self.durable, offset, data)
        self.pending = []

    def after_power_cut(self, rng: random.Random | None) -> bytes:
        """Return the content without the writes that were not synchronized, or with some of them if *rng* is given."""
        content = bytearray(self.durable)
        for offset, data in self.pending:
            if rng is not None and rng.random() < 0.5:
                _apply(content, offset, data)
        return bytes(content)


class Disk:
    """One directory. Which files it has is certain only since it was synchronized itself."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.entries: dict[str, File] = {}

    def created(self, path: str) -> None:
        self.files.setdefault(path, File())

    def removed(self, path: str) -> None:
        self.files.pop(path, None)

    def written(self, path: str, offset: int, data: bytes | None) -> None:
        """Note a write, or that the file ends at an offset."""
        self.files[path].pending.append((offset, data))

    def synchronized(self, path: str) -> None:
        if path in self.files:
            self.files[path].synchronized()
        else:
            self.entries = dict(self.files)

    def after_power_cut(self, folder: pathlib.Path, rng: random.Random | None) -> None:
        for path, file in self.entries.items():
            (folder / os.path.basename(path)).write_bytes(file.after_power_cut(rng))


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _text(quoted: str) -> bytes:
    """Return what strace shows as a hexadecimal string."""
    return bytes.fromhex(quoted.replace("\\x", ""))


def _path(shown: str) -> str:
    return _text(shown).decode() if shown.startswith("\\x") else shown


_WRITE = re.compile(r'pwrite64\(\d+<([^>]*)>, "([^"]*)", \d+, (\d+)')
_CUT = re.compile(r"ftruncate\(\d+<([^>]*)>, (\d+)")
_SYNC = re.compile(r"f(?:data)?sync\(\d+<([^>]*)>")
_OPEN = re.compile(r'openat\([^,]*, "([^"]*)", [A-Z_|]*O_CREAT')
_UNLINK = re.compile(r'unlink\("([^"]*)"')
_SEND = re.compile(r'sendto\(\d+<[^>]*>, "([^"]*)"')


def moments(log: pathlib.Path, folder: pathlib.Path) -> Iterator[tuple[Disk, list[str]]]:
    """Play the log, and yield the disk and the UUIDs of the tasks at each moment at which some are sent.

    A sync counts from its end, and what is sent from its beginning.
    """
    disk = Disk()
    syncing: dict[str, str] = {}
    with log.open() as lines:
        for line in lines:
            matched = _LINE.match(line)
            assert matched is not None, line
            pid, call = matched.groups()
            done = "<unfinished" not in call
            if found := _SEND.match(call):
                uuids = [uuid.decode() for uuid in _UUID.findall(_text(found[1]))]
                if uuids:
                    yield disk, uuids
            elif call.startswith(("<... fsync resumed", "<... fdatasync resumed")):
                if (path := syncing.pop(pid, None)) is not None:
                    disk.synchronized(path)
            elif found := _SYNC.match(call):
                path = _path(found[1])
                if _is_inside(path, folder):
                    if done:
                        disk.synchronized(path)
                    else:
                        syncing[pid] = path
            elif found := _WRITE.match(call):
                path = _path(found[1])
                if _is_inside(path, folder):
                    disk.written(path, int(found[3]), _text(found[2]))
            elif found := _CUT.match(call):
                path = _path(found[1])
                if _is_inside(path, folder):
                    disk.written(path, int(found[2]), None)
            elif found := _OPEN.match(call):
                path = _path(found[1])
                if _is_inside(path, folder):
                    disk.created(path)
            elif found := _UNLINK.match(call):
                disk.removed(_path(found[1]))


def _is_inside(path: str, folder: pathlib.Path) -> bool:
    return path == str(folder) or (os.path.dirname(path) == str(folder) and not path.endswith("-shm"))


def forgotten(log: pathlib.Path, folder: pathlib.Path, copies: pathlib.Path) -> tuple[list[str], int]:
    """Return the tasks that were sent and that the store had forgotten after a power cut, and how many were sent."""
    lost: list[str] = []
    sent: set[str] = set()
    for number, (disk, uuids) in enumerate(moments(log, folder)):
        sent.update(uuids)
        for turn, rng in enumerate([None, *(random.Random(f"{number} {turn}") for turn in range(3))]):
            copy = copies / f"{number}-{turn}"
            copy.mkdir(parents=True)
            disk.after_power_cut(copy, rng)
            kept = _kept(copy / "jobs.db")
            lost += [uuid for uuid in uuids if uuid not in kept]
            shutil.rmtree(copy)
    return lost, len(sent)


def _kept(path: pathlib.Path) -> set[str]:
    """Return the keys of the tasks in a store."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {key for (key,) in connection.execute("SELECT key FROM runware_tasks")}
    except sqlite3.OperationalError:  # there is no such table
        return set()
    finally:
        connection.close()


pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def test_no_task_is_sent_that_the_store_forgets(server: LocalServer, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    traced(server, folder / "jobs.db", tmp_path / "log")
    lost, sent = forgotten(tmp_path / "log", folder, tmp_path / "copies")
    assert lost == []
    assert sent == server.ledger.executed == 30


def test_power_cut_finds_a_store_that_does_not_wait_for_the_disk(server: LocalServer, tmp_path: pathlib.Path) -> None:
    """The test above could fail: with the setting that most programs use beside WAL, tasks would be forgotten."""
    folder = tmp_path / "store"
    folder.mkdir()
    traced(server, folder / "jobs.db", tmp_path / "log", "PRAGMA synchronous=NORMAL")
    lost, _ = forgotten(tmp_path / "log", folder, tmp_path / "copies")
    assert lost
