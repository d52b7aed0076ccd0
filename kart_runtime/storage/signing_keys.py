"""Keys of signatures, from the variable KART_SIGNING_KEY, and the signatures of texts: HMAC-SHA256.

The variable holds one key, or several between spaces: the first one signs, and all of them verify, so that a key can be
replaced. Without it nothing is signed, and nothing is verified. A key is never written: a signature names it by eight
digits of its hash.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from kart_runtime.errors import ConfigError
from kart_runtime.errors.secrets import note_secret

VARIABLE = "KART_SIGNING_KEY"
"""Variable of the environment with the keys."""

_ENCODED = getattr(os.environ, "encodekey", str)(VARIABLE)

SHORTEST = 16
"""Characters that a key has at least; `openssl rand -hex 32` gives 64."""

_SEPARATORS = re.compile(r"[\s,]+")


class Signature(NamedTuple):
    """Signature of a text: the id of the key, and the digits."""

    key: str
    digits: str

    def __str__(self) -> str:
        return f"{self.key}:{self.digits}"


class Keyring(NamedTuple):
    """Keys by their ids; `first` is the id of the one that signs."""

    first: str
    keys: Mapping[str, bytes]

    @property
    def newest(self) -> Keyring:
        """The key that signs, alone: what it does not verify is by one that is to be replaced."""
        return Keyring(self.first, {self.first: self.keys[self.first]})

    def sign(self, label: str, data: bytes) -> Signature:
        """Return the signature of some bytes; the label tells what they are, so that it fits nothing else."""
        return Signature(self.first, _digits(self.keys[self.first], label, data))

    def knows(self, signature: Signature) -> bool:
        """Return whether the key of a signature is here."""
        return signature.key in self.keys

    def verifies(self, signature: Signature, label: str, data: bytes) -> bool:
        """Return whether a signature is that of some bytes, in a time that tells nothing about the right one."""
        key = self.keys.get(signature.key)
        expected = _digits(self.keys[self.first] if key is None else key, label, data)
        return hmac.compare_digest(expected.encode(), signature.digits.encode(errors="replace")) and key is not None


def _digits(key: bytes, label: str, data: bytes) -> str:
    return hmac.digest(key, b"%s\0%s" % (label.encode(), data), "sha256").hex()


def keyring() -> Keyring | None:
    """Return the keys of this process, None if there are none; raise `ConfigError` for one that is too short."""
    # This is asked six times for each task, and `os.environ.get` raises inside what is missing.
    variables = getattr(os.environ, "_data", None)
    if variables is not None and _ENCODED not in variables:
        return None
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    note_secret(text)
    return _parsed(text)


@lru_cache(maxsize=8)
def _parsed(text: str) -> Keyring:
    keys: dict[str, bytes] = {}
    for key in filter(None, _SEPARATORS.split(text)):
        note_secret(key)
        if len(key) < SHORTEST:
            raise ConfigError(
                f"a key has {len(key)} characters, which can be guessed. Make one with: openssl rand -hex 32",
                key=VARIABLE,
                expected=f"keys of at least {SHORTEST} characters, with spaces between them",
            )
        keys[_id_of(key)] = key.encode(errors="surrogateescape")
    if not keys:
        raise ConfigError("it holds only spaces", key=VARIABLE, expected="one or more keys, or no such variable")
    note_secret(text)
    return Keyring(next(iter(keys)), keys)


def _id_of(key: str) -> str:
    return hashlib.sha256(b"kart signing key id\0" + key.encode(errors="surrogateescape")).hexdigest()[:8]


# -- lines of records ------------------------------------------------------------------------------------------------

_LINE = "kart-record-1"
_LINE_END = re.compile(r', "signature": "([0-9a-f]{8}):([0-9a-f]{64})"\}$')


def signed_line(line: str, run: str, keys: Keyring | None = None) -> str:
    """Return a line of a run's file, which is a JSON object, with its signature if there is a key."""
    keys = keys or keyring()
    text = line.rstrip("\n")
    if keys is None or not text.endswith("}"):
        return line
    signature = keys.sign(_LINE, _of_run(run, text))
    return f'{text[:-1]}, "signature": "{signature}"}}{line[len(text) :]}'


def bare_line(line: str) -> str:
    """Return a line of a run's file without its signature."""
    match = _LINE_END.search(line)
    return line if match is None else f"{line[: match.start()]}}}"


def line_is_signed(line: str, run: str, keys: Keyring) -> bool:
    """Return whether a line of a run's file has a valid signature."""
    match = _LINE_END.search(line)
    if match is None:
        return False
    text = f"{line[: match.start()]}}}"
    return keys.verifies(Signature(match[1], match[2]), _LINE, _of_run(run, text))


def _of_run(run: str, text: str) -> bytes:
    return f"{run}\0{text}".encode(errors="surrogatepass")


# -- small files -----------------------------------------------------------------------------------------------------

_TRAILER = b"\n#kart-signature:"
_TRAILER_SIZE = len(_TRAILER) + 8 + 1 + 64


def with_trailer(data: bytes, label: str) -> bytes:
    """Return the bytes of a file of kart's own with a signature behind them, if there is a key.

    A pickle ends before it, so whoever does not know of it reads the same value.
    """
    keys = keyring()
    return data if keys is None else data + _TRAILER + str(keys.sign(label, data)).encode()


def without_trailer(data: bytes, label: str, keys: Keyring) -> bytes | None:
    """Return the bytes before the signature; None if they are not signed, or not by one of the keys."""
    content, trailer = data[:-_TRAILER_SIZE], data[-_TRAILER_SIZE:]
    if not trailer.startswith(_TRAILER):
        return None
    key, _, digits = trailer[len(_TRAILER) :].decode(errors="replace").partition(":")
    return content if keys.verifies(Signature(key, digits), label, content) else None
