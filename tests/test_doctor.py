"""The doctor: every fault of a computer is one line with what to do, and nothing raises."""

import importlib.metadata
import sys
from types import SimpleNamespace

import pytest
import torch

from tutorlib import __main__ as command_line
from tutorlib.widgets import doctor
from tutorlib.widgets.doctor import checkup, line, missing_gpu, numbers


def found(what: str):
    return [row for row in checkup() if row.what == what]


def with_versions(monkeypatch, **versions):
    """As if these packages were installed in these versions; ``None`` for one that is missing."""
    real = importlib.metadata.version

    def version(name):
        if name in versions and versions[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions.get(name) or real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_this_computer_has_no_fault_and_every_line_says_what_was_found():
    rows = list(checkup())
    assert [row.what for row in rows] == ["Python", "packages", "device", "memory", "budget", "cache"]
    assert all(row.state != "wrong" and row.found for row in rows)
    assert "quick" in found("budget")[0].found if not torch.cuda.is_available() else True


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    with_versions(monkeypatch, mnist1d=None)
    (row,) = found("packages")
    assert row.state == "wrong" and row.found == "mnist1d is missing" and "pip install 'mnist1d>=" in row.advice
    assert found("device")


def test_a_package_that_is_too_old_is_named_with_the_oldest_that_will_do(monkeypatch):
    with_versions(monkeypatch, scipy="1.10.1", numpy="1.26.0")
    (row,) = found("packages")
    assert row.found == "scipy 1.10.1 is too old" and "1.11 or newer" in row.advice


def test_without_torch_nothing_of_the_device_is_asked(monkeypatch):
    with_versions(monkeypatch, torch=None)
    assert [row.what for row in checkup()] == ["Python", "packages", "cache"]


@pytest.mark.parametrize(
    "version, wrong", [((3, 10, 9), True), ((3, 11, 0), False), ((3, 13, 5), False), ((3, 14, 0), True)]
)
def test_the_python_of_the_package_s_metadata_and_no_other_will_do(monkeypatch, version, wrong):
    monkeypatch.setattr(sys, "version_info", version)
    assert (doctor.python().state == "wrong") is wrong


def test_a_device_that_is_not_there_is_one_line_with_those_that_are(monkeypatch):
    monkeypatch.setenv("TUTORLIB_DEVICE", "abacus")
    (row,) = found("device")
    assert row.state == "wrong" and "'abacus'" in row.found and "cpu" in row.found and not found("memory")


@pytest.mark.parametrize(
    "surroundings, state, words",
    [
        ({"colab": True}, "note", "Change runtime type"),
        ({"there": ("cuda", "cpu")}, "note", "TUTORLIB_DEVICE"),
        ({"smi": True, "able": False}, "wrong", "without GPUs"),
        ({"smi": True, "able": True}, "note", "driver"),
        ({}, "note", "none is needed"),
    ],
)
def test_a_processor_where_a_gpu_might_compute_says_what_to_do(monkeypatch, surroundings, state, words):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    if surroundings.get("colab"):
        monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if surroundings.get("smi") else None)
    there, able = surroundings.get("there", ("cpu",)), surroundings.get("able", False)
    assert missing_gpu("cpu", there, able)[0] == state and words in missing_gpu("cpu", there, able)[1]
    assert missing_gpu("cuda", there, able) == ("fine", "")


def test_a_cache_that_cannot_be_written_or_has_no_room_is_said(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path / "file" / "below"))
    assert doctor.cache().state == "wrong" and "TUTORLIB_CACHE" in doctor.cache().advice
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path / "not" / "there" / "yet"))
    assert doctor.cache().state == "fine"
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e6))
    assert doctor.cache().state == "wrong" and "1 MB free" in doctor.cache().found


def test_the_home_folder_is_shown_without_its_owner_s_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TUTORLIB_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert doctor.cache().found.startswith("~/.cache/tutorlib, ")
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path / "elsewhere"))
    assert doctor.cache().found.startswith("$TUTORLIB_CACHE, ")


def test_the_table_and_the_command_line_have_the_same_lines(capsys, monkeypatch):
    bundle = doctor.doctor()._repr_mimebundle_()
    with pytest.raises(SystemExit) as healthy:
        command_line.main(["doctor"])
    printed = capsys.readouterr().out.strip()
    assert printed.splitlines()[:4] == bundle["text/plain"].splitlines()[:4] and not healthy.value.code
    assert bundle["text/html"].count("<tr") == len(printed.splitlines())
    with_versions(monkeypatch, mnist1d=None)
    with pytest.raises(SystemExit) as ill:
        command_line.main(["doctor"])
    assert ill.value.code


@pytest.mark.parametrize(
    "version, parts", [("2.13.0+cpu", (2, 13, 0)), ("0.0.2.post1", (0, 0, 2)), ("8", (8,)), ("2.6.0rc1", (2, 6, 0))]
)
def test_a_version_is_compared_by_its_leading_numbers(version, parts):
    assert numbers(version) == parts


def test_a_line_with_advice_ends_with_it():
    assert line(doctor.Symptom("a", "b", "note", "Do c")) == "· a          b. Do c."
