"""The top eigenvalue beside curvlinops with SciPy's eigsh, and 24 replicas at once beside one after the other."""

import numpy as np
from torch.nn import CrossEntropyLoss
from torch.nn.functional import cross_entropy

from tutorlib.measure.curvature import top_eigenvalue, top_eigenvalues
from tutorlib.measure.fit import fit
from tutorlib.nn.data import Data
from tutorlib.nn.models import make

REPLICAS, ROUNDS, DIGITS = 24, 5, 1e-5  # DIGITS: to which all agree, relative
SIZES = (16, 64, 256, 1024)  # examples
LIBRARY, TOGETHER = "top eigenvalue, 1 net, 1,024", "top eigenvalue, 24 nets, {:,}"
GOALS = {  # times as long as ours; with more examples, only not to lose
    (LIBRARY, "curvlinops_and_eigsh"): 3.0,
    **{(TOGETHER.format(size), "one_by_one"): 8.0 if size == SIZES[0] else 0.95 for size in SIZES},
}


def trained(count, data):
    """Nets that have learned a little: at the start the top eigenvalues lie close together."""
    models = [make("mlp", seed) for seed in range(count)]
    for seed, model in enumerate(models):
        fit(model, cross_entropy, data, batch=32, rate=0.1, steps=100, seed=seed)
    return models


def ours(model, data):
    return top_eigenvalue(model, cross_entropy, data, tolerance=DIGITS / 10).value


def curvlinops_and_eigsh(model, data):
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import eigsh

    parameters = [p for p in model.parameters() if p.requires_grad]
    options = {"check_deterministic": False}  # ours checks it, too
    operator = HessianLinearOperator(model, CrossEntropyLoss(), parameters, [(data.x, data.y)], **options)
    start = np.random.default_rng(0).standard_normal(operator.shape[0]).astype(np.float32)
    return float(eigsh(operator.to_scipy(), k=1, which="LA", tol=DIGITS / 10, v0=start, return_eigenvectors=False)[0])


def at_once(models, data):
    return [top.value for top in top_eigenvalues(models, cross_entropy, data, tolerance=DIGITS / 10)]


def one_by_one(models, data):
    return [ours(model, data) for model in models]


def compared(group, ways, arguments, timeit):
    """(group, way, milliseconds of each round, how many times as long as the first way), once all agree."""
    values = {way: np.array(way(*arguments)) for way in ways}
    for way, value in values.items():
        if not np.allclose(value, values[ways[0]], rtol=DIGITS, atol=0):
            raise SystemExit(f"{group}: {way.__name__} says {value}, {ways[0].__name__} {values[ways[0]]}")
    times = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way in ways:
            times[way].append(1000 * timeit(lambda way=way: way(*arguments), number=1))
    for way in ways:
        yield group, way.__name__, np.array(times[way]), float(np.median(np.divide(times[way], times[ways[0]])))


def curvature(data, timeit):
    """Everything that is compared: first with the library, if it is there, then replicas at several sizes."""
    models = trained(REPLICAS, data)
    try:
        import curvlinops  # noqa: F401

        yield from compared(LIBRARY, (ours, curvlinops_and_eigsh), (models[0], data), timeit)
    except ImportError as error:
        print(f"top eigenvalue: curvlinops is left out, it cannot be imported ({error})")
    for size in SIZES:
        some = Data(data.x[:size], data.y[:size])
        yield from compared(TOGETHER.format(size), (at_once, one_by_one), (models, some), timeit)
