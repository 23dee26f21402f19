"""Verdicts: every rule can say each of its words, and made-up records that break a law are told so."""

import math

import numpy as np
import pytest

from tutorlib.experiments.measure_the_noise import FOUR_PLANS, NOISE_SCALE, PLANS, ROUTES, VARIANCE, WALK
from tutorlib.records import Machine, RunRecord, Verdict
from tutorlib.theory.noise import Noise
from tutorlib.theory.statistics import Estimate, geometric_interval, mean_interval, ratio_interval, share_interval
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.verdicts.measure_the_noise import (
    VERDICTS,
    noise_scale_verdicts,
    plan_verdicts,
    variance_verdicts,
    walk_verdicts,
)
from tutorlib.verdicts.rules import Finding, above, at_most, below, equal_to, same_quotient, same_ratio, verdict

HOLDS, NOT, UNKNOWN = "holds", "does not hold", "inconclusive at this budget"
MACHINE = Machine("cpu", "made up", 1, "3.12.1", "2.6.0", "0.1.0")


def around(centre, sd, n=12):
    """``n`` numbers with exactly this mean and this standard deviation."""
    z = np.linspace(-1, 1, n)
    return centre + sd * (z - z.mean()) / z.std(ddof=1)


@pytest.mark.parametrize(
    "centre, sd, word",
    [
        (-1.0, 0.01, HOLDS),
        (-0.97, 0.01, HOLDS),
        (-0.8, 0.01, NOT),
        (-1.3, 0.01, NOT),
        (-1.0, 0.5, UNKNOWN),
        (-0.95, 0.01, UNKNOWN),
        (-0.8, 0.5, UNKNOWN),
    ],
)
def test_equal_to_says_each_of_its_words(centre, sd, word):
    found = equal_to(-1, around(centre, sd), 0.05)
    assert found.verdict == word and found.estimate == mean_interval(around(centre, sd))


def test_a_difference_too_noisy_to_be_seen_is_no_equality():
    values = around(0.0, 1.0)  # zero is well inside the interval, and so is half the margin
    assert 0.0 in mean_interval(values) and equal_to(0, values, 0.1).verdict == UNKNOWN
    assert equal_to(0, around(0.0, 1.0, n=2000), 0.1).verdict == HOLDS


def test_equality_takes_the_90_interval_and_inequality_the_95_one():
    values = around(0.0, 1.0)
    narrow, wide = mean_interval(values, 0.90).high, mean_interval(values, 0.95).high
    between = (narrow + wide) / 2
    assert narrow < between < wide and equal_to(0, values, between).verdict == HOLDS
    assert equal_to(between + 0.1, values, 0.1).verdict == UNKNOWN
    assert equal_to(wide + 0.11, values, 0.1).verdict == NOT


@pytest.mark.parametrize("target", [1.0, math.sqrt(3)])
@pytest.mark.parametrize(
    "factor, sd, word",
    [
        (1.0, 0.05, HOLDS),
        (1.15, 0.05, HOLDS),
        (1 / 1.15, 0.05, HOLDS),
        (1.5, 0.05, NOT),
        (1 / 1.5, 0.05, NOT),
        (1.0, 1.0, UNKNOWN),
        (1.25, 0.05, UNKNOWN),
    ],
)
def test_same_ratio_says_each_of_its_words(target, factor, sd, word):
    ratios = target * np.exp(around(math.log(factor), sd))
    found = same_ratio(ratios, target)
    assert found.verdict == word and found.estimate == geometric_interval(ratios)


def test_same_ratio_treats_a_ratio_and_its_inverse_alike():
    for centre in (0.0, 0.1, 0.2, 0.25, 0.5):
        ratios = np.exp(around(centre, 0.05))
        assert same_ratio(ratios).verdict == same_ratio(1 / ratios).verdict


@pytest.mark.parametrize(
    "factor, sd, word",
    [
        (1.0, 0.05, HOLDS),
        (0.9, 0.05, HOLDS),
        (2.0, 0.05, NOT),
        (0.5, 0.05, NOT),
        (1.0, 2.0, UNKNOWN),
        (1.25, 0.05, UNKNOWN),
    ],
)
def test_same_quotient_says_each_of_its_words(factor, sd, word):
    numerators, denominators = around(3.0 * factor, sd), around(3.0, 0.1)[::-1]
    found = same_quotient(numerators, denominators)
    assert found.verdict == word and found.estimate == ratio_interval(numerators, denominators)


@pytest.mark.parametrize("centre, sd, word", [(2.0, 0.1, HOLDS), (0.0, 0.1, NOT), (1.2, 1.0, UNKNOWN)])
def test_above_and_below_say_each_of_their_words(centre, sd, word):
    opposite = {HOLDS: NOT, NOT: HOLDS, UNKNOWN: UNKNOWN}
    values = around(centre, sd)
    assert above(1, values).verdict == word and below(1, values).verdict == opposite[word]
    assert above(1, values).estimate == below(1, values).estimate == mean_interval(values)
    assert above(-1, -values).verdict == opposite[word]
    ratios = np.exp(values)
    assert above(math.e, ratios, geometric_interval).verdict == word
    assert below(math.e, ratios, geometric_interval).estimate == geometric_interval(ratios)


@pytest.mark.parametrize("hits, word", [(24, HOLDS), (0, NOT), (13, UNKNOWN)])
def test_a_share_is_above_a_half_by_its_exact_interval(hits, word):
    runs = [True] * hits + [False] * (24 - hits)
    found = above(0.5, runs, share_interval)
    assert found.verdict == word and found.estimate == share_interval(runs)
    assert above(0.5, [], share_interval) == Finding(None, UNKNOWN)


@pytest.mark.parametrize(
    "values, word, decade",
    [
        ([1e-8, 3e-7], HOLDS, 1e-6),
        ([0.0, 0.0], HOLDS, 1e-16),
        ([1e-4], HOLDS, 1e-4),
        ([1e-8, 2e-3], NOT, 1e-2),
        ([*9 * [1e-7], 2e-4], NOT, 1e-3),
    ],
)
def test_at_most_says_each_of_its_words_and_rounds_up_to_a_decade(values, word, decade):
    found = at_most(1e-4, np.array(values))
    assert found.verdict == word and found.estimate.value == pytest.approx(decade, abs=0)
    assert found.estimate.low == 0.0 and max(values) <= found.estimate.value * (1 + 1e-9)


@pytest.mark.parametrize("said", [HOLDS, NOT, UNKNOWN])
@pytest.mark.parametrize("condition", ["", "the rate is low"])
def test_a_condition_turns_holds_into_holds_if_and_nothing_else(said, condition):
    finding = Finding(Estimate(np.float64(1.0), np.float64(0.5), np.float64(2.0)), said)
    v = verdict("D0-06", "slope", finding, "other", held="held", condition=condition)
    assert v.says == CLAIMS["D0-06"]
    assert v.verdict == ("holds if" if condition and said == HOLDS else said)
    assert v.condition == (condition if v.verdict == "holds if" else "")
    assert (v.estimate, v.low, v.high, v.held, v.would_change) == (1.0, 0.5, 2.0, "held", "other")
    assert Verdict.from_json(v.to_json()) == v


def made_up(experiment, values, seeds=12):
    """Records of every run of an experiment, each from ``values(settings, rng)``; no model is ever run."""
    rng = np.random.default_rng(1)
    return [
        RunRecord(run, "ok", values(run.settings, rng), MACHINE, "made up") for run in experiment.at(seeds=seeds).runs()
    ]


def near(rng, value, spread=0.02):
    return float(value * math.exp(spread * rng.standard_normal()))


def variances(slope=-1.0, finite=True, spread=0.02):
    noise = Noise(trace=12.0, grad_sq=0.2)

    def values(s, rng):
        left = float(noise.variance(s["batch"], s["examples"]) / noise.variance(s["batch"]))
        factor = left if finite and not s["replacement"] else 1.0
        return {
            "variance": near(rng, noise.trace * s["batch"] ** slope * factor, spread),
            "cosine": near(rng, noise.cosine(s["batch"]), spread / 10),
            "trace": noise.trace,
            "grad_sq": noise.grad_sq,
        }

    return made_up(VARIANCE, values)


def plans(law=lambda micro, parts: 1 / (micro * parts), distance=1e-7, rule_error=1e-7, spread=0.02):
    def values(s, rng):
        variance = near(rng, 12.0 * law(s["micro_batch"], s["accumulation"]), spread)
        return {"variance": variance, "distance": distance, "rule_error": rule_error, "trace": 12.0}

    return made_up(FOUR_PLANS, values)


def walks(small=100.0, scaled=90.0, control=-10.0, straight=3.0, aim=0.5, aim_net=0.7, spread=0.05):
    """``small``, ``scaled``, ``control`` (scaled at the higher rate): loss lowered, in accumulated steps."""

    def values(s, rng):
        arm = {(1, 1.0): small, (128, 1.0): 1.0, (128, 128.0): scaled if s["rate"] == 0.01 else control}
        lowered = arm[s["batch"], s["rate_factor"]]
        return {
            "drift": near(rng, 1.0, spread),
            "net": near(rng, 1.0, spread),
            "path": near(rng, straight, spread),
            "aim": near(rng, aim, 0.01),
            "aim_net": near(rng, aim_net, 0.01),
            "loss_drop": near(rng, lowered, spread),
        }

    return made_up(WALK, values)


def estimated(trace=1.0, grad_sq=1.0, spread=0.3):
    """Draws around the exact values, except that batches 1 and 8 are too small for a single draw to say much."""

    def values(s, rng):
        wide = 3.0 if (s["small"], s["big"]) == (1, 8) else spread
        return {
            "scale": 60.0,
            "trace_draws": tuple(trace + spread * rng.standard_normal(s["draws"])),
            "grad_sq_draws": tuple(grad_sq + wide * rng.standard_normal(s["draws"])),
        }

    return made_up(NOISE_SCALE, values)


LAWFUL = [
    (variance_verdicts, variances),
    (plan_verdicts, plans),
    (walk_verdicts, walks),
    (noise_scale_verdicts, estimated),
]
BROKEN = [
    (variance_verdicts, lambda: variances(slope=-0.8)),
    (variance_verdicts, lambda: variances(finite=False)),
    (variance_verdicts, lambda: variances(spread=2.0)),
    (plan_verdicts, lambda: plans(lambda micro, parts: 1 / micro)),
    (plan_verdicts, lambda: plans(distance=0.1, rule_error=0.1)),
    (walk_verdicts, lambda: walks(1.0, 1.0, 1.0, 1.0, 0.99)),
    (noise_scale_verdicts, lambda: estimated(trace=2.0)),
    (noise_scale_verdicts, lambda: estimated(grad_sq=2.0)),
]


def words(verdicts):
    """The words for each claim, in order; a claim that is judged twice has two."""
    said = {}
    for v in verdicts:
        said.setdefault(v.claim, []).append(v.verdict)
    return said


def test_variance_that_obeys_the_law_holds():
    assert words(variance_verdicts(variances())) == {
        "D0-06": [HOLDS],
        "D1-06": [HOLDS],
        "D1-09": [HOLDS],
        "D3-03": ["holds if"],
        "D3-04": [HOLDS],
        "E01": [HOLDS, HOLDS],
    }


@pytest.mark.parametrize("slope", [-0.8, -1.2, -0.5])
def test_variance_that_falls_but_not_as_one_over_batch_is_less_and_no_law(slope):
    said = words(variance_verdicts(variances(slope=slope)))
    assert said["D0-06"] == [HOLDS] and said["E01"] == [NOT, NOT]


def test_variance_that_does_not_fall_at_all_does_not_hold():
    said = words(variance_verdicts(variances(slope=0.05)))
    assert said["D0-06"] == said["D1-06"] == [NOT] and said["E01"] == [NOT, NOT]


def test_no_finite_population_factor_does_not_hold():
    said = words(variance_verdicts(variances(finite=False)))
    assert said["E01"] == [HOLDS, NOT] and said["D0-06"] == [HOLDS]


def test_variance_too_noisy_to_judge_is_inconclusive():
    assert words(variance_verdicts(variances(spread=2.0)))["E01"] == [UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(
    "batch_1, batch_3, batch_512, words_said",
    [
        (0.1, 0.3, 0.95, ["holds if", HOLDS, HOLDS]),
        (0.8, 0.9, 0.95, [NOT, HOLDS, HOLDS]),
        (0.1, 0.05, 0.8, ["holds if", NOT, NOT]),
    ],
)
def test_directions_are_judged_by_their_cosines(batch_1, batch_3, batch_512, words_said):
    def values(s, rng):
        cosine = near(rng, {1: batch_1, 3: batch_3, 512: batch_512}.get(s["batch"], 0.5), 0.002)
        return {"variance": near(rng, 1 / s["batch"]), "cosine": cosine, "trace": 1.0}

    said = words(variance_verdicts(made_up(VARIANCE, values)))
    assert [said[claim][0] for claim in ("D3-03", "D3-04", "D1-09")] == words_said


def test_plans_that_obey_the_law_hold():
    assert words(plan_verdicts(plans())) == {"D0-04": [HOLDS], "D0-05": [HOLDS], "D0-25": [HOLDS], "D1-14": [HOLDS]}


def test_accumulated_noise_that_is_that_of_the_micro_batch_does_not_hold():
    said = words(plan_verdicts(plans(lambda micro, parts: 1 / micro)))
    assert said["D0-25"] == said["D1-14"] == [NOT] and said["D0-05"] == [HOLDS]


def test_an_update_that_is_not_the_gradient_does_not_hold():
    assert words(plan_verdicts(plans(rule_error=0.01)))["D0-04"] == [NOT]
    assert words(plan_verdicts(plans(distance=0.01)))["D0-05"] == [NOT]


def test_plans_too_noisy_to_judge_are_inconclusive():
    said = words(plan_verdicts(plans(spread=2.0)))
    assert said["D0-25"] == said["D1-14"] == [UNKNOWN]


def test_one_big_stride_does_not_hold_where_small_steps_lower_the_loss_more():
    assert words(walk_verdicts(walks())) == {
        "D0-07": ["holds if"],
        "D0-08": [NOT, "holds if", NOT],
        "D0-09": [NOT, NOT],
    }


def test_one_big_stride_holds_where_one_step_does_as_much():
    assert words(walk_verdicts(walks(small=1.0, scaled=128.0, control=1.0)))["D0-08"] == [HOLDS, NOT, HOLDS]


def test_a_scaled_step_that_raises_the_loss_does_not_hold():
    assert words(walk_verdicts(walks(scaled=-20.0)))["D0-08"][1] == NOT


def test_a_straight_walk_does_not_wander_and_an_aimed_step_does_head_for_the_goal():
    said = words(walk_verdicts(walks(straight=1.0, aim=0.97, aim_net=0.9)))
    assert said["D0-07"] == [NOT] and said["D0-09"] == [HOLDS, HOLDS]


def test_walks_too_noisy_to_judge_are_inconclusive():
    said = words(walk_verdicts(walks(small=2.0, scaled=2.0, control=2.0, straight=1.5, spread=2.0)))
    assert said["D0-07"] == [UNKNOWN] and said["D0-08"] == [UNKNOWN] * 3


def test_estimators_that_are_right_hold_and_one_draw_of_small_batches_is_not_enough():
    said = words(noise_scale_verdicts(estimated()))["E15"]
    assert said[:3] == [HOLDS] * 3 and said[4:] == [HOLDS, NOT]


@pytest.mark.parametrize("wrong", [{"trace": 2.0}, {"trace": 0.5}, {"grad_sq": 2.0}, {"grad_sq": 0.5}])
def test_an_estimator_off_by_two_does_not_hold(wrong):
    assert words(noise_scale_verdicts(estimated(**wrong)))["E15"][:3] == [NOT, NOT, NOT]


def test_one_draw_would_be_enough_if_its_median_were_right():
    def values(s, rng):
        draws = {name: tuple(1 + 0.05 * rng.standard_normal(s["draws"])) for name in ("trace_draws", "grad_sq_draws")}
        return {"scale": 60.0, **draws}

    assert words(noise_scale_verdicts(made_up(NOISE_SCALE, values)))["E15"] == [HOLDS] * 6


@pytest.mark.parametrize("judge, records", LAWFUL + BROKEN)
def test_every_verdict_has_a_finite_interval_around_its_estimate(judge, records):
    for v in judge(records()):
        assert math.isfinite(v.low) and math.isfinite(v.high) and v.low <= v.estimate <= v.high, v
        assert v.says and v.measured and v.held and v.would_change
        assert Verdict.from_json(v.to_json()) == v


@pytest.mark.parametrize("judge, records", LAWFUL)
def test_a_diverged_run_takes_its_seed_out_of_every_verdict(judge, records):
    made, broken = records(), []
    for record in made:
        ended = "diverged" if record.run.seed == 5 and record.run.settings == made[0].run.settings else "ok"
        broken.append(RunRecord(record.run, ended, record.values if ended == "ok" else {}, MACHINE, "made up"))
    assert "diverged" in {r.outcome for r in broken}
    assert judge(broken) == judge([r for r in made if r.run.seed != 5])


def test_every_experiment_of_the_lesson_is_judged():
    assert [e for es, _ in VERDICTS for e in es] == [VARIANCE, FOUR_PLANS, WALK, NOISE_SCALE]
    assert {judge for _, judge in VERDICTS} == {judge for judge, _ in LAWFUL}
    assert len(PLANS) == len(ROUTES) == 4
