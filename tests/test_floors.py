"""The floors of the package, read off its import statements: a breach is a sentence naming file and rule."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import tutorlib

PACKAGE = Path(tutorlib.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

FLOOR = {
    "errors": 0,
    "jsonlines": 0,
    "records": 0,
    "results": 0,
    "theory": 0,
    "experiments": 1,
    "verdicts": 1,
    "store": 1,
    "nn": 1,
    "measure": 2,
    "trials": 3,
    "study": 3,
    "callbacks": 3,
    "plots": 4,
    "widgets": 5,
    "checks": 5,
    "__main__": 5,
}
# Rooms that see less than everything from their own floor down.
GROUND = {"errors", "jsonlines", "records", "results", "theory"}
NARROW = {
    "experiments": {*GROUND, "experiments"},
    "verdicts": {*GROUND, "experiments", "verdicts"},
    "store": {*GROUND, "store"},
    "plots": {*GROUND, "experiments", "verdicts", "store", "plots"},
}
# Packages that live in some rooms only, and rooms that see few packages.
HOME = {
    "torch": {"nn", "measure", "trials", "study", "callbacks", "checks", "widgets"},
    "matplotlib": {"plots"},
    "ipywidgets": {"widgets"},
    "sklearn": {"nn"},
    "mnist1d": {"nn"},
    "transformers": {"callbacks"},
    "lightning": {"callbacks"},
}
OUTSIDE = {**{room: {"numpy", "scipy"} for room in GROUND}, "nn": {"torch", "sklearn", "mnist1d", "numpy"}}
TORCH_IN_FUNCTIONS_ONLY = {"checks", "widgets"}
DEVICE_WORD = re.compile(r"(?<![a-z])(cuda|mps)(?![a-z])", re.IGNORECASE)
MODULE_LINES, FUNCTION_LINES = 200, 60


def broken_rules(path, source):
    """One sentence for each rule that the module ``path`` (relative to the package) breaks."""
    tree = ast.parse(source)
    said = import_faults(path, tree) + size_faults(tree, source)
    if path != "nn/device.py" and (word := device_word(source)):
        said.append(f"only nn/device.py may name a device, and it says {word!r}")
    return [f"tutorlib/{path}: {fault}" for fault in said]


def import_faults(path, tree):
    room = path.split("/")[0].removesuffix(".py")
    if room not in FLOOR and room != "__init__":
        return [f"{room} has no floor: add it to the table of floors"]
    faults = []
    inside_functions = {id(node) for function in functions(tree) for node in ast.walk(function)}
    for node in ast.walk(tree):
        for name in imported(path, node):
            first, *rest = name.split(".")
            if first == "tutorlib":
                faults += room_faults(room, rest[0]) if rest and rest[0] in FLOOR else []
            else:
                faults += package_faults(room, first, id(node) in inside_functions)
    return faults


def room_faults(room, other):
    if room == "__init__":
        return [f"the package root imports nothing, and it imports {other}"]
    if other in NARROW.get(room, set(FLOOR)) and FLOOR[other] <= FLOOR[room]:
        return []
    allowed = ", ".join(sorted(o for o in NARROW.get(room, set(FLOOR)) if FLOOR[o] <= FLOOR[room]))
    return [f"{room} (floor {FLOOR[room]}) imports {other} (floor {FLOOR[other]}); allowed: {allowed}"]


def package_faults(room, package, in_function):
    if package in sys.stdlib_module_names:
        return []
    if room == "__init__":
        return [f"the package root imports nothing, and it imports {package}"]
    if room not in HOME.get(package, {room}):
        return [f"{room} imports {package}, which belongs to {', '.join(sorted(HOME[package]))}"]
    if room in OUTSIDE and package not in OUTSIDE[room]:
        return [f"{room} imports {package}; allowed: {', '.join(sorted(OUTSIDE[room]))}"]
    if package == "torch" and room in TORCH_IN_FUNCTIONS_ONLY and not in_function:
        return [f"{room} imports torch at the top; allowed: inside functions only"]
    return []


def imported(path, node):
    """Full names that an import statement asks for; nothing for any other node."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    here = ["tutorlib", *path.split("/")[:-1]]
    base = here[: len(here) - node.level + 1] if node.level else []
    module = ".".join(base + ([node.module] if node.module else []))
    return [f"{module}.{alias.name}" for alias in node.names]


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def size_faults(tree, source):
    faults = []
    if not ast.get_docstring(tree):
        faults.append("the first statement of a module is its docstring")
    if (lines := len(source.splitlines())) > MODULE_LINES:
        faults.append(f"a module has at most {MODULE_LINES} lines, and this one has {lines}")
    for function in functions(tree):
        if (lines := function.end_lineno - function.lineno + 1) > FUNCTION_LINES:
            faults.append(f"a function has at most {FUNCTION_LINES} lines, and {function.name} has {lines}")
    return faults


def device_word(source):
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT and (found := DEVICE_WORD.search(token.string)):
            return found[0]
    return None


@pytest.mark.parametrize("path", FILES)
def test_every_module_stays_on_its_floor(path):
    faults = broken_rules(path, (PACKAGE / path).read_text(encoding="utf-8"))
    assert not faults, "\n".join(faults)


ILLEGAL = [
    ("records.py", "from tutorlib.nn.data import Data", "records (floor 0) imports nn (floor 1)"),
    ("theory/noise.py", "import torch", "theory imports torch, which belongs to"),
    ("theory/noise.py", "import pandas", "theory imports pandas; allowed: numpy, scipy"),
    ("theory/a.py", "def f():\n    from tutorlib import store", "theory (floor 0) imports store (floor 1)"),
    ("theory/noise.py", "from ..measure import fit", "theory (floor 0) imports measure (floor 2)"),
    ("theory/noise.py", "from .. import measure", "theory (floor 0) imports measure (floor 2)"),
    ("store.py", "from .nn import device", "nn (floor 1); allowed: errors, jsonlines, records, results, store"),
    ("experiments/a.py", "import tutorlib.nn.data", "experiments (floor 1) imports nn (floor 1)"),
    ("experiments/a.py", "def f():\n    import torch", "experiments imports torch"),
    ("experiments/a.py", "from tutorlib import store", "experiments (floor 1) imports store (floor 1)"),
    ("verdicts/a.py", "from tutorlib import store", "verdicts (floor 1) imports store (floor 1)"),
    ("verdicts/a.py", "import torch", "verdicts imports torch"),
    ("results.py", "from tutorlib.store import Store", "results (floor 0) imports store (floor 1)"),
    ("nn/models.py", "import tutorlib.measure.fit", "nn (floor 1) imports measure (floor 2)"),
    ("nn/models.py", "import einops", "nn imports einops; allowed: mnist1d, numpy, sklearn, torch"),
    ("nn/models.py", "def f():\n    return 'cuda:0'", "only nn/device.py may name a device"),
    ("measure/fit.py", "def f(x):\n    return x.cuda()", "only nn/device.py may name a device"),
    ("measure/fit.py", "def f(torch):\n    torch.backends.mps", "it says 'mps'"),
    ("measure/fit.py", "def f(d):\n    return f'{d} on MPS'", "it says 'MPS'"),
    ("measure/fit.py", "from tutorlib.study import study", "measure (floor 2) imports study (floor 3)"),
    ("measure/fit.py", "from sklearn.datasets import load_digits", "sklearn, which belongs to nn"),
    ("study.py", "from tutorlib.plots import style", "study (floor 3) imports plots (floor 4)"),
    ("callbacks/a.py", "from tutorlib.plots import style", "callbacks (floor 3) imports plots (floor 4)"),
    ("measure/fit.py", "import lightning", "measure imports lightning, which belongs to callbacks"),
    ("measure/fit.py", "from transformers import Trainer", "transformers, which belongs to callbacks"),
    ("plots/style.py", "import torch", "plots imports torch"),
    ("plots/style.py", "from tutorlib.nn import data", "plots (floor 4) imports nn (floor 1)"),
    ("plots/style.py", "from tutorlib.measure import fit", "plots (floor 4) imports measure (floor 2)"),
    ("plots/style.py", "import ipywidgets", "plots imports ipywidgets, which belongs to widgets"),
    ("widgets/run.py", "import matplotlib.pyplot as plt", "matplotlib, which belongs to plots"),
    ("widgets/run.py", "import torch", "widgets imports torch at the top; allowed: inside functions only"),
    ("checks.py", "from torch import nn", "checks imports torch at the top"),
    ("checks.py", "import ipywidgets", "checks imports ipywidgets, which belongs to widgets"),
    ("__main__.py", "import torch", "__main__ imports torch"),
    ("__init__.py", "from tutorlib import store", "the package root imports nothing"),
    ("__init__.py", "import numpy", "the package root imports nothing"),
    ("cluster.py", "import os", "cluster has no floor"),
    ("theory/long.py", "x = 1\n" * 200, "a module has at most 200 lines, and this one has 201"),
    ("theory/long.py", "def f():\n" + "    x = 1\n" * 60, "a function has at most 60 lines, and f has 61"),
]


@pytest.mark.parametrize("path, source, sentence", ILLEGAL)
def test_a_broken_rule_is_one_sentence_that_names_the_file(path, source, sentence):
    (said,) = broken_rules(path, f'"""Made up."""\n{source}')
    assert said.startswith(f"tutorlib/{path}: ") and sentence in said


def test_a_module_without_a_docstring_is_told():
    assert broken_rules("theory/a.py", "import numpy\n") == [
        "tutorlib/theory/a.py: the first statement of a module is its docstring"
    ]


@pytest.mark.parametrize(
    "path, source",
    [
        ("theory/walk.py", "import numpy as np\nfrom scipy.special import stdtrit\nfrom . import noise"),
        ("records.py", "import json\nfrom tutorlib import __version__"),
        ("experiments/a.py", "from tutorlib.experiments.b import c\nfrom tutorlib.theory import noise"),
        ("verdicts/a.py", "from tutorlib.verdicts.rules import above\nfrom tutorlib.experiments import a"),
        ("nn/device.py", "import torch\ndef f():\n    return torch.cuda.is_available()"),
        ("nn/data.py", "import torch  # not a word about cuda\nfrom mnist1d.data import make_dataset"),
        ("plots/style.py", "import matplotlib\nfrom tutorlib import store\nimport tutorlib.experiments.a"),
        ("widgets/run.py", "import ipywidgets\ndef f():\n    import torch\n    from tutorlib.study import study"),
        ("checks.py", "from tutorlib.measure import fit\ndef f():\n    import torch"),
    ],
)
def test_what_the_floors_allow_is_not_told(path, source):
    assert broken_rules(path, f'"""Made up."""\n{source}') == []


def torch_arrives(*modules):
    code = f"import sys, {', '.join(modules)}; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip() == "True"


def names(room):
    return [
        f"tutorlib.{path.removesuffix('.py').replace('/', '.')}"
        for path in FILES
        if path.startswith(f"{room}/") and not path.endswith("__init__.py")
    ]


TORCHLESS = ("theory", "experiments", "verdicts", "plots")


def test_experiments_records_and_figures_are_imported_without_torch():
    assert "tutorlib.experiments.measure_the_noise" in names("experiments")
    assert not torch_arrives("tutorlib.store", *(n for room in TORCHLESS for n in names(room)))


def test_models_do_bring_torch_so_that_its_absence_elsewhere_means_something():
    assert torch_arrives("tutorlib.nn.optimizers")


def test_the_package_says_on_which_floor_every_room_is():
    table = {line.split()[0]: line for line in tutorlib.__doc__.splitlines() if line[:1].isdigit()}
    for room in {path.split("/")[0].removesuffix(".py") for path in FILES} - {"__init__"}:
        assert re.search(rf"\b{room}\b", table[str(FLOOR[room])]), f"{room} is not on floor {FLOOR[room]} of the table"
