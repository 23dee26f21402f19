"""Every test, the notebooks among them, measures on the CPU with an empty cache of its own."""

import os
import tempfile

_cache = tempfile.TemporaryDirectory(prefix="tutorlib-test-")
os.environ["TUTORLIB_CACHE"] = _cache.name  # a learner's cache must not answer for the code under test
os.environ.setdefault("TUTORLIB_DEVICE", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small models, busy machines: see course/log.md
