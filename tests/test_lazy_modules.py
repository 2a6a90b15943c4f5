"""Modules that load at their first use: when, with which errors, and beside a fork."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runware._support.lazy_modules import lazy_attributes, lazy_module, load_module


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `lazily_loaded` that can be imported."""
    path = tmp_path / "lazily_loaded.py"
    path.write_text("answer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lazily_loaded", raising=False)
    return path


@pytest.mark.usefixtures("written")
def test_lazy_module_loads_at_the_first_use_of_an_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    module = lazy_module("lazily_loaded")
    assert repr(module) == "<lazy module 'lazily_loaded'>"
    assert "lazily_loaded" not in sys.modules
    assert module.answer == 42
    monkeypatch.setattr(sys.modules["lazily_loaded"], "answer", 43)
    assert module.answer == 43
    with pytest.raises(AttributeError, match="no attribute 'question'"):
        _ = module.question


@pytest.mark.usefixtures("written")
def test_inspecting_a_lazy_module_loads_nothing() -> None:
    module = lazy_module("lazily_loaded")
    assert not hasattr(module, "__wrapped__")
    assert not callable(module)
    assert not isinstance(module, Exception)
    assert "lazily_loaded" not in sys.modules


def test_lazy_module_that_is_missing_raises_at_each_use_until_it_is_installed(tmp_path: Path) -> None:
    module = lazy_module("installed_later")
    for _ in range(2):
        with pytest.raises(ImportError, match="installed_later"):
            _ = module.answer
    script = f"""
import pathlib, sys, importlib
from runware._support.lazy_modules import lazy_module
sys.path.insert(0, {str(tmp_path)!r})
module = lazy_module("installed_later")
try:
    module.answer
except ImportError:
    pathlib.Path({str(tmp_path / "installed_later.py")!r}).write_text("answer = 42")
importlib.invalidate_caches()
print(module.answer)
"""
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "42\n"


@pytest.mark.usefixtures("written")
def test_load_module_imports_at_once() -> None:
    assert load_module("lazily_loaded") is sys.modules["lazily_loaded"]


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("use", ["lazy_module('slow_import').answer", "load_module('slow_import')"])
def test_fork_waits_for_a_lazy_import(tmp_path: Path, use: str) -> None:
    (tmp_path / "slow_import.py").write_text("import __main__\n__main__.body()\nanswer = 42\n")
    script = f"""
import os, sys, threading, warnings
sys.path.insert(0, {str(tmp_path)!r})
started, forking, forked = threading.Event(), threading.Event(), threading.Event()
order = []

def body():
    started.set()
    forking.wait()
    forked.wait(0.3)  # a fork that does not wait comes first
    order.append("imported")

def at_fork():
    order.append("forked")
    forked.set()

# Functions to call before a fork are called from the last registered to the first.
os.register_at_fork(before=at_fork)
from runware._support.lazy_modules import lazy_module, load_module
os.register_at_fork(before=forking.set)

thread = threading.Thread(target=lambda: {use})
thread.start()
started.wait()
warnings.simplefilter("ignore")
child = os.fork()
if not child:
    import slow_import  # it would wait for ever if the fork had come in between
    os._exit(slow_import.answer)
thread.join()
print(*order, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60, cwd=Path.cwd()
    )
    assert result.stdout == "imported forked 42\n", result.stderr


def test_attributes_of_a_package_are_loaded_once_and_unknown_ones_named() -> None:
    package = {"__name__": "email"}
    load = lazy_attributes(package, {"Message": "message"})
    sys.modules.pop("email.message", None)
    assert load("Message") is sys.modules["email.message"].Message
    assert package["Message"] is sys.modules["email.message"].Message  # the next use does not come here
    with pytest.raises(AttributeError, match="module 'email' has no attribute 'Massage'"):
        load("Massage")
