"""Media inputs and outputs: what an input becomes, where a file goes, and how it is downloaded."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import PIL
import pytest
from PIL import Image as Picture

import runware
from runware import DownloadError, ValidationError
from runware.media.files import decode_base64, safe_name, target_path, write_file
from runware.media.inputs import encode_media
from runware.media.kinds import sniff
from runware.requests.base import Task
from runware.results.media import class_by_name
from tests.api_objects import IMAGE, PNG, PNG_URI

# Before version 11.3, Pillow silently writes only 16 of the 32 bits.
refuses_32_bits = pytest.mark.skipif(
    tuple(map(int, PIL.__version__.split(".")[:2])) < (11, 3), reason="this version of Pillow writes mode I as PNG"
)

# ---------------------------------------------------------------------- media inputs


PLACES: dict[str, tuple[Callable[[Any], Task[Any]], Callable[[Any], Any]]] = {
    "field": (lambda medium: runware.Upscale(input_image=medium), lambda wire: wire["inputImage"]),
    "list": (lambda medium: runware.Caption(input_images=[medium]), lambda wire: wire["inputImages"][0]),
    "nested": (
        lambda medium: runware.VideoInference(
            model="m", inputs=runware.VideoInputs(frame_images=[runware.FrameImage(image=medium)])
        ),
        lambda wire: wire["inputs"]["frameImages"][0]["image"],
    ),
    "nested list": (
        lambda medium: runware.ThreeDInference(model="m", inputs=runware.ThreeDInputs(images=[medium])),
        lambda wire: wire["inputs"]["images"][0],
    ),
    "mapping": (
        lambda medium: runware.AudioInference(model="m", inputs={"deep": [{"audio": medium}]}),
        lambda wire: wire["inputs"]["deep"][0]["audio"],
    ),
    "extra": (lambda medium: runware.ModelSearch(extra={"like": [medium]}), lambda wire: wire["like"][0]),
}


class NamedFile(io.BytesIO):
    name = "picture.png"


def make_inputs(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "picture.png"
    path.write_bytes(PNG)
    return {
        "path": path,
        "bytes": PNG,
        "bytearray": bytearray(PNG),
        "memoryview": memoryview(PNG),
        "file": NamedFile(PNG),
        "picture": Picture.new("RGB", (2, 2)),
        "result": runware.Image(uuid=IMAGE),
        "general": runware.StoredMedia(media_uuid=IMAGE),
        "UUID": IMAGE,
        "URL": "https://example.com/a.png",
        "data URI": PNG_URI,
    }


BYTES = ("path", "bytes", "bytearray", "memoryview", "file")


@pytest.mark.parametrize("kind", [*BYTES, "picture", "result", "general", "UUID", "URL", "data URI"])
@pytest.mark.parametrize("place", PLACES)
def test_every_kind_of_media_input_is_encoded(kind: str, place: str, tmp_path: Path) -> None:
    medium = make_inputs(tmp_path)[kind]
    make, read = PLACES[place]
    task = make(medium)
    assert task.holds_payload() is (kind in (*BYTES, "picture"))
    sent = read(task.wire())
    if kind in (*BYTES, "data URI"):
        assert sent == PNG_URI
    elif kind == "picture":
        assert sent.startswith("data:image/png;base64,iVBOR")
    elif kind == "URL":
        assert sent == "https://example.com/a.png"
    else:
        assert sent == IMAGE


def test_string_is_never_opened_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(ValidationError, match=r"Path\('secret.txt'\)"):
        runware.Upscale(input_image="secret.txt")
    assert runware.Upscale(input_image="secret").wire()["inputImage"] == "secret"  # it may be base64
    task = runware.Upscale(positive_prompt="secret.txt", settings={"image": "secret.txt"})
    assert "secret" in (tmp_path / "secret.txt").read_text()
    assert task.wire()["settings"]["image"] == "secret.txt"


FILE_PLACES: dict[str, Callable[[Any], Any]] = {
    "input_images[1]": lambda medium: runware.Caption(input_images=[IMAGE, medium]),
    "inputs.image": lambda medium: runware.Upscale(inputs={"image": medium}),
    "inputs.frame_images[0].image": lambda medium: runware.VideoInference(
        model="m", inputs={"frame_images": [{"image": medium}]}
    ),
    "inputs.referenceImages[0]": lambda medium: runware.ImageInference(inputs={"referenceImages": [medium, {}]}),
    "guide_image": lambda medium: runware.ControlNet(model="m", guide_image=medium),
    "control_net[0].guide_image": lambda medium: runware.ImageInference(
        control_net=[{"model": "m", "guide_image": medium}]
    ),
    "mask": lambda medium: runware.Region(prompt="x", mask=medium),
    "media": lambda medium: runware.MediaStorage(media=medium),
}


@pytest.mark.parametrize("place", FILE_PLACES)
def test_file_name_in_place_of_media_is_rejected(place: str) -> None:
    for name in ("y.png", "C:\\pictures\\y", "~/y", "my picture.png", "été"):
        with pytest.raises(ValidationError) as caught:
            FILE_PLACES[place](name)
        assert caught.value.parameter == place
        assert place in str(caught.value)
        shown = "..." if " " in name else repr(name)
        assert f"pass Path({shown})" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        IMAGE.upper(),
        "http://example.com/a b.png?x=1",
        "HTTPS://example.com",
        "s3://bucket/key.png",
        "data:image/png;base64,iVBO",
        "DATA:,x",
        "aGVsbG8_-/+=",
        "aGVs\nbG8=\r\n",
        "",
        "!" * 1025,
    ],
)
@pytest.mark.parametrize("place", FILE_PLACES)
def test_strings_that_the_api_accepts_are_accepted(place: str, text: str) -> None:
    FILE_PLACES[place](text)


def test_error_about_a_media_string_quotes_no_prompt() -> None:
    with pytest.raises(ValidationError) as caught:
        runware.Upscale(input_image="a private wish, in words")
    assert "private" not in str(caught.value)


@pytest.mark.parametrize("what", ["missing", "empty", "directory", "empty bytes", "text file", "empty result"])
def test_unusable_media_name_the_parameter(what: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    medium: Any = {
        "missing": tmp_path / "missing.png",
        "empty": tmp_path / "empty",
        "directory": tmp_path,
        "empty bytes": b"",
        "text file": io.StringIO("text"),
        "empty result": runware.Image(),
    }[what]
    task = runware.VideoInference(
        model="m", inputs=runware.VideoInputs(image=IMAGE, frame_images=[runware.FrameImage(image=medium)])
    )
    with pytest.raises(ValidationError) as caught:
        task.wire()
    assert caught.value.parameter == "inputs.frame_images[0].image"
    assert caught.value.task_type == "videoInference"
    assert "inputs.frame_images[0].image" in str(caught.value)


class Failing(io.BytesIO):
    def read(self, *_: Any) -> bytes:
        raise OSError(5, "Input/output error")


def closed(file: Any) -> Any:
    file.close()
    return file


def truncated() -> Any:
    buffer = io.BytesIO()
    Picture.effect_noise((200, 200), 90).save(buffer, "JPEG")
    return Picture.open(io.BytesIO(buffer.getvalue()[:-5000]))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda tmp_path: closed(io.BytesIO(PNG)), "closed"),
        (lambda tmp_path: (tmp_path / "new").open("wb"), "cannot be read"),
        (lambda tmp_path: Failing(), "Input/output error"),
        (lambda tmp_path: io.TextIOWrapper(io.BytesIO(PNG), "utf-8"), "text mode"),
        (lambda tmp_path: Path("a\0b"), "null"),
        (lambda tmp_path: Path(), "the file '.' cannot be read"),
        (lambda tmp_path: truncated(), "truncated"),
        (lambda tmp_path: closed(Picture.new("RGB", (2, 2))), "closed"),
        (lambda tmp_path: Picture.new("RGB", (0, 0)), "empty"),
        pytest.param(lambda tmp_path: Picture.new("I", (2, 2)), "mode I.*convert it to RGB", marks=refuses_32_bits),
        (lambda tmp_path: Picture.new("F", (2, 2)), "mode F.*convert it to RGB"),
    ],
    ids=[
        "closed file", "file for writing", "failing file", "text file of bytes", "path with NUL", "path of nothing",
        "truncated picture", "closed picture", "picture of no size", "32 bits", "floats",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["field", "extra"])
def test_unreadable_media_name_the_parameter(
    make: Callable[[Path], Any], reason: str, place: str, tmp_path: Path
) -> None:
    medium = make(tmp_path)
    with pytest.raises(ValidationError, match=reason) as caught:
        PLACES[place][0](medium).wire()
    assert caught.value.parameter == ("input_image" if place == "field" else "extra")
    with contextlib.suppress(Exception):
        medium.close()


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I;16"]
)
def test_images_of_every_pillow_mode_are_encoded(mode: str) -> None:
    picture = Picture.new(mode, (3, 2))
    picture.info["icc_profile"] = b"profile"
    data = decode_base64(encode_media(picture))
    again = Picture.open(io.BytesIO(data))
    assert (again.format, again.size) == ("PNG", (3, 2))
    assert ("icc_profile" in again.info) is (mode not in ("CMYK", "LAB"))
    assert picture.mode == mode


def test_colours_survive_encoding() -> None:
    for mode, colour in (("CMYK", (0, 255, 255, 0)), ("HSV", (0, 255, 255)), ("YCbCr", (76, 85, 255))):
        data = decode_base64(encode_media(Picture.new(mode, (1, 1), colour)))
        red, green, blue = Picture.open(io.BytesIO(data)).convert("RGB").getpixel((0, 0))  # type: ignore[misc]
        assert red > 250
        assert max(green, blue) < 5


@pytest.mark.parametrize("place", ["settings", "extra"])
def test_unknown_objects_in_settings_or_extra_are_rejected(place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        runware.Upscale(input_image=IMAGE, **{place: {"deep": [object()]}}).wire()
    assert caught.value.parameter == ("settings.deep[0]" if place == "settings" else "extra")


@pytest.mark.parametrize(
    ("data", "media_type", "extension"),
    [
        (PNG, "image/png", ".png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg", ".jpg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp", ".webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav", ".wav"),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4", ".mp4"),
        (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime", ".mov"),
        (b"\x1aE\xdf\xa3", "video/webm", ".webm"),
        (b"glTF\x02", "model/gltf-binary", ".glb"),
        (b"\x00\x00\x00\x20ftypavif", "image/avif", ".avif"),
        (b"\x00\x00\x00\x20ftypavis", "image/avif", ".avif"),
        (b"\x00\x00\x00\x18ftypheic", "image/heic", ".heic"),
        (b"\x00\x00\x00\x18ftypheix", "image/heic", ".heic"),
        (b"\x00\x00\x00\x18ftyphevc", "image/heic", ".heic"),
        (b"\x00\x00\x00\x18ftypmif1", "image/heif", ".heif"),
        (b"\x00\x00\x00\x18ftypM4A ", "audio/mp4", ".m4a"),
        (b"\x00\x00\x00\x18ftypM4V ", "video/mp4", ".mp4"),
        (b"ID3\x04", "audio/mpeg", ".mp3"),
        (b"<svg xmlns=", "image/svg+xml", ".svg"),
        (b"who knows", "application/octet-stream", ""),
    ],
)
def test_file_type_is_recognised_from_the_first_bytes(data: bytes, media_type: str, extension: str) -> None:
    assert sniff(data) == (media_type, extension)


def drawn(form: str, mode: str = "RGB", **options: Any) -> bytes:
    """Return an image as Pillow writes it."""
    buffer = io.BytesIO()
    Picture.new(mode, (40, 30)).save(buffer, form, **options)
    return buffer.getvalue()


def box(brand: bytes, *others: bytes) -> bytes:
    """Return the first box of an MP4 file or a related format."""
    return (16 + 4 * len(others)).to_bytes(4, "big") + b"ftyp" + brand + bytes(4) + b"".join(others) + b"\0\0\0\x08free"


SAMPLES: list[tuple[Callable[[], bytes], str, str]] = [
    (lambda: drawn("PNG"), "image/png", ".png"),
    (lambda: drawn("JPEG"), "image/jpeg", ".jpg"),
    (lambda: drawn("WEBP"), "image/webp", ".webp"),
    (lambda: drawn("GIF"), "image/gif", ".gif"),
    (lambda: drawn("TIFF"), "image/tiff", ".tiff"),
    (lambda: drawn("TIFF", "I;16B"), "image/tiff", ".tiff"),  # of the other byte order
    (lambda: drawn("TIFF", big_tiff=True), "image/tiff", ".tiff"),
    (lambda: drawn("BMP"), "image/bmp", ".bmp"),
    (lambda: drawn("BMP", "1"), "image/bmp", ".bmp"),
    (lambda: drawn("BMP", "RGBA"), "image/bmp", ".bmp"),
    (lambda: box(b"qt  ", b"qt  "), "video/quicktime", ".mov"),
    (lambda: b"\0\0\0\x08wide\0\0\x10\0mdat", "video/quicktime", ".mov"),
    (lambda: box(b"isom", b"iso2", b"avc1", b"mp41"), "video/mp4", ".mp4"),
    (lambda: box(b"iso5", b"dash"), "video/mp4", ".mp4"),
    (lambda: box(b"avif", b"mif1", b"miaf"), "image/avif", ".avif"),
    (lambda: box(b"heic", b"mif1"), "image/heic", ".heic"),
    (lambda: box(b"mif1", b"heic"), "image/heif", ".heif"),
    (lambda: box(b"M4A ", b"mp42"), "audio/mp4", ".m4a"),
    (lambda: b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm", ".webm"),
    (lambda: b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroska", "video/x-matroska", ".mkv"),
    (lambda: b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav", ".wav"),
    (lambda: b"fLaC\0\0\0\x22", "audio/flac", ".flac"),
    (lambda: b"OggS\0\2" + bytes(22) + b"\1\x1e\1vorbis", "audio/ogg", ".ogg"),
    (lambda: b"ID3\3\0\0\0\0\0\x23TSSE", "audio/mpeg", ".mp3"),
    (lambda: b"\xff\xfb\x90\x64", "audio/mpeg", ".mp3"),
    (lambda: b"\xff\xf3\x90\x64", "audio/mpeg", ".mp3"),
    (lambda: b"\xff\xf1\x50\x80", "audio/aac", ".aac"),
    (lambda: b"glTF\2\0\0\0", "model/gltf-binary", ".glb"),
    (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", ".svg"),
    (lambda: b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a\n<comment> -->\n<svg>", "image/svg+xml", ".svg"),
    (lambda: b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' ''><svg>", "image/svg+xml", ".svg"),
    (lambda: b"<!--" + b"x" * 2000 + b"--><svg>", "image/svg+xml", ".svg"),
]


@pytest.mark.parametrize(("make", "media_type", "extension"), SAMPLES, ids=[sample[2] for sample in SAMPLES])
def test_media_type_of_inputs_and_extension_of_saved_files(
    make: Callable[[], bytes], media_type: str, extension: str, tmp_path: Path
) -> None:
    data = make()
    encoded = base64.b64encode(data).decode()
    assert encode_media(data) == f"data:{media_type};base64,{encoded}"
    nameless = tmp_path / "nameless"
    nameless.write_bytes(data)
    assert encode_media(nameless) == encode_media(io.BytesIO(data)) == encode_media(data)
    path = runware.MediaResult(base64_data=encoded, uuid="u").save(tmp_path)
    assert (path.name, path.read_bytes()) == (f"u{extension}", data)


@pytest.mark.parametrize(
    "text",
    [
        "BMW is a maker of cars, and of motorcycles", "BM", "IIa. chapter three", "MM. means something",
        "GIFs, all of them",
        "RIFFs, WAVEs and WEBP", "the ftyp box", "box ftypmp42", "ID3 tags", "OggSomething", "glTF is a format",
        "fLa", "<?xml version='1.0'?><rss/>", "<?xml version='1.0'?><!-- <svg> --><rss/>", "<!DOCTYPE html><svg>",
        "<html><svg/></html>", "<svgs>", "<!-- <svg>", "%PDFs", "{}", "plain", "", " ",
    ],
)  # fmt: skip
def test_text_is_not_taken_for_media(text: str) -> None:
    for data in (text.encode(), text.encode() * 50, text.encode("utf-16")):
        assert sniff(data) == ("application/octet-stream", "")
    assert sniff(bytes(100)) == ("application/octet-stream", "")


def test_malicious_bytes_are_recognised_in_bounded_time() -> None:
    """A backtracking expression would need years for these."""
    for part in (b"<??>", b"<!---->", b"<?", b"<!--", b" ", b"<?x?> "):
        assert sniff(part * 100_000) == ("application/octet-stream", "")


def test_url_distinguishes_images_videos_and_audio() -> None:
    for extension, cls in {"tif": runware.Image, "bmp": runware.Image, "heic": runware.Image, "mkv": runware.Video,
                           "m4a": runware.Audio}.items():  # fmt: skip
        assert class_by_name({"mediaURL": f"https://a/b.{extension}"}, runware.Result) is cls


def test_extension_of_the_name_decides_for_unknown_bytes(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"plain")
    assert encode_media(path) == "data:text/plain;base64,cGxhaW4="
    assert encode_media(b"plain") == "data:application/octet-stream;base64,cGxhaW4="


def test_file_is_read_from_its_current_position() -> None:
    file = io.BytesIO(b"skip" + PNG)
    file.seek(4)
    assert encode_media(file) == PNG_URI


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("aGVsbG8=", b"hello"),
        ("aGVs\r\nbG8=\n", b"hello"),
        ("data:text/plain;base64,aGVs\nbG8=", b"hello"),
        ("DATA:text/plain;Base64,aGVsbG8=", b"hello"),
        ("data:image/svg+xml,%3Csvg%3E%C3%A9", "<svg>é".encode()),
        ("data:image/svg+xml;utf8,<svg/>", b"<svg/>"),
        ("data:,a,b", b"a,b"),
    ],
)
def test_base64_and_data_uris_are_decoded(text: str, data: bytes) -> None:
    assert decode_base64(text) == data


@pytest.mark.parametrize("text", ["not base64!", "data:image/png;base64,###"])
def test_damaged_base64_raises(text: str) -> None:
    with pytest.raises(DownloadError):
        decode_base64(text)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("", "stem.png"),
        ("new", "new/stem.png"),
        ("new/", "new/stem.png"),
        ("new.dir/", "new.dir/stem.png"),
        ("picture.jpg", "picture.jpg"),
        ("old", "old/stem.png"),
        ("old.d", "old.d/stem.png"),
        ("bare", "bare"),
    ],
)
def test_target_path_is_a_file_or_in_a_directory(where: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old.d").mkdir()
    (tmp_path / "bare").touch()
    ending = "/" if where.endswith("/") else ""
    assert target_path(str(tmp_path / where) + ending, "stem", ".png") == tmp_path / expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("../../etc/passwd", "etc-passwd"),
        (".hidden", "hidden"),
        ("", "result"),
        ("a" * 300, "a" * 100),
        ("bb-1_C", "bb-1_C"),
    ],
)
def test_names_from_the_server_are_made_safe(text: str, expected: str) -> None:
    assert safe_name(text) == expected


def test_write_file_overwrites_only_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    assert write_file(path, iter([b"a", b"b"]), overwrite=False) == path
    assert path.read_bytes() == b"ab"
    with pytest.raises(FileExistsError):
        write_file(path, iter([b"c"]), overwrite=False)
    assert path.read_bytes() == b"ab"
    write_file(path, iter([b"c"]), overwrite=True)
    assert path.read_bytes() == b"c"


@pytest.mark.parametrize("overwrite", [False, True])
def test_failed_write_leaves_no_file(overwrite: bool, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise DownloadError("gone")

    with pytest.raises(DownloadError):
        write_file(tmp_path / "file", broken(), overwrite=overwrite)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- over HTTP


class Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/file.png")
            self.end_headers()
            return
        status = 200 if self.path.startswith("/file") else 404 if self.path == "/gone" else 503
        self.send_response(status)
        self.send_header("X-Authorization", str(self.headers.get("Authorization")))
        self.end_headers()
        self.wfile.write(PNG)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_download_follows_redirects_and_names_the_file(site: str, tmp_path: Path) -> None:
    image = runware.Image(uuid=IMAGE, url=f"{site}/moved")
    assert image.read() == PNG
    assert image.save(tmp_path) == tmp_path / f"{IMAGE}.png"
    assert (tmp_path / f"{IMAGE}.png").read_bytes() == PNG
    with pytest.raises(FileExistsError):
        image.save(tmp_path)
    assert image.save(tmp_path / "other.bin") == tmp_path / "other.bin"


def test_general_media_url_is_downloaded(site: str, tmp_path: Path) -> None:
    assert runware.Image(media_uuid="m1", media_url=f"{site}/file").save(tmp_path).name == "m1.png"


@pytest.mark.parametrize(("path", "retryable"), [("/gone", False), ("/busy", True)])
def test_failed_download_says_whether_to_retry(site: str, path: str, retryable: bool, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        runware.Image(url=site + path).save(tmp_path)
    assert caught.value.retryable is retryable
    assert list(tmp_path.iterdir()) == []


def test_download_limits_raise(site: str) -> None:
    with pytest.raises(DownloadError, match="larger"):
        runware.Image(url=f"{site}/file").read(max_bytes=3)
    with pytest.raises(DownloadError, match="http"):
        runware.Image(url="file:///etc/hostname").read()


def test_embedded_bytes_need_no_download(tmp_path: Path) -> None:
    text = base64.b64encode(PNG).decode()
    for image in (runware.Image(base64_data=text), runware.Image(data_uri=PNG_URI)):
        assert image.read() == PNG
        assert image.save(tmp_path, overwrite=True) == tmp_path / "image.png"
    with pytest.raises(DownloadError):
        runware.Image().read()


def test_save_all_saves_every_result(site: str, tmp_path: Path) -> None:
    results = runware.Results([runware.Image(uuid=str(n), url=f"{site}/file{n}") for n in range(12)])
    assert [path.name for path in results.save_all(tmp_path / "new")] == [f"{n}.png" for n in range(12)]


def test_save_writes_every_file_of_a_model(site: str, tmp_path: Path) -> None:
    files = [{"uuid": f"f{n}", "url": f"{site}/file{n}.glb"} for n in range(3)]
    one = runware.Model3D(outputs={"files": files[:1]})
    assert one.save(tmp_path / "one.dat") == tmp_path / "one.dat"
    assert one.read() == PNG
    several = runware.Model3D(outputs={"files": files})
    assert several.save(tmp_path / "new.d") == tmp_path / "new.d"
    assert sorted(path.name for path in (tmp_path / "new.d").iterdir()) == ["f0.png", "f1.png", "f2.png"]
    assert [file.save(tmp_path).name for file in several.files] == ["f0.png", "f1.png", "f2.png"]
