"""Records on disk: append one line at a time, lose nothing, read what is whole.

Two places. *Live* records are the learner's own, in a cache folder; *recorded* ones ship with the
package, made on a named machine. Both are JSON lines of :class:`~tutorlib.records.RunRecord`.
"""

import fcntl
import functools
import hashlib
import os
import warnings
from pathlib import Path

from tutorlib.errors import Refused
from tutorlib.records import Experiment, RunRecord
from tutorlib.results import Results

PACKAGE = Path(__file__).parent
MEASURING = ("theory", "nn", "measure", "trials")


def cache_folder() -> Path:
    """``$TUTORLIB_CACHE``, or ``tutorlib`` in the user's cache folder."""
    if chosen := os.environ.get("TUTORLIB_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tutorlib"


@functools.cache
def source_hash() -> str:
    """Sixteen hex digits over the source of every floor that decides a number.

    Edit an instrument and the next run measures again instead of replaying what the old one said.
    """
    digest = hashlib.sha256()
    for room in MEASURING:
        path = PACKAGE / room
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


class Store:
    """An append-only file of records.

    Appending is one locked write, so two writers cannot tear each other's lines. A line that a crash
    left half-written is closed off by the next writer, reported and skipped by every reader, and never
    removed: the file is not rewritten. A record that cannot be written (a full disk, a read-only
    folder) is kept in memory, in :attr:`unsaved`, and :meth:`append` says so once.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.unsaved: list[RunRecord] = []

    def append(self, *records: RunRecord) -> None:
        data = "".join(record.to_json() + "\n" for record in records).encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if _ends_inside_a_line(file):
                    data = b"\n" + data
                file.write(data)
        except OSError as error:
            told = bool(self.unsaved)
            self.unsaved.extend(records)
            if not told:
                warnings.warn(
                    f"Could not write to the cache {self.path} ({error.strerror}). What is measured stays in "
                    "this session only. Free some space, or set TUTORLIB_CACHE to a folder you can write to.",
                    stacklevel=2,
                )

    def load(self) -> list[RunRecord]:
        """Every whole record, oldest first, then the unsaved ones; broken lines are reported and skipped."""
        try:
            written = self.path.read_bytes()
        except OSError:  # not there yet, or not to be read: appending will say so
            written = b""
        records, broken = [], []
        for number, line in enumerate(written.splitlines(), start=1):
            try:
                if line.strip():
                    records.append(RunRecord.from_json(line.decode()))
            except (ValueError, TypeError, AttributeError) as error:
                broken.append((number, error))
        if broken:
            number, error = broken[0]
            warnings.warn(
                f"{self.path}: skipped {len(broken)} unreadable line(s), the first is line {number} ({error}). "
                "The file is left as it is; delete the line to silence this.",
                stacklevel=2,
            )
        return records + self.unsaved


def _ends_inside_a_line(file) -> bool:
    file.seek(0, os.SEEK_END)
    if file.tell() == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def live(experiment: str) -> Store:
    """The learner's own records of one experiment: the same store all session, with what it could not write."""
    return _live_at(cache_folder() / f"{experiment}.jsonl")


@functools.cache
def _live_at(path: Path) -> Store:
    return Store(path)


def recorded(experiment: Experiment) -> Results:
    """The runs of one experiment that ship with the package, measured on the machine they name.

    Raises ``ValueError`` if none ships.
    """
    path = PACKAGE / "recorded" / f"{experiment.name}.jsonl"
    if not path.is_file():
        raise Refused(f"no recorded runs of {experiment.name!r} ship with tutorlib; run the experiment live instead")
    return Results(experiment, tuple(Store(path).load()), recorded=True)
