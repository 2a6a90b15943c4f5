"""What the first call of a process loads. Modules and classes are counted, since they take most of its time."""

from __future__ import annotations

import asyncio
import importlib
import pickle
import subprocess
import sys
import threading

import pytest

from runware import Runware
from runware.local import LocalServer

from .test_three_interfaces import PICTURE

START = """
import asyncio, sys
import attr._make

before, classes = set(sys.modules), []
build = attr._make._ClassBuilder.build_class

def counted(builder):
    classes.append(build(builder))
    return classes[-1]

def loaded(*names):
    return sorted(name for name in set(sys.modules) - before if name.startswith(names))

attr._make._ClassBuilder.build_class = counted

from runware import Runware
"""
NOT_NEEDED = (
    *("cattrs", "typing_extensions", "tenacity", "httpx2", "httpcore2", "anyio", "platformdirs"),
    *("tempfile", "difflib", "http.client", "urllib.request", "sqlite3"),
    *("runware.events", "runware.results.platform", "runware.results.media", "runware.results.text"),
    *("runware.requests.raw", "runware.requests.image_parts", "runware.requests.text", "runware.models.estimates"),
    *("runware.media.viewer", "runware.text.", "runware.serverless.", "runware.store", "runware.transport.http_l"),
)
FORMS = {
    "blocking": "rw.image_inference(**picture)",
    "asyncio": "asyncio.run(rw.aio.image_inference(**picture))",
    "submit": "rw.submit.image_inference(**picture).result()",
}


def output(code: str) -> list[str]:
    """Return the lines that a new process prints."""
    line = [sys.executable, "-c", START + code]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


def client(server: LocalServer) -> str:
    return f"rw = Runware({server.api_key!r}, url={server.url!r}, timeout=20.0)"


@pytest.mark.parametrize("form", FORMS)
def test_first_call_loads_few_modules_and_makes_few_classes(server: LocalServer, form: str) -> None:
    superfluous, modules, made = output(f"""
{client(server)}
picture = {PICTURE!r}
assert {FORMS[form]}[0].url
print(*loaded(*{NOT_NEEDED!r}))
print(len(loaded("runware")))
print(len(classes))
""")
    assert superfluous == ""
    assert int(modules) <= 112
    assert int(made) <= 30


def test_first_call_for_a_text_loads_nothing_for_images(server: LocalServer) -> None:
    assert output(f"""
{client(server)}
assert rw.text_inference(model="google:gemma@4", messages=[{{"role": "user", "content": "Hello"}}])[0].text
print(*loaded("cattrs", "runware.requests.image", "runware.results.image", "runware.results.media"))
""") == [""]


def test_first_check_of_a_dict_loads_neither_its_request_class_nor_results() -> None:
    assert output("""
rw = Runware("key")
before = set(sys.modules)
task = {"task_type": "imageInference", "model": "runware:101@1", "positive_prompt": "a kite", "width": 1000}
assert [problem.parameter for problem in rw.check(task, height=1024)] == ["width"]
print(*loaded("runware.re", "cattrs"))
""") == ["runware.requests.raw"]


def test_objects_in_requests_load_with_the_first_of_them() -> None:
    assert output("""
from runware.requests import ImageInference
rest = dict(positive_prompt="a kite", model="runware:101@1", width=512, height=512, cfg_scale=3.5)
ImageInference(**rest, timeout=5, negative_prompt=None, extra={"x": [1]})
print(*loaded("runware.requests.image_parts"))
ImageInference(**rest, lora=[{"model": "civitai:1@1"}])
print(*loaded("runware.requests.image_parts"))
""") == ["", "runware.requests.image_parts"]


def test_annotation_of_a_request_class_may_have_strings_inside_it() -> None:
    assert output("""
from collections.abc import Sequence
import attrs
from runware import Result, Results, Task, ValidationError

@attrs.frozen(kw_only=True, repr=False, eq=False, slots=False)
class Cutting(Task[Results[Result]]):
    task_type = "cutting"
    lengths: Sequence["Length"] | None = None

class Length:
    pass

print(len(Cutting(lengths=[Length()]).lengths))
try:
    Cutting(lengths=[5])
except ValidationError as error:
    print(error.parameter)
""") == ["1", "lengths"]


@pytest.mark.parametrize(
    ("module", "name"), [("results.media", "Image"), ("results.media", "MediaResult"), ("requests.image", "Lora")]
)
def test_class_is_found_in_the_module_that_earlier_pickles_name(module: str, name: str) -> None:
    found = pickle.loads(f"crunware.{module}\n{name}\n.".encode())
    assert found is getattr(importlib.import_module(f"runware.{module.partition('.')[0]}"), name)


@pytest.mark.parametrize("module", ["runware.results", "runware.requests.image", "runware.models"])
@pytest.mark.parametrize("name", ["Nothing", "__wrapped__"])
def test_module_with_late_names_refuses_others(module: str, name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("form", ["blocking", "asyncio"])
def test_models_are_loaded_while_the_client_connects(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    authenticated = threading.Event()
    rw = Runware(
        server.api_key,
        url=server.url,
        timeout=20.0,
        on_event=lambda event: authenticated.set() if type(event).__name__ == "Authenticated" else None,
    )
    knowledge, in_time = rw._core.knowledge, []
    prepare = knowledge.prepare

    def waiting() -> None:
        in_time.append(authenticated.wait(10.0))
        prepare()

    monkeypatch.setattr(knowledge, "prepare", waiting)
    if form == "blocking":
        rw.connect()
    else:
        asyncio.run(rw.aio.connect())
    assert in_time == [True]
    assert rw._core.started
    rw.close()


def test_interrupt_while_the_models_are_loaded_cancels_the_connection(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    rw = Runware(server.api_key, url=server.url, timeout=20.0)
    with monkeypatch.context() as patched, server.hold("authentication"):
        patched.setattr(rw._core.knowledge, "prepare", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rw.connect()
    assert not rw._core.started
    assert rw.image_inference(**PICTURE)[0].url  # and the client works
    rw.close()
