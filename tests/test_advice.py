"""Advice as data: the choice that follows from it, and a card whose every sentence names what it rests on."""

import dataclasses

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tutorlib.checks.choose_your_batch import BATCHES, best, check_plan, seconds
from tutorlib.errors import Refused
from tutorlib.plots.advice import plot_advice, plot_card
from tutorlib.plots.style import png
from tutorlib.theory.advice import Advice, Scale, critical_from_signals
from tutorlib.theory.card import card, markdown
from tutorlib.theory.choice import choose_plan
from tutorlib.theory.trade_off import critical_from_noise

SIZES = tuple(2**k for k in range(9))


def advice(scale: float = 100.0, fixed: float = 50.0, **changes) -> Advice:
    """A pass costs as much as ``fixed`` examples; one noise scale all along, its interval a factor of 2 either way."""
    known = {
        "optimizer": "SGD",
        "batch": 32,
        "read": 1024,
        "parameters": 1000,
        "loader_seconds": 1e-6,
        "coupled": 0,
        "sizes": SIZES,
        "passes": tuple(1e-3 * (fixed + size) for size in SIZES),
        "update": 0.0,
        "steps": (0, 50, 100),
        "losses": (2.0, 1.0, 0.5),
        "signals": (1 / scale,) * 3,
        "lows": (0.5 / scale,) * 3,
        "highs": (2 / scale,) * 3,
        "noise_batch": 256,
        "draws": 16,
        "seconds": 10.0,
        "examples": 65536,
        "fixed_bytes": 1000.0,
        "example_bytes": 100.0,
        "floor_bytes": 1200.0,
    }
    return Advice(**{**known, **changes})


def looks(*scales: float) -> Advice:
    """Noise scales at single steps, each with an interval a tenth either way; a negative one is lost."""
    signals = tuple(1 / scale for scale in scales)
    lows, highs = (tuple(s + way * abs(s) / 10 for s in signals) for way in (-1, 1))
    every = tuple(50 * number for number in range(len(scales)))
    return advice(steps=every, losses=tuple(2.0 / (1 + k) for k in every), signals=signals, lows=lows, highs=highs)


def test_signals_weigh_as_noise_scales_do_and_a_lost_one_leaves_no_bound():
    rng = np.random.default_rng(0)
    for batch in (1, 32, 500):
        scales = rng.lognormal(4, 1, size=6)
        assert critical_from_signals(1 / scales, batch) == pytest.approx(critical_from_noise(scales, batch))
    assert critical_from_signals([0.0, -0.1], 32) is None
    assert critical_from_signals([0.01, 0.0], 32) > critical_from_signals([0.01, 0.01], 32)
    lost = advice(signals=(-0.001,) * 3, lows=(-0.01,) * 3, highs=(0.02,) * 3)
    assert lost.noise == Scale(None, 50.0, None) and str(lost.noise) == "at least 50"
    choice = choose_plan(lost)
    assert choice.chosen == choose_plan(advice(50.0)).chosen == choice.least
    assert choice.most == SIZES[-1] > choice.least, "nothing bounds the noise: where an example costs least"


@pytest.mark.parametrize("scale", [3, 30, 300, 3000])
@pytest.mark.parametrize("fixed", [0.5, 20.0, 400.0])
def test_the_choice_is_the_least_time_of_all_batches_in_all_pieces(scale, fixed):
    told = advice(float(scale), fixed)
    for largest in (256, 16, 3):
        plans = [(b, m) for b in 2 ** np.arange(16) for m in SIZES if m <= min(b, largest)]
        time = {(b, m): (1 + scale / b) * (b // m) * 1e-3 * (fixed + m) for b, m in plans}
        least = min(time.values())
        choice = choose_plan(dataclasses.replace(told, largest=largest))
        plan = choice.plan
        assert time[plan.batch, plan.micro_batch] == pytest.approx(least) and choice.time == pytest.approx(1)
        assert plan.micro_batch * plan.accumulation == plan.batch == choice.chosen
        low, high = choice.as_good
        assert low <= plan.batch <= high and choice.least <= plan.batch <= choice.most
        good = [b for b in 2 ** np.arange(16) if min(t for (c, _), t in time.items() if c == b) <= 1.2 * least]
        assert (low, high) == (min(good), max(good))
        assert choice.limited == (choose_plan(told).plan.micro_batch > largest)


def test_more_noise_and_dearer_passes_want_larger_batches_and_ranks_too():
    chosen = [choose_plan(advice(scale)).chosen for scale in (1.0, 30.0, 1000.0, 30000.0)]
    assert chosen == sorted(chosen) and chosen[0] < chosen[-1]
    assert choose_plan(advice(fixed=1.0)).chosen < choose_plan(advice(fixed=200.0)).chosen
    one, eight = (choose_plan(advice(), ranks=ranks).plan for ranks in (1, 8))
    assert eight.batch > one.batch
    assert choose_plan(advice(), ranks=8).chosen == eight.batch
    shared = choose_plan(advice(), ranks=8, wanted=64).plan
    assert shared.batch == 64 and shared.micro_batch * shared.accumulation == 8


def test_memory_sets_the_micro_batch_by_the_line_and_is_refused_below_it():
    told = advice()
    assert choose_plan(told, memory=1000 + 100 * 16).plan.micro_batch == 16
    assert choose_plan(told, memory=1000 + 100 * 17 - 1).plan.micro_batch == 16
    for memory in (500, 1050, 1199):
        with pytest.raises(Refused, match="allowed: more than that"):
            choose_plan(told, memory=memory)
    assert choose_plan(advice(example_bytes=None, fixed_bytes=None, floor_bytes=None), memory=5.0).plan.batch


def test_a_wanted_batch_is_kept_and_its_time_told():
    choice = choose_plan(advice(), wanted=1000)
    assert choice.plan.batch == 1000 and choice.plan.micro_batch == 250 and choice.time > 1
    assert any("times as long as" in sentence.text for sentence in card(advice(), choice))
    assert choose_plan(advice(), wanted=7).plan.micro_batch == 7
    with pytest.raises(Refused, match="a multiple of 4 ranks"):
        choose_plan(advice(), ranks=4, wanted=30)
    assert choose_plan(advice(examples=100)).plan.batch <= 100


def test_a_wanted_batch_is_no_larger_than_an_epoch():
    assert choose_plan(advice(examples=4000), wanted=4000).plan.updates_per_epoch == 1
    with pytest.raises(Refused, match=r"wanted is 100000; allowed: .* to 4,000 \(the examples of an epoch\)"):
        choose_plan(advice(examples=4000), wanted=100_000)
    assert choose_plan(advice(examples=None), wanted=100_000).plan.batch == 100_000


def test_the_loader_s_time_is_added_to_every_batch_and_may_turn_their_order():
    told = advice(fixed=400.0, loader_seconds=0.02)  # reading is 0.02 s an example, a pass 0.4 s and 0.001 s an example
    choice = choose_plan(told, wanted=1024)
    cost = {b: (1 + 100 / b) * (told.seconds_of(min(b, 256), max(1, b // 256)) + 0.02 * b) for b in choice.loaded}
    assert choice.loaded == pytest.approx({b: c / min(cost.values()) for b, c in cost.items()})
    assert choice.times == choose_plan(advice(fixed=400.0)).times, "the numbers of a plan leave the loader out"
    fastest = min(cost, key=cost.get)
    assert fastest < choice.chosen
    words = sentences(told, wanted=1024)
    assert f"the fastest is batch {fastest}, and batch 1,024 takes {choice.loaded[1024]:.2g} times as long" in words
    assert f"batch {fastest}, which is this one" in sentences(told, wanted=fastest)
    assert "leave the loader out" not in sentences(advice())
    shared = choose_plan(told, ranks=4).loaded
    assert min(shared, key=shared.get) > fastest, "every rank reads its own share"


def test_the_card_lists_the_batches_between_which_the_clock_cannot_choose():
    choice = choose_plan(advice())
    listed = ", ".join(f"{b:,}" for b, t in choice.times.items() if t <= 1.2)
    assert f"no interval here: the batches within 20 % ({listed})" in sentences(advice())


def test_with_batchnorm_micro_batches_below_sixteen_are_taken_only_where_memory_forces_them():
    told = advice(coupled=2, values=4, sizes=SIZES[1:], passes=tuple(1e-3 * s for s in SIZES[1:]), layers=("2", "5"))
    assert choose_plan(told, wanted=64).plan.micro_batch >= 16
    forced = choose_plan(told, memory=1000 + 100 * 9, wanted=64)
    assert forced.plan.micro_batch == 8
    assert any("too few for BatchNorm" in s.text for s in card(told, forced))
    assert min(choose_plan(told).times) == 2
    for wanted, ranks in ((97, 1), (4, 4)):
        with pytest.raises(Refused, match=f"batch is {wanted} on {ranks} rank.* allowed: a multiple of {2 * ranks}"):
            choose_plan(told, ranks, memory=1000 + 100 * 9, wanted=wanted)


def test_the_page_counts_updates_as_the_trainer_does_that_it_is_for():
    told = advice(examples=100, largest=8)
    choice = choose_plan(told, wanted=64)
    assert choice.plan.accumulation == 8
    words = {"Hugging Face Trainer": "2 updates", "DeepSpeed": "1 update", "a loop that zeroes every epoch": "1 update"}
    for trainer, updates in words.items():
        assert f"that makes {updates} an epoch" in markdown(told, choice, trainer)


def test_numbers_make_the_same_advice_again_but_for_its_words():
    told = advice(layers=("2",), memory=None, coupled=1)
    again = Advice.of(told.numbers(), "SGD")
    assert again == dataclasses.replace(told, layers=())
    assert Advice.from_json(told.to_json()) == told


CASES = {
    "plain": (advice(), {}),
    "ranks": (advice(), {"ranks": 4}),
    "limited": (advice(largest=8), {}),
    "accumulated": (advice(largest=8, update=1.0), {}),
    "wanted": (advice(), {"wanted": 4096}),
    "batchnorm": (advice(coupled=1, values=1, layers=("bn",)), {}),
    "attention over examples": (advice(coupled=1), {}),
    "lost in noise": (advice(signals=(-1e-3,) * 3, lows=(-1e-2,) * 3), {}),
    "no length": (advice(examples=None), {}),
    "unpredicted": (advice(fixed_bytes=None, example_bytes=None, floor_bytes=None), {}),
    "adam": (advice(optimizer="AdamW"), {}),
    "slow loader": (advice(loader_seconds=1.0), {}),
    "grown": (advice(signals=(0.1, 0.1, 0.001), lows=(0.09, 0.09, 0.0009), highs=(0.11, 0.11, 0.0011)), {}),
    "up and down": (looks(600, 203, 104, 50, 1708), {}),
    "lost once": (looks(100, 30, -50), {}),
    "hardly": (advice(losses=(1.63, 1.6, 1.58)), {}),
    "own optimizer": (advice(optimizer="AdamW", own_rate=1e-3), {"wanted": 64}),
    "few updates": (advice(examples=1000), {}),
    "one look": (advice(steps=(0,), losses=(1.0,), signals=(0.01,), lows=(0.005,), highs=(0.02,)), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_every_sentence_of_the_card_names_what_it_rests_on(name):
    told, options = CASES[name]
    choice = choose_plan(told, **options)
    said = card(told, choice)
    assert all(s.text.endswith(".") and s.rests_on and s.about for s in said)
    page = markdown(told, choice, "DeepSpeed", "a net")
    assert all(f"- {s.text} *({s.rests_on})*" in page for s in said)
    assert f'"train_batch_size": {choice.plan.batch}' in page and "\n\n\n" not in page
    assert not any(word in page for word in ("nan", "None", "inf "))


def test_each_case_says_the_sentence_that_it_is_about():
    def page(name):
        told, options = CASES[name]
        return markdown(told, choose_plan(told, **options))

    for name, words in {
        "ranks": "Moving gradients between ranks",
        "limited": "accumulated to that size it would not",
        "accumulated": "accumulation keeps the batch",
        "wanted": "times as long as batch",
        "batchnorm": "1 layer looks across the batch (bn)",
        "attention over examples": "they see the micro-batch of",
        "lost in noise": "only a lower bound is known",
        "no length": "has no length",
        "unpredicted": "could not be predicted",
        "adam": "the square root of SGD's rule",
        "slow loader": "index whole batches",
        "grown": "The noise scale grew from 10 to 1,000",
        "up and down": "lay between 50 and 1,708, with no steady trend;",
        "lost once": "with no steady trend, and was lost in its noise at 1;",
        "hardly": "the loss fell from 1.63 to 1.58 only",
        "own optimizer": "start at 1.3 times that rate",
        "few updates": "the short run took 100: set the length of training in updates",
    }.items():
        assert words in page(name), name
        assert words not in page("plain"), name


def sentences(told: Advice, **options) -> str:
    return " ".join(s.text for s in card(told, choose_plan(told, **options)))


def test_the_noise_grew_only_where_every_look_rises():
    assert "grew from 50 to 800" in sentences(looks(50, 100, 800))
    for scales in ((60, 50, 800), (50, 800, 700), (100, 110, 120)):
        assert "grew" not in sentences(looks(*scales))
    assert "trend" not in sentences(looks(100, 130, 90)), "less than twice is not worth a sentence"


def test_a_fall_of_a_tenth_or_more_is_training():
    assert "hardly trained" in sentences(advice(losses=(2.0, 1.9, 1.81)))
    assert "hardly trained" not in sentences(advice(losses=(2.0, 1.9, 1.79)))


def test_how_long_to_train_is_left_to_the_reader():
    for trainer, words in {
        "Hugging Face Trainer": "--num_train_epochs EPOCHS",
        "Lightning": "max_epochs=EPOCHS",
        "Accelerate": "range(EPOCHS)",
    }.items():
        page = markdown(advice(), choose_plan(advice()), trainer)
        assert words in page and "EPOCHS is yours to say" in page
    assert "EPOCHS" not in markdown(advice(), choose_plan(advice()), "DeepSpeed")
    assert "set the length" in sentences(advice(examples=1280), wanted=128)  # 10 updates
    assert "set the length" not in sentences(advice(examples=2560), wanted=128)  # 20


def test_a_loader_is_slow_where_it_takes_longer_than_the_passes():
    pace = advice().passes[-1] / SIZES[-1]
    assert "num_workers" in sentences(advice(loader_seconds=1.01 * pace, largest=256), wanted=256)
    assert "num_workers" not in sentences(advice(loader_seconds=0.99 * pace, largest=256), wanted=256)


def test_nothing_is_printed_twice():
    words = sentences(advice(), wanted=256)
    assert (
        words.count("at micro-batch 256") == 1
        and "51 ms at micro-batch 1; 1.2 ms at micro-batch 256, the least" in words
    )
    narrow = advice(fixed=1e-9, lows=(0.0099,) * 3, highs=(0.0101,) * 3, passes=tuple(1e-3 * s**2 for s in SIZES))
    low, high = choose_plan(narrow).as_good
    expected = f"at batch {low} only" if low == high else f"from batch {low} to {high}"
    assert expected in sentences(narrow) and "would both choose" in sentences(narrow)
    assert "fixed and 9.54e-05 for each example" in sentences(advice())


@pytest.mark.parametrize("dpi", [72, 100, 150, 300])
def test_no_line_of_the_card_is_cut_at_the_page_s_edge(dpi):
    told = looks(600, 203, 104, 50, 1708)
    page = plot_card(told, choose_plan(told, ranks=4), "a net").figure
    page.set_dpi(dpi)
    width = page.bbox.width
    assert all(text.get_window_extent(FigureCanvasAgg(page).get_renderer()).x1 <= width for text in page.texts)


@pytest.mark.parametrize("name", CASES)
def test_figure_and_card_are_drawn_for_every_case(name):
    told, options = CASES[name]
    choice = choose_plan(told, **options)
    assert png(plot_advice(told, choice)).startswith(b"\x89PNG")
    axes = plot_card(told, choice, "a net")
    words = " ".join(" ".join(text.get_text() for text in axes.figure.texts).split())
    assert all(sentence.text in words for sentence in card(told, choice))


def test_the_exercise_accepts_the_best_plan_alone():
    def right(critical, pace, update, largest):
        plans = [(b, m, b // m) for b in BATCHES for m in BATCHES if m <= min(b, largest)]
        return min(plans, key=lambda plan: (1 + critical / plan[0]) * (update + plan[2] * pace(plan[1])))

    assert check_plan(right).solved
    wrong = {
        "always 32": lambda c, s, u, m: (32, min(32, m), 32 // min(32, m)),
        "the largest that fits": lambda c, s, u, m: (m, m, 1),
        "no accumulation": lambda c, s, u, m: best(c, 0.0, m),
        "memory forgotten": lambda c, s, u, m: best(c, u, 4096),
        "noise forgotten": lambda c, s, u, m: best(1.0, u, m),
        "nothing": lambda c, s, u, m: None,
        "an error": lambda c, s, u, m: 1 / 0,
        "not a product": lambda c, s, u, m: (*best(c, u, m)[:2], 1 + best(c, u, m)[2]),
    }
    for name, function in wrong.items():
        found = check_plan(function)
        assert not found.solved and "✗" in repr(found), name
    assert (
        best(1000.0, 0.0, 6) == (4, 4, 1)
        and best(1000.0, 0.3, 6)[2] > 1
        and seconds(20) == pytest.approx(2 * seconds(0))
    )
