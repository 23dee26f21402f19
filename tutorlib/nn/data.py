"""Data that needs no network: digits, MNIST-1D, and text from the standard library."""

import functools
import hashlib
import math
import sysconfig
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tutorlib.errors import Refused
from tutorlib.theory.noise import check_batch

TEXT_FILES = (
    "difflib.py",
    "optparse.py",
    "heapq.py",
    "concurrent/futures/_base.py",
    "tomllib/_parser.py",
    "weakref.py",
    "tracemalloc.py",
    "xml/sax/handler.py",
    "xml/etree/ElementPath.py",
    "json/__init__.py",
    "stringprep.py",
    "xml/dom/xmlbuilder.py",
    "xml/sax/saxutils.py",
    "string.py",
    "xml/dom/pulldom.py",
    "multiprocessing/heap.py",
    "pyclbr.py",
    "graphlib.py",
    "_threading_local.py",
    "asyncio/protocols.py",
    "multiprocessing/sharedctypes.py",
    "_py_abc.py",
    "_weakrefset.py",
)  # the same bytes in CPython 3.11, 3.12 and 3.13
TEXT_SHA256 = "ffeb3e5736b4c4ed1e9a84b6b7a2ba3464a56ccf2acb79573d20705f5f8401d5"


NUMPY_STREAM = threading.Lock()


@dataclass(frozen=True)
class Data:
    """Training examples ``x`` (examples, …) and targets ``y`` (examples, …), on one device."""

    x: torch.Tensor
    y: torch.Tensor

    def __post_init__(self):
        for name, given in (("x", self.x), ("y", self.y)):
            if not isinstance(given, torch.Tensor):
                raise Refused(f"{name} is a {type(given).__name__}; allowed: a tensor. Use torch.as_tensor({name})")
        if len(self.x) != len(self.y):
            raise Refused(f"x has {len(self.x)} examples and y has {len(self.y)}; allowed: one target an example")
        check_finite(self.x)
        check_finite(self.y, "y")

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device) -> "Data":
        return Data(self.x.to(device), self.y.to(device))


def joined(parts: Sequence[Data]) -> Data:
    """One data set of several, in their order."""
    return Data(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))


def check_finite(x: torch.Tensor, name: str = "x") -> None:
    """Raises ``ValueError`` naming the first example that holds NaN or infinity."""
    if x.is_floating_point() and not math.isfinite(x.sum()) and not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x)).view(len(x), -1).any(1).nonzero()[0])
        raise Refused(f"{name} has NaN or infinity, first in example {bad}; allowed: finite numbers. Drop or mend it")


def digits(examples: int = 1024, seed: int = 0, device="cpu") -> Data:
    """``examples`` of the 1,797 handwritten digits in scikit-learn, drawn by ``seed``; 64 pixels in 0…1.

    Source: Alpaydin and Kaynak 1998, UCI Optical Recognition of Handwritten Digits.
    """
    pixels, labels = _digits()
    chosen = np.random.default_rng(seed).permutation(len(pixels))[: check_batch(examples, len(pixels), "examples")]
    return Data(torch.from_numpy(pixels[chosen]), torch.from_numpy(labels[chosen])).to(device)


@functools.cache
def _digits():
    from sklearn.datasets import load_digits  # two seconds of import that most readers never need

    bunch = load_digits()
    return (bunch.data / 16).astype(np.float32), bunch.target.astype(np.int64)


@functools.lru_cache(maxsize=4, typed=True)
def mnist1d(examples: int = 4000, seed: int = 42, device="cpu") -> Data:
    """``examples`` one-dimensional digits of length 40, generated here and never downloaded.

    Source: Greydanus and Kobak, arXiv 2011.14439; the generator is the one of the ``mnist1d`` package.
    """
    from mnist1d.data import get_dataset_args, make_dataset

    arguments = get_dataset_args()
    per_class = -(-check_batch(examples, name="examples") // 10)
    arguments.num_samples, arguments.seed = 10 * per_class, seed
    arguments.train_split = 1.0
    with NUMPY_STREAM:  # the generator seeds numpy's global stream, which threads share; put it back
        stream = np.random.get_state()
        made = make_dataset(arguments)
        np.random.set_state(stream)
    x, y = torch.tensor(made["x"][:examples]), torch.tensor(made["y"][:examples])
    return Data(x.float(), y.long()).to(device)


def text() -> str:
    """ASCII text of source files that are the same bytes in CPython 3.11, 3.12 and 3.13.

    Raises ``ValueError`` naming what differs, so that another Python never changes the data silently.
    """
    library = Path(sysconfig.get_path("stdlib"))
    missing = [name for name in TEXT_FILES if not (library / name).is_file()]
    joined = b"" if missing else b"".join((library / name).read_bytes() for name in TEXT_FILES)
    if missing or hashlib.sha256(joined).hexdigest() != TEXT_SHA256:
        raise Refused(
            f"The standard library in {library} is not the text this course is measured on"
            f"{f' (missing: {missing[0]})' if missing else ''}; allowed: CPython 3.11 to 3.13 as released. "
            "Use one of those, or pass your own text to tokens()"
        )
    return joined.decode("latin-1").encode("ascii", "replace").decode()  # one character a byte, an accent as two ?


def tokens(written: str, length: int = 64) -> Data:
    """Text as examples of ``length`` ASCII codes, each with the following code as its target."""
    codes = torch.tensor([min(ord(letter), 127) for letter in written])
    count = (len(codes) - 1) // check_batch(length, max(len(codes) - 1, 1), "length")
    return Data(codes[: count * length].view(count, length), codes[1 : count * length + 1].view(count, length))
