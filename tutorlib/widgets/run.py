"""Run an experiment from a cell: a progress bar, a stop that loses nothing, and one line that says what it was."""

import signal
import threading
import time

import ipywidgets as widgets
from IPython.display import display

from tutorlib.records import Experiment
from tutorlib.results import Results
from tutorlib.widgets.show import Shown


def run(experiment: Experiment, budget: str | None = None, **changes) -> Results:
    """Measure ``experiment`` here and now, skipping what is already measured on this device.

    The budget is ``full`` on a GPU and ``quick`` elsewhere unless it is given. ``changes`` replace fields
    of the experiment, ``seeds=6`` say. The notebook's stop button keeps what is measured; running the cell
    again goes on from there.
    """
    pick, study = _load()
    device = pick(experiment.device)
    experiment = experiment.at(budget or ("quick" if device.type == "cpu" else "full"), **changes)
    bar = Progress(experiment)
    display(bar)
    results = study(experiment, str(device), bar.report)
    bar.finish(results)
    print(sentence(results))
    return results


def _load():
    """What measures, and torch with it, only now; the stop button waits, for half an import cannot be repeated."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        from tutorlib.nn.device import pick
        from tutorlib.study import study
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
    return pick, study


def sentence(results: Results) -> str:
    """What was run, in one line that is the same on every run."""
    total = len(results.experiment.runs())
    if results.stopped:
        return f"Stopped: {len(results)} of {total} runs are kept ({results.provenance}). Run the cell again to go on."
    return f"{total} runs, {results.provenance}."


class Progress(Shown):
    """A bar and the time left, from the pace so far."""

    def __init__(self, experiment: Experiment):
        self.bar = widgets.IntProgress(min=0, max=len(experiment.runs()), layout=widgets.Layout(width="320px"))
        self.label = widgets.Label("starting …")
        self.began = time.monotonic()
        super().__init__(None, f"Run: {experiment.question}", widgets.HBox([self.bar, self.label]))

    def report(self, done: int, total: int) -> None:
        self.bar.value = done
        if done:
            left = (time.monotonic() - self.began) / done * (total - done)
            self.label.value = f"{done} of {total} runs, about {left:.0f} s left (the stop button keeps them)"

    def finish(self, results: Results) -> None:
        self.bar.value = len(results)
        self.label.value = f"{len(results)} of {self.bar.max} runs in {time.monotonic() - self.began:.0f} s"
