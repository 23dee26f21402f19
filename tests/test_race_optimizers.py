"""The race of lesson 07: equal searches, ranks that can stay open, verdicts that can fail."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from tutorlib import store
from tutorlib.errors import Refused
from tutorlib.experiments import race_columns as columns
from tutorlib.experiments import race_optimizers as lesson
from tutorlib.measure import kfac as kfac_module
from tutorlib.measure.race import steps_to_target
from tutorlib.nn import matrix_optimizers
from tutorlib.nn.optimizers import sgd
from tutorlib.plots.race_optimizers import plot_gains, plot_race, plot_seconds
from tutorlib.records import Machine, Run, RunRecord
from tutorlib.results import Results
from tutorlib.theory.ranks import clear_order, rank_intervals
from tutorlib.trials import race_optimizers as trials
from tutorlib.verdicts import race_optimizers as verdicts
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.widgets.verdicts import interval

MACHINE = Machine("cpu", "test", 1, "3.11", "2", "0")


# Ranks


def naive_clear(values, level=0.95):
    """Holm by the book: the smallest p against α/m, the next against α/(m − 1), … until one fails."""
    pairs = list(itertools.combinations(range(values.shape[1]), 2))
    p = [stats.ttest_rel(values[:, i], values[:, j]).pvalue for i, j in pairs]
    found, left = np.zeros((values.shape[1],) * 2, dtype=int), len(pairs)
    for k in np.argsort(p):
        if p[k] > (1 - level) / left:
            break
        i, j = pairs[k]
        found[i, j] = 1 if values[:, i].mean() > values[:, j].mean() else -1
        found[j, i] = -found[i, j]
        left -= 1
    return found


@pytest.mark.parametrize("seed", range(20))
def test_the_clear_order_is_holms_over_paired_t_tests(seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((6, 5)) + rng.standard_normal((6, 1)) + rng.uniform(0, 4) * np.arange(5)
    assert np.array_equal(clear_order(values), naive_clear(values))


def test_nothing_is_clear_among_equals_more_often_than_it_may():
    """At most 5 % of 1,000 races of six equals may clear any pair: 3 standard errors above are 71."""
    rng = np.random.default_rng(5)
    wrong = sum(clear_order(rng.standard_normal((8, 6))).any() for _ in range(1000))
    assert 15 < wrong < 71


def test_runs_stopped_at_the_same_step_are_not_told_apart_from_each_other_but_from_the_rest():
    order = clear_order(np.log([[10.0, 500, 500]] * 4) + 0.0)
    assert order.tolist() == [[0, -1, -1], [1, 0, 0], [1, 0, 0]]
    assert rank_intervals(order) == [(1, 1), (2, 3), (2, 3)]


def test_without_a_clear_pair_every_rank_is_possible():
    assert rank_intervals(np.zeros((4, 4), dtype=int)) == [(1, 4)] * 4


@pytest.mark.parametrize("values", [np.ones((2, 3)), np.full((4, 3), math.nan), np.ones(4)])
def test_ranks_refuse_what_has_no_spread(values):
    with pytest.raises(Refused, match="3 seeds or more"):
        clear_order(values)


# The search


def test_everyone_gets_the_same_number_of_trials_at_the_same_places_of_its_box():
    for draw in lesson.DRAWS:
        spots = lesson.places(draw, lesson.TRIALS)
        for name, (knob, low, high) in lesson.KNOBS.items():
            tried = lesson.trials(name, draw)
            assert len(tried) == lesson.TRIALS
            across = [math.log(t["rate"] / lesson.LOWEST[name], lesson.SPAN) for t in tried]
            drawn = [t["knob"] if knob in ("trust", "damping") else 1 - t["knob"] for t in tried]
            up = [math.log(d / low) / math.log(high / low) for d in drawn]
            assert np.allclose(across, spots[:, 0], atol=1e-3) and np.allclose(up, spots[:, 1], atol=0.02)


@pytest.mark.parametrize("count", [12, 48])
def test_places_are_spread_evenly_and_differ_between_draws(count):
    one, other = (lesson.places(draw, count) for draw in lesson.DRAWS)
    for spots in (one, other):
        assert spots.shape == (count, 2) and spots.min() >= 0 and spots.max() < 1
        for column in spots.T:  # a gap of five even spacings would be a hole
            assert np.diff(np.sort([*column, column.min() + 1])).max() < 5 / count
    assert np.abs(one - other).min(axis=0).max() > 1e-3


def test_the_winner_has_the_fewest_steps_and_a_run_that_diverged_early_was_not_fast():
    steps = {0: [50, 40, 7, 60], 1: [50, 52, 39, 60]}
    reached = {0: [1, 1, 0, 1], 1: [1, 1, 0, 1]}
    records = [
        RunRecord(Run("s", {"optimizer": "SGD", "batch": 16, "draw": 0}, seed), "ok",
                  {"steps": tuple(map(float, steps[seed])), "reached": tuple(reached[seed])}, MACHINE, "x")
        for seed in (0, 1)
    ]  # fmt: skip
    search = tuple(records)
    found = columns.scores(search, "SGD", 16, 0)
    assert found == pytest.approx([50, math.sqrt(40 * 52), 1.3 * 60, 60]) and found.argmin() == 1


@pytest.mark.parametrize("arrivals, won", [((0, 0), None), ((0, 1), 2)])
def test_a_search_without_an_arrival_has_no_winner(arrivals, won):
    """Ties of runs that never arrived are no reason to take the first trial."""
    reached = {seed: (0, 0, arrivals[seed]) for seed in (0, 1)}
    records = tuple(
        RunRecord(Run("s", {"optimizer": "SGD", "batch": 16, "draw": 0}, seed), "ok",
                  {"steps": (90.0, 90.0, 80.0), "reached": reached[seed]}, MACHINE, "x")
        for seed in (0, 1)
    )  # fmt: skip
    assert columns.winner(records, "SGD", 16, 0) == won


def test_what_failed_to_be_searched_does_not_race():
    failed = {("language", "LARS", 16, 0), ("language", "Shampoo", 16, 0), ("language", "Shampoo", 16, 1)}
    for problem, ends in zip(lesson.PROBLEMS, lesson.REPORTS, strict=True):
        racing = {
            (problem, p["optimizer"], p["batch"], p["draw"]) for e in (ends, lesson.MIDDLES[problem]) for p in e.points
        }
        everyone = {(problem, *each) for each in itertools.product(lesson.OPTIMIZERS, lesson.BATCHES, lesson.DRAWS)}
        assert everyone - racing == {each for each in failed if each[0] == problem}
    assert lesson.chosen("language", "LARS", 16, 0) is None and lesson.chosen("language", "LARS", 16, 1)
    assert not {"LARS", "Shampoo"} & set(columns.arrived(made(lesson.LANGUAGE, base), 16))
    assert columns.settled(made(lesson.LANGUAGE, base), 16).shape == (6, 6)


def test_the_winners_in_the_table_are_those_of_the_recorded_searches():
    for problem, search in lesson.SEARCHES.items():
        assert columns.winners(store.recorded(search)) == lesson.WINNERS[problem]


def test_search_seeds_are_never_report_seeds():
    searched = {run.seed for e in lesson.SEARCHES.values() for run in e.runs()}
    for base_seed in range(30):
        for e in (*lesson.REPORTS, lesson.CARRIED):
            assert not searched & {run.seed for run in e.at(base_seed=base_seed).runs()}


def test_a_recorded_search_holds_every_trial_and_the_same_rates_as_now():
    for search in lesson.SEARCHES.values():
        for record in store.recorded(search):
            s = record.run.settings
            tried = lesson.trials(s["optimizer"], s["draw"])
            assert list(record["rates"]) == [t["rate"] for t in tried]
            assert list(record["knobs"]) == [t["knob"] for t in tried]
            assert len(record["steps"]) == len(record["reached"]) == lesson.TRIALS
            assert max(record["steps"]) <= s["most_steps"] and set(record["reached"]) <= {0, 1}


# The runs


def small(problem, optimizer, **more):
    s = {"problem": problem, **lesson.HELD[problem], "optimizer": optimizer, "batch": 16, "most_steps": 6, **more}
    return s | {"target": 0.0}


@pytest.mark.parametrize("problem", lesson.PROBLEMS)
@pytest.mark.parametrize("optimizer", lesson.OPTIMIZERS)
def test_every_optimizer_moves_and_ends_after_its_steps(problem, optimizer):
    one = lesson.trials(optimizer, 0)[0] | {"rate": 3 * lesson.LOWEST[optimizer]}
    runs = [Run("r", small(problem, optimizer, draw=0, **one), seed) for seed in (1, 2)]
    out = trials.report(runs, "cpu")
    assert [row["steps"] for row in out] == [6, 6] and not any(row["reached"] for row in out)


def test_the_knob_reaches_the_optimizer():
    """The same rate with and without momentum does not take as many steps."""
    s = small("autoencoder", "SGD", most_steps=40) | {"target": 0.075}
    runs = [Run("r", {**s, "draw": 0, "rate": 1.0, "knob": knob}, 3) for knob in (0.0, 0.9)]
    none, momentum = trials.report(runs, "cpu")
    assert none["reached"] and momentum["reached"] and abs(math.log(momentum["steps"] / none["steps"])) > 0.2


def test_damping_reaches_kfac():
    s = small("autoencoder", "K-FAC", most_steps=30) | {"target": 0.07}
    runs = [Run("r", {**s, "draw": 0, "rate": 0.05, "knob": knob}, 3) for knob in (0.01, 100.0)]
    little, much = trials.report(runs, "cpu")
    assert little["reached"] and not much["reached"]


def test_a_run_alone_takes_the_steps_it_takes_among_others():
    s = small("language", "AdamW", most_steps=60) | {"target": 2.9}
    runs = [Run("r", {**s, "draw": d, "rate": 0.01, "knob": 0.99}, seed) for seed in (4, 5) for d in (0, 1)]
    together = trials.report(runs, "cpu")
    for run, found in zip(runs, together, strict=True):
        (alone,) = trials.report([run], "cpu")
        assert found["reached"] and alone["steps"] == pytest.approx(found["steps"], rel=1e-3)
    assert together[0]["steps"] != together[1]["steps"], "another draw is another order of the data"


def test_a_slack_stops_the_slow_and_none_stops_nobody():
    s = small("autoencoder", "SGD", most_steps=60) | {"target": 0.075, "draw": 0, "knob": 0.9}
    for slack, few in (({"slack": 1.0}, True), ({}, False)):
        runs = [Run("r", {**s, **slack, "rate": rate}, 3) for rate in (1.0, 1e-6)]
        fast, slow = trials.report(runs, "cpu")
        assert fast["reached"] and not slow["reached"] and (slow["steps"] < 60) == few


def test_nobody_trains_on_what_is_held_out():
    for problem in lesson.PROBLEMS:
        held = lesson.HELD[problem]
        data, held_out = trials.examples(problem, held["held_out"], "cpu")
        rows = trials.subset(3, held["examples"], held["held_out"], len(data))
        assert len(held_out) == held["held_out"] == rows.min().clamp(max=held["held_out"])
        assert len(rows.unique()) == held["examples"] and rows.max() < len(data)
        assert not torch.equal(rows, trials.subset(4, held["examples"], held["held_out"], len(data)))


def test_the_language_model_sees_the_symbols_before_and_not_the_one_to_tell():
    data, _ = trials.examples("language", 1024, "cpu")
    assert data.x.shape[1] == 128 and torch.equal(data.x.sum(dim=1), torch.full((len(data),), 4.0))
    written = "".join(c if c in trials.SYMBOLS else "*" for c in trials.text().lower())
    letters = trials.SYMBOLS + "*"
    for row in range(20):
        before = "".join(letters[k] for k in data.x[row].view(4, 32).argmax(dim=1))
        assert before + letters[data.y[row]] in written


def test_the_autoencoders_target_is_the_picture():
    data, _ = trials.examples("autoencoder", 512, "cpu")
    assert torch.equal(data.x, data.y) and data.x.shape == (1797, 64)


def test_the_race_passes_knobs_and_what_stands_before_the_optimizer():
    seen = []

    def before(stack, x, gradients, state, damping):
        seen.append(damping.flatten().tolist())
        return gradients, state

    data, held_out = trials.examples("autoencoder", 512, "cpu")
    models = [trials.fresh("autoencoder", seed, "cpu") for seed in (0, 1)]
    steps_to_target(
        models,
        torch.nn.functional.mse_loss,
        data,
        held_out,
        batch=8,
        rates=[0.1, 0.1],
        seeds=[0, 1],
        target=0.0,
        most_steps=2,
        optimizer=sgd,
        knobs={"damping": [2.0, 3.0]},
        precondition=before,
    )
    assert seen == [[2.0, 3.0]] * 2


# What the race needed of its optimizers


@pytest.mark.parametrize("loss", ["softmax", "squared"])
def test_through_root_is_a_square_root_of_the_losss_curvature(loss):
    outputs = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    eye = torch.ones_like(outputs).diag_embed()
    root = kfac_module.through_root(eye, outputs, loss)
    for row, out in zip(root, outputs, strict=True):
        target = torch.tensor(1) if loss == "softmax" else torch.zeros(5, dtype=torch.float64)
        f = torch.nn.functional.cross_entropy if loss == "softmax" else torch.nn.functional.mse_loss
        hessian = torch.autograd.functional.hessian(lambda o: f(o, target), out)  # noqa: B023
        assert torch.allclose(row @ row.mT, hessian, atol=1e-12)
    signs = torch.tensor([1.0, -1, 1, 1, -1], dtype=torch.float64).view(1, 5, 1).expand(3, 5, 1)
    assert torch.allclose(kfac_module.through_root(signs, outputs, loss), root @ signs)


def test_one_matrix_that_eigh_gives_up_on_does_not_end_the_others(monkeypatch):
    real = torch.linalg.eigh
    bad = torch.diag(torch.tensor([7.0, 1.0]))

    def grumpy(matrix):
        if (matrix[..., 0, 0] == 7).any():
            raise torch.linalg.LinAlgError("did not converge")
        return real(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", grumpy)
    good = torch.tensor([[4.0, 0.0], [0.0, 9.0]])
    roots = matrix_optimizers.inverse_root(torch.stack([good, bad]), 2, 0.0)
    assert torch.allclose(roots[0], torch.diag(torch.tensor([0.5, 1 / 3]))) and roots[1].isnan().all()

    def in_single_only(matrix):
        if matrix.dtype == torch.float32:
            raise torch.linalg.LinAlgError("did not converge")
        return real(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", in_single_only)
    roots = matrix_optimizers.inverse_root(torch.stack([good, bad]), 2, 0.0)
    assert roots.dtype == torch.float32 and torch.allclose(roots[0, 0, 0], torch.tensor(0.5)) and roots.isfinite().all()


# The verdicts


def made(experiment, steps, seeds=8, spread=0.02):
    """Results whose steps(settings) are given, with a little noise of each run's own."""
    rng = np.random.default_rng(0)
    records = [
        RunRecord(run, "ok", {"steps": float(steps(run.settings) * math.exp(spread * rng.standard_normal())),
                              "reached": 1}, MACHINE, "x")
        for run in experiment.at(seeds=seeds).runs()
    ]  # fmt: skip
    return Results(experiment.at(seeds=seeds), tuple(records))


@pytest.fixture(autouse=True)
def inside(monkeypatch):
    """What is made up here won inside its box, except where a test says otherwise."""
    monkeypatch.setattr(columns, "on_the_edge", lambda problem, name, batch: [])


def base(s):
    return 1000 / math.sqrt(s["batch"])


def both(steps, **more):
    return made(lesson.AUTOENCODER, steps, **more), made(lesson.LANGUAGE, steps, **more)


def words(rows, claim, contains=""):
    return [row.verdict for row in rows if row.claim == claim and contains in row.says + row.measured]


def faster(names, factor, batches=lesson.BATCHES, draws=lesson.DRAWS):
    def steps(s):
        hit = s["optimizer"] in names and s["batch"] in batches and s["draw"] in draws
        return base(s) / (factor if hit else 1)

    return steps


def test_eigenvectors_that_come_back_as_nan_are_computed_again_in_double_precision(monkeypatch):
    real, sums = torch.linalg.eigh, torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    sums = sums @ sums.mT

    def silent(matrix):
        values, vectors = real(matrix)
        return (values * torch.nan, vectors) if matrix.dtype == torch.float32 else (values, vectors)

    monkeypatch.setattr(torch.linalg, "eigh", silent)
    values, vectors = matrix_optimizers.eigenpairs(sums)
    assert torch.allclose((vectors * values.unsqueeze(-2)) @ vectors.mT, sums, atol=1e-5)


def ranked(report, batch=512):
    return rank_intervals(columns.settled(report, batch))


def test_equals_have_no_ranking_and_eight_apart_have_a_full_one():
    equal, _ = both(base, spread=0.1)
    assert set(ranked(equal)) == {(1, 8)}
    apart = both(lambda s: base(s) * 2 ** lesson.OPTIMIZERS.index(s["optimizer"]))
    assert list(ranked(apart[0])) == [(place, place) for place in range(1, 9)]
    assert words(verdicts.rank_verdicts(*apart), "E16") == ["holds"] * 4
    assert words(verdicts.rank_verdicts(*both(base, spread=0.1)), "E16") == ["does not hold"] * 4
    some = both(faster(("Muon",), 3))
    rows = verdicts.rank_verdicts(*some)
    assert words(rows, "E16") == ["does not hold"] * 4, "one open pair, and not all can be ranked"
    assert [row.would_change.split()[1] for row in rows] == ["28", "28", "15", "28"]
    assert all(row.estimate is None for row in rows)
    assert ranked(some[0], 16)[columns.arrived(some[0], 16).index("Muon")] == (1, 1)


def test_one_seed_has_no_interval_and_settles_nothing():
    finding = verdicts.more(1.25, verdicts.Ratio(np.array([[2.0], [2.0]]), at_least=True, at_most=False))
    assert finding.estimate is None and finding.verdict.startswith("inconclusive")


def test_what_only_one_of_two_searches_says_is_left_open():
    one = both(faster(("Muon", "Shampoo", "K-FAC", "Lion"), 3, draws=(0,)))
    assert set(ranked(one[0])) == {(1, 8)}
    rows = verdicts.gain_verdicts(*one)
    assert words(rows, "D1-29", "needs") == words(rows, "D1-30", "needs") * 3 == [verdicts.INCONCLUSIVE] * 6


@pytest.mark.parametrize(
    ("claim", "names", "contains"),
    [("D1-29", ("K-FAC",), "K-FAC's lead"), ("D1-29", ("Muon",), "Muon's lead"), ("D1-30", ("Lion",), "Lion's lead")],
)
def test_a_lead_grows_only_if_it_is_larger_at_the_large_batch(claim, names, contains):
    for steps, word in (
        (faster(names, 2, batches=(512,)), "holds if"),
        (faster(names, 2), "does not hold"),
        (faster(names, 2, batches=(16,)), "does not hold"),
        (faster(names, verdicts.WORTH, batches=(512,)), verdicts.INCONCLUSIVE),
    ):
        rows = verdicts.gain_verdicts(*both(steps, spread=0.05))
        assert words(rows, claim, contains) == [word] * 2


@pytest.mark.parametrize(("claim", "name"), [("D1-29", "Shampoo"), ("D1-29", "K-FAC"), ("D1-30", "Lion")])
def test_ahead_at_a_large_batch_is_asked_at_the_large_batch(claim, name):
    for steps, word in (
        (faster((name,), 2, batches=(512,)), "holds if"),
        (faster((name,), 2, batches=(16,)), "does not hold"),
    ):
        rows = verdicts.gain_verdicts(*both(steps))
        assert words(rows, claim, f"AdamW's steps ÷ {name}'s") == [word] * 2


def test_a_row_says_what_would_have_changed_it_and_that_is_the_opposite_of_what_was_found():
    for factor, side in ((2, "a ratio below 1.25"), (1, "a ratio above 1.25"), (1.25, "clearly above or below 1.25")):
        autoencoder, language = both(faster(("Shampoo", "K-FAC", "Muon", "Lion"), factor), spread=0.05)
        rows = verdicts.gain_verdicts(autoencoder, language)
        asked = [row for row in rows if row.measured.startswith("AdamW's") and row.claim != "D1-43"]
        assert len(asked) == 8 and all(side in row.would_change for row in asked)


def test_adamw_is_behind_curvature_if_one_of_the_two_is_ahead():
    for names, word in ((("Shampoo", "K-FAC"), "holds if"), (("Shampoo",), "holds if"), ((), "does not hold")):
        rows = verdicts.gain_verdicts(*both(faster(names, 2, batches=(512,))))
        assert words(rows, "D1-43", "faster of") == [word] * 2


def test_the_fastest_of_several_is_chosen_on_the_other_seeds():
    """One lucky seed of a slow optimizer must not get to use it."""
    results = made(lesson.AUTOENCODER, faster(("Muon",), 2), spread=0.0)
    lucky = [
        RunRecord(r.run, "ok", {"steps": 0.01, "reached": 1}, MACHINE, "x")
        if (r["optimizer"], r["batch"], r.run.seed) == ("Lion", 512, 0) else r for r in results
    ]  # fmt: skip
    values, chosen = columns.fastest(Results(results.experiment, tuple(lucky)), ("Lion", "Muon"), 512)
    muon = base({"batch": 512}) / 2
    assert values[:, 0] == pytest.approx(muon) and chosen == {"Lion", "Muon"}
    assert values[:, 1:] == pytest.approx(2 * muon), "the others may see it"


@pytest.mark.parametrize(
    ("late", "factor", "word"),
    [
        (("Lion", 512), 2, verdicts.INCONCLUSIVE),  # its steps are at least so many, its lead is at most so large
        (("Lion", 512), 0.5, "does not hold"),
        (("AdamW", 512), 2, "holds if"),
        (("AdamW", 512), 0.5, verdicts.INCONCLUSIVE),
    ],
)
def test_a_bound_says_no_more_than_a_bound_can(late, factor, word):
    def lost(results):
        """All runs of one optimizer at one batch never arrive, and count with ``most_steps``, as made here."""
        return Results(results.experiment, tuple(
            RunRecord(Run(r.run.experiment, {**r.run.settings, "most_steps": r["steps"]}, r.run.seed), "ok",
                      {"steps": r["steps"], "reached": 0}, MACHINE, "x")
            if (r["optimizer"], r["batch"]) == late else r for r in results))  # fmt: skip

    autoencoder, language = both(faster(("Lion",), factor, batches=(512,)), spread=0.0)
    rows = verdicts.gain_verdicts(lost(autoencoder), language)
    assert words(rows, "D1-30", "Lion needs fewer")[0] == word
    (row,) = [r for r in rows if r.says.startswith("Lion needs") and "autoencoder" in r.measured]
    assert interval(row)[0] == ("≤" if late[0] == "Lion" else "≥")


@pytest.mark.parametrize(
    ("edge", "factor", "word", "sign"),
    [
        (("autoencoder", "Lion", 512), 0.5, verdicts.INCONCLUSIVE, "≥"),  # in a wider box it may be faster
        (("autoencoder", "Lion", 512), 2, "holds if", "≥"),
        (("autoencoder", "AdamW", 512), 2, verdicts.INCONCLUSIVE, "≤"),
        (("autoencoder", "AdamW", 512), 0.5, "does not hold", "≤"),
        (("language", "AdamW", 512), 2, "holds if", "2"),
    ],
)
def test_who_lost_at_an_edge_of_its_box_is_not_judged(edge, factor, word, sign, monkeypatch):
    monkeypatch.setattr(columns, "on_the_edge", lambda *where: ["rate"] * (where == edge))
    rows = verdicts.gain_verdicts(*both(faster(("Lion",), factor, batches=(512,))))
    (row,) = [r for r in rows if r.says.startswith("Lion needs") and "autoencoder" in r.measured]
    assert row.verdict == word and interval(row)[0] == sign


def test_a_pair_that_a_bound_could_turn_round_is_open(monkeypatch):
    """Muon is first and SGD last; then SGD won at an edge, then nobody's runs arrive."""
    results = made(lesson.AUTOENCODER, lambda s: 30 * {"Muon": 0.3, "SGD": 3}.get(s["optimizer"], 1))
    sgd, muon, lion = (lesson.OPTIMIZERS.index(name) for name in ("SGD", "Muon", "Lion"))
    order = columns.settled(results, 512)
    assert order[sgd, muon] == order[sgd, lion] == order[lion, muon] == 1 and order[muon, sgd] == -1
    monkeypatch.setattr(columns, "on_the_edge", lambda problem, name, batch: ["rate"] * (name == "SGD"))
    order = columns.settled(results, 512)
    assert order[sgd, muon] == order[muon, sgd] == 0 and order[lion, muon] == 1
    monkeypatch.setattr(columns, "on_the_edge", lambda *where: [])
    late = tuple(
        RunRecord(
            r.run, "ok", {"steps": r["steps"], "reached": int(r["optimizer"] not in ("SGD", "Lion"))}, MACHINE, "x"
        )
        for r in results
    )
    steps = {"SGD": 500, "Lion": 500}
    capped = Results(results.experiment, late)
    assert np.all(columns.steps(capped, "SGD", 512) == steps["SGD"])
    order = columns.settled(capped, 512)
    assert order[sgd, lion] == 0 and order[sgd, muon] == order[lion, muon] == 1


def test_runs_that_never_arrived_are_not_first_however_few_steps_they_were_given():
    """One of eight seeds is cut short at the cap; the mean of what it had is below, and says nothing."""
    results = made(lesson.AUTOENCODER, lambda s: 400 if s["optimizer"] == "Lion" else 498, spread=1e-4)
    late = tuple(
        RunRecord(r.run, "ok", {"steps": r["steps"], "reached": int((r["optimizer"], r.run.seed) != ("Lion", 0))},
                  MACHINE, "x")
        for r in results
    )  # fmt: skip
    muon, lion = (lesson.OPTIMIZERS.index(name) for name in ("Muon", "Lion"))
    assert columns.settled(results, 512)[lion, muon] == -1
    assert columns.settled(Results(results.experiment, late), 512)[lion, muon] == 0


def test_lars_and_lamb_are_judged_against_what_they_were_made_from():
    rows = verdicts.layer_verdicts(*both(faster(("LARS",), 2)))
    assert words(rows, "E17", "LARS") == ["holds if"] * 2 and words(rows, "E17", "LAMB") == ["does not hold"] * 2
    slower_adamw = verdicts.layer_verdicts(*both(faster(("AdamW",), 0.5)))
    assert words(slower_adamw, "E17", "LAMB") == ["holds if"] * 2
    assert words(slower_adamw, "E17", "LARS") == ["does not hold"] * 2


def test_rate_first_compares_what_the_rate_buys_with_what_the_optimizer_buys_on_top():
    def carried(rate_gain):
        return made(lesson.CARRIED, lambda s: 100 * (rate_gain if s["factor"] == 1 else 1 if s["factor"] == 4 else 2))

    others = both(lambda s: 50 if s["optimizer"] == "Lion" else 100)
    rows = verdicts.rate_first_verdicts(carried(3.0), *others)
    assert words(rows, "D1-31", "worth a look") == ["holds"] * 2
    assert words(rows, "D1-31", "optimizer first") == ["does not hold"] * 2 and len(rows) == 4
    rows = verdicts.rate_first_verdicts(carried(1.1), *others)
    assert words(rows, "D1-31", "worth a look") == ["does not hold"] * 2
    assert words(rows, "D1-31", "optimizer first") == ["holds if"] * 2


def test_the_factor_is_chosen_on_the_other_seeds():
    """One lucky seed at a factor that is bad for all others must not get to use it."""
    results = made(lesson.CARRIED, lambda s: 100 if s["factor"] == 4 else 200, spread=0.0)
    records = [
        RunRecord(r.run, "ok", {"steps": 60.0 if (r.run.seed, r["factor"]) == (0, 16) else r["steps"], "reached": 1},
                  MACHINE, "x")
        for r in results
    ]  # fmt: skip
    (kept, kept_late), (best, _) = columns.kept_rate(Results(results.experiment, tuple(records)), "autoencoder")
    assert best[0, 0] == 100 and np.all(kept == 200) and not kept_late


def test_a_rate_that_was_stopped_counts_the_slack_and_says_so():
    results = made(lesson.CARRIED, lambda s: 100, spread=0.0)
    records = [
        RunRecord(r.run, "ok", {"steps": 9.0 if r["factor"] == 1 else 100.0, "reached": int(r["factor"] > 1)},
                  MACHINE, "x")
        for r in results
    ]  # fmt: skip
    (kept, kept_late), (best, late) = columns.kept_rate(Results(results.experiment, tuple(records)), "language")
    assert np.all(kept == 400) and kept_late and np.all(best == 100) and not late


def test_the_verdicts_name_known_claims_and_say_what_would_change_them():
    results = {e.name: made(e, base if "optimizer" not in e.held else lambda s: 100 + s["factor"])
               for e in (*lesson.REPORTS, lesson.CARRIED)}  # fmt: skip
    for experiments, rule in verdicts.VERDICTS:
        for row in rule(*(results[e.name] for e in experiments)):
            assert (row.claim in CLAIMS or row.claim.startswith("E")) and row.would_change and row.held


def test_figures_show_every_optimizer_and_the_guess():
    autoencoder, language = both(faster(("Muon",), 3), seeds=3)
    axes = plot_race(autoencoder, (2.0, 4.0))
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(lesson.OPTIMIZERS)
    last = axes.figure.axes[-1]
    assert any("guess" in str(patch.get_label()) for patch in last.patches)
    assert [text.get_text() for text in last.texts][-1] == "1"
    told = [text.get_text() for text in plot_race(language).figure.axes[0].texts]
    assert [name for name, word in zip(lesson.OPTIMIZERS, told, strict=True) if word == "search\nfailed"] == [
        "LARS",
        "Shampoo",
    ]
    middles = {problem: made(e, base, seeds=3) for problem, e in lesson.MIDDLES.items()}
    labels = plot_gains(autoencoder, language, middles).figure.axes[1].get_legend_handles_labels()[1]
    assert sorted(labels) == sorted(set(lesson.OPTIMIZERS) - {"AdamW"})


def test_a_run_that_diverged_early_counts_with_all_the_steps_it_had():
    results = made(lesson.AUTOENCODER, base, seeds=3)
    late = [
        RunRecord(r.run, "ok", {"steps": 37.0, "reached": 0}, MACHINE, "x")
        if r["optimizer"] == "SGD" and r["batch"] == lesson.LARGE
        else r
        for r in results
    ]
    results = Results(results.experiment, tuple(late))
    assert columns.late(results, "SGD", 512).sum() == 6 and not columns.late(results, "SGD", 16).any()
    assert np.all(columns.steps(results, "SGD", 512) == 500)


def test_seconds_are_steps_times_the_recorded_step():
    autoencoder, language = both(base, seeds=3, spread=0.0)
    clock = Results(
        lesson.CLOCK,
        tuple(
            RunRecord(run, "ok", {"step": 0.002 * run.settings["batch"]}, MACHINE, "x") for run in lesson.CLOCK.runs()
        ),
        recorded=True,
    )
    assert columns.seconds(autoencoder, clock, "Lion", 16) == pytest.approx(np.full((2, 3), 250 * 0.032))
    axes = plot_seconds(autoencoder, language, clock)
    assert "recorded on test" in axes.figure._supxlabel.get_text()


def test_the_recorded_steps_take_time():
    assert all(0 < record["step"] < 1 for record in store.recorded(lesson.CLOCK))


@pytest.mark.parametrize("above", [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("below", [(True, False), (False, True), (False, False)])
def test_a_ratio_of_bounds_is_the_bound_that_its_extremes_say(above, below):
    """at_least: the truth may be 10 times as large; at_most: 10 times as small. Divide the extremes."""

    def extremes(at_least, at_most):
        return (0.1 if at_most else 1.0), (10.0 if at_least else 1.0)

    one, other = (verdicts.Ratio(np.ones((2, 8)), *flags) for flags in (above, below))
    (low, high), (other_low, other_high) = extremes(*above), extremes(*below)
    found = one / other
    assert (found.at_least, found.at_most) == (high / other_low > 1, low / other_high < 1)
