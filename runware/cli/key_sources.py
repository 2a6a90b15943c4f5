"""Where the commands find the API key: a file, the environment, or the keyring of the operating system."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from runware import ConfigurationError
from runware._support.lazy_modules import lazy_module
from runware.cli.common import SETTINGS
from runware.options import KEY_VARIABLE

keyring: Any = lazy_module("keyring")
keyring_errors: Any = lazy_module("keyring.errors")

__all__ = ["FILE_VARIABLE", "NO_KEY", "Key", "delete_key", "find_key", "read_key_file", "store_key"]

FILE_VARIABLE = "RUNWARE_API_KEY_FILE"
"""Environment variable with the name of a file that holds the API key, as container platforms mount secrets."""

NO_KEY = (
    f"No API key. Set {KEY_VARIABLE}, name a file that holds it with --key-file or {FILE_VARIABLE}, or store it with: "
    "python -m runware key set. Keys come from https://my.runware.ai; --local needs none."
)

_SERVICE = "runware"
_USER = "api-key"
_LONGEST = 4096


class Key(NamedTuple):
    """An API key and its source.

    Attributes:
        value: The key; empty if there is none.
        source: Where it was found, in words.
    """

    value: str
    source: str


def find_key() -> Key:
    """Return the API key of this command.

    The first of these counts: `--key-file`, RUNWARE_API_KEY, RUNWARE_API_KEY_FILE, the keyring.

    Raises:
        ConfigurationError: A file that is named as the source cannot be read, or holds no key.
    """
    if (given := SETTINGS.get().key_file) is not None:
        return Key(read_key_file(given), f"--key-file {given}")
    if value := os.environ.get(KEY_VARIABLE, ""):
        return Key(value, KEY_VARIABLE)
    if name := os.environ.get(FILE_VARIABLE, ""):
        return Key(read_key_file(Path(name)), f"{FILE_VARIABLE} ({name})")
    if stored := _stored():
        return Key(stored, "the keyring")
    return Key("", "")


def read_key_file(path: Path) -> str:
    """Return the key that a file holds. White space around it is left out.

    Raises:
        ConfigurationError: The file cannot be read, or does not hold a single word.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).removeprefix(codecs.BOM_UTF8).decode("ascii", "replace").strip()
    except OSError as error:
        raise ConfigurationError(
            f"The key file {path} cannot be read: {error.strerror}.", parameter="api_key"
        ) from None
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError(f"The key file {path} must hold the API key and nothing else.", parameter="api_key")
    return text


def _stored() -> str | None:
    try:
        found = keyring.get_password(_SERVICE, _USER)
    except ImportError:
        return None
    except keyring_errors.KeyringError:  # this machine has no keyring, or the user did not unlock it
        return None
    return found if isinstance(found, str) else None


def store_key(value: str) -> str:
    """Store the key in the keyring; return the keyring's name.

    Raises:
        ConfigurationError: There is no keyring.
    """
    with _keyring_errors():
        keyring.set_password(_SERVICE, _USER, value)
        return str(keyring.get_keyring().name)


def delete_key() -> bool:
    """Delete the key from the keyring; return whether there was one.

    Raises:
        ConfigurationError: There is no keyring.
    """
    with _keyring_errors():
        if keyring.get_password(_SERVICE, _USER) is None:
            return False
        keyring.delete_password(_SERVICE, _USER)
        return True


@contextmanager
def _keyring_errors() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise ConfigurationError(
            "Keeping the key in the keyring needs an extra: pip install 'runware-client[keyring]'"
        ) from None
    except keyring_errors.KeyringError as error:
        why = str(error) or type(error).__name__
        raise ConfigurationError(
            f"The keyring of this machine cannot be used: {why} Use a file instead: --key-file or {FILE_VARIABLE}."
        ) from None
