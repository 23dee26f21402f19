"""From a wanted batch back to plans: which reach it exactly and, where none does, which batches are near."""

from tutorlib.theory.noise import check_batch


def plans_for(batch: int, largest_micro_batch: int, ranks: int = 1) -> tuple[tuple[int, int], ...]:
    """Every (micro_batch, accumulation) with micro_batch × accumulation × ranks = batch, fewest passes first.

    Empty exactly where ``ranks`` does not divide ``batch``: a micro-batch of 1 always fits otherwise.
    """
    for name, value in (("batch", batch), ("largest_micro_batch", largest_micro_batch), ("ranks", ranks)):
        check_batch(value, name=name)
    share, rest = divmod(batch, ranks)
    if rest:
        return ()
    return tuple(
        (micro, share // micro) for micro in range(min(largest_micro_batch, share), 0, -1) if not share % micro
    )


def nearest_plans(batch: int, largest_micro_batch: int, ranks: int = 1) -> dict[int, tuple[tuple[int, int], ...]]:
    """The nearest batches, below and above, that ``ranks`` can reach, each with its :func:`plans_for`.

    ``batch`` itself alone where it can be reached. Below ``ranks`` there is none.
    """
    if exact := plans_for(batch, largest_micro_batch, ranks):
        return {batch: exact}
    below = batch // ranks * ranks
    return {near: plans_for(near, largest_micro_batch, ranks) for near in (below, below + ranks) if near}
