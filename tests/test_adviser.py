"""The adviser: what it measures is right, what it was handed stays, and hostile input ends in one sentence."""

import copy
import functools
import itertools
import json
import random
import re
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SubsetRandomSampler, TensorDataset

from tutorlib.__main__ import main
from tutorlib.errors import Refused
from tutorlib.measure.adviser import advise
from tutorlib.measure.bytes_of_step import line_of
from tutorlib.measure.handed_in import handed_in, length_of, read
from tutorlib.measure.memory.named import report
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.noise import exact_noise
from tutorlib.measure.short_run import short_run
from tutorlib.nn.data import Data
from tutorlib.nn.models import make
from tutorlib.theory.advice import Advice
from tutorlib.theory.choice import choose_plan
from tutorlib.theory.flags import TRAINERS, trainer_named

SGD = functools.partial(torch.optim.SGD, lr=0.3)
QUICK = {"optimizer": SGD, "budget_s": 2}


def blobs(examples: int = 256, seed: int = 0) -> Data:
    """Four classes around four centres in eight dimensions."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (examples,), generator=rng)
    return Data(torch.randn(4, 8, generator=rng)[y] + 0.5 * torch.randn(examples, 8, generator=rng), y)


def small(norm: str = "none") -> nn.Module:
    return make("mlp", 0, inputs=8, width=16, classes=4, norm=norm)


def loader(data: Data | None = None, batch: int = 16, **options) -> DataLoader:
    data = blobs() if data is None else data
    data = TensorDataset(data.x, data.y) if isinstance(data, Data) else data
    return DataLoader(data, batch, shuffle=True, **options)


def test_a_small_model_gets_all_five_measurements_within_its_budget():
    began = time.perf_counter()
    advice = advise(small(), cross_entropy, loader(), **QUICK)
    assert time.perf_counter() - began < 60  # no timing of ours, a run that hangs
    assert advice.read == advice.examples == 256 and advice.batch == 16 and advice.optimizer == "SGD"
    assert advice.coupled == 0 and advice.values is None and advice.layers == ()
    assert advice.sizes[:3] == (1, 2, 4) and list(advice.passes) == sorted(advice.passes) and advice.update >= 0
    assert advice.steps[0] == 0 and advice.losses[-1] < advice.losses[0]
    assert all(low <= value <= high for low, value, high in zip(advice.lows, advice.signals, advice.highs, strict=True))
    assert advice.example_bytes > 0 and advice.largest is None and advice.memory is None
    assert choose_plan(advice).plan.batch <= 256


def test_model_gradients_loader_and_every_random_stream_stay_as_they_were():
    model, own = small("batch"), torch.Generator().manual_seed(3)
    given = loader(generator=own)
    model(blobs().x).sum().backward()  # gradients and running statistics that must stay
    model[0].eval()
    before = copy.deepcopy(model.state_dict())
    gradients, modes = [p.grad.clone() for p in model.parameters()], [m.training for m in model.modules()]
    streams = torch.get_rng_state(), own.get_state(), np.random.get_state()[1].copy(), random.getstate()
    advise(model, cross_entropy, given, **QUICK)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(a, p.grad) for a, p in zip(gradients, model.parameters(), strict=True))
    assert modes == [m.training for m in model.modules()]
    assert torch.equal(streams[0], torch.get_rng_state()) and torch.equal(streams[1], own.get_state())
    assert (streams[2] == np.random.get_state()[1]).all() and streams[3] == random.getstate()
    assert not any(m._forward_hooks for m in model.modules())


def test_batchnorm_is_found_with_its_layers_and_never_timed_on_one_example():
    advice = advise(small("batch"), cross_entropy, loader(), **QUICK)
    assert advice.coupled == 1 and advice.layers == ("1",) and advice.values == 1 and advice.sizes[0] == 2
    assert choose_plan(advice, wanted=64).plan.micro_batch >= min(16, advice.sizes[-1])


def test_an_artificial_memory_is_tried_and_bounds_the_micro_batch():
    free = advise(small(), cross_entropy, loader(), **QUICK)
    room = free.fixed_bytes + 12.5 * free.example_bytes
    tight = advise(small(), cross_entropy, loader(), memory=room, **QUICK)
    assert 8 <= tight.largest <= 16 and tight.memory == room and max(tight.sizes) <= tight.largest
    assert choose_plan(tight).plan.micro_batch <= tight.largest
    with pytest.raises(Refused, match="not even one example fits"):
        advise(small(), cross_entropy, loader(), memory=1000, **QUICK)


@pytest.mark.parametrize(("hidden", "classes"), [(64, 20_000), (512, 4)])
def test_the_bytes_of_the_card_are_those_of_a_prediction_at_every_micro_batch(hidden, classes):
    net = nn.Sequential(nn.Linear(8, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    sample = read(loader(), 2048, 60.0, torch.device("cpu"))
    line = line_of(net, cross_entropy, sample, SGD, tuple(2**k for k in range(9)))
    for size in (1, 16, 64, 256):
        said = max(line["floor_bytes"], line["fixed_bytes"] + size * line["example_bytes"])
        batch = sample.data.x[:2], sample.data.y[:2]
        trace = predict(net, cross_entropy, batch, SGD, micro_batch=size, accumulation=2)
        assert said == pytest.approx(trace.peak, rel=0.05 if size >= 64 else 0.1), size  # least where lines cross


def test_the_noise_of_a_run_is_the_exact_noise_at_its_start_and_end():
    data, model = blobs(512), small()
    start = exact_noise(copy.deepcopy(model), cross_entropy, data)
    looks = short_run(
        model, cross_entropy, data, SGD, batch=16, steps=40, looks=3, micro_batch=8, accumulation=16, draws=64
    )
    end = exact_noise(model, cross_entropy, data)
    assert [look.step for look in looks] == [0, 20, 40]
    for noise, look in ((start, looks[0]), (end, looks[-1])):
        half = look.signal.high - look.signal.low
        assert abs(1 / noise.scale - look.signal.value) < half  # twice the half width: fixed n, about 4 sd
        assert half < 1 / noise.scale  # and the interval says something


def test_the_same_seed_measures_the_same_noise():
    runs = [
        short_run(small(), cross_entropy, blobs(), SGD, batch=16, steps=8, looks=2, draws=4, seed=s) for s in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


class Endless(IterableDataset):
    def __iter__(self):
        data = blobs()
        return itertools.cycle(zip(data.x, data.y, strict=True))


def test_a_loader_without_length_works_and_the_card_says_what_cannot_be_known():
    from tutorlib.theory.card import markdown

    advice = advise(small(), cross_entropy, DataLoader(Endless(), 16), **QUICK)
    assert advice.examples is None and advice.read <= 2048
    page = markdown(advice, choose_plan(advice))
    assert "has no length" in page and "updates an epoch." not in page


@pytest.mark.parametrize("sampler", [SubsetRandomSampler(range(64)), RandomSampler(range(256), num_samples=64)])
def test_the_examples_of_an_epoch_are_those_that_a_sampler_takes(sampler):
    data = blobs()
    given = DataLoader(TensorDataset(data.x, data.y), 16, sampler=sampler)
    assert length_of(given, 16) == 64


def test_the_pace_of_a_loader_is_that_after_its_first_batch():
    class Late:
        def __iter__(self):
            time.sleep(0.5)
            yield from loader()

    assert read(Late(), 2048, 60.0, torch.device("cpu")).seconds_per_example < 0.5 / 256


class Dict(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small()

    def forward(self, x):
        return {"scores": self.net(x)}


def strings():
    return [(["a word"] * 16, torch.zeros(16))]


def frozen():
    return small().requires_grad_(False)


class Shouting(nn.Linear):
    def forward(self, x):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\nmore")


def nan_in_row(row: int):
    class Rows(Dataset):
        def __len__(self):
            return 64

        def __getitem__(self, n):
            return torch.full((8,), torch.nan if n == row else 1.0), n % 4

    return Rows()


class Nowhere(nn.Linear):
    def __init__(self):
        super().__init__(8, 4)

    def forward(self, x):
        return super().forward(x) / 0


def out_of_range() -> Data:
    return Data(blobs().x, blobs().y + 2)


NAN = functools.partial(torch.optim.SGD, lr=1e30)
PAIR = [(torch.randn(32, 8), torch.zeros(32, dtype=torch.long))]
HOSTILE = {
    "strings": (small, cross_entropy, strings, {}, "inputs as a list of str"),
    "a vector loss": (small, functools.partial(cross_entropy, reduction="none"), loader, {}, "loss returned shape"),
    "a sum": (small, functools.partial(cross_entropy, reduction="sum"), loader, {}, "loss sums over the examples"),
    "a plain number": (small, lambda o, y: 1.0, loader, {}, "loss returned a float"),
    "a detached loss": (small, lambda o, y: cross_entropy(o, y).detach(), loader, {}, "loss has no gradient"),
    "a NaN loss": (small, lambda o, y: cross_entropy(o, y) * torch.nan, loader, {}, "loss is nan on the first"),
    "nothing to train": (frozen, cross_entropy, loader, {}, "no trainable parameter"),
    "rate 0": (small, cross_entropy, loader, {"optimizer": functools.partial(torch.optim.SGD, lr=0.0)}, "not train"),
    "a wild rate": (small, cross_entropy, loader, {"optimizer": NAN}, "finite|does not train"),
    "a constant loss": (small, lambda o, y: (o * 0).sum(), loader, {}, "gradient of the loss is zero"),
    "NaN outputs": (Nowhere, cross_entropy, loader, {}, "model's outputs have NaN"),
    "meta": (lambda: small().to("meta"), cross_entropy, loader, {}, "model lies on meta"),
    "a maker that fails": (small, cross_entropy, loader, {"optimizer": lambda p: SGD(p, lr=-1)}, "optimizer failed"),
    "LBFGS": (small, cross_entropy, loader, {"optimizer": torch.optim.LBFGS}, "optimizer makes an LBFGS, whose step"),
    "all dropped": (small, cross_entropy, lambda: loader(batch=512, drop_last=True), {}, "0 examples, and drop_last"),
    "labels out of range": (small, cross_entropy, lambda: loader(out_of_range()), {}, "Target . is out of bounds"),
    "no memory": (small, cross_entropy, loader, {"memory": -1.0}, "memory is -1 bytes"),
    "NaN memory": (small, cross_entropy, loader, {"memory": float("nan")}, "memory is nan bytes"),
    "a generator": (small, cross_entropy, lambda: iter(PAIR), {}, "can be read only once"),
    "no iterable": (small, cross_entropy, lambda: 3, {}, "loader is an int"),
    "empty": (small, cross_entropy, list, {}, "gave 0 example"),
    "three of a pair": (small, cross_entropy, lambda: [(1, 2, 3)], {}, "loader gives 3 things"),
    "unequal": (small, cross_entropy, lambda: [(torch.zeros(9, 8), torch.zeros(8))], {}, "9 inputs with 8 targets"),
    "a dict of scores": (Dict, cross_entropy, loader, {}, "model returned a dict"),
    "a model that raises": (lambda: Shouting(8, 4), cross_entropy, loader, {}, "RuntimeError: mat1 and mat2"),
    "no model": (lambda: "resnet", cross_entropy, loader, {}, "model is a str"),
    "no loss": (small, None, loader, {}, "loss is None"),
    "an optimizer": (
        small,
        cross_entropy,
        loader,
        {"optimizer": torch.optim.AdamW(small().parameters())},
        r"optimizer is an AdamW.*Give lambda parameters: AdamW\(parameters",
    ),
    "makes no optimizer": (small, cross_entropy, loader, {"optimizer": lambda p: 3}, "optimizer makes an int"),
    "NaN": (small, cross_entropy, lambda: loader(nan_in_row(3), 16), {}, "counted in the order of reading"),
    "no time": (small, cross_entropy, loader, {"budget_s": 0}, "budget_s is 0"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_ends_in_one_sentence(name):
    model, loss, given, options, words = HOSTILE[name]
    with pytest.raises(Refused, match=words) as refused:
        advise(model(), loss, given(), **{**QUICK, **options})
    said = str(refused.value)
    assert "\n" not in said and ("allowed" in said or "averages" in said or "Use" in said)


def test_a_refused_model_is_left_alone_too():
    model = small()
    before = copy.deepcopy(model.state_dict())
    stream = torch.get_rng_state()
    with pytest.raises(Refused, match="does not train"):
        advise(model, cross_entropy, loader(), optimizer=functools.partial(torch.optim.SGD, lr=0.0), budget_s=1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(stream, torch.get_rng_state())


HANDED = """
import functools, torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset
def small():
    torch.manual_seed(0)
    y = torch.randint(4, (128,))
    x = torch.randn(4, 8)[y] + 0.3 * torch.randn(128, 8)
    return (torch.nn.Linear(8, 4), cross_entropy, DataLoader(TensorDataset(x, y), 16),
            functools.partial(torch.optim.SGD, lr=0.3))
def listed():
    model, loss, loader, _ = small()
    return model, loss, list(loader)
def two():
    return small()[:2]
def broken():
    raise ValueError("my data file has 3 columns")
number = 3
"""


@pytest.fixture
def handed(tmp_path, monkeypatch):
    (tmp_path / "handed_to_tutorlib.py").write_text(HANDED)
    monkeypatch.syspath_prepend(tmp_path)
    return "handed_to_tutorlib"


def test_a_name_is_refused_for_what_is_wrong_with_it(handed):
    for name, words in {
        "handed_to_tutorlib": "not a module and its function",
        f"{handed}:nothing": "nothing is not there",
        f"{handed}:number": "number is an int",
        f"{handed}:two": "returns 2 things",
        "no_such_module:thing": "No module named 'no_such_module'",
    }.items():
        with pytest.raises(Refused, match=f"{words}.*; allowed: "):
            handed_in(name)
    with pytest.raises(Refused, match=r"broken failed \(ValueError: my data file has 3 columns\); allowed: ") as own:
        handed_in(f"{handed}:broken")
    assert isinstance(own.value.__cause__, ValueError), "the function's own error goes along"


def test_memory_takes_what_the_adviser_takes(handed):
    for name in ("small", "listed"):
        told = report(f"{handed}:{name}", target="cpu")
        assert told["parameters"] == 36 and told["per_example"] > 0
    with pytest.raises(Refused, match="returns 2 things; allowed: "):
        report(f"{handed}:two", target="cpu")


def test_the_adviser_says_when_the_optimizer_is_its_own():
    told = advise(small(), cross_entropy, loader(), budget_s=1)
    assert told.own_rate == 1e-3 and told.optimizer == "AdamW"
    assert advise(small(), cross_entropy, loader(), **QUICK).own_rate is None


def test_the_command_line_prints_the_card_and_writes_it_where_asked(tmp_path, monkeypatch, capsys):
    (tmp_path / "handed_to_tutorlib.py").write_text(HANDED)
    monkeypatch.syspath_prepend(tmp_path)
    made = ["advise", "handed_to_tutorlib:small", "--budget-s", "2", "--ranks", "2", "--wanted", "32"]
    main([*made, "--trainer", "DeepSpeed", "--to", str(tmp_path / "card")])
    page = capsys.readouterr().out
    assert "Batch 32 = " in page and "× 2 ranks" in page and '"train_batch_size": 32' in page
    assert (tmp_path / "card" / "card.md").read_text() == page[:-1]
    assert (tmp_path / "card" / "card.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "taken").touch()
    more = {
        "trainer is 'Nobody'": ["--trainer", "Nobody"],
        r"memory is 105 bytes \(0.0001 MiB\), and not even": ["--memory", "0.0001"],
        "memory is nan MiB": ["--memory", "nan"],
        "memory is -1 MiB": ["--memory", "-1"],
        "wanted is 33": ["--wanted", "33"],
        "wanted is 1000": ["--wanted", "1000"],
        r"to is .*taken \(FileExistsError": ["--to", str(tmp_path / "taken")],
        r"to is /proc/x \(": ["--to", "/proc/x"],
    }
    wrong = {"No module named": ["advise", "no_such:thing"], **{words: [*made, *each] for words, each in more.items()}}
    for words, given in wrong.items():
        with pytest.raises(SystemExit):
            main(given)
        said = " ".join(capsys.readouterr().err.split())
        assert re.search(f"usage: python -m tutorlib advise .*error: .*{words}.*allowed", said)


def test_the_command_line_prints_numbers_where_asked_and_finds_a_trainer_by_how_it_begins(handed, capsys):
    main(["advise", f"{handed}:small", "--budget-s", "1", "--wanted", "32", "--trainer", "deep", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["plan"]["batch"] == 32 and told["plan"]["updates_per_epoch"] == 4
    assert Advice(**told["advice"]).examples == 128 and told["choice"]["times"]["32"] >= 1
    for text, name in {
        "lightning": "Lightning",
        "hugging face": "Hugging Face Trainer",
        "DEEPSPEED": "DeepSpeed",
    }.items():
        assert trainer_named(text) == name
    for text in ("a", "", "nobody"):
        with pytest.raises(Refused, match="allowed: Hugging Face Trainer, Accelerate, Lightning, DeepSpeed"):
            trainer_named(text)
    with pytest.raises(SystemExit):
        main(["advise", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(name in said for name in TRAINERS) and "parameters → optimizer" in said
