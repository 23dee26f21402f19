"""The check of lesson 02: right answers pass, and every usual mistake fails with words of its own."""

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from tutorlib.checks.accumulate_gradients import check_accumulate
from tutorlib.measure.accumulation import IGNORED, accumulate

torch.set_num_threads(1)


def library(model, parts, loss, clip=None):
    accumulate(model, parts, loss, clip=clip)


def solution(
    model, parts, loss, clip=None, *, zero="before", divide="targets", skip=True, clip_when="after", step=False
):
    """A right answer; each keyword is one way to make it wrong."""
    counts = [int((y != IGNORED).sum()) for _, y in parts]
    sizes = [len(y) for _, y in parts]
    if zero != "never":
        model.zero_grad()
    for k, (x, y) in enumerate(parts):
        if skip and not counts[k]:
            continue
        share = {
            "targets": counts[k] / sum(counts),
            "nothing": 1,
            "parts": 1 / len(parts),
            "examples": sizes[k] / sum(sizes),
            "first": counts[k] / (len(parts) * (counts[0] or 1)),
            "four": 1 / 4,
        }[divide]
        if zero == "between":
            model.zero_grad()
        (share * loss(model(x), y)).backward()
        if clip is not None and clip_when == "every part":
            clip_grad_norm_(model.parameters(), clip)
    if clip is not None and clip_when == "after":
        clip_grad_norm_(model.parameters(), clip)
    if clip_when == "always":
        clip_grad_norm_(model.parameters(), 0.1)
    if step:
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad


def test_the_library_and_the_solution_pass():
    for right in (library, solution):
        check = check_accumulate(right)
        assert check.solved, check


def summing(model, parts, loss, clip=None):
    model.zero_grad()
    counts = [int((y != IGNORED).sum()) for _, y in parts]
    parts = [(x, y) for x, y in parts if (y != IGNORED).any()]
    sum(n / sum(counts) * loss(model(x), y) for (x, y), n in zip(parts, filter(None, counts), strict=True)).backward()
    if clip:
        clip_grad_norm_(model.parameters(), clip)


def test_one_backward_pass_over_a_sum_of_graphs_passes_too():
    assert check_accumulate(summing).solved


def popping(model, parts, loss, clip=None):
    kept = list(parts)
    while parts:
        parts.pop()
    accumulate(model, kept, loss, clip=clip)


def overwriting(model, parts, loss, clip=None):
    accumulate(model, parts, loss, clip=clip)
    for x, _ in parts:
        x.mul_(2)


def last_count(model, parts, loss, clip=None):
    n = int((parts[-1][1] != IGNORED).sum())
    parts = [(x, y) for x, y in parts if (y != IGNORED).any()]
    accumulate(model, parts, loss, clip=clip)
    for p in model.parameters():
        p.grad *= 1 + n / 100


def all_at_once(model, parts, loss, clip=None):
    accumulate(model, [tuple(torch.cat(column) for column in zip(*parts, strict=True))], loss, clip=clip)


def forgetting(model, parts, loss, clip=None):
    return None


WRONG = {
    "no division": ({"divide": "nothing"}, "never divided"),
    "mean of means": ({"divide": "parts"}, "mean of means"),
    "by examples": ({"divide": "examples"}, "count by their examples"),
    "the first part's count": ({"divide": "first"}, "as many targets as the first"),
    "a fixed number of parts": ({"divide": "four"}, "times as long as the batch's, and the cosine between them is 1"),
    "zeroed between": ({"zero": "between"}, "only the last part is left"),
    "never zeroed": ({"zero": "never"}, "what p.grad held before is still in it"),
    "no part skipped": ({"skip": False}, "NaN"),
    "every part clipped": ({"clip_when": "every part"}, "every part is clipped"),
    "never clipped": ({"clip_when": "never"}, "not clipped"),
    "clipped unasked": ({"clip_when": "always"}, "times as long as the batch's"),
    "a step": ({"step": True}, "leave the step to the caller"),
    "popped": (popping, "left 0 in the list"),
    "overwritten": (overwriting, "changed x or y"),
    "all at once": (all_at_once, "pass each part alone"),
    "order": (last_count, "which part comes last"),
    "nothing": (forgetting, "call backward"),
    "raises": (lambda *given: 1 / 0, "ZeroDivisionError"),
    "signature": (lambda model: None, "TypeError"),
    "stub": (lambda model, parts, loss, clip=None: ..., "call backward"),
}


def answer(name):
    wrong, _ = WRONG[name]
    return wrong if callable(wrong) else lambda *given, **options: solution(*given, **options, **wrong)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_told_by_its_name(name):
    check = check_accumulate(answer(name))
    assert not check.solved and WRONG[name][1] in repr(check), check


@pytest.mark.parametrize(
    "name", ["a step", "popped", "overwritten", "all at once", "every part clipped", "never zeroed"]
)
def test_a_mistake_fails_on_its_own_line_and_leaves_the_others_alone(name):
    failed = [line for passed, line in check_accumulate(answer(name)).lines if not passed]
    assert len(failed) == 1 and WRONG[name][1] in failed[0]


def test_after_the_check_the_next_one_starts_afresh():
    check_accumulate(answer("a step"))
    assert check_accumulate(library).solved
