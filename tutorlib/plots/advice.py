"""The adviser's measurements and choice as one figure: seconds an example, noise along the run, time against batch."""

import textwrap

from matplotlib.axes import Axes

from tutorlib.plots import style
from tutorlib.theory.advice import Advice
from tutorlib.theory.card import card
from tutorlib.theory.choice import SLACK, Choice

WRAP = 86  # letters: where hinting rounds their width up to whole pixels, a line still ends on the page


@style.look()
def plot_advice(advice: Advice, choice: Choice, recorded: bool = False) -> Axes:
    """Three axes in the order of the work; the marked batch is the plan's, the shaded ones are as good as the best."""
    clock, noise, time = style.figure(columns=3, height=2.9, panel=True)
    clock.figure.subplots_adjust(left=0.09, bottom=0.2, wspace=0.34)
    draw_clock(clock, advice, choice, recorded)
    draw_noise(noise, advice, recorded)
    draw_time(time, choice)
    return clock


def draw_clock(axes: Axes, advice: Advice, choice: Choice, recorded: bool) -> None:
    each = [1000 * seconds / size for size, seconds in zip(advice.sizes, advice.passes, strict=True)]
    colours = [style.batch_colour(size) for size in advice.sizes]
    axes.scatter(advice.sizes, each, s=36, c="white" if recorded else colours, edgecolors=colours)
    axes.axvline(choice.plan.micro_batch, color=style.INK, linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="micro-batch (examples)", title="ms an example")
    style.plain_ticks(axes.xaxis, {size: f"{size}" for size in advice.sizes[:: 1 + len(advice.sizes) // 4]})
    style.plain_ticks(axes.yaxis, style.few_values(*axes.get_ylim()))


def draw_noise(axes: Axes, advice: Advice, recorded: bool) -> None:
    looks = [advice.scale_at(look) for look in range(len(advice.steps))]
    top = 4 * max(scale.high or scale.middle for scale in looks)
    lows, highs = zip(*((max(scale.low, 0.1), scale.high or top) for scale in looks), strict=True)
    axes.vlines(advice.steps, lows, highs, color=style.INK, linewidth=1.2)
    known = [(step, scale.value) for step, scale in zip(advice.steps, looks, strict=True) if scale.value is not None]
    if known:
        fill = "white" if recorded else style.INK
        axes.plot(*zip(*known, strict=True), "o", color=style.INK, markerfacecolor=fill)
    axes.axhline(advice.noise.middle, **style.THEORY)
    axes.set(yscale="log", xlabel=f"update at batch {advice.batch}", title="noise scale (examples)")
    style.plain_ticks(axes.xaxis, {advice.steps[0]: "0", advice.steps[-1]: f"{advice.steps[-1]}"})
    style.plain_ticks(axes.yaxis, style.few_values(*axes.get_ylim()))


def draw_time(axes: Axes, choice: Choice) -> None:
    shown = {batch: time for batch, time in choice.times.items() if time < 30}
    axes.plot(list(shown), list(shown.values()), **style.THEORY)
    low, high = choice.as_good
    axes.axvspan(low, high, color="0.9", linewidth=0, zorder=0)
    axes.axhline(SLACK, color="0.8", linewidth=0.8)
    batch = choice.plan.batch
    colour = style.batch_colour(min(batch, 1024))
    axes.plot(batch, choice.time, "o", color=colour, markersize=9, markeredgecolor=style.INK)
    axes.set(xscale="log", yscale="log", xlabel="batch (examples)", title="predicted time ÷ least")
    axes.set_xlim(min(*shown, batch) / 1.5, max(*shown, batch) * 1.5)
    ticks = sorted(shown)
    style.plain_ticks(axes.xaxis, {b: f"{b}" for b in ticks[:: 1 + len(ticks) // 4]})
    style.plain_ticks(axes.yaxis, {t: f"{t:g}" for t in (1, 2, 5, 10, 20) if t < axes.get_ylim()[1]})


@style.look()
def plot_card(advice: Advice, choice: Choice, name: str = "your model") -> Axes:
    """The whole card as one page: the figure on top, every sentence with what it rests on below."""
    axes = plot_advice(advice, choice)
    page, lines, about = axes.figure, [], ""
    for sentence in card(advice, choice):
        head = sentence.about if sentence.about != about else ""
        about = sentence.about
        wrapped = textwrap.wrap(f"{sentence.text} [{sentence.rests_on}]", WRAP, break_on_hyphens=False)
        lines += [f"{head if row == 0 else '':<11}{text}" for row, text in enumerate(wrapped)]
    drawn = page.get_figheight()
    whole = drawn + 0.5 + 0.132 * len(lines)
    page.set_figheight(whole)
    for each in page.axes:  # the figure keeps its size at the top of a longer page
        place = each.get_position()
        top = 1 - (0.4 + (1 - place.y1) * drawn) / whole
        each.set_position([place.x0, top - place.height * drawn / whole, place.width, place.height * drawn / whole])
    page.text(0.02, 1 - 0.12 / whole, f"A batch for {name}: {choice.plan.batch:,}", fontsize=13, va="top")
    page.text(0.02, 1 - (0.4 + drawn) / whole, "\n".join(lines), fontsize=7.5, va="top", family="monospace")
    return axes
