"""The runs of lesson 00: training loops as the documents print them, and right ones, with their updates counted."""

from tutorlib.measure.updates import count_updates
from tutorlib.records import Run
from tutorlib.theory.plan import Plan


def right(loader, model, optimizer, accumulation, epochs):
    """Every window is a mean over the micro-batches that are in it, the last one too."""
    for _ in range(epochs):
        for step, batch in enumerate(loader):
            begun = step - step % accumulation
            loss = model(batch) / min(accumulation, len(loader) - begun)
            loss.backward()
            if (step + 1) % accumulation == 0 or step + 1 == len(loader):
                optimizer.step()
                optimizer.zero_grad()


def dropping(loader, model, optimizer, accumulation, epochs):
    """Only full windows step; the rest of an epoch is thrown away."""
    for _ in range(epochs):
        optimizer.zero_grad()
        d3_22(loader, model, optimizer, accumulation, 1)


def shrinking(loader, model, optimizer, accumulation, epochs):
    """The last window of an epoch steps too, but is divided by the full accumulation."""
    for _ in range(epochs):
        for step, batch in enumerate(loader):
            loss = model(batch) / accumulation
            loss.backward()
            if (step + 1) % accumulation == 0 or step + 1 == len(loader):
                optimizer.step()
                optimizer.zero_grad()


def plain(loader, model, optimizer, accumulation, epochs):
    """The loop of D3-21: forward, backward, step, zero, every micro-batch."""
    for _ in range(epochs):
        for batch in loader:
            loss = model(batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def d1_11(loader, model, optimizer, accumulation, epochs):
    """As printed: backward ``acc_steps`` times, step, zero. Nothing is divided."""
    for _ in range(epochs):
        micro_batches = iter(loader)
        for _ in range(len(loader) // accumulation):
            for _ in range(accumulation):
                loss = model(next(micro_batches))
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def d3_22(loader, model, optimizer, accumulation, epochs):
    """As printed, with its one ``zero_grad`` before the data: ``loss / K`` and ``(step + 1) % K``."""
    optimizer.zero_grad()
    for _ in range(epochs):
        for step, batch in enumerate(loader):
            loss = model(batch)
            loss = loss / accumulation
            loss.backward()
            if (step + 1) % accumulation == 0:
                optimizer.step()
                optimizer.zero_grad()


def d4_20(loader, model, optimizer, accumulation, epochs):
    """As printed: ``if step % 8 == 0`` (8 is plan D's accumulation), no ``zero_grad``, nothing divided."""
    for _ in range(epochs):
        for step, batch in enumerate(loader):
            loss = model(batch)
            loss.backward()
            if step % accumulation == 0:
                optimizer.step()


LOOPS = {
    "right": right,
    "dropping": dropping,
    "shrinking": shrinking,
    "D3-21": plain,
    "D1-11": d1_11,
    "D3-22": d3_22,
    "D4-20": d4_20,
}


def loops(run: Run, device: str) -> dict:
    """What the updates of one loop are made of, counted; ``examples_*``, ``unused`` and ``again`` over all ranks.

    ``gradient_*`` is the size of an applied gradient over the right one: the first epoch's first, least and most, and
    the first of the next epoch (0 without one). ``heaviest`` is what an example counts at most, over 1/batch.
    ``unused`` examples are in no update, ``again`` in more of them than there are epochs.
    """
    s = run.settings
    plan = Plan(s["examples"], s["micro_batch"], s["accumulation"], s["ranks"], s["epochs"], s["drop_last"])
    ranks = [count_updates(LOOPS[s["loop"]], plan, run.seed, rank) for rank in range(plan.ranks)]
    one, passes = ranks[0], len(ranks[0].sizes) // plan.epochs
    updates = sum(after <= passes for after in one.after)
    times = sum(rank.times for rank in ranks)
    return {
        "forwards": passes,
        "updates": updates,
        "first_step": one.after[0],
        "examples_an_update": sum(rank.examples[0] for rank in ranks),
        "smallest_micro_batch": min(one.sizes),
        "largest_micro_batch": max(one.sizes),
        "gradient_first": one.sums[0],
        "gradient_least": min(one.sums[:updates]),
        "gradient_most": max(one.sums[:updates]),
        "gradient_next_epoch": one.sums[updates] if len(one.sums) > updates else 0.0,
        "heaviest": plan.batch * float(sum(rank.weights for rank in ranks).max()) / plan.ranks,
        "orphans": one.orphans,
        "unused": int((times == 0).sum()),
        "again": int((times > plan.epochs).sum()),
    }
