"""Every test, the notebooks among them, measures on the CPU with an empty cache of its own."""

import os
import tempfile

_cache = tempfile.TemporaryDirectory(prefix="tutorlib-test-")
os.environ["TUTORLIB_CACHE"] = _cache.name  # a learner's cache must not answer for the code under test
os.environ.setdefault("TUTORLIB_DEVICE", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small models, busy machines: see course/log.md


# Lessons whose numbers end in digits of the processor: rounding itself, errors of nets trained in float32, steps until
# a noisy loss first dips under a line, seconds. Their verdict tables are compared as text, claim by claim and word by
# word; the HTML beside it has the numbers.
NUMBERS_VARY = {
    "02_accumulate_gradients.ipynb",
    "03_mind_the_batchnorm.ipynb",
    "04_fit_the_memory.ipynb",
    "05_race_two_speeds.ipynb",
    "06_question_generalization.ipynb",
    "07_scale_the_optimizer.ipynb",
    "08_hunt_heavy_tails.ipynb",
}


def pytest_collection_modifyitems(items):
    for notebook in {item.parent for item in items if item.path.name in NUMBERS_VARY}:
        notebook.skip_compare = (*notebook.skip_compare, "text/html")
