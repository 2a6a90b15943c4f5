"""Results as bytes, images and files: from URLs, base64 and data URIs, retried after errors, and safely named."""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import io
import pickle
import random
import socket
import ssl
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

import runware
from runware import ConfigurationError, DownloadError, OverwriteError, Runware, RunwareError, ValidationError
from runware._support.lazy_modules import lazy_module
from runware.local import LocalServer
from runware.local.images import encode, scene
from runware.media import downloadable
from runware.media import files as media
from runware.media.downloads import Downloads

from .net import listening, read_head
from .test_three_interfaces import PICTURE

PNG = encode(scene("a file", 1, 64, 64), "png", 90)
LONG = PNG + bytes(200_000)
Answer = Callable[[BaseHTTPRequestHandler, int], None]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)


BOMB = b"".join((
    b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", (40_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0"),
    png_chunk(b"IDAT", b"x"), png_chunk(b"IEND", b""),
))  # fmt: skip
"""A small file that says that it has 40,000 by 40,000 pixels."""


class Site:
    """A web server whose responses are functions of the handler and the number of the request, from 1."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answers: dict[str, Answer] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append((self.path, dict(self.headers)))
                number = sum(path == self.path for path, _ in site.requests)
                site.answers.get(self.path, whole(PNG))(self, number)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def image(self, path: str, answer: Answer | None = None, **facts: Any) -> runware.Image:
        if answer is not None:
            self.answers[path] = answer
        return runware.Image(url=self.url + path, **facts)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def fetched_by(image: runware.Image, downloads: Downloads | None) -> None:
    """Set the download settings of an image."""
    object.__setattr__(image, "_downloads", downloads)


def whole(data: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(data)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def failing(times: int, status: int = 503, **headers: str) -> Answer:
    return lambda handler, number: whole(PNG, status if number <= times else 200, **headers)(handler, number)


def breaking_off(data: bytes, at: int, *, ranges: bool, mark: str = "") -> Answer:
    """Send only a part at first, and the rest (or everything again) on the next request."""
    marks = {"ETag": mark} if '"' in mark else {"Last-Modified": mark} if mark else {}

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number > 1 and ranges:
            assert handler.headers["If-Range"] == mark
            start = int(handler.headers["Range"].removeprefix("bytes=").rstrip("-"))
            part = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}", **marks}
            whole(data[start:], 206, **part)(handler, number)
            return
        handler.send_response(200)
        for name, value in {"Content-Length": str(len(data)), **marks}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data if number > 1 else data[:at])
        handler.close_connection = True

    return answer


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runware.media.downloads._PAUSE", 0.0)


# ---------------------------------------------------------------------- all three forms


@pytest.mark.parametrize("output_type", ["URL", "base64Data", "dataURI"])
@pytest.mark.parametrize(("output_format", "extension"), [("PNG", ".png"), ("JPG", ".jpg"), ("WEBP", ".webp")])
def test_every_output_type_and_format_is_read_and_saved(
    rw: Runware, output_type: Any, output_format: Any, extension: str, tmp_path: Path
) -> None:
    (image,) = rw.image_inference(**PICTURE, output_type=output_type, output_format=output_format)
    path = image.save(tmp_path / "pictures/")
    assert path.parent == tmp_path / "pictures"
    assert path.suffix == extension
    assert path.stem == image.uuid
    data = image.read()
    assert path.read_bytes() == data == b"".join(image.iter_bytes())
    assert image.to_pil().size == (512, 512)

    async def main() -> None:
        assert await image.aread() == data
        assert b"".join([chunk async for chunk in image.aiter_bytes()]) == data
        assert (await image.asave(tmp_path / "again.bin")).read_bytes() == data
        assert (await image.ato_pil()).size == (512, 512)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("operation", "parameters", "extension"),
    [
        ("video_inference", {"positive_prompt": "waves", "model": "klingai:5@3", "duration": 5}, ".mp4"),
        ("audio_inference", {"positive_prompt": "rain", "model": "elevenlabs:1@1", "duration": 10}, ".mp3"),
        ("three_d_inference", {"positive_prompt": "a chair", "model": "tripo:1@1"}, ".glb"),
    ],
)
def test_other_media_are_saved_with_their_extension(
    rw: Runware, operation: str, parameters: dict[str, Any], extension: str, tmp_path: Path
) -> None:
    results = getattr(rw, operation)(**parameters)
    (path,) = results.save_all(tmp_path)
    assert path.suffix == extension
    assert path.stat().st_size > 100


@pytest.mark.parametrize(
    "name", ["MP4", "WEBM", "MOV", "MKV", "MP3", "WAV", "AAC", "FLAC", "OGG", "PNG", "JPG", "WEBP"]
)
def test_tool_output_is_a_file_of_its_format(rw: Runware, name: str, tmp_path: Path) -> None:
    image = rw.image_inference(**PICTURE)[0]
    output = rw.tools(inputs={"image": image}, output_format=name)
    path = output.save(tmp_path)
    assert path.suffix == f".{name.lower()}"
    assert path.stem == output.files[0].uuid == output.uuid
    assert output.files[0].read() == path.read_bytes()


def test_tool_output_of_several_files_is_saved_to_a_directory(server: LocalServer, rw: Runware, tmp_path: Path) -> None:
    files = [{"uuid": f"part-{number}", "base64Data": "iVBORw0KGgo="} for number in range(3)]
    server.script(
        lambda task: (
            [{"data": [{"taskType": "tools", "taskUUID": task["taskUUID"], "outputs": {"files": files}}]}]
            if task["taskType"] == "tools"
            else None
        )
    )
    output = rw.tools(inputs={"video": "https://example.com/a.mp4"}, settings={"split": 3})
    assert output.save(tmp_path / "parts") == tmp_path / "parts"
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [f"part-{n}.png" for n in range(3)]


def test_to_pil_without_pillow_names_what_to_install(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DownloadError, match="Pillow"):
        site.image("/svg", whole(b"<svg xmlns='http://www.w3.org/2000/svg'/>")).to_pil()
    with pytest.raises(DownloadError, match="damaged"):
        site.image("/half", whole(PNG[: len(PNG) // 2])).to_pil()
    with pytest.raises(DownloadError, match=r"1600000000 pixels.*MAX_IMAGE_PIXELS"):
        site.image("/bomb", whole(BOMB)).to_pil()
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    monkeypatch.setattr(downloadable, "pillow", lazy_module("PIL.Image"))
    with pytest.raises(ConfigurationError, match="images"):
        site.image("/file").to_pil()


# ---------------------------------------------------------------------- names


def test_name_from_the_server_stays_inside_the_directory(
    server: LocalServer, rw: Runware, site: Site, tmp_path: Path
) -> None:
    names = ["../../x", "/etc/cron.d/x", "..", ".bashrc", "a/../../b", "C:\\x", "nul", "x" * 4000, ""]

    def script(task: dict[str, Any]) -> list[Any] | None:
        if task["taskType"] != "imageInference":
            return None
        kind = {"taskType": "imageInference", "taskUUID": task["taskUUID"]}
        return [{"data": [{**kind, "imageUUID": name, "imageURL": f"{site.url}/f"} for name in names]}]

    server.script(script)
    images = rw.image_inference(**PICTURE, number_results=len(names))
    assert [image.uuid for image in images] == names
    directory = tmp_path / "deep" / "inside"
    paths = images.save_all(directory)
    assert [path.resolve().parent for path in paths] == [directory] * len(names)
    assert len(set(paths)) == len(names)
    assert not any(path.name.startswith(".") for path in paths)
    assert sorted(tmp_path.rglob("*")) == sorted([tmp_path / "deep", directory, *paths])


@pytest.mark.parametrize("extension", ["", ".", ".php%00", ".a\\b", ".verylongextension"])
def test_invalid_extension_from_the_server_is_ignored(extension: str, site: Site, tmp_path: Path) -> None:
    path = site.image("/file" + extension, whole(b"of no known form"), uuid="u").save(tmp_path)
    assert path.parent == tmp_path
    assert path.name == "u.bin"


def test_url_decides_the_extension_if_the_bytes_do_not(site: Site, tmp_path: Path) -> None:
    assert site.image("/model.USDZ?x=.png", whole(b"PK\x03\x04"), uuid="u").save(tmp_path).name == "u.usdz"


def test_results_without_a_uuid_are_numbered(tmp_path: Path) -> None:
    text = base64.b64encode(PNG).decode()
    images = runware.Results(
        [runware.Image(base64_data=text) for _ in range(3)] + [runware.Image(uuid="u", data_uri="")]
    )
    images[3:] = [runware.Image(uuid="u", base64_data=text), runware.Image(uuid="u", base64_data=text)]
    assert [path.name for path in images.save_all(tmp_path)] == [
        "image-1.png", "image-2.png", "image-3.png", "u.png", "u-5.png",
    ]  # fmt: skip


def test_result_without_media_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"neither a URL nor data\."):
        runware.Image(uuid="u").save(tmp_path)


def test_text_that_names_a_file_is_never_read(server: LocalServer, rw: Runware, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(PNG)
    encoded = base64.b64encode(PNG).decode()
    rw.image_inference(positive_prompt=str(secret), model="runware:101@1", width=512, height=512)
    with pytest.raises(ValidationError, match="pass Path"):
        rw.caption(input_image=str(secret))
    name = str(secret.rename(tmp_path / "secret")).replace(".", "")
    with pytest.raises(ValidationError, match="inputImage"):  # base64 may look like this, so the server decides
        rw.caption(input_image=name)
    sent = [*server.ledger.tasks("imageInference"), *server.ledger.tasks("caption")]
    assert len(sent) == 2
    assert str(secret) in str(sent[0])
    assert name in str(sent[1])
    assert encoded not in str(sent)


# ---------------------------------------------------------------------- files


def test_no_file_is_overwritten_unless_asked(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"mine")
    image = site.image("/file")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        image.save(path)
    assert path.read_bytes() == b"mine"
    assert image.save(path, overwrite=True).read_bytes() == PNG
    dangling = tmp_path / "link.png"
    dangling.symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(FileExistsError):
        image.save(dangling)
    assert not (tmp_path / "nowhere.png").exists()


def test_file_created_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def meanwhile() -> Iterator[bytes]:
        yield b"mine"
        path.write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        media.write_file(path, meanwhile(), overwrite=False)
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_write_file_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError("Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    assert media.write_file(tmp_path / "file", iter([b"a"]), overwrite=False).read_bytes() == b"a"
    with pytest.raises(FileExistsError):
        media.write_file(tmp_path / "file", iter([b"b"]), overwrite=False)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_failed_rename_without_hard_links_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "held by a virus scanner")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError, match="scanner"):
        media.write_file(tmp_path / "file", iter([b"a"]), overwrite=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["灯" * 83 + ".png", "é" * 125 + ".png", "a" * 251 + ".png"])
def test_name_of_maximum_length_is_saved(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    assert media.write_file(path, iter([b"a"]), overwrite=False) == path
    assert media.write_file(path, iter([b"b"]), overwrite=True).read_bytes() == b"b"
    assert list(tmp_path.iterdir()) == [path]


def test_incomplete_file_is_never_visible(site: Site, tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(LONG)))
        handler.end_headers()
        handler.wfile.write(LONG[:150_000])
        begun.set()
        go_on.wait(20)
        handler.wfile.write(LONG[150_000:])

    image = site.image("/slow", slow, uuid="u")
    saving = threading.Thread(target=image.save, args=(tmp_path,))
    saving.start()
    assert begun.wait(10)
    assert not (tmp_path / "u.png").exists()
    go_on.set()
    saving.join(20)
    assert (tmp_path / "u.png").read_bytes() == LONG


def test_cancelling_a_save_leaves_no_file(site: Site, tmp_path: Path) -> None:
    begun, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def slow(handler: BaseHTTPRequestHandler, _: int) -> None:
        try:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(LONG)))
            handler.end_headers()
            handler.wfile.write(LONG[:150_000])
            begun.set()
            go_on.wait(20)
            handler.wfile.write(LONG[150_000:])
        except OSError:
            pass
        finally:
            over.set()

    async def main() -> None:
        saving = asyncio.create_task(site.image("/slow", slow, uuid="u").asave(tmp_path))
        await asyncio.get_running_loop().run_in_executor(None, begun.wait, 10)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        go_on.set()

    asyncio.run(main())  # waits for the threads of its executor
    assert over.wait(10)
    assert list(tmp_path.iterdir()) == []


def test_leaving_a_stream_early_raises_nothing(site: Site) -> None:
    async def main() -> None:
        async for chunk in site.image("/long", whole(LONG)).aiter_bytes():
            assert chunk
            break

    asyncio.run(main())
    for chunk in site.image("/long").iter_bytes():
        assert chunk
        break


def test_failed_download_does_not_keep_the_others_from_being_saved(site: Site, tmp_path: Path) -> None:
    images = runware.Results([site.image(f"/{n}", uuid=f"u{n}") for n in range(12)])
    site.answers["/5"] = site.answers["/7"] = whole(b"", 404)
    with pytest.raises(DownloadError, match="expired") as caught:
        images.save_all(tmp_path)
    assert caught.value.__notes__ == ["2 of 12 results were not saved; the others were."]
    assert len(list(tmp_path.iterdir())) == 10

    async def again() -> list[Path]:
        del site.answers["/5"], site.answers["/7"]
        return await images.asave_all(tmp_path, overwrite=True)

    assert [path.name for path in asyncio.run(again())] == [f"u{n}.png" for n in range(12)]


def test_model_of_several_files_is_saved_to_a_directory(site: Site, tmp_path: Path) -> None:
    files = [{"uuid": uuid, "url": f"{site.url}/{n}.fbx"} for n, uuid in enumerate(["../a", "b", "b"])]
    for n in range(3):
        site.answers[f"/{n}.fbx"] = whole(b"Kaydara FBX Binary")
    model = runware.Model3D(outputs={"files": files})
    assert model.save(tmp_path / "m") == tmp_path / "m"
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["a.fbx", "b-3.fbx", "b.fbx"]
    assert asyncio.run(model.asave(tmp_path / "n")) == tmp_path / "n"
    assert model.read() == b"Kaydara FBX Binary"


@pytest.mark.parametrize("overwrite", [False, True])
def test_models_whose_files_have_no_names_do_not_overwrite_each_other(overwrite: bool, tmp_path: Path) -> None:
    def model(number: int) -> runware.Model3D:
        data = [base64.b64encode(f"model {number}, file {n}".encode()).decode() for n in (1, 2)]
        return runware.Model3D(outputs={"files": [{"base64Data": text} for text in data]})

    runware.Results([model(1), model(2)]).save_all(tmp_path, overwrite=overwrite)
    assert sorted((path.name, path.read_text()) for path in tmp_path.iterdir()) == [
        (f"model-{number}-{n}.bin", f"model {number}, file {n}") for number in (1, 2) for n in (1, 2)
    ]


def test_names_that_become_equal_do_not_overwrite_each_other(tmp_path: Path) -> None:
    uuids = ["a/b", "a-b", "x" * 150, "x" * 150 + "y"]
    images = runware.Results([runware.Image(uuid=uuid, base64_data=base64.b64encode(PNG).decode()) for uuid in uuids])
    assert len(set(images.save_all(tmp_path, overwrite=True))) == 4


# ---------------------------------------------------------------------- failures


@pytest.mark.parametrize(("status", "passing"), [(503, True), (429, True), (404, False), (403, False), (400, False)])
def test_temporary_failure_is_retried(site: Site, status: int, passing: bool) -> None:
    image = site.image("/file", failing(2, status, Retry_After="0"))
    if passing:
        assert image.read() == PNG
        assert len(site.requests) == 3
    else:
        with pytest.raises(DownloadError, match=str(status)):
            image.read()
        assert len(site.requests) == 1


def test_lasting_failure_is_raised_after_three_attempts(site: Site) -> None:
    with pytest.raises(DownloadError, match=r"503.*3 attempts") as caught:
        site.image("/file", failing(9), task_uuid="t").read()
    assert caught.value.retryable
    assert caught.value.task_uuid == "t"
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


@pytest.mark.parametrize("size", [100, 30])
def test_download_that_makes_progress_is_not_given_up(site: Site, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that breaks now and then must not lose a large file; one that brings next to nothing is given up."""
    monkeypatch.setattr("runware.media.downloads._PROGRESS", 100)

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        status, _, headers = part(start, V1[start:]) if start else all_of(b"")
        whole(V1[start : start + size], status, **headers, Content_Length=str(len(V1) - start))(handler, 1)
        handler.close_connection = True

    image = site.image("/file", answer)
    if size == 100:
        assert image.read() == V1
    else:
        with pytest.raises(DownloadError, match="3 attempts"):
            image.read()
    assert len(site.requests) == (10 if size == 100 else 3)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("mark", ['"v1"', "Wed, 21 Oct 2026 07:28:00 GMT", 'W/"v1"', ""])
@pytest.mark.parametrize("at", [0, 1, 150_000, len(LONG) - 1])
def test_interrupted_download_is_resumed(site: Site, ranges: bool, mark: str, at: int, tmp_path: Path) -> None:
    known = bool(at and mark and not mark.startswith("W/"))
    image = site.image("/long", breaking_off(LONG, at, ranges=ranges and known, mark=mark), uuid="u")
    assert image.save(tmp_path).read_bytes() == LONG
    second = site.requests[1][1]
    # Without a strong ETag or a date, nothing would prove that the rest belongs to the same file.
    assert (second.get("Range"), second.get("If-Range")) == ((f"bytes={at}-", mark) if known else (None, None))
    assert second["Accept-Encoding"] == "identity"


V1 = b"A" * 600 + b"B" * 400
V2 = b"A" * 500 + b"C" * 500
Step = tuple[int, bytes, dict[str, str]]


def part(start: int, data: bytes = V1, total: int | str = 1000, **headers: str) -> Step:
    given = f"bytes {start}-{start + len(data) - 1}/{total}"
    return 206, data, {"Content_Range": given, "ETag": '"v1"', **headers}


def all_of(data: bytes, etag: str = '"v1"', **headers: str) -> Step:
    return 200, data, {"ETag": etag, **headers}


def in_steps(*steps: Step) -> Answer:
    """Send 600 bytes of V1 in a response of 1,000, and then what the steps say."""

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            whole(V1[:600], 200, Content_Length="1000", ETag='"v1"')(handler, number)
            handler.close_connection = True
        else:
            status, data, headers = steps[number - 2]
            whole(data, status, **headers)(handler, number)

    return answer


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([part(600, V1[600:])], V1),
        ([part(600, V2[600:], ETag='"v2"'), all_of(V2, '"v2"')], None),
        ([part(600, V1[600:], ETag='"v2"'), all_of(V1, '"v2"')], V1),
        ([part(0), all_of(V1)], V1),
        ([part(500, V1[500:]), all_of(V2, '"v2"')], None),
        ([part(600, V1[600:900]), all_of(V1)], V1),
        ([part(600, V1[600:], total="*"), all_of(V1)], V1),
        ([part(600, V1[600:], Content_Range="pages 1-2/3"), all_of(V1)], V1),
        ([part(600, V1[600:], total="9" * 5000), all_of(V1)], V1),
        ([part(600, V1[600:], Content_Encoding="gzip"), all_of(V1)], V1),
        ([all_of(V1)], V1),
        ([all_of(V1 + b"D", '"v2"')], V1 + b"D"),
        ([all_of(V2, '"v2"')], None),
        ([all_of(V1[:300], '"v2"')], None),
        ([all_of(V1[:599], '"v2"')], None),
        ([all_of(V1[:600], '"v2"')], V1[:600]),
        ([(416, b"", {"Content_Range": "bytes */600"})], V1[:600]),
        ([(416, b"", {"Content_Range": "bytes */300"}), all_of(V1[:300])], None),
        ([(416, b"", {}), all_of(V1)], V1),
        # It breaks off before it is known to be the same file: its ETag is no reason to ask for the rest of it.
        ([all_of(V2[:550], '"v2"', Content_Length="1000"), all_of(V2, '"v2"')], None),
        ([all_of(V1[:700], '"v2"', Content_Length="1000"), part(700, V1[700:], ETag='"v2"')], V1),
    ],
)  # fmt: skip
def test_saved_bytes_are_those_of_one_file(
    site: Site, steps: list[Step], expected: bytes | None, tmp_path: Path
) -> None:
    image = site.image("/file.bin", in_steps(*steps), uuid="u")
    if expected is not None:
        assert image.save(tmp_path).read_bytes() == expected
    else:
        with pytest.raises(DownloadError, match="file changed during the download") as caught:
            image.save(tmp_path)
        assert caught.value.retryable
        assert list(tmp_path.iterdir()) == []
    assert len(site.requests) == len(steps) + 1
    for _, headers in site.requests[1:]:
        assert headers.get("If-Range") in ((None,) if "Range" not in headers else ('"v1"', '"v2"'))


def test_connection_lost_after_the_last_byte_keeps_the_file(site: Site) -> None:
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        total = len(V1) + (number == 1)
        status = 200 if number == 1 else 416
        facts = {"Content_Length": str(total)} if number == 1 else {"Content_Range": f"bytes */{total}"}
        whole(V1 if number == 1 else b"", status, **facts)(handler, number)
        handler.close_connection = True

    assert site.image("/file", answer).read() == V1


def test_partial_response_that_was_not_requested_is_rejected(site: Site) -> None:
    with pytest.raises(DownloadError, match="different part"):
        site.image("/part", whole(V1[:5], 206, Content_Range="bytes 0-4/5")).read()


def test_compressed_response_is_downloaded_again_from_the_start(site: Site) -> None:
    packed = gzip.compress(random.Random(1).randbytes(50_000) + LONG)

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        facts = {"Content_Encoding": "gzip", "Content_Length": str(len(packed)), "ETag": '"v1"'}
        whole(packed[:40_000] if number == 1 else packed, **facts)(handler, number)
        handler.close_connection = True

    assert site.image("/packed", answer).read() == gzip.decompress(packed)
    assert len(site.requests) == 2
    assert "Range" not in site.requests[1][1]


@pytest.mark.parametrize("status", [200, 204])
def test_empty_file_is_rejected(status: int, site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="empty"):
        site.image("/x.png", whole(b"", status), uuid="u").save(tmp_path)
    with pytest.raises(DownloadError, match="empty"):
        runware.Image(uuid="u", data_uri="data:image/png;base64,").save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_file_type_is_recognised_from_small_first_chunks(site: Site, tmp_path: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(PNG)))
        handler.end_headers()
        for piece in (PNG[:1], PNG[1:7], PNG[7:]):
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(0.05)

    path = site.image("/file", answer, uuid="u").save(tmp_path)
    assert (path.name, path.read_bytes()) == ("u.png", PNG)


class TestSilentServer:
    """The server sends nothing, or nothing more, and the caller is cancelled or interrupted."""

    @pytest.fixture(params=["nothing", "head", "half", "endless", "TLS"])
    def image(self, request: pytest.FixtureRequest) -> Iterator[tuple[runware.Image, threading.Event]]:
        heard = threading.Event()
        said = {
            "half": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(100),
            "endless": b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100),
            "head": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        }

        def handler(sock: Any) -> None:
            sock.recv(1)
            sock.sendall(said.get(request.param, b""))
            heard.set()
            while sock.recv(65536):
                pass

        with listening(handler) as port:
            scheme = "https" if request.param == "TLS" else "http"
            yield runware.Image(url=f"{scheme}://127.0.0.1:{port}/x.png", uuid="u"), heard

    @pytest.mark.parametrize("way", ["asave", "aread", "aiter_bytes", "asave_all"])
    def test_cancelling_in_asyncio_returns_at_once(
        self, way: str, image: tuple[runware.Image, threading.Event], tmp_path: Path
    ) -> None:
        result, heard = image

        async def wait() -> None:
            if way == "asave":
                await result.asave(tmp_path)
            elif way == "aread":
                await result.aread()
            elif way == "asave_all":
                await runware.Results([result]).asave_all(tmp_path)
            else:
                async for chunk in result.aiter_bytes():
                    assert chunk

        async def main() -> None:
            waiting = asyncio.create_task(wait())
            await asyncio.get_running_loop().run_in_executor(None, heard.wait, 10)
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        started = time.monotonic()
        asyncio.run(main())  # waits for the threads of its executor
        assert time.monotonic() - started < 5
        assert list(tmp_path.iterdir()) == []

    def test_ctrl_c_during_save_all_returns_at_once(
        self, image: tuple[runware.Image, threading.Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result, heard = image

        def interrupted(_: Any) -> None:
            assert heard.wait(10)
            time.sleep(0.05)
            raise KeyboardInterrupt

        monkeypatch.setattr("concurrent.futures.Future.exception", interrupted)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            runware.Results([result]).save_all(tmp_path)
        assert time.monotonic() - started < 5
        assert list(tmp_path.iterdir()) == []


def test_cancelling_ends_the_pause_before_a_retry(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = threading.Event()

    def busy(handler: BaseHTTPRequestHandler, number: int) -> None:
        whole(b"", 503, Retry_After="9")(handler, number)
        heard.set()

    async def main() -> None:
        waiting = asyncio.create_task(site.image("/busy", busy).aread())
        await asyncio.get_running_loop().run_in_executor(None, heard.wait, 10)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 5
    assert len(site.requests) == 1


def test_cancelling_after_the_last_byte_leaves_no_file(tmp_path: Path) -> None:
    written = threading.Event()

    class Slow(runware.Image):
        def _contents(self, *_: Any) -> Iterator[bytes]:
            yield PNG
            written.set()
            time.sleep(0.2)

    async def main() -> None:
        saving = asyncio.create_task(Slow(uuid="u", url="http://127.0.0.1/").asave(tmp_path))
        await asyncio.get_running_loop().run_in_executor(None, written.wait, 10)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_unreachable_server_raises_download_error() -> None:
    with listening(lambda sock: None) as port:
        image = runware.Image(url=f"http://127.0.0.1:{port}/x.png")
        with pytest.raises(DownloadError, match=r"127\.0\.0\.1.*3 attempts"):
            image.read()


@pytest.mark.parametrize("how", ["read", "iter_bytes", "save", "save_all"])
@pytest.mark.parametrize(
    ("limits", "error", "parameter"),
    [
        ({"timeout": -1}, ConfigurationError, "timeout"),
        ({"timeout": float("nan")}, ConfigurationError, "timeout"),
        ({"timeout": float("inf")}, ConfigurationError, "timeout"),
        ({"timeout": "5"}, ConfigurationError, "timeout"),
        ({"timeout": None}, ConfigurationError, "timeout"),
        ({"max_bytes": None}, ValidationError, "max_bytes"),
        ({"max_bytes": -1}, ValidationError, "max_bytes"),
    ],
    ids=str,
)
def test_limits_of_a_download_that_are_none_are_refused(
    tmp_path: Path, how: str, limits: dict[str, Any], error: type[RunwareError], parameter: str
) -> None:
    image = runware.Image(url="http://127.0.0.1:1/x.png")
    run: dict[str, Callable[[], object]] = {
        "read": lambda: image.read(**limits),
        "iter_bytes": lambda: list(image.iter_bytes(**limits)),
        "save": lambda: image.save(tmp_path, **limits),
        "save_all": lambda: runware.Results([image, image]).save_all(tmp_path, template="{index}", **limits),
    }
    with pytest.raises(error) as caught:
        run[how]()
    assert caught.value.parameter == parameter
    assert list(tmp_path.iterdir()) == []


def test_silent_server_times_out() -> None:
    with (
        listening(lambda sock: sock.recv(1 << 16) and sock.recv(1)) as port,
        pytest.raises(DownloadError, match=r"no data for 0\.05 s"),
    ):
        runware.Image(url=f"http://127.0.0.1:{port}/x.png").read(timeout=0.05)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/hostname", "http and https"),
        ("ftp://example.com/x", "http and https"),
        ("/etc/hostname", "http and https"),
        ("http://", "http and https"),
        ("http://127.0.0.1:99999999/x", "URL is not valid|could not be downloaded"),
        ("http://[::1/x", "URL is not valid|http and https"),
        (f"http://{'a' * 70}.example/x", "URL is not valid"),
        ("http://127.0.0.1:9/\ud83d", "URL is not valid"),
        ("http://\ud83d.example/x", "URL is not valid"),
    ],
)
def test_only_http_urls_are_downloaded(url: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=reason):
        runware.Image(url=url).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_redirect_to_another_scheme_is_refused(site: Site, target: str) -> None:
    with pytest.raises(DownloadError, match="http and https"):
        site.image("/moved", whole(b"", 302, Location=target)).read()
    assert len(site.requests) == 1


def test_redirect_loop_ends(site: Site) -> None:
    assert site.image("/there", whole(b"", 302, Location="/file")).read() == PNG
    with pytest.raises(DownloadError, match="redirects more than 5 times"):
        site.image("/loop", whole(b"", 302, Location="/loop")).read()


def test_web_page_is_not_a_result(site: Site) -> None:
    with pytest.raises(DownloadError, match="web page"):
        site.image("/x.png", whole(b"<html>Log in</html>", Content_Type="text/html; charset=utf-8")).read()


@pytest.mark.parametrize(
    ("given", "name"),
    [("dcb", "dcb"), ("gzip, X-Made-Up", "x-made-up"), ("compress,identity", "compress"), ("gzip", "Error")],
)
def test_content_that_cannot_be_decoded_is_not_saved(site: Site, given: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=name) as caught:
        site.image("/x.png", whole(PNG, Content_Encoding=given), uuid="u").save(tmp_path)
    assert not caught.value.retryable
    assert list(tmp_path.iterdir()) == []
    assert len(site.requests) == 1


@pytest.mark.parametrize("given", ["identity", "", "aws-chunked", "UTF-8", "gzip", "aws-chunked, gzip"])
def test_content_that_is_plain_or_can_be_decoded_is_read(site: Site, given: str) -> None:
    data = gzip.compress(PNG) if "gzip" in given else PNG
    assert site.image("/x.png", whole(data, Content_Encoding=given)).read() == PNG


@pytest.mark.parametrize("body", [b'{"errors": [{"code": "x"}]}', b"\xef\xbb\xbf\r\n [1]"])
@pytest.mark.parametrize("media_type", ["application/json", "image/png"])
def test_json_is_no_image(site: Site, body: bytes, media_type: str, tmp_path: Path) -> None:
    for path in ("/x.png", "/x", "/x.php?id=1"):
        with pytest.raises(DownloadError, match="returned JSON instead of a file"):
            site.image(path, whole(body, Content_Type=media_type), uuid="u").save(tmp_path)
    with pytest.raises(DownloadError, match="returned JSON"):
        runware.Model3D(url=f"{site.url}/x.png").read()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "path"), [(runware.Model3D, "/x.gltf"), (runware.Model3D, "/x"), (runware.ToolOutput, "/x.json")]
)
def test_result_that_may_be_json_is_read(site: Site, kind: type[runware.MediaResult], path: str) -> None:
    site.answers[path] = whole(b'{"asset": {}}', Content_Type="application/json")
    assert kind(url=site.url + path).read() == b'{"asset": {}}'


def test_max_bytes_limits_the_size(site: Site, tmp_path: Path) -> None:
    image = site.image("/long", whole(LONG), uuid="u")
    with pytest.raises(DownloadError, match="larger than 1,000 bytes"):
        image.save(tmp_path, max_bytes=1000)
    assert list(tmp_path.iterdir()) == []
    assert len(site.requests) == 1
    assert image.read(max_bytes=len(LONG)) == LONG


# ---------------------------------------------------------------------- proxies and TLS


def test_downloads_use_the_clients_settings_and_pickle_no_secret(
    server: LocalServer, rw: Runware, tmp_path: Path
) -> None:
    images = rw.image_inference(**PICTURE, number_results=2)
    assert all(image._downloads is rw._core.downloads for image in images)
    assert copy.deepcopy(images)[0]._downloads is rw._core.downloads
    data = pickle.dumps(images[0])
    assert server.api_key.encode() not in data
    again = pickle.loads(data)
    assert again == images[0]
    assert again._downloads is not None
    assert (again._downloads.server, again._downloads.proxy) == ("127.0.0.1", None)
    assert again.read() == images[0].read()
    assert "downloads" not in repr(images[0]).lower()


def test_downloads_send_neither_the_key_nor_netrc_passwords(
    site: Site, rw: Runware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    image = site.image("/file")
    fetched_by(image, rw._core.downloads)
    assert image.read() == PNG
    ((_, headers),) = site.requests
    assert "Authorization" not in headers
    assert "Cookie" not in headers
    assert headers["User-Agent"].startswith("runware-client/")


def test_connection_is_closed_with_its_download_and_not_with_the_session() -> None:
    """Each took a descriptor until the end of a run of `map`, which is out of them after a thousand files or so."""
    closed = threading.Semaphore(0)

    def handler(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(PNG), PNG))
        if not sock.recv(1):
            closed.release()

    with listening(handler) as port, Downloads(None, None).session() as session:
        for _ in range(3):
            assert b"".join(session.fetch(f"http://127.0.0.1:{port}/", timeout=10, max_bytes=10**6)) == PNG
            assert closed.acquire(timeout=10)


def test_connection_that_is_not_allowed_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    def handler(sock: socket.socket) -> None:
        if not sock.recv(1):
            closed.set()

    def look_up(host: str, port: int | None, *_: Any, **__: Any) -> list[Any]:
        address = "8.8.8.8" if host == "api.example.com" else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with listening(handler) as port, Downloads(None, None, server="api.example.com").session() as session:
        with pytest.raises(DownloadError, match="this machine"):
            list(session.fetch(f"http://images.example.com:{port}/", timeout=10, max_bytes=10**6))
        assert closed.wait(10)


def test_download_without_a_free_descriptor_is_a_typed_error(
    rw: Runware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (image,) = rw.image_inference(positive_prompt="a kite", model="runware:101@1", width=512, height=512)

    def refuse(self: socket.socket) -> socket.socket:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "dup", refuse)
        with pytest.raises(DownloadError, match="Too many open files") as caught:
            image.save(tmp_path)
    assert caught.value.retryable
    assert image.save(tmp_path).exists()


def test_downloads_use_the_clients_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    def proxy(sock: Any) -> None:
        heads.append(read_head(sock))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG)

    image = runware.Image(url="http://im.example.com/x.png")
    with listening(proxy) as port:
        fetched_by(image, Downloads(f"http://me:secret@127.0.0.1:{port}", {}))
        assert image.read() == PNG
        fetched_by(image, None)
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{port}")
        assert image.read() == PNG
    assert [head.split(b"\r\n")[0] for head in heads] == [b"GET http://im.example.com/x.png HTTP/1.1"] * 2
    assert b"Proxy-Authorization: Basic " in heads[0]
    fetched_by(image, Downloads("socks4://127.0.0.1:9", {}))
    with pytest.raises(ConfigurationError, match="socks5h"):
        image.read()


def test_socks_proxy_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    image = runware.Image(url="http://im.example.com/x.png")
    fetched_by(image, Downloads("socks5h://127.0.0.1:9", {}))
    with pytest.raises(ConfigurationError, match=r"runware-client\[socks\]"):
        image.read()


def test_downloads_use_the_clients_trust_store(site: Site) -> None:
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    with LocalServer(ssl_context=theirs) as server, Runware(server.api_key, url=server.url, ssl_context=ours) as rw:
        (image,) = rw.image_inference(**PICTURE)
        assert image.url is not None
        assert image.url.startswith("https:")
        assert image.to_pil().size == (512, 512)
        fetched_by(image, None)
        with pytest.raises(DownloadError, match=r"not trusted.*SSL_CERT_FILE") as caught:
            image.read()
        assert not caught.value.retryable


# ---------------------------------------------------------------------- names and formats


def jpeg(mode: str = "RGB") -> bytes:
    pillow = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    pillow.new(mode, (8, 8), 200).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.parametrize("form", ["url", "base64"])
def test_save_converts_to_the_format_that_the_name_says(site: Site, tmp_path: Path, form: str) -> None:
    pillow = pytest.importorskip("PIL.Image")
    data = jpeg()
    if form == "url":
        image = site.image("/a.jpg", whole(data))
    else:
        image = runware.Image(base64_data=base64.b64encode(data).decode())
    for name, kind in {"a.png": "PNG", "a.WEBP": "WEBP", "a.jpeg": "JPEG", "a.gif": "GIF"}.items():
        path = image.save(tmp_path / name)
        assert path == tmp_path / name
        with pillow.open(path) as saved:
            assert (saved.format, saved.size) == (kind, (8, 8))
    for name in ("same.jpg", "same.jpeg", "same.dat", "same.JPG"):
        assert image.save(tmp_path / name).read_bytes() == data
    with pytest.raises(FileExistsError):
        image.save(tmp_path / "a.png")
    assert image.save(tmp_path / "a.png", overwrite=True).read_bytes().startswith(b"\x89PNG")


def test_transparent_image_becomes_a_jpeg_on_white(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    pillow.new("RGBA", (8, 8), (0, 0, 0, 0)).save(out, "PNG")
    path = runware.Image(base64_data=base64.b64encode(out.getvalue()).decode()).save(tmp_path / "a.jpg")
    with pillow.open(path) as saved:
        assert saved.getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (PNG, "a.mp4", "Only images are converted"),
        (b"<svg></svg>", "a.png", "Pillow does not read it"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a.jpg", "Pillow"),
        (PNG, "a.svg", "Pillow does not write that format"),
        (b"\0\0\0\x18ftypisom" + bytes(50), "a.webm", "Only images are converted"),
        (BOMB, "a.jpg", "1600000000 pixels"),
    ],
)
def test_save_says_what_it_cannot_convert(tmp_path: Path, data: bytes, name: str, words: str) -> None:
    result = runware.Image(base64_data=base64.b64encode(data).decode())
    with pytest.raises(DownloadError, match=words):
        result.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_converting_without_pillow_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    monkeypatch.setattr("runware.media.conversion.pillow", lazy_module("PIL.Image"))
    with pytest.raises(ConfigurationError, match=r"runware-client\[images\].*Save it as \.png"):
        runware.Image(base64_data=base64.b64encode(PNG).decode()).save(tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


def test_template_names_the_files(rw: Runware, tmp_path: Path) -> None:
    images = rw.image_inference(**PICTURE, number_results=3, seed=7, output_format="PNG")
    template = "{task_type}/{index:03}-{seed}{ext}"
    assert images.save_all(tmp_path, template=template) == [
        tmp_path / "imageInference" / f"00{number}-{number + 7}.png" for number in range(3)
    ]
    assert images[1].save(tmp_path / "one", template=template) == tmp_path / "one/imageInference/000-8.png"
    assert images[0].save(tmp_path, template="{model}-{uuid}.jpg").name == f"runware-101-1-{images[0].uuid}.jpg"

    async def main() -> None:
        assert await images[0].asave(tmp_path, template="{kind}.{ext}") == tmp_path / "image.png"
        assert await images.asave_all(tmp_path, template="{index}{ext}") == [tmp_path / f"{n}.png" for n in range(3)]

    asyncio.run(main())


@pytest.mark.parametrize(
    "template", ["{prompt}{ext}", "{index", "{0}{ext}", "{}", "{index!x}", "{uuid.x}", "{seed:z}", "{index:{x}}"]
)
def test_wrong_template_is_refused_before_anything_is_written(site: Site, tmp_path: Path, template: str) -> None:
    images = runware.Results([site.image("/a.png", uuid="a"), site.image("/b.png", uuid="b")])
    for save in (images.save_all, images[0].save):
        with pytest.raises(ValidationError, match="template") as caught:
            save(tmp_path / "new", template=template)
        assert caught.value.parameter == "template"
    assert not list(tmp_path.iterdir())
    assert site.requests == []


def test_template_that_names_two_results_alike_is_refused(site: Site, tmp_path: Path) -> None:
    images = runware.Results([site.image("/a.png"), site.image("/b.png")])
    with pytest.raises(ValidationError, match="same name"):
        images.save_all(tmp_path / "new", template="{seed}{ext}")
    assert not list(tmp_path.iterdir())


def test_names_of_the_server_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    data = base64.b64encode(PNG).decode()
    image = runware.Image(base64_data=data, uuid="../../up", task_type="../x", task_uuid="/etc")
    path = image.save(tmp_path, template="{task_type}/{task_uuid}/{uuid}{ext}")
    assert path == tmp_path / "x" / "etc" / "up.png"


def test_template_puts_several_files_into_a_folder(tmp_path: Path) -> None:
    files = [{"uuid": f"part-{number}", "base64Data": base64.b64encode(PNG).decode()} for number in range(2)]
    model = runware.Model3D(uuid="m", outputs={"files": files})
    assert model.save(tmp_path, template="{uuid}{ext}") == tmp_path / "m"
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["part-0.png", "part-1.png"]


# ---------------------------------------------------------------------- memory


@pytest.mark.parametrize("form", ["base64", "data URI", "lines"])
def test_large_inline_result_is_decoded_in_chunks(tmp_path: Path, form: str) -> None:
    data = PNG + random.Random(1).randbytes(20_000_000)
    text = base64.encodebytes(data).decode() if form == "lines" else base64.b64encode(data).decode()
    if form == "data URI":
        image = runware.Image(data_uri=f"data:image/png;base64,{text}")
    else:
        image = runware.Image(base64_data=text)
    del text
    tracemalloc.start()
    try:
        path = image.save(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert path.read_bytes() == data == image.read()


def test_reading_a_large_inline_result_takes_its_memory_once() -> None:
    data = random.Random(2).randbytes(8_000_000)
    image = runware.Image(base64_data=base64.b64encode(data).decode())
    tracemalloc.start()
    try:
        found = image.read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == data
    assert peak < 1.25 * len(data)  # a buffer that grows by an eighth, and a chunk


@pytest.mark.parametrize("chunks", [1, 8])
@pytest.mark.parametrize("more", [-2, -1, 0, 1])
def test_chunks_of_base64_fit_together_at_their_edges(chunks: int, more: int) -> None:
    test_chunks_of_base64_fit_together(chunks * media._CHUNK // 4 * 3 + more)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_chunks_of_base64_fit_together(length: int) -> None:
    data = random.Random(length).randbytes(length)
    text = base64.b64encode(data).decode()
    assert b"".join(media.decoded_chunks(text)) == data
    assert b"".join(media.decoded_chunks("\n".join(text[i : i + 76] for i in range(0, len(text), 76)))) == data


@pytest.mark.parametrize("text", ["A", "?" * 8, "A" * (1 << 20) + "B", "AA==" * (1 << 19), "data:image/png;base64,?"])
def test_damaged_base64_is_an_error(text: str) -> None:
    with pytest.raises(DownloadError, match="invalid"):
        b"".join(media.decoded_chunks(text))


# ---------------------------------------------------------------------- opening


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="it replaces xdg-open")
def test_show_opens_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    opener = tmp_path / "bin" / "xdg-open"
    opener.write_text(f'#!/bin/sh\n/bin/cp "$1" {tmp_path}/shown.png\n')
    opener.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("DISPLAY", ":0")
    image = runware.Image(base64_data=base64.b64encode(PNG).decode())
    image.show()
    assert (tmp_path / "shown.png").read_bytes() == PNG
    opener.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(ConfigurationError, match="No program opens"):
        image.show()
    opener.unlink()
    with pytest.raises(ConfigurationError, match="xdg-open"):
        image.show()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="they always have a display")
def test_show_without_a_display_downloads_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ConfigurationError, match="needs a display"):
        site.image("/a.png").show()
    assert site.requests == []


def test_embedded_result_needs_no_network(site: Site) -> None:
    image = site.image("/a.png", uuid="a", seed=5)
    embedded = image.embed()
    assert (embedded.uuid, embedded.seed, embedded.url) == ("a", 5, image.url)
    asked = len(site.requests)
    assert embedded.read() == PNG
    assert len(site.requests) == asked
    with pytest.raises(DownloadError, match="larger than"):
        image.embed(max_bytes=10)


def test_home_directory_is_not_taken_for_a_folder(rw: Runware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = rw.image_inference(**PICTURE)
    for save in (images.save_all, images[0].save, lambda where: list(rw.map(rw.upscale, images, save_to=where))):
        with pytest.raises(ValidationError, match=r"begins with '~', .*: use Path\('~/kites/'\)\.expanduser\(\)\."):
            save("~/kites/")
    assert list(tmp_path.iterdir()) == []
    assert images[0].save("~kite.jpg") == Path("~kite.jpg")


def test_saving_all_to_a_file_is_explained(rw: Runware, tmp_path: Path) -> None:
    (tmp_path / "kites").touch()
    with pytest.raises(OverwriteError, match=r"kites is a file; save_all\(\) takes a directory\.$"):
        rw.image_inference(**PICTURE).save_all(tmp_path / "kites")


def test_result_without_media_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"^The result has neither a URL nor data\.$"):
        runware.Image().save(tmp_path)
