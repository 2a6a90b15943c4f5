"""The README's code blocks and the examples run, against a local server."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

from runware.local import LocalServer

PROJECT = pathlib.Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
EXAMPLES = sorted((PROJECT / "examples").glob("*.py"))


def run(arguments: list[str], directory: pathlib.Path, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    # In development mode asyncio notes what took more than 0.1 s, which on a busy machine is anything.
    assert [line for line in result.stderr.splitlines() if not line.startswith("Executing <")] == []
    return result.stdout


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_readme_blocks(number: int, server: LocalServer, tmp_path: pathlib.Path) -> None:
    (tmp_path / "block.py").write_text(BLOCKS[number])
    run(["block.py"], tmp_path, RUNWARE_API_KEY=server.api_key, RUNWARE_URL=server.url)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_run_locally(example: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert run([str(example), "--local"], tmp_path)


def test_the_bulk_example_runs_where_memory_is_not_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "resource.py").write_text("raise ImportError('not on Windows')")
    bulk = str(PROJECT / "examples" / "bulk.py")
    paths = os.pathsep.join((str(tmp_path), str(PROJECT)))
    shown = run([bulk, "--local", "--count", "8"], tmp_path, PYTHONPATH=paths)
    assert "8 pictures for $0.01" in shown
    assert "memory" not in shown
    assert "memory grew by" in run([bulk, "--local", "--count", "8"], tmp_path)


def test_the_quickstart_shows_progress_and_writes_pictures(tmp_path: pathlib.Path) -> None:
    shown = run([str(PROJECT / "examples" / "quickstart.py"), "--local", "-o", "pictures"], tmp_path)
    assert "4 of 4 pictures" in shown
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert len(pictures) == 4
    assert all(picture.read_bytes().startswith(b"\xff\xd8\xff") for picture in pictures)


def test_the_quickstart_takes_the_key_from_the_environment(server: LocalServer, tmp_path: pathlib.Path) -> None:
    run(
        [str(PROJECT / "examples" / "quickstart.py")],
        tmp_path,
        RUNWARE_API_KEY=server.api_key,
        RUNWARE_URL=server.url,
    )
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_the_readme_knows_every_option_and_error() -> None:
    import inspect

    from runware import Runware, errors

    for option in inspect.signature(Runware).parameters:
        assert f"| `{option}` |" in README, option
    for name in errors.__all__:
        if name not in ("RunwareError", "TaskError", "WrongThreadError"):
            assert f"`{name}`" in README, name


def test_what_is_not_there_is_said() -> None:
    for text in (README, (PROJECT / "docs" / "from-javascript.md").read_text()):
        assert 'deliveryMethod: "stream"' in text


def test_the_readme_says_where_all_faults_are_listed(tmp_path: pathlib.Path) -> None:
    import runware

    command = "python -m runware.local --list"
    assert command in README
    assert command in (runware.local.__doc__ or "")
    listed = run(command.split()[1:], tmp_path)
    assert all(f"  {name} " in listed for name in runware.local.FAULTS)


def test_the_readmes_two_commands_are_there() -> None:
    assert "pip install -e '.[local]' && python examples/quickstart.py --local" in README
    assert "pip install -e '.[test]' && python -m pytest" in README
