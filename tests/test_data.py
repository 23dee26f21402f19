"""The data: no network, the same bytes every time, and refusals that name what is wrong."""

import hashlib
import shutil
import socket
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tutorlib.nn.data import TEXT_FILES, TEXT_SHA256, Data, check_finite, digits, mnist1d, text, tokens


def same(a, b):
    return torch.equal(a.x, b.x) and torch.equal(a.y, b.y)


def test_all_digits_are_1797_images_of_64_pixels_from_0_to_1():
    data = digits(1797)
    assert data.x.shape == (1797, 64) and data.x.dtype == torch.float32 and len(data) == 1797
    assert float(data.x.min()) == 0.0 and float(data.x.max()) == 1.0
    assert data.y.dtype == torch.int64 and data.y.unique().tolist() == list(range(10))


def test_digits_are_the_images_and_labels_of_scikit_learn():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    known = {tuple(image): label for image, label in zip(bunch.data, bunch.target, strict=True)}
    data = digits(200, seed=5)
    for x, y in zip(data.x, data.y, strict=True):
        assert known[tuple((16 * x).tolist())] == int(y)


def test_a_seed_decides_which_digits_are_drawn():
    assert same(digits(100, seed=3), digits(100, seed=3))
    assert not same(digits(100, seed=3), digits(100, seed=4))
    assert same(digits(100, seed=3), Data(digits(500, seed=3).x[:100], digits(500, seed=3).y[:100]))


def test_no_digit_is_drawn_twice():
    drawn, every = digits(1797, seed=1), digits(1797, seed=2)
    assert sorted(map(tuple, drawn.x.tolist())) == sorted(map(tuple, every.x.tolist()))


def test_drawing_digits_leaves_the_global_random_streams_alone():
    before = torch.get_rng_state()
    digits(10, seed=7)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("examples", [0, -1, 1798, 2.5, 100.0, True, "10", None])
def test_an_impossible_number_of_digits_is_refused_by_name(examples):
    with pytest.raises(ValueError, match=r"examples is .*allowed: a whole number from 1 to 1,797"):
        digits(examples)


@pytest.mark.parametrize("examples", [0, -1, 2.5, True, "10", None])
def test_an_impossible_number_of_mnist1d_examples_is_refused_by_name(examples):
    with pytest.raises(ValueError, match=r"examples is .*allowed: a whole number from 1"):
        mnist1d(examples)


def test_a_refusal_does_not_depend_on_what_was_made_before():
    mnist1d(100, 7)
    with pytest.raises(ValueError, match="examples"):
        mnist1d(100.0, 7)


@pytest.mark.parametrize("examples", [10, 15, 100])
def test_mnist1d_has_as_many_examples_as_were_asked_for(examples):
    data = mnist1d(examples)
    assert data.x.shape == (examples, 40) and data.x.dtype == torch.float32
    assert data.y.shape == (examples,) and set(data.y.tolist()) <= set(range(10))


def test_mnist1d_is_made_here_without_a_network(monkeypatch):
    def refused(*args, **kwargs):
        raise AssertionError("a network request")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket.socket, "connect_ex", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr("urllib.request.urlopen", refused)
    with pytest.raises(AssertionError):
        socket.create_connection(("localhost", 9))
    mnist1d.cache_clear()
    assert len(mnist1d(100)) == 100


def test_mnist1d_is_the_same_for_the_same_seed():
    first, other = mnist1d(100, seed=7), mnist1d(100, seed=8)
    mnist1d.cache_clear()
    assert same(first, mnist1d(100, seed=7)) and not same(first, other)


def library(folder):
    """A copy of the files of text(), where they can be changed."""
    for name in TEXT_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(sysconfig.get_path("stdlib")) / name, folder / name)
    return folder


def use(folder, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda name, *args, **kwargs: str(folder))


def test_the_text_is_the_pinned_one():
    raw = b"".join((Path(sysconfig.get_path("stdlib")) / name).read_bytes() for name in TEXT_FILES)
    assert hashlib.sha256(raw).hexdigest() == TEXT_SHA256
    written = text()
    assert len(written) == len(raw)
    assert all(a == chr(b) for a, b in zip(written, raw, strict=True) if b < 128)


def test_the_text_is_ascii():
    assert text().isascii()


def test_a_copy_of_the_library_gives_the_same_text(tmp_path, monkeypatch):
    expected = text()
    use(library(tmp_path), monkeypatch)
    assert text() == expected


@pytest.mark.parametrize("name", [TEXT_FILES[0], TEXT_FILES[-1]])
def test_a_library_that_differs_is_refused_and_the_reader_is_told_what_to_do(tmp_path, monkeypatch, name):
    with open(library(tmp_path) / name, "a") as file:
        file.write("\n")
    use(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=r"allowed: CPython 3\.11 to 3\.13.*tokens\(\)") as refusal:
        text()
    assert str(tmp_path) in str(refusal.value)


def test_a_missing_file_of_the_library_is_named(tmp_path, monkeypatch):
    (library(tmp_path) / "heapq.py").unlink()
    use(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=r"missing: heapq\.py.*CPython"):
        text()


def test_the_target_of_a_token_is_the_token_after_it():
    written = "".join(chr(32 + i % 90) for i in range(1000))
    data = tokens(written, 64)
    assert data.x.shape == data.y.shape == (15, 64)
    running = data.x.flatten()
    assert [chr(code) for code in running] == list(written[: len(running)])
    assert [chr(code) for code in data.y.flatten()] == list(written[1 : len(running) + 1])
    assert torch.equal(data.x[:, 1:], data.y[:, :-1]) and torch.equal(data.x[1:, 0], data.y[:-1, -1])


def test_every_target_lies_in_the_text_even_where_the_length_divides_it():
    assert tokens("abcdefgh", 4).x.tolist() == [[97, 98, 99, 100]]
    assert tokens("abcdefghi", 4).y.tolist() == [[98, 99, 100, 101], [102, 103, 104, 105]]


def test_a_token_is_never_more_than_127():
    assert tokens("añb→c", 4).x.tolist() == [[97, 127, 98, 127]]


@pytest.mark.parametrize("length", [0, -1, 8, 2.5, True])
def test_an_impossible_length_is_refused_by_name(length):
    with pytest.raises(ValueError, match="length is"):
        tokens("abcdefgh", length)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_data_that_are_not_finite_are_refused_with_the_example_named(value):
    x = torch.zeros(5, 2, 3)
    x[3, 1, 2] = x[4, 0, 0] = value
    with pytest.raises(ValueError, match=r"x has NaN or infinity, first in example 3;"):
        Data(x, torch.zeros(5))
    with pytest.raises(ValueError, match="example 3"):
        check_finite(x)


def test_one_number_an_example_is_checked_too():
    assert len(Data(torch.zeros(5), torch.zeros(5))) == 5
    with pytest.raises(ValueError, match="first in example 3;"):
        Data(torch.tensor([0.0, 0.0, 0.0, float("nan"), 0.0]), torch.zeros(5))


def test_whole_numbers_are_always_finite_data():
    assert len(Data(torch.arange(6).view(2, 3), torch.zeros(2))) == 2


def test_moving_data_keeps_it():
    data = digits(10)
    assert same(data.to("cpu"), data)


def test_signals_made_in_several_threads_at_once_are_those_made_alone():
    alone, before = [mnist1d(300, seed=seed).x for seed in range(6)], sys.getswitchinterval()
    mnist1d.cache_clear()
    sys.setswitchinterval(1e-5)  # threads take turns often
    try:
        with ThreadPoolExecutor(3) as pool:
            together = list(pool.map(lambda seed: mnist1d(300, seed=seed).x, range(6)))
    finally:
        sys.setswitchinterval(before)
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
