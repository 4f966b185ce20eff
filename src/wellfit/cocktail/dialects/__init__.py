"""What other libraries call the same thing, both ways, exactly; where there is no exact equivalent, the reason.

The dialects and what they minimize (m and n are the rows of that fit; ``docs/dialects.md`` derives each):

=========================================== ==================================================================
``textbook``                                mean loss + lambda/(2m) sum W^2
``torch-sgd``, ``torch-adam``               coupled ``weight_decay``
``torch-adamw``                             decoupled ``weight_decay``
``keras``                                   loss + l1 sum|W| + l2 sum W^2, per layer; decoupled ``weight_decay``
``sklearn-mlp``                             per batch: loss + alpha/(2 batch) sum W^2, half the MSE in regression
``sklearn-ridge``                           SSE + alpha sum w^2
``sklearn-lasso``, ``sklearn-elastic-net``  SSE/(2n) + alpha (r sum|w| + (1 - r)/2 sum w^2)
``sklearn-logistic``                        C sum loss + r sum|w| + (1 - r)/2 sum w^2
=========================================== ==================================================================
"""

from __future__ import annotations

import difflib

from wellfit.cocktail.base import Ingredient
from wellfit.cocktail.dialects.base import REQUIRED, Answer, Dialect, Equivalent, Fit, NoEquivalent, Parts
from wellfit.cocktail.dialects.keras import KERAS
from wellfit.cocktail.dialects.sklearn import SKLEARN
from wellfit.cocktail.dialects.textbook import TEXTBOOK
from wellfit.cocktail.dialects.torch import TORCH
from wellfit.cocktail.mixing import Cocktail, as_cocktail
from wellfit.errors import SettingError

DIALECTS: dict[str, Dialect] = {d.name: d for d in (TEXTBOOK, *TORCH, KERAS, *SKLEARN)}
_TASKS = ("binary", "multiclass", "regression")


def to_dialect(
    cocktail: Cocktail | Ingredient | str | None,
    dialect: str,
    *,
    rows: int | None = None,
    batch_size: int | None = None,
    task: str | None = None,
    layers: int | None = None,
    optimizer: str | None = None,
    momentum: float = 0.0,
) -> Equivalent | NoEquivalent:
    """Return a cocktail in another library's words, or the reasons why it has no exact equivalent there.

    ``rows`` are the rows of that fit and ``batch_size`` (None: all of them) its batch; ``task`` is ``binary``,
    ``multiclass`` or ``regression``; ``layers`` the number of weight matrices, which per-layer strengths must fit.
    ``optimizer`` and ``momentum`` as in `wellfit.Training`: under plain gradient steps weight decay is told as L2
    where the library has no other word, for there the two are one. Facts that a dialect does not use may be left out.
    Raises `SettingError` for an unknown dialect, a fact that is needed and lacking, or strengths that do not fit.

    >>> to_dialect("l2=(2e-3, 2e-3, 0)", "keras").arguments
    {'l2': (0.001, 0.001, 0.0)}
    >>> print(to_dialect("dropout=0.2", "sklearn-ridge", rows=100))
    scikit-learn's models have no dropout.
    """
    spoken = _find(dialect)
    fit = _fit(spoken.name, rows=rows, batch_size=batch_size, task=task, layers=layers)
    fit = Fit(**{**fit.__dict__, "optimizer": optimizer, "momentum": momentum})
    mixed = as_cocktail(cocktail)
    if layers is not None:
        mixed.resolve(layers)  # raises where the counts do not fit
    answer = Answer(fit)
    answer.refuse_unsaid(mixed, spoken.says, spoken.reasons)
    spoken.speak(Parts.of(mixed), answer)
    return answer.close()


def from_dialect(
    dialect: str,
    *,
    rows: int | None = None,
    batch_size: int | str | None = None,
    task: str | None = None,
    **arguments: object,
) -> Cocktail | NoEquivalent:
    """Return the cocktail that another library's arguments stand for, or the reason why there is none.

    ``rows``, ``batch_size`` (None: full batch; ``"auto"``: scikit-learn's own, at most 200) and ``task`` as in
    `to_dialect`; ``arguments`` are the library's own names: ``lambda_``, ``keep_prob`` (textbook), ``weight_decay``,
    ``dropout``, ``biases`` (True where the penalty also acts on biases, as PyTorch's and Keras's ``weight_decay`` do
    unless told otherwise), ``l1``, ``l2``, ``patience``, ``min_delta`` (Keras; one number or one per layer),
    ``monitor`` (``val_accuracy``: the score), ``label_smoothing``, ``max_norm``, ``global_clipnorm`` (Keras),
    ``clip_grad_norm``, ``batch_norm`` (PyTorch), ``input_dropout``, ``input_noise`` (a layer on the inputs),
    ``alpha``, ``l1_ratio``, ``C`` (scikit-learn). Raises `SettingError` for an unknown dialect or argument, a lacking
    one, or an impossible value.

    >>> str(from_dialect("keras", l2=(0.001, 0.001, 0)))
    'l2=(0.002, 0.002, 0)'
    >>> str(from_dialect("sklearn-ridge", alpha=1.0, rows=200))
    'l2=0.01'
    """
    spoken = _find(dialect)
    size = min(200, rows or 200) if batch_size == "auto" else batch_size
    fit = _fit(spoken.name, rows=rows, batch_size=size, task=task, layers=None)
    for name in arguments:
        if name not in spoken.arguments:
            raise SettingError(
                "dialects.unknown_argument", dialect=dialect, name=name, known=", ".join(spoken.arguments)
            )
    given = {**spoken.arguments, **arguments}
    for name, value in given.items():
        if value is REQUIRED:
            raise SettingError("dialects.needs", dialect=dialect, name=name)
    return spoken.read(given, fit)


def _find(dialect: str) -> Dialect:
    if dialect not in DIALECTS:
        near = difflib.get_close_matches(str(dialect), DIALECTS, 1, 0.4)
        key = "dialects.unknown_near" if near else "dialects.unknown"
        raise SettingError(key, value=dialect, near=near[0] if near else "", known=", ".join(DIALECTS))
    return DIALECTS[dialect]


def _fit(dialect: str, *, rows: object, batch_size: object, task: object, layers: object) -> Fit:
    """Check the facts of a fit."""
    for name, count in (("rows", rows), ("batch_size", batch_size), ("layers", layers)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise SettingError("dialects.bad_count", name=name, value=count)
    if task is not None and task not in _TASKS:
        raise SettingError("dialects.bad_task", value=task, known=", ".join(_TASKS))
    return Fit(dialect, rows=rows, batch_size=batch_size, task=task, layers=layers)  # type: ignore[arg-type]  # checked


__all__ = ["DIALECTS", "Equivalent", "NoEquivalent", "from_dialect", "to_dialect"]
