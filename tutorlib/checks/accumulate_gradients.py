"""The check of lesson 02: gradient accumulation, and twelve ways to get it wrong, each told by its name."""

from collections.abc import Callable

from tutorlib.checks import Check, attempt

TRAPS = (  # name, examples of every part, targets ignored in every part
    ("equal parts", (4, 4, 4), (0, 0, 0)),
    ("parts with unequal numbers of targets", (5, 4, 3), (0, 1, 2)),
    ("a smaller last part", (4, 4, 2), (0, 0, 0)),
    ("a window of two parts", (4, 4), (0, 0)),
    ("a part without any target", (4, 4, 4), (0, 4, 1)),
)


def check_accumulate(function: Callable) -> Check:
    """``function(model, parts, loss, clip=None)`` leaves in every ``p.grad`` the gradient of all parts together.

    ``parts`` is a list of (x, y), ``loss(outputs, y)`` the mean over the targets that are not −100. With ``clip``
    the gradient is shortened to that length, once. Stepping is the caller's.
    """
    check = Check("accumulate")
    for number, (name, sizes, ignored) in enumerate(TRAPS):
        problem = Problem(sizes, ignored, seed=number)
        check.add(name, *problem.judged(function))
    ragged = Problem((5, 4, 3), (0, 1, 2), seed=10)
    check.add("gradients left from an earlier window", *ragged.judged(function, stale=True))
    check.add("clipping", *ragged.judged(function, clip=0.5 * float(ragged.true.norm())))
    check.add("a clip that is longer than the gradient", *ragged.judged(function, clip=2 * float(ragged.true.norm())))
    check.add("the parts in another order", *Problem((4, 4, 2), (3, 1, 0), seed=11).order_judged(function))
    check.add("one part at a time", *ragged.passes_judged(function))
    check.add("parameters stay where they are", *ragged.parameters_judged(function))
    check.add("parts stay as they are", *ragged.parts_judged(function))
    return check


class Problem:
    """A small linear model, a window of parts, its true gradient, and the gradients that the usual mistakes give."""

    def __init__(self, sizes: tuple, ignored: tuple, seed: int):
        import torch

        from tutorlib.measure.accumulation import IGNORED
        from tutorlib.measure.ladder import accumulated, part_gradients
        from tutorlib.nn.models import make

        rng = torch.Generator().manual_seed(seed)
        self.loss, self.sizes = mean_of_counted, torch.tensor(sizes, dtype=torch.float64)[:, None]
        self.model = make("mlp", seed, inputs=3, width=4, classes=3).double()
        self.parts = []
        for size, without in zip(sizes, ignored, strict=True):
            y = torch.randint(3, (size,), generator=rng)
            y[:without] = IGNORED
            self.parts.append((torch.randn(size, 3, generator=rng, dtype=torch.float64), y))
        self.true = accumulated(self.model, self.parts, self.loss)
        self.rows, self.counts = part_gradients(self.model, self.parts, self.loss)
        self.start = [p.detach().clone() for p in self.model.parameters()]

    def fresh(self) -> list:
        return [(x.clone(), y.clone()) for x, y in self.parts]

    def run(self, function: Callable, parts: list, stale: bool = False, **options):
        """The gradient that ``function`` leaves, or the exception it raised; parameters are put back."""
        import torch

        from tutorlib.measure.ladder import flat_gradient

        for p in self.model.parameters():
            p.grad = torch.ones_like(p) if stale else None
        raised = attempt(lambda: function(self.model, parts, self.loss, **options))
        self.moved = any(not torch.equal(p, was) for p, was in zip(self.model.parameters(), self.start, strict=True))
        with torch.no_grad():
            for p, was in zip(self.model.parameters(), self.start, strict=True):
                p.copy_(was)
        if isinstance(raised, Exception):
            return raised
        return None if any(p.grad is None for p in self.model.parameters()) else flat_gradient(self.model)

    def judged(self, function: Callable, stale: bool = False, clip: float | None = None) -> tuple[bool, str]:
        from tutorlib.measure.ladder import clipped

        options = {} if clip is None else {"clip": clip}
        answer = self.run(function, self.fresh(), stale, **options)
        true = self.true if clip is None else clipped(self.true, clip)
        return same(answer, true), self.diagnosis(answer, clip)

    def diagnosis(self, answer, clip: float | None) -> str:
        """What went wrong, where it is one of the usual mistakes."""
        if isinstance(answer, Exception):
            return f"an error of your code, {type(answer).__name__}: {answer}"
        if answer is None:
            return "p.grad is None; call backward() for every part"
        if not answer.isfinite().all():
            return "NaN: the mean over no target is 0/0; skip a part that has none"
        for gradient, words in self.mistakes(clip):
            if same(answer, gradient):
                return words
        along = float(answer @ self.true / (answer.norm() * self.true.norm()))
        longer = float(answer.norm() / self.true.norm())
        return f"your gradient is {longer:.4g} times as long as the batch's, and the cosine between them is {along:.4g}"

    def mistakes(self, clip: float | None) -> list:
        from tutorlib.measure.ladder import clipped

        rows, n, m = self.rows.nan_to_num(), self.counts, self.sizes
        share, parts = n / n.sum(), len(self.rows)
        plain = [
            (rows.mean(0), "a mean of means: every part counts alike, however few targets or examples it has"),
            (rows.sum(0), "the parts are added and never divided: the gradient is K times too long"),
            ((m * rows).sum(0) / m.sum(), "parts count by their examples; count the targets that are not −100"),
            ((n * rows).sum(0) / (parts * n[0]), "divided as if every part had as many targets as the first"),
            *(
                (w * rows[-1], "only the last part is left: zero once, before the parts, not between them")
                for w in (1, 1 / parts, share[-1])
            ),
            *(
                (gradient + 1.0, "what p.grad held before is still in it: zero before the first part")
                for gradient in (self.true, rows.mean(0), rows.sum(0))
            ),
            ((share * rows).sum(0), "not clipped, or clipped where nobody asked"),
        ]
        if clip is None:
            return plain
        return clip_mistakes(rows, share, clip) + plain + [(clipped(wrong, clip), words) for wrong, words in plain]

    def order_judged(self, function: Callable) -> tuple[bool, str]:
        one, other = (self.run(function, parts) for parts in (self.fresh(), self.fresh()[::-1]))
        if isinstance(one, Exception) or one is None:
            return False, self.diagnosis(one, None)
        return same(other, one), "the gradient depends on which part comes last; every part has a count of its own"

    def passes_judged(self, function: Callable) -> tuple[bool, str]:
        """All parts in one pass give the same gradient, in the memory that accumulation is there to save."""
        rows = []
        watch = self.model.register_forward_pre_hook(lambda model, given: rows.append(len(given[0])))
        answer = self.run(function, self.fresh())
        watch.remove()
        if isinstance(answer, Exception) or answer is None:
            return False, self.diagnosis(answer, None)
        most, largest = max(rows, default=0), int(self.sizes.max())
        return (
            0 < most <= largest,
            f"a pass of {most} examples, and the largest part has {largest}: pass each part alone",
        )

    def parameters_judged(self, function: Callable) -> tuple[bool, str]:
        answer = self.run(function, self.fresh())
        failed = isinstance(answer, Exception) or answer is None
        return not (self.moved or failed), self.diagnosis(answer, None) if failed else (
            "your function moved them; leave the step to the caller"
        )

    def parts_judged(self, function: Callable) -> tuple[bool, str]:
        import torch

        given = self.fresh()
        answer = self.run(function, given)
        if isinstance(answer, Exception) or answer is None:
            return False, self.diagnosis(answer, None)
        if len(given) != len(self.parts):
            return False, f"you were given {len(self.parts)} parts and left {len(given)} in the list"
        kept = all(
            torch.equal(a, b)
            for one, other in zip(given, self.parts, strict=True)
            for a, b in zip(one, other, strict=True)
        )
        return kept, "your function changed x or y; the caller may need them again"


def mean_of_counted(scores, targets):
    """Cross-entropy as it is defined: torch's own has a gradient of 0 where the mean is 0/0."""
    from tutorlib.measure.accumulation import IGNORED

    counted = targets != IGNORED
    own = scores.logsumexp(-1) - scores.gather(-1, targets.clamp(min=0)[:, None])[:, 0]
    return (own * counted).sum() / counted.sum()


def clip_mistakes(rows, share, clip: float) -> list:
    from tutorlib.measure.ladder import clipped

    words = "every part is clipped; clip once, after the last part"
    running = 0 * rows[0]
    for row in share * rows:
        running = clipped(running + row, clip)
    each = [(w * clipped(rows, clip)).sum(0) for w in (share, 1 / len(rows))]
    return [(gradient, words) for gradient in (*each, clipped(share * rows, clip).sum(0), running)]


def same(answer, expected) -> bool:
    import torch

    # Not closer: torch's own clipping divides by a length that is 1e-6 too long.
    return isinstance(answer, torch.Tensor) and torch.allclose(answer, expected, rtol=1e-4, atol=1e-8)
