"""Stub until the fingerprints land."""

from typing import NamedTuple, Mapping, Sequence


class Code(NamedTuple):
    fingerprint: str
    definitions: Mapping[str, str]


def code_of(cls: type, packages: Sequence[str] = ()) -> Code:
    import inspect, hashlib

    try:
        text = inspect.getsource(cls)
    except Exception:
        text = ""
    h = hashlib.md5(text.encode()).hexdigest()
    return Code(h, {f"{cls.__module__}: {cls.__name__}": h})


def changed(old, new):
    return sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
