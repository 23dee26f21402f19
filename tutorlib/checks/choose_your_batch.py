"""The exercise of lesson 09: from noise, seconds and memory to a plan."""

from collections.abc import Callable

from tutorlib.checks import Check, attempt, failure

BATCHES = tuple(2**k for k in range(13))
FIXED, EACH = 0.010, 0.0005  # seconds of a pass: as dear as 20 examples, and one example


def check_plan(function: Callable) -> Check:
    """``function(critical, seconds, update, largest)`` → (batch, micro-batch, accumulation) of the least time.

    ``seconds(micro_batch)`` is the time of one pass, ``update`` that of the optimizer. Batches and micro-batches are
    powers of two up to 4,096.
    """
    check = Check("from three measurements to a plan")
    for name, critical, update, largest in (
        ("B_crit 64, plenty of memory", 64.0, 0.0, 4096),
        ("B_crit 1,000, plenty of memory: a larger batch", 1000.0, 0.0, 4096),
        ("B_crit 1,000, room for 6, steps cost nothing: what fits, and no accumulation", 1000.0, 0.0, 6),
        ("B_crit 1,000, room for 6, a step costs 0.3 s: accumulate", 1000.0, 0.3, 6),
        ("hardly any noise, B_crit 0.5: one example would do, but passes cost", 0.5, 0.0, 4096),
    ):
        answer, expected = attempt(function, critical, seconds, update, largest), best(critical, update, largest)
        check.add(name, fits(answer, expected), hint(answer, expected, critical, update, largest))
    return check


def seconds(micro_batch: int) -> float:
    return FIXED + EACH * micro_batch


def best(critical: float, update: float, largest: int) -> tuple[int, int, int]:
    return min(
        ((b, m, b // m) for b in BATCHES for m in BATCHES if m <= min(b, largest)),
        key=lambda plan: time(plan, critical, update),
    )


def time(plan: tuple[int, int, int], critical: float, update: float) -> float:
    batch, micro_batch, accumulation = plan
    return (1 + critical / batch) * (update + accumulation * seconds(micro_batch))


def fits(answer, expected: tuple) -> bool:
    try:
        return tuple(int(part) for part in answer) == expected
    except (TypeError, ValueError):
        return False


def hint(answer, expected: tuple, critical: float, update: float, largest: int) -> str:
    if failed := failure(answer):
        return failed
    if not isinstance(answer, tuple) or len(answer) != 3:
        return f"you returned {answer!r}; three numbers are expected, batch, micro-batch, accumulation"
    batch, micro_batch, accumulation = answer
    if batch != micro_batch * accumulation:
        return f"{micro_batch} × {accumulation} is not {batch}"
    if micro_batch > largest:
        return f"micro-batch {micro_batch} does not fit, {largest} does"
    longer = time(answer, critical, update) / time(expected, critical, update)
    return f"{answer} takes {longer:.2f} times as long as another plan"
