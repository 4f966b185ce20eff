"""scikit-learn: the MLP's alpha per batch, and the linear models' alpha, l1_ratio and C."""

from __future__ import annotations

import math

from wellfit.cocktail.base import Ingredient
from wellfit.cocktail.dialects.base import REQUIRED, Answer, Dialect, Fit, NoEquivalent, Parts, active, mix
from wellfit.cocktail.ingredients import L1, L2, ElasticNet
from wellfit.cocktail.mixing import Cocktail
from wellfit.errors import SettingError
from wellfit.messages import say


def _batch(fit: Fit) -> tuple[int, str | None]:
    """Return the batch size and None, or the reason why a short last batch spoils it."""
    rows = fit.need("rows")
    size = min(fit.batch_size or rows, rows)
    rest = rows % size
    reason = say("dialects.sklearn_short_batch", rows=rows, batch_size=size, rest=rest) if rest else None
    return size, reason


def _half(fit: Fit) -> float:
    """Return how many times the MLP's loss goes into ours: its regression loss is half the mean squared error."""
    fit.need("task")
    return 2.0 if fit.task == "regression" else 1.0


def _speak_mlp(parts: Parts, answer: Answer) -> None:
    fit = answer.fit
    parts = parts.coupled(fit)
    size, reason = _batch(fit)
    answer.loss_factor = _half(fit)
    answer.arguments["alpha"] = answer.one(parts.l2, "l2") * size / answer.loss_factor
    answer.arguments["batch_size"] = size
    if reason and active(parts.l2):
        answer.reasons.append(reason)
    if active(parts.l1):
        answer.refuse("sklearn_mlp_l1")
    if active(parts.weight_decay):
        answer.refuse("decoupled_only_plain")
    if active(parts.dropout):
        answer.refuse("sklearn_dropout")
    if parts.early_stopping:
        answer.refuse("sklearn_early_stopping" if parts.early_stopping.on == "loss" else "sklearn_stops_on_its_own")
    if fit.task == "regression":
        answer.note("sklearn_half")


def _read_mlp(arguments: dict, fit: Fit) -> Cocktail | NoEquivalent:
    alpha = L2(arguments["alpha"])
    size, reason = _batch(fit)
    if reason and active(alpha.strength):
        return NoEquivalent(fit.dialect, (reason,))
    return mix((L2(_single(alpha.strength, fit) * _half(fit) / size),))


def _single(strength: object, fit: Fit) -> float:
    if isinstance(strength, tuple):
        raise SettingError("dialects.one_number", dialect=fit.dialect)
    return strength  # type: ignore[return-value]  # active: a number here


def _linear(parts: Parts, answer: Answer) -> tuple[float, float]:
    """Return (l1, l2) for a linear model, adding the reasons for all that a convex solver cannot say."""
    fit = answer.fit
    parts = parts.coupled(fit)
    wanted = "classification" if fit.dialect == "sklearn-logistic" else "regression"
    if fit.task is not None and (fit.task == "regression") != (wanted == "regression"):
        answer.refuse("sklearn_task", wanted=wanted, task=fit.task)
    if fit.layers not in (None, 1):
        answer.refuse("sklearn_linear", layers=fit.layers)
    if active(parts.weight_decay):
        answer.refuse("decoupled_only_plain")
    if active(parts.dropout):
        answer.refuse("sklearn_dropout")
    if parts.early_stopping:
        answer.refuse("sklearn_exact_solver")
    return answer.one(parts.l1, "l1"), answer.one(parts.l2, "l2")


def _speak_ridge(parts: Parts, answer: Answer) -> None:
    l1, l2 = _linear(parts, answer)
    if l1:
        answer.refuse("sklearn_ridge_l1")
    rows = answer.fit.need("rows")
    answer.arguments["alpha"] = l2 * rows / 2
    answer.loss_factor = 1 / rows


def _read_ridge(arguments: dict, fit: Fit) -> Cocktail:
    alpha = _single(L2(arguments["alpha"]).strength, fit)
    return mix((L2(2 * alpha / fit.need("rows")),))


def _speak_lasso(parts: Parts, answer: Answer) -> None:
    l1, l2 = _linear(parts, answer)
    if l2:
        answer.refuse("sklearn_lasso_l2")
    answer.arguments["alpha"] = l1 / 2
    answer.loss_factor = 2.0


def _read_lasso(arguments: dict, fit: Fit) -> Cocktail:
    return mix((L1(2 * _single(L1(arguments["alpha"]).strength, fit)),))


def _speak_elastic_net(parts: Parts, answer: Answer) -> None:
    l1, l2 = _linear(parts, answer)
    answer.arguments["alpha"] = (l1 + l2) / 2
    answer.arguments["l1_ratio"] = l1 / (l1 + l2) if l1 + l2 else 0.5
    answer.loss_factor = 2.0


def _read_elastic_net(arguments: dict, fit: Fit) -> Cocktail:
    net = ElasticNet(arguments["alpha"], arguments["l1_ratio"])
    return mix((ElasticNet(2 * _single(net.strength, fit), net.l1_ratio),))


def _speak_logistic(parts: Parts, answer: Answer) -> None:
    l1, l2 = _linear(parts, answer)
    rows = answer.fit.need("rows")
    total = l1 + l2
    answer.arguments["C"] = 1 / (total * rows) if total else math.inf
    answer.arguments["l1_ratio"] = l1 / total if total else 0.0
    # Theirs is C n times ours; without a penalty theirs is scaled as the plain mean.
    answer.loss_factor = total if total else 1.0
    answer.note("sklearn_logistic")


def _read_logistic(arguments: dict, fit: Fit) -> Cocktail:
    c = arguments["C"]
    if isinstance(c, bool) or not isinstance(c, int | float) or not c > 0:
        raise SettingError("dialects.bad_c", value=c)
    net = ElasticNet(1 / (c * fit.need("rows")), arguments["l1_ratio"])
    total = _single(net.strength, fit)
    kinds: dict[float, Ingredient] = {0.0: L2(total), 1.0: L1(total)}
    return mix((kinds.get(net.l1_ratio, net),))


_REASONS = {"": "sklearn_lacks"}
SKLEARN = (
    Dialect("sklearn-mlp", {"alpha": REQUIRED}, _speak_mlp, _read_mlp, reasons=_REASONS),
    Dialect("sklearn-ridge", {"alpha": REQUIRED}, _speak_ridge, _read_ridge, reasons=_REASONS),
    Dialect("sklearn-lasso", {"alpha": REQUIRED}, _speak_lasso, _read_lasso, reasons=_REASONS),
    Dialect(
        "sklearn-elastic-net",
        {"alpha": REQUIRED, "l1_ratio": 0.5},
        _speak_elastic_net,
        _read_elastic_net,
        reasons=_REASONS,
    ),
    Dialect("sklearn-logistic", {"C": REQUIRED, "l1_ratio": 0.0}, _speak_logistic, _read_logistic, reasons=_REASONS),
)
