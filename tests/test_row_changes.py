"""What rows tell of figures over folds: changes against finite differences, intervals against plain recounts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_engine import make_data
from scipy.stats import t as student
from small_comparisons import small_comparison

from wellfit.cocktail import as_cocktails
from wellfit.data.prepare import prepare
from wellfit.engines.base import MOST_SEEN, Member, history, seen_rows
from wellfit.engines.choice import default_engine
from wellfit.evidence import METRICS, fold_interval, rise_interval
from wellfit.evidence.intervals import RowError, ends
from wellfit.evidence.metrics import Metric
from wellfit.evidence.rows import influences, row_error, shared_error, unseen_error
from wellfit.ledger.encoding import decode, encode
from wellfit.nets import MLP, Training
from wellfit.population import train
from wellfit.records import Fold, FoldData, Table
from wellfit.select import row_changes
from wellfit.select.compare import compare
from wellfit.select.row_changes import RowChanges

NO_ROWS = np.empty(0, dtype=np.int64)


def slopes(function, rows, step=1e-5):
    """How fast figures change with each row's weight, by central differences, (rows, ...)."""
    found = []
    for i in range(rows):
        more, less = np.ones(rows), np.ones(rows)
        more[i], less[i] = 1 + step, 1 - step
        found.append((np.asarray(function(more)) - np.asarray(function(less))) / (2 * step))
    return np.array(found)


# Scores ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(METRICS)), rows=st.integers(5, 25), many=st.booleans())
def test_influences_are_the_slopes_of_every_score(seed, name, rows, many) -> None:
    draw, metric = np.random.default_rng(seed), METRICS[name]
    task = "regression" if "regression" in metric.tasks else "multiclass" if many else "binary"
    width = 3 if task == "multiclass" else 1
    if task == "regression":
        target, said = draw.normal(size=rows), draw.normal(size=(2, rows, 1))
    else:
        target = draw.integers(0, max(2, width), rows)
        said = draw.dirichlet(np.ones(max(2, width)), (2, rows))[..., :width]
    said = np.round(said, 1) if name == "auc" else said  # with ties
    said = said + 0.03 if name == "log-loss" and width == 1 else said
    scores, changes = influences(metric, task, target, said)
    for score, change, one in zip(scores, changes, said, strict=True):
        assert score == pytest.approx(metric.function(task, target, one), nan_ok=True)
        if not np.isnan(score):
            expected = slopes(lambda w, one=one: metric.function(task, target, one, w), rows)
            np.testing.assert_allclose(change / rows, expected, rtol=1e-5, atol=1e-7)


def test_a_metric_of_ones_own_has_no_influences_and_the_folds_interval() -> None:
    own = Metric("mine", lambda task, target, said, weights=None: float((target == 1).mean()), True, ("binary",))
    assert influences(own, "binary", np.array([0, 1]), np.array([[0.1], [0.2]])) is None
    found = compare("iris", cocktails="l2=1", network="4", training=Training(epochs=3), seeds=1, folds=3,
                    metric=replace(own, tasks=("multiclass",)))  # fmt: skip
    assert "Nadeau and Bengio" in found.results[0].score.estimates or "same value" in found.results[0].score.estimates


# A comparison -------------------------------------------------------------------------------------------------------


def plain_losses(task, target, said):
    if task == "regression":
        return (target - said[:, 0]) ** 2
    chances = np.column_stack([1 - said, said]) if task == "binary" else said
    return -np.log([row[code] for row, code in zip(chances, target, strict=True)])


def stretched(values):
    """By how much errors grow on rows left out, from (K, 2) losses on these and on training rows."""
    loss, trained = values[:, 0].mean(), values[:, 1].mean()
    return min(2.0, max(1.0, np.sqrt(loss / trained)))


def jackknifed(values):
    """The grouped jackknife's variance of a mean of folds' training values, from leave-one-out means."""
    left = values
    pseudo = np.array([left.sum() - (len(left) - 1) * v for v in left])
    return pseudo.var(ddof=1) / len(left)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_intervals_of_a_comparison_equal_a_plain_recount(task) -> None:
    """Every row's weight is moved a little, every figure counted again by loops, and the variances put together."""
    n, K, S = 40, 4, 3
    found, mixes, members, histories, data, target, metric = small_comparison(task, rows=n, folds=K, seeds=S)
    by = {(str(m.cocktail), m.fold, m.seed): h for m, h in zip(members, histories, strict=True)}

    def figures(mix, weights):
        """By fold: loss, training loss, score, training score, log of the gap."""
        told = []
        for k in range(K, 2 * K) if "early" in mix else range(K):
            fold, some = data.folds[k].rows, [by[mix, k, s] for s in range(S)]
            w, v = weights[fold.score], weights[fold.train]
            loss = np.mean([plain_losses(task, target[fold.score], h.predictions) @ w / w.sum() for h in some])
            trained = np.mean([plain_losses(task, target[fold.train], h.seen) @ v / v.sum() for h in some])
            score = np.mean([metric.function(task, target[fold.score], h.predictions, w) for h in some])
            learnt = np.mean([metric.function(task, target[fold.train], h.seen, v) for h in some])
            told.append((loss, trained, score, learnt, np.log(loss / trained)))
        return np.array(told)

    def squares(changes, rows=n):
        return (changes**2).sum() * rows / (rows - K)

    whole = {str(mix): figures(str(mix), np.ones(n)) for mix in mixes}
    moved = {name: slopes(lambda w, name=name: figures(name, w).mean(axis=0), n) for name in whole}
    reach, allowed = student.ppf(0.975, n - K), 1.2 * (1 + 1 / K)
    for result in found.results:
        values, change = whole[result.cocktail], moved[result.cocktail]
        counted = 2 * stretched(values)  # of differences
        used = np.count_nonzero(change[:, 1])  # some rows are stop rows in every fold
        for got, at in ((result.loss, 0), (result.score, 2)):
            trained = max(jackknifed(values[:, at + 1]), allowed * squares(change[:, at + 1], used))
            error = np.sqrt(trained + 4 * squares(change[:, at] - change[:, at + 1]))
            assert got.high / got.mean == pytest.approx(np.exp(reach * error / got.mean), rel=1e-5)
            assert got.low * got.high == pytest.approx(got.mean**2)
        by_rows = allowed * squares(change[:, 1], used)
        trained = np.sqrt(max(by_rows, (by_rows + jackknifed(values[:, 1])) / 2))
        mean, half = result.train_loss.mean, student.ppf(0.975, used - K) * trained
        assert result.train_loss.high / mean == pytest.approx(np.exp(half / mean), rel=1e-5)
        half = reach * np.sqrt((1 + K / 3) * squares(change[:, 4]))
        assert np.log(result.gap.high / result.gap.mean) == pytest.approx(half, rel=1e-5)
        if result.cocktail == "none":
            continue
        values, change = values - whole["none"], change - moved["none"]
        used = np.count_nonzero(change[:, 1])
        by_folds, by_rows = jackknifed(values[:, 1]), allowed * squares(change[:, 1], used)
        gap = max(counted, 2 * stretched(whole["none"])) * squares(change[:, 0] - change[:, 1])
        least, freedom = min((by_folds, K - 1), (by_rows, n - K))
        if by_folds < by_rows:
            freedom = (least + gap) ** 2 / (least**2 / freedom + gap**2 / (n - K))
        paired = result.loss_difference
        half = student.ppf(0.975, freedom) * np.sqrt(least + gap)
        assert paired.interval.high - paired.interval.mean == pytest.approx(half, rel=1e-4)
        statistic = abs(paired.interval.mean) / np.sqrt(least + gap)
        assert paired.p_value == pytest.approx(2 * student.sf(statistic, freedom))


# Errors -------------------------------------------------------------------------------------------------------------


def test_groups_count_as_one_row() -> None:
    changes = np.array([0.3, -0.3, 0.1, -0.1, 0.2, -0.2])
    alone = row_error(changes, 2)
    assert (alone.error, alone.freedom) == (pytest.approx(np.sqrt((changes**2).sum() * 6 / 4)), 4)
    tied = row_error(changes, 2, np.array([0, 1, 0, 1, 2, 3]))
    assert tied.error == pytest.approx(np.sqrt((0.4**2 + 0.4**2 + 0.2**2 + 0.2**2) * 4 / 2))
    assert row_error(changes[:2], 2) is None


@pytest.mark.parametrize("folds", [22, 23])
def test_where_rows_are_hardly_more_than_folds_the_folds_tell(folds: int) -> None:
    """With 23 folds of 24 rows only two rows share a fold: one degree of freedom, and a change of 0 for all others."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(24, 2))
    target = x[:, 0] + draw.normal(size=24)
    table = Table("t", {"a": x[:, 0], "b": x[:, 1]}, dict.fromkeys("ab", "numeric"), target, "y", "regression")
    recipe = Training(epochs=20, learning_rate=0.01)
    asked = {"cocktails": "l2=0.1", "network": "4", "training": recipe, "seeds": 1}
    few, alone = (compare(table, folds=k, **asked).results for k in (folds, 24))
    for ours, theirs in zip(few, alone, strict=True):
        width, right = (r.loss.high - r.loss.low for r in (ours, theirs))
        assert 0.7 * right < width < 1.4 * right
    paired = [r.loss_difference.interval for r in (few[1], alone[1])]
    assert 0.5 < (paired[0].high - paired[0].low) / (paired[1].high - paired[1].low) < 2


def test_the_larger_look_counts_where_training_rows_are_unknown() -> None:
    values, steady = np.array([1.0, 1.2, 0.8, 1.1, 0.9]), RowError(1e-9, 95)
    by_folds = shared_error(values, steady, 0.25)
    assert by_folds.error == pytest.approx(np.sqrt(0.45 * values.var(ddof=1)))
    by_rows = shared_error(values, RowError(1.0, 95), 0.25)
    assert by_rows.error == pytest.approx(np.sqrt(1 + 4 * 0.2))  # r = 20 / 100
    wide = fold_interval(values, train_rows=80, test_rows=20, estimates="", rows=by_folds)
    plain = fold_interval(values, train_rows=80, test_rows=20, estimates="")
    assert (wide.high - wide.low) * student.ppf(0.975, 4) == pytest.approx(
        (plain.high - plain.low) * student.ppf(0.975, 95)
    )


def test_ends_keep_within_bounds_and_shrink_with_the_variance() -> None:
    low, high = ends(0.9, 0.0009, (0.0, 1.0), 1.96, 1e9)
    count = 0.09 / 0.0009  # Wilson's interval of 90 of 100
    middle, side = 0.9 + 1.96**2 / (2 * count), 1.96 * np.sqrt(0.09 / count + 1.96**2 / (4 * count**2))
    shrunk = 1 + 1.96**2 / count
    assert (low, high) == pytest.approx(((middle - side) / shrunk, (middle + side) / shrunk))
    assert ends(1.0, 0.0, (0.0, 1.0), 1.96, 50)[0] == pytest.approx(50 / (50 + 1.96**2))
    assert ends(2.0, 1e6, (0.0, np.inf), 2.0, 50)[0] > 0
    assert ends(0.5, 0.04, (-np.inf, 1.0), 2.0, 50) == pytest.approx((1 - 0.5 * np.exp(0.8), 1 - 0.5 * np.exp(-0.8)))
    assert ends(1.0, 4.0, (-np.inf, 1.0), 2.0, 50) == (-3.0, 1.0)


# What a history keeps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [MLP(()), MLP((4,))])
@pytest.mark.parametrize("source", ["iris", "diabetes"])
def test_a_history_keeps_what_is_said_of_training_rows(network, source) -> None:
    """Both engines that keep it: the mean loss of the training rows is the curve's."""
    from wellfit.data import folds as cut
    from wellfit.data import load

    table = load(source)
    data = prepare(table, cut(table, np.arange(len(table.target)), folds=3, seed=0))
    member = Member(network, as_cocktails("l2=0.1")[0], Training(epochs=5), 0, 1)
    [found] = train([member], data)
    rows = seen_rows(data.folds[1], data.outputs)
    np.testing.assert_array_equal(rows, data.folds[1].rows.train)
    losses = plain_losses(table.task, table.target[rows], found.seen)
    assert losses.mean() == pytest.approx(found.curves["train_loss"][-1], rel=1e-5)
    assert decode(encode(found)).seen.tobytes() == found.seen.tobytes()


def test_very_many_training_rows_are_not_kept_and_old_records_had_none() -> None:
    data = make_data("binary", rows=20, folds=2)
    fold, rows = data.folds[0], MOST_SEEN + 1
    part = Fold(np.arange(rows), NO_ROWS, np.arange(rows, rows + 2))
    large = FoldData(np.zeros((rows + 2, 2)), np.zeros((rows + 2, 1)), part)
    assert len(seen_rows(large, 1)) == 0
    weighted = replace(fold, weights=np.arange(20) % 2.0)
    assert len(seen_rows(weighted, 1)) == (weighted.weights[fold.rows.train] > 0).sum()
    engine = default_engine()
    member = Member(MLP((2,)), as_cocktails("none")[0], Training(epochs=1), 0, 0)
    found = history(member, engine.init([member], data)[0], data)
    from safetensors.numpy import load, save

    record = encode(found)
    length = int.from_bytes(record[:8], "little")
    import json

    meta = json.loads(record[8 : 8 + length])["__metadata__"]
    older = decode(save({k: v for k, v in load(record).items() if k != "seen"}, meta))
    assert older.seen.shape == (0, 1)


# What it is good for ------------------------------------------------------------------------------------------------


def ridge(x, y, strength):
    one = np.column_stack([x, np.ones(len(x))])
    penalty = strength * len(x) / 2 * np.diag([1.0] * x.shape[1] + [0.0])
    return np.linalg.solve(one.T @ one + penalty, one.T @ y)


def ridge_losses(seed, rows=80, columns=8):
    """The difference in loss of ridge to least squares over 5 folds: its look, both values by fold, and the rows."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, columns))
    y = x @ np.linspace(1, 0, columns) + 2 * draw.normal(size=rows)
    fold = np.arange(rows) % 5
    table = Table("t", {}, {}, y, "y", "regression", ())
    parts = [Fold(np.flatnonzero(fold != k), NO_ROWS, np.flatnonzero(fold == k)) for k in range(5)]
    changes = RowChanges(table, [FoldData(x, y[:, None], part) for part in parts], Training())
    one = np.column_stack([x, np.ones(rows)])
    looks = []
    for strength in (0.0, 0.5):
        fits = [ridge(x[p.train], y[p.train], strength) for p in parts]
        pairs = list(zip(parts, fits, strict=True))
        unseen = [(one[part.score] @ w)[None, :, None] for part, w in pairs]
        looks.append(changes.of_loss(unseen, [(one[part.train] @ w)[None, :, None] for part, w in pairs]))
    return looks[1] - looks[0], changes


def test_intervals_of_differences_hold_the_truth_and_are_much_narrower_than_the_folds() -> None:
    told = [ridge_losses([7, i]) for i in range(400)]
    truth = np.mean([ridge_losses([8, i])[0].values.mean() for i in range(1500)])
    counts = {"train_rows": 64, "test_rows": 16, "estimates": ""}
    plain = [fold_interval(look.values, **counts) for look, _ in told]
    ours = [fold_interval(look.values, rows=rows.error(look, paired=True), **counts) for look, rows in told]
    assert np.mean([i.low <= truth <= i.high for i in ours]) >= 0.93
    assert np.median([i.high - i.low for i in ours]) < 0.6 * np.median([i.high - i.low for i in plain])


def test_without_the_second_count_of_the_gap_intervals_are_too_narrow(monkeypatch) -> None:
    """A fault on purpose: rows also train, and what they do by that must not be left out."""
    told = [ridge_losses([9, i], rows=40, columns=18) for i in range(400)]
    truth = np.mean([ridge_losses([10, i], rows=40, columns=18)[0].values.mean() for i in range(2000)])
    counts = {"train_rows": 32, "test_rows": 8, "estimates": ""}

    def held():
        found = [fold_interval(look.values, rows=rows.error(look, paired=True), **counts) for look, rows in told]
        return np.mean([i.low <= truth <= i.high for i in found])

    right = held()
    monkeypatch.setattr(row_changes, "TWICE", 0.5)
    assert right >= 0.93 > held()


def test_a_gap_pairs_each_row_with_itself() -> None:
    """A fault on purpose: with training rows in another order their losses no longer cancel."""
    draw = np.random.default_rng(3)
    x, hard = draw.normal(size=(100, 2)), np.where(np.arange(100) % 10 == 0, 5.0, 0.5)
    y = x[:, 0] + hard * draw.normal(size=100)
    fold = np.arange(100) // 20
    parts = [Fold(np.flatnonzero(fold != k), NO_ROWS, np.flatnonzero(fold == k)) for k in range(5)]
    table = Table("t", {}, {}, y, "y", "regression", ())
    rows = RowChanges(table, [FoldData(x, y[:, None], part) for part in parts], Training())
    said = [x[p.score, :1][None] for p in parts]
    seen = [x[p.train, :1][None] for p in parts]
    paired = rows.gap_error(said, seen)
    shuffled = [y[p.train] - np.roll(y[p.train] - x[p.train, 0], 3) for p in parts]
    apart = rows.gap_error(said, [values[None, :, None] for values in shuffled])
    assert paired.error < 0.5 * apart.error


def test_paired_errors_take_the_smaller_look_at_training_rows_and_single_ones_the_larger() -> None:
    trained, rows, gap = np.array([1.0, 1.1, 1.2, 0.9, 1.0]), RowError(0.5, 95), RowError(0.01, 95)
    single, paired = (unseen_error(trained, rows, gap, counted=3.0, paired=p) for p in (False, True))
    assert single.error == pytest.approx(np.sqrt(1.44 * 0.25 + 3e-4))
    assert paired.error == pytest.approx(np.sqrt(jackknifed(trained) + 3e-4))
    assert paired.freedom == pytest.approx(4, rel=0.03), "folds alone tell nearly all of it"
    assert unseen_error(np.ones(5), rows, RowError(0.0, 95), counted=4.0, paired=True).error == 0


def of_chances(metric, rows=40, folds=4):
    """Two looks at a score of made-up chances, and all that they are made of."""
    draw = np.random.default_rng(11)
    target, parts = np.arange(rows) // folds % 2, [np.arange(rows) % folds == k for k in range(folds)]
    table = Table("t", {}, {}, target, "y", "binary", ("a", "b"))
    cut = [Fold(np.flatnonzero(~part), NO_ROWS, np.flatnonzero(part)) for part in parts]
    data = [FoldData(np.empty((rows, 0)), target[:, None].astype(float), part) for part in cut]
    said = np.clip(0.6 * target + draw.uniform(0.05, 0.35, (2, folds, rows)), 0, 1)
    said[:, np.array(parts)] = draw.uniform(0.1, 0.9, (2, rows))  # those left out are guessed at
    changes = RowChanges(table, data, Training(), METRICS[metric])
    looks = [
        changes.of_score(
            [one[k][f.score][None, :, None] for k, f in enumerate(cut)],
            [one[k][f.train][None, :, None] for k, f in enumerate(cut)],
        )
        for one in said
    ]
    return changes, looks, target, said, cut


def test_ranks_count_the_gap_once_for_each_pair_and_jumps_go_by_their_rows_alone() -> None:
    """A plain recount with every row's weight moved a little, of paired differences of AUC and of accuracy."""
    for metric in ("auc", "accuracy"):
        changes, looks, target, said, cut = of_chances(metric)
        score, n, folds = METRICS[metric].function, len(target), len(cut)

        def figures(weights, rows, score=score, said=said, cut=cut, target=target):
            pairs = [(k, getattr(part, rows)) for k, part in enumerate(cut)]
            told = [[score("binary", target[r], one[k][r][:, None], weights[r]) for k, r in pairs] for one in said]
            return np.subtract(*np.array(told))

        moved = {
            name: slopes(lambda w, name=name, figures=figures: figures(w, name).mean(), n)
            for name in ("score", "train")
        }
        squares = {name: (change**2).sum() * n / (n - folds) for name, change in moved.items()}
        found = changes.error(looks[0] - looks[1], paired=True)
        if metric == "accuracy":
            expected = squares["score"] * (1 + (folds - 1) / folds)
        else:
            lost = [
                [np.mean([plain_losses("binary", target[r], one[k][r][:, None]) for k, r in pairs]) for one in said]
                for pairs in ([(k, f.score) for k, f in enumerate(cut)], [(k, f.train) for k, f in enumerate(cut)])
            ]
            stretch = max(min(2.0, np.sqrt(v / t)) for v, t in zip(*lost, strict=True))
            least = min(jackknifed(figures(np.ones(n), "train")), 1.2 * (1 + 1 / folds) * squares["train"])
            gap = ((moved["score"] - moved["train"]) ** 2).sum() * n / (n - folds)
            expected = least + stretch * gap
        assert found.error == pytest.approx(np.sqrt(expected), rel=1e-4)
        alone = shared_error(looks[0].values, row_error(looks[0].changes, folds), 1 / (folds - 1))
        assert changes.error(looks[0]).error == alone.error, "a score alone goes by folds and rows left out"


def test_a_rise_has_half_of_the_correction() -> None:
    last, lowest = np.array([1.0, 1.3, 1.1, 1.5]), np.array([1.0, 1.0, 0.8, 1.2])
    found = rise_interval(last, lowest, train_rows=30, test_rows=10, estimates="")
    logs = np.log(last / lowest)
    half = student.ppf(0.975, 3) * logs.std(ddof=1) * np.sqrt(1 / 4 + 1 / 6)
    assert np.log(found.high / found.mean) == pytest.approx(half)


@pytest.mark.parametrize("metric", ["rmse", "r2"])
@pytest.mark.parametrize("weighted", [False, True])
def test_fold_by_fold_is_what_all_rows_side_by_side_are(metric, weighted) -> None:
    """Where training rows are unknown and each row is left out once, errors need no changes of all rows at once."""
    draw = np.random.default_rng(3)
    n, points = 30, 4
    target = draw.normal(size=n)
    table = Table("made", {}, {}, target, "y", "regression", ())
    weights = draw.random(n) if weighted else None
    parts = np.array_split(draw.permutation(n), 5)
    folds = [
        FoldData(np.empty((n, 0)), target[:, None], Fold(np.setdiff1d(np.arange(n), p), p[:0], p), weights=weights)
        for p in parts
    ]
    said = [draw.normal(size=(points, 2, len(p), 1)) for p in parts]
    rows = RowChanges(table, folds, Training(), METRICS[metric])
    for quick, look in (
        (rows.loss_errors(said), rows.of_loss(said)),
        (rows.score_errors(said), rows.of_score(said)),
    ):
        for one, other in zip(quick, rows.errors(look), strict=True):
            assert one.freedom == other.freedom
            assert one.error == pytest.approx(other.error, rel=1e-12)
