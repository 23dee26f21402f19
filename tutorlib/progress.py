"""What a learner has done, kept on disk: predictions and solved exercises, one a line, and the latest wins.

The file is in the cache folder, for this computer alone. Lines are only ever added, under a lock, so that two
notebooks at once lose nothing. A file with a line that cannot be read is set aside whole, under another name, and a
new one goes on with the lines that can.
"""

import contextlib
import fcntl
import itertools
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tutorlib.errors import Refused
from tutorlib.jsonlines import Line, frozen
from tutorlib.store import cache_folder

VERSION = 1
# kind → what it tells, and of which type
KINDS = {"prediction": {"low": float, "high": float, "unit": str, "because": str}, "exercise": {}}


@dataclass(frozen=True)
class Done(Line):
    """One thing done: its kind, its name (a question, an exercise), and what it tells."""

    version: int
    kind: str
    name: str
    told: Mapping

    def __post_init__(self):
        if self.version != VERSION:
            raise Refused(f"version is {self.version!r}; this tutorlib reads {VERSION}")
        if self.kind not in KINDS:
            raise Refused(f"kind is {self.kind!r}; allowed: {', '.join(KINDS)}")
        object.__setattr__(self, "told", frozen(self.told, "told"))
        told = {name: type(value) for name, value in self.told.items()}
        if told != KINDS[self.kind] or not isinstance(self.name, str):
            wanted = {name: kind.__name__ for name, kind in KINDS[self.kind].items()}
            raise Refused(f"a {self.kind} has a name and tells {wanted}; this one tells {dict(self.told)}")


def prediction(question: str, low: float, high: float, unit: str = "", because: str = "") -> Done:
    told = {"low": float(low), "high": float(high), "unit": unit, "because": because}
    return Done(VERSION, "prediction", question, told)


def exercise(name: str) -> Done:
    return Done(VERSION, "exercise", name, {})


def path() -> Path:
    return cache_folder() / "progress.jsonl"


def load() -> dict[tuple[str, str], Done]:
    """(kind, name) → the latest; nothing where nothing was kept."""
    if not path().is_file():
        return {}
    with contextlib.suppress(OSError), _alone():
        return _read(path())
    return {}


def keep(*done: Done) -> None:
    """Add what is not known yet. A folder that cannot be written to costs a warning, never the lesson."""
    try:
        with _alone():
            known = _read(path())
            fresh = [each for each in done if known.get((each.kind, each.name)) != each]
            if fresh:
                with open(path(), "a", encoding="utf-8") as file:
                    file.write("".join(each.to_json() + "\n" for each in fresh))
    except OSError as error:
        warnings.warn(
            f"Could not write to {path()} ({error.strerror}): what you have done in this session is not kept. "
            "Free some space, or set TUTORLIB_CACHE to a folder you can write to.",
            stacklevel=2,
        )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One process at a time. The lock is a file of its own, for the other one may be set aside meanwhile."""
    path().parent.mkdir(parents=True, exist_ok=True)
    with open(path().with_suffix(".lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(file: Path) -> dict[tuple[str, str], Done]:
    written = file.read_bytes() if file.is_file() else b""
    whole, broken = [], []
    for number, line in enumerate(written.splitlines(), start=1):
        try:
            whole.append(Done.from_json(line.decode()))
        except (ValueError, TypeError, AttributeError) as error:
            broken.append((number, error))
    if written and not written.endswith(b"\n") and not broken:  # a crash took no more than the end of the line
        with open(file, "ab") as unended:
            unended.write(b"\n")
    if broken:
        _set_aside(file, whole, broken)
    return {(done.kind, done.name): done for done in whole}


def _set_aside(file: Path, whole: list[Done], broken: list[tuple[int, Exception]]) -> None:
    names = (file.with_name(f"{file.stem}-set-aside-{number}.jsonl") for number in itertools.count(1))
    aside, fresh = next(name for name in names if not name.exists()), file.with_suffix(".new")
    fresh.write_text("".join(done.to_json() + "\n" for done in whole), encoding="utf-8")
    file.replace(aside)
    os.replace(fresh, file)
    number, error = broken[0]
    warnings.warn(
        f"{file}: line {number} cannot be read ({error}), so the file is kept as {aside.name}, "
        f"and the {len(whole)} lines that can be read go on.",
        stacklevel=2,
    )
