"""One frozen dataclass ↔ one line of JSON, refusing what it does not know and what is not a number."""

import dataclasses
import json
import math
from collections.abc import Mapping
from types import MappingProxyType

from tutorlib.errors import Refused

CELL_TYPES = (str, int, float, bool)


def frozen(mapping: Mapping, where: str, vectors: bool = False) -> Mapping:
    """A read-only copy with sorted keys, refused if a value could not be written as plain JSON."""
    for key, value in mapping.items():
        items = value if vectors and isinstance(value, tuple | list) else (value,)
        for item in items:
            if not isinstance(item, CELL_TYPES):
                raise Refused(f"{where}[{key!r}] is a {type(item).__name__}; allowed: text, numbers, true/false")
            if isinstance(item, float) and not math.isfinite(item):
                raise Refused(
                    f"{where}[{key!r}] is {item}; a record holds finite numbers only: "
                    'store the outcome "diverged" and leave the number out'
                )
    return MappingProxyType({k: tuple(v) if isinstance(v, list) else v for k, v in sorted(mapping.items())})


class Line:
    """One JSON line ↔ one frozen dataclass."""

    def to_json(self) -> str:
        return json.dumps(_plain(self), ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str):
        """Raises ``ValueError`` on broken JSON, NaN, an unknown field or a missing one."""
        return _build(cls, json.loads(line, parse_constant=_refuse_constant))

    def __reduce__(self):
        """Between processes an object travels as its line."""
        return type(self).from_json, (self.to_json(),)


def _plain(value):
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _build(cls, raw):
    if not isinstance(raw, dict):
        raise Refused(f"a {cls.__name__} is written as a JSON object, got {type(raw).__name__}")
    known = {f.name: f for f in dataclasses.fields(cls)}
    required = {
        name
        for name, f in known.items()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    if wrong := set(raw) - set(known):
        raise Refused(f"{cls.__name__} has no field {sorted(wrong)}; its fields are {sorted(known)}")
    if missing := required - set(raw):
        raise Refused(f"{cls.__name__} needs the field {sorted(missing)}")
    return cls(**{name: _value(known[name].type, item) for name, item in raw.items()})


def _value(kind, item):
    if dataclasses.is_dataclass(kind):
        return _build(kind, item)
    return tuple(item) if isinstance(item, list) else item


def _refuse_constant(name: str):
    raise Refused(f"{name} in a record: only finite numbers are allowed")
