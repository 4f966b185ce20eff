"""Why regularization works: what becomes of a network inside. Shapes: P points, K folds, L layers, d features."""

from __future__ import annotations

from dataclasses import dataclass

from wellfit.records.showing import Shown
from wellfit.records.tables import Array, Task


@dataclass(frozen=True)
class Averaging:
    """A network trained with dropout beside the average of ``count`` sub-networks drawn from it, one mask each.

    ``loss`` is the whole network's at test time, ``arithmetic`` that of the mean of their predictions, ``geometric``
    that of the renormalized geometric mean, ``single`` the mean loss of one of them. ``*_error`` are Monte-Carlo
    standard errors (jackknife over masks). ``apart_*`` are root mean squared differences in prediction between the
    whole network and the average; ``apart_error`` is how much of that the drawing of masks alone would make.
    """

    count: int
    loss: float
    arithmetic: float
    arithmetic_error: float
    geometric: float
    geometric_error: float
    single: float
    apart_arithmetic: float
    apart_geometric: float
    apart_error: float


@dataclass(frozen=True, eq=False, repr=False)
class Workings(Shown):
    """What happens inside the network along one ingredient: P points, the weakest first, K folds; one seed.

    A fitted network alone is one point (``strengths`` NaN, ``over`` empty) measured on the rows given.
    ``train_loss``, ``loss`` (validation), ``reliance``, ``slope``, ``roughness`` and ``crossings`` are (P, K), NaN
    where a member diverged. ``weight_norms``, ``shrink`` and ``formula`` are (P, L): the Frobenius norm of each layer's
    weights, by which factor the ingredient alone shrinks them in one optimizer step, as measured, and as the formula
    says where there is one. ``freedom`` (P,) is the effective number of parameters with its Monte-Carlo standard error
    ``freedom_error`` (0 where exact), ``curvature_freedom`` (P,) the estimate from curvature, of L2 alone; biases
    are counted, ``parameters`` is how many there are. ``zeros`` (P,) is the share of weights exactly 0,
    ``units`` (P, 3) the shares of hidden units always on, always off and saturated. ``sensitivities`` (P, d) is the
    root mean squared slope along each of the columns ``names``, in units of their spread; ``reliance`` how many columns
    the network relies on, as if evenly, and ``slope`` the root mean squared length of the gradient. ``noise_losses``
    (P, N) are validation losses with Gaussian noise of the standard deviations ``noise`` (N,) on the columns.
    ``roughness`` is how far predictions go up and down in excess between two rows, ``crossings`` how often the class
    changes in excess (NaN in regression). ``averaging`` has one entry a point, None without dropout.
    """

    data: str
    task: Task
    network: str
    training: str
    base: str
    over: str
    folds: int
    seed: int
    strengths: Array
    cocktails: tuple[str, ...]
    train_loss: Array
    loss: Array
    weight_norms: Array
    shrink: Array
    formula: Array
    freedom: Array
    freedom_error: Array
    curvature_freedom: Array
    parameters: int
    zeros: Array
    units: Array
    names: tuple[str, ...]
    sensitivities: Array
    reliance: Array
    slope: Array
    noise: Array
    noise_losses: Array
    roughness: Array
    crossings: Array
    averaging: tuple[Averaging | None, ...]
