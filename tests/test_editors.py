"""What editors and documentation tools show of the operations."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from runware import AsyncRunware, Runware, requests
from runware.client import Submitter

PROJECT = Path(__file__).parent.parent
FORMS = {"rw": Runware, "rw.aio": AsyncRunware, "rw.submit": Submitter}
MAIN = ["positive_prompt", "model", "width", "height"]


@pytest.fixture(scope="module")
def jedi(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = pytest.importorskip("jedi", reason="jedi is an optional part of the test environment")
    # Not the user's cache, which several processes would write at the same time.
    found.settings.cache_directory = str(tmp_path_factory.mktemp("jedi"))
    return found


class TestJedi:
    @pytest.fixture
    def source(self, jedi: Any) -> Any:
        project = jedi.Project(PROJECT)

        def make(line: str) -> Any:
            return jedi.Script(f"from runware import Runware\nrw = Runware()\n{line}", project=project)

        return make

    @pytest.mark.parametrize("form", FORMS)
    def test_jedi_completes_parameters(self, source: Any, form: str) -> None:
        assert "positive_prompt=" in [one.name for one in source(f"{form}.image_inference(posi").complete()]

    @pytest.mark.parametrize(
        "call",
        [
            "rw.image_inference(positive_prompt='x')[0].",
            "rw.submit.image_inference(positive_prompt='x').result()[0].",
            "async def f():\n    (await rw.aio.image_inference(positive_prompt='x'))[0].",
        ],
    )
    def test_jedi_completes_attributes_of_results(self, source: Any, call: str) -> None:
        assert {"save", "image_url", "seed"} <= {one.name for one in source(call).complete()}

    @pytest.mark.parametrize("form", FORMS)
    def test_jedi_signature_has_the_main_parameters_first(self, source: Any, form: str) -> None:
        [shown] = source(f"{form}.image_inference(").get_signatures()
        assert [one.name for one in shown.params if one.name not in ("self", "*")][:4] == MAIN

    @pytest.mark.parametrize("form", FORMS)
    def test_jedi_hover_shows_the_docstring(self, source: Any, form: str) -> None:
        [shown] = source(f"{form}.image_inference").help()
        words = shown.docstring()
        assert "positive_prompt: What to generate" in words
        assert words.index("positive_prompt:") < words.index("seed_image:") < words.index("retry:")

    @pytest.mark.parametrize("alias", ["request_images", "image_inference"])
    def test_jedi_completes_live_objects(self, jedi: Any, alias: str) -> None:
        rw = Runware("key")
        found = jedi.Interpreter(f"rw.{alias}(posi", [{"rw": rw}]).complete()
        assert "positive_prompt=" in [one.name for one in found]


def test_griffe_sees_every_method() -> None:
    griffe = pytest.importorskip("griffe", reason="griffe comes with the documentation's tools")
    package = griffe.load("runware", search_paths=[PROJECT], resolve_aliases=True, resolve_external=False)
    for form in FORMS.values():
        seen = package[f"client.{form.__name__}"].all_members
        for name, (request, *aliases) in requests.OPERATIONS.items():
            method = seen[name]
            assert method.is_function
            shown = [one.name for one in method.parameters]
            assert shown == [*inspect.signature(getattr(form, name)).parameters]
            kinds = {part.kind.value for part in method.docstring.parse("google")}
            assert {"text", "parameters", "returns", "raises"} <= kinds
            parts = {part.kind.value: part for part in method.docstring.parse("google")}
            assert [one.name for one in parts["parameters"].value] == [name for name in shown if name != "self"]
            assert all(alias in seen for alias in aliases), request


@pytest.mark.filterwarnings("ignore")  # of Sphinx about its own extensions
def test_sphinx_autodoc_sees_every_method(tmp_path: Path) -> None:
    application = pytest.importorskip("sphinx.application", reason="Sphinx is an optional part of the test environment")
    (tmp_path / "conf.py").write_text("extensions = ['sphinx.ext.autodoc', 'sphinx.ext.napoleon']\n")
    classes = "\n\n".join(
        f".. autoclass:: runware.client.{form.__name__}\n   :members:\n   :inherited-members:"
        for form in FORMS.values()
    )
    (tmp_path / "index.rst").write_text(f"Operations\n==========\n\n{classes}\n")
    out = tmp_path / "out"
    app = application.Sphinx(tmp_path, tmp_path, out, tmp_path / "trees", "text", status=None, warning=None)
    app.build()
    text = (out / "index.txt").read_text()
    for name in requests.OPERATIONS:
        assert text.count(f" {name}(") >= len(FORMS), name
    assert "**positive_prompt**" in text
