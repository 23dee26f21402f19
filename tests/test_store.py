"""Records on disk: nothing written is lost or torn, and nothing unreadable is silent."""

import errno
import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import warnings

import pytest

from tutorlib import store
from tutorlib.records import Experiment, Machine, Run, RunRecord
from tutorlib.store import Store

MACHINE = Machine("cpu", "A processor", 2, "3.12.1", "2.6.0", "0.1.0")


def record(seed, experiment="walk"):
    run = Run(experiment, {"batch": 8, "problem": "Σ\nand a line"}, seed)
    return RunRecord(run, "ok", {"value": 0.5 * seed}, MACHINE, "f00")


def quietly(load):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load()


def test_what_is_appended_is_loaded_in_order_by_any_store_of_that_path(tmp_path):
    path = tmp_path / "new" / "folder" / "walk.jsonl"
    for seed in range(3):
        Store(path).append(record(seed))
    assert quietly(Store(str(path)).load) == [record(0), record(1), record(2)]
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


def test_a_file_that_is_not_there_holds_no_records(tmp_path):
    assert quietly(Store(tmp_path / "nothing.jsonl").load) == []


@pytest.mark.parametrize("kept", [1, 40, -1], ids=["one byte", "forty bytes", "all but the last byte"])
def test_a_half_written_last_line_is_reported_and_closed_off_by_the_next_writer(tmp_path, kept):
    path = tmp_path / "walk.jsonl"
    Store(path).append(record(0))
    with open(path, "ab") as file:
        file.write(record(1).to_json().encode()[:kept])
    torn = path.read_bytes()
    with pytest.warns(UserWarning, match=r"walk\.jsonl: skipped 1 unreadable line.*line 2 "):
        assert Store(path).load() == [record(0)]
    for seed in (2, 3):
        quietly(lambda seed=seed: Store(path).append(record(seed)))
    with pytest.warns(UserWarning, match=r"skipped 1 unreadable line.*line 2 "):
        assert Store(path).load() == [record(0), record(2), record(3)]
    assert path.read_bytes().startswith(torn + b"\n")


def test_a_whole_last_line_without_its_newline_is_a_record(tmp_path):
    path = tmp_path / "walk.jsonl"
    path.write_bytes(record(0).to_json().encode())
    assert quietly(Store(path).load) == [record(0)]
    Store(path).append(record(1))
    assert quietly(Store(path).load) == [record(0), record(1)]


def broken(**changes):
    return json.dumps({**json.loads(record(9).to_json()), **changes}).encode()


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"{}",
        b"[1, 2]",
        b"null",
        b"\xff\xfe\x00",
        b"7",
        b'"text"',
        broken(colour=1),
        broken(run=None),
        broken(outcome="lost"),
        broken(values=3),
        broken(values={"value": None}),
        broken(run={"settings": 3}),
        broken(machine=[1]),
        record(9).to_json().replace("4.5", "NaN").encode(),
    ],
)
def test_a_broken_line_in_the_middle_is_reported_and_skipped(tmp_path, line):
    path = tmp_path / "walk.jsonl"
    lines = [record(0).to_json().encode(), line, record(1).to_json().encode(), b""]
    path.write_bytes(b"\n".join(lines))
    with pytest.warns(UserWarning, match=r"skipped 1 unreadable line.*line 2 "):
        assert Store(path).load() == [record(0), record(1)]
    assert path.read_bytes() == b"\n".join(lines)


def test_an_empty_line_is_nothing_to_report(tmp_path):
    path = tmp_path / "walk.jsonl"
    path.write_text(f"\n{record(0).to_json()}\n\n\n{record(1).to_json()}\n", encoding="utf-8")
    assert quietly(Store(path).load) == [record(0), record(1)]


WRITER = """
import sys
from tutorlib.records import Machine, Run, RunRecord
from tutorlib.store import Store

path, first = sys.argv[1], int(sys.argv[2])
machine = Machine("cpu", "x" * 3000, 2, "3.12.1", "2.6.0", "0.1.0")
records = [RunRecord(Run("walk", {}, seed), "ok", {}, machine, "f00") for seed in range(first, first + 200)]
print("ready", flush=True)
sys.stdin.readline()
for record in records:
    Store(path).append(record)
"""


def test_two_writers_at_once_lose_nothing_and_tear_nothing(tmp_path):
    path = tmp_path / "walk.jsonl"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(first)],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for first in (0, 1000)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    seeds = [r.run.seed for r in quietly(Store(path).load)]
    assert sorted(seeds) == [*range(200), *range(1000, 1200)]
    for first in (0, 1000):
        assert [seed for seed in seeds if first <= seed < first + 200] == list(range(first, first + 200))


def test_a_writer_has_the_file_to_itself_before_it_writes(tmp_path, monkeypatch):
    path, locks = tmp_path / "walk.jsonl", []
    monkeypatch.setattr(fcntl, "flock", lambda file, kind: locks.append((file.name, kind, path.stat().st_size)))
    Store(path).append(record(0))
    size = path.stat().st_size
    Store(path).append(record(1))
    exclusive = [lock for lock in locks if lock[1] == fcntl.LOCK_EX]
    assert [(str(name), before) for name, _, before in exclusive] == [(str(path), 0), (str(path), size)]


def appended_with_warnings(into, seeds):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for seed in seeds:
            into.append(record(seed))
    return [str(w.message) for w in caught]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_full_or_read_only_disk_is_told_once_and_the_records_stay_in_memory(tmp_path, monkeypatch, number):
    def full(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    into = Store(tmp_path / "walk.jsonl")
    into.append(record(0))
    monkeypatch.setattr(store, "open", full, raising=False)
    (said,) = appended_with_warnings(into, (1, 2, 3))
    assert "TUTORLIB_CACHE" in said and str(into.path) in said and os.strerror(number) in said
    assert into.load() == [record(seed) for seed in range(4)]
    monkeypatch.undo()
    into.append(record(4))
    assert {r.run.seed for r in into.load()} == set(range(5))


def test_a_folder_that_cannot_be_made_is_told_once_and_the_records_stay_in_memory(tmp_path):
    (tmp_path / "a file").write_text("in the way")
    into = Store(tmp_path / "a file" / "walk.jsonl")
    (said,) = appended_with_warnings(into, (0, 1))
    assert "TUTORLIB_CACHE" in said
    assert into.load() == [record(0), record(1)]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_device_that_is_full_is_told_once_and_keeps_every_record_of_an_append():
    into = Store("/dev/full")
    with pytest.warns(UserWarning, match=r"/dev/full \(No space left on device\).*TUTORLIB_CACHE") as told:
        into.append(record(0), record(1))
        into.append(record(2))
    assert len(told) == 1 and into.unsaved == [record(0), record(1), record(2)]


@pytest.mark.parametrize("fits", [0, 1, 300, 900], ids=lambda fits: f"{fits} bytes")
def test_a_disk_that_fills_up_in_the_middle_of_an_append_loses_no_record(tmp_path, fits):
    into = Store(tmp_path / "walk.jsonl")
    into.append(record(0), record(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (into.path.stat().st_size + fits, before[1]))
    try:
        with pytest.warns(UserWarning, match="TUTORLIB_CACHE") as told:
            into.append(*map(record, range(2, 6)))
            into.append(record(6))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a torn line is reported
        assert {r.run.seed for r in into.load()} == set(range(7))
        into.append(record(7))
        assert {r.run.seed for r in into.load()} == set(range(8))
        assert {r.run.seed for r in Store(into.path).load()} >= {0, 1, 7}


def test_several_records_are_appended_by_one_write(tmp_path, monkeypatch):
    path, locks = tmp_path / "walk.jsonl", []
    monkeypatch.setattr(fcntl, "flock", lambda file, kind: locks.append(kind))
    Store(path).append(*map(record, range(20)))
    assert locks == [fcntl.LOCK_EX] and quietly(Store(path).load) == [record(seed) for seed in range(20)]


@pytest.mark.parametrize("kept", [1, 40, -1], ids=["one byte", "forty bytes", "all but the last byte"])
def test_several_records_after_a_half_written_line_are_all_whole(tmp_path, kept):
    path = tmp_path / "walk.jsonl"
    path.write_bytes(record(0).to_json().encode()[:kept])
    Store(path).append(record(1), record(2))
    with pytest.warns(UserWarning, match="skipped 1 unreadable line"):
        assert Store(path).load() == [record(1), record(2)]


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path / "mine"))
    assert store.cache_folder() == tmp_path / "mine"
    store.live("walk").append(record(0))
    assert Store(tmp_path / "mine" / "walk.jsonl").load() == [record(0)]
    monkeypatch.setenv("TUTORLIB_CACHE", "~/mine")
    assert store.cache_folder().is_absolute()
    monkeypatch.delenv("TUTORLIB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert store.cache_folder() == tmp_path / "cache" / "tutorlib"


def test_records_that_ship_are_results_marked_as_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PACKAGE", tmp_path)
    Store(tmp_path / "recorded" / "walk.jsonl").append(record(0))
    results = store.recorded(Experiment("walk", "?", "made.up", ({"batch": 8},), ""))
    assert results.recorded and results.records == (record(0),)
    with pytest.raises(ValueError, match="no recorded runs of 'other'"):
        store.recorded(Experiment("other", "?", "made.up", ({"batch": 8},), ""))


def hash_of(package, monkeypatch):
    monkeypatch.setattr(store, "PACKAGE", package)
    store.source_hash.cache_clear()
    try:
        return store.source_hash()
    finally:
        monkeypatch.undo()
        store.source_hash.cache_clear()


def test_the_source_hash_changes_with_any_file_that_decides_a_number(tmp_path, monkeypatch):
    copy = tmp_path / "tutorlib"
    shutil.copytree(store.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    seen = {hash_of(copy, monkeypatch)}
    assert hash_of(copy, monkeypatch) in seen
    files = ["theory/noise.py", "nn/models.py", "measure/noise.py", "trials/measure_the_noise.py"]
    for file in files:
        with open(copy / file, "a", encoding="utf-8") as source:
            source.write("# changed\n")
        seen.add(hash_of(copy, monkeypatch))
    (copy / "nn" / "more.py").write_text('"""A new file."""\n')
    seen.add(hash_of(copy, monkeypatch))
    (copy / "nn" / "more.py").rename(copy / "nn" / "most.py")
    seen.add(hash_of(copy, monkeypatch))
    assert len(seen) == 1 + len(files) + 2


def test_the_source_hash_ignores_files_that_decide_no_number(tmp_path, monkeypatch):
    copy = tmp_path / "tutorlib"
    shutil.copytree(store.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = hash_of(copy, monkeypatch)
    (copy / "store.py").write_text('"""Changed."""\n')
    (copy / "nn" / "notes.txt").write_text("not code")
    assert hash_of(copy, monkeypatch) == before
