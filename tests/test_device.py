"""Choosing a device: the argument, else the environment, else the best; and the machine as a record."""

import subprocess

import pytest
import torch

from tutorlib import __version__
from tutorlib.nn import device
from tutorlib.records import Machine


def test_every_machine_has_a_processor_and_names_it_last():
    assert device.available()[-1] == "cpu"
    assert set(device.available()) <= {"cuda", "mps", "cpu"}


def test_the_best_device_is_chosen_when_none_is_named(monkeypatch):
    monkeypatch.delenv("TUTORLIB_DEVICE", raising=False)
    assert device.pick().type == device.available()[0]
    monkeypatch.setattr(device, "available", lambda: ("cuda", "cpu"))
    assert device.pick().type == "cuda"


@pytest.mark.parametrize("name", ["tpu", "CPU", "gpu", "cpu:0"])
def test_an_unknown_device_is_refused_with_the_list_of_devices(monkeypatch, name):
    monkeypatch.setattr(device, "available", lambda: ("mps", "cpu"))
    with pytest.raises(ValueError, match=rf"device is '{name}'; this machine has: mps, cpu"):
        device.pick(name)


def test_a_device_that_this_machine_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(device, "available", lambda: ("cpu",))
    with pytest.raises(ValueError, match="device is 'cuda'; this machine has: cpu"):
        device.pick("cuda")


def test_the_environment_decides_where_the_argument_does_not(monkeypatch):
    monkeypatch.setattr(device, "available", lambda: ("cuda", "mps", "cpu"))
    monkeypatch.setenv("TUTORLIB_DEVICE", "cpu")
    assert device.pick() == torch.device("cpu")
    assert device.pick("mps") == torch.device("mps")
    monkeypatch.setenv("TUTORLIB_DEVICE", "")
    assert device.pick() == torch.device("cuda")


def test_an_unknown_device_in_the_environment_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setenv("TUTORLIB_DEVICE", "tpu")
    with pytest.raises(ValueError, match=r"device is 'tpu'.*unset TUTORLIB_DEVICE"):
        device.pick()


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.0 GiB",
        "MPS backend out of memory (MPS allocated: 9.0 GB)",
        "Out Of Memory",
    ],
)
def test_an_error_that_says_out_of_memory_is_recognised(message):
    assert device.out_of_memory(RuntimeError(message))


def test_torch_s_own_class_of_memory_errors_is_recognised_whatever_it_says():
    assert device.out_of_memory(torch.cuda.OutOfMemoryError("no words"))


def test_the_processor_s_own_lack_of_memory_is_recognised():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(10**16)
    assert device.out_of_memory(refused.value)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 cannot be multiplied"), ValueError("memory")])
def test_other_errors_are_not_taken_for_lack_of_memory(error):
    assert not device.out_of_memory(error)


def test_a_machine_is_a_record_that_can_be_written():
    machine = device.machine(torch.device("cpu"))
    assert Machine.from_json(machine.to_json()) == machine
    assert machine.device == "cpu" and machine.tutorlib == __version__ and machine.torch == torch.__version__
    assert machine.threads == torch.get_num_threads() and machine.name and machine.commit


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 5)])
def test_without_git_the_commit_is_unknown(monkeypatch, error):
    def fails(*args, **kwargs):
        raise error

    monkeypatch.setattr(subprocess, "run", fails)
    device.commit.cache_clear()  # git is asked once a process
    try:
        assert device.commit() == "unknown"
    finally:
        device.commit.cache_clear()


def test_waiting_for_the_processor_is_no_wait():
    assert device.synchronize(torch.device("cpu")) is None


def test_a_study_computes_on_one_thread_and_gives_the_others_back():
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError), device.one_thread():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2
