"""The race panel of lesson 05: steps × seconds = time, on a device, at a number of ranks and a price of your choice."""

from tutorlib import store
from tutorlib.experiments.race_two_speeds import BATCHES, CLOCK, CURVES
from tutorlib.experiments.two_speeds_columns import step_law
from tutorlib.plots.race_panel import AXES, Race, plot_race, price_of
from tutorlib.results import Results
from tutorlib.theory.trade_off import StepTime, fastest_batch
from tutorlib.widgets.panel import Panel, slider

DEVICES = {"as measured": 1, "examples 10 × faster": 10, "examples 100 × faster": 100}


class RacePanel(Panel):
    """Recorded loss curves of nine batches, priced in steps, examples, FLOPs or seconds.

    Seconds are t₀ + c·B of a recorded clock, or of your own ``clock``. A faster device lowers c and keeps t₀; ranks
    share the examples of a step, and what passes between them is taken to be free.
    """

    def __init__(self, clock: Results | None = None):
        curves, clock = store.recorded(CURVES), clock or store.recorded(CLOCK)
        self.races = {name: Race.read(curves, name) for name in ("SGD", "Adam")}
        self.pace, self.clock = step_law(clock), clock
        super().__init__(
            "the loss of nine batches against steps, examples, FLOPs or seconds, and what the target costs",
            unit=slider("x axis", AXES, "seconds"),  # steps are the first bet
            optimizer=slider("optimizer", ("SGD", "Adam"), "SGD"),
            device=slider("device", tuple(DEVICES), "as measured"),
            ranks=slider("ranks", (1, 2, 4, 8, 16), 1),
            price=slider("$ a rank and hour", (0.5, 1.0, 2.0, 5.0), 2.0),
        )

    def device_pace(self, device: str, ranks: int) -> StepTime:
        return StepTime(self.pace.fixed, self.pace.per_example / DEVICES[device]).across(ranks)

    def draw(self, unit, optimizer, device, ranks, price):
        return plot_race(self.races[optimizer], self.device_pace(device, ranks), unit)

    def say(self, unit, optimizer, device, ranks, price):
        race, pace = self.races[optimizer], self.device_pace(device, ranks)
        costs = {b: price_of(b, race.steps[b], pace, unit) for b in BATCHES}
        seconds = {b: race.steps[b] * float(pace.seconds(b)) for b in BATCHES}
        best, soonest = min(costs, key=costs.get), min(seconds, key=seconds.get)
        dollars = 1e6 * seconds[soonest] * ranks * price / 3600
        where = "the recorded clock" if self.clock.recorded else "your clock"
        others = "" if unit == "seconds" else f". In seconds batch {soonest} is soonest of the nine"
        return (
            f"Counted in {unit}, batch <b>{best}</b> wins{others}, {seconds[soonest]:.2g} s; the two laws put the "
            f"fastest batch at √(B_crit · t₀/c) = {fastest_batch(race.law, pace):.0f}, with B_crit "
            f"{race.law.critical:.0f} and t₀/c {pace.saturation(0.5):.0f} ({where}). A million such runs cost "
            f"${dollars:,.0f}."
        )


PANELS = (RacePanel,)
