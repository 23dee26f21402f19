"""What only a GPU can show: predicted memory against the peaks of its own allocator, each run in a fresh process.

``TUTORLIB_GRID=grid.jsonl pytest tests/gpu/test_memory_gpu.py -k llama`` measures a slice and keeps it in that file;
what is there already is not measured again, so that the whole is put together from as many sittings as it needs.
"""

import os
from pathlib import Path

import pytest
import torch

from tutorlib.experiments.memory_grid import EIGHT_BIT_GRID, MEMORY_GRID
from tutorlib.measure.memory.finder import largest_micro_batch
from tutorlib.nn.device import available, free_memory, pick
from tutorlib.nn.models import next_token_loss
from tutorlib.nn.transformers import GPT2
from tutorlib.store import Store
from tutorlib.study import study
from tutorlib.theory.shapes import SHAPES
from tutorlib.verdicts.memory_grid import ON_A_GPU, RESERVED, Goal, errors, family_of, summary, wrongly_told

pytestmark = pytest.mark.skipif("cuda" not in available(), reason="needs a CUDA device")

MIB = 2**20


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(Path(os.environ.get("TUTORLIB_GRID") or tmp_path_factory.mktemp("grid") / "grid.jsonl"))


def named(grid):
    return [pytest.param(grid, p, id=" ".join(f"{v}" for v in p.values())) for p in grid.points]


@pytest.mark.parametrize(("grid", "point"), named(MEMORY_GRID) + named(EIGHT_BIT_GRID))
def test_the_peak_is_predicted_or_said_to_be_too_much(store, grid, point):
    if "8-bit" in point["optimizer"]:
        pytest.importorskip("bitsandbytes")
    (record,) = study(grid.at(points=(point,)), "cuda", records=store)
    assert not wrongly_told([record])
    if record.outcome == "out_of_memory":
        return
    each = ON_A_GPU[family_of(point["model"])]
    goal = Goal(each.worst, slack=each.slack)
    pairs = {"allocated": "predicted", "first_allocated": "predicted_first", "reserved": "predicted_reserved"}
    goals = {what: RESERVED if what == "reserved" else goal for what in pairs}
    rows = [errors("run", [record], what, said, goals[what]) for what, said in pairs.items()]
    print(*rows, sep="\n")
    assert all(row.met for row in rows), "\n".join(str(row) for row in rows if not row.met)


def test_the_whole_grid_meets_its_goals(store):
    records = [record for record in store.load() if record.run.experiment == MEMORY_GRID.name]
    if len({record.run.key for record in records}) < len(MEMORY_GRID.points):
        pytest.skip("runs after the whole grid only")
    rows = summary(records)
    print(*rows, sep="\n")
    assert all(row.met for row in rows), "\n".join(str(row) for row in rows if not row.met)


def test_the_largest_micro_batch_runs_and_leaves_the_card_as_it_was():
    model = GPT2(SHAPES["gpt2"]).to("cuda")
    tokens = torch.zeros(1, 1024, dtype=torch.long, device="cuda")
    batch, before = (tokens, tokens.clone()), free_memory(pick("cuda"))
    weights, stream = model.token.weight.clone(), torch.cuda.get_rng_state()
    found = largest_micro_batch(model, next_token_loss, batch, examples=4096, precision="autocast")
    assert found.tries[found.micro_batch] and not found.tries.get(found.micro_batch + 1, True)
    assert torch.equal(weights, model.token.weight) and torch.equal(stream, torch.cuda.get_rng_state())
    assert abs(free_memory(pick("cuda")) - before) < 1024 * MIB
