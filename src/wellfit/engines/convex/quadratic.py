"""The inner problem: a quadratic with a lasso penalty, by coordinate descent and then exactly on its support."""

from __future__ import annotations

import numpy as np

from wellfit.engines.convex.kernels import (
    CHANGES,
    NARROW,
    SLACK,
    SPAN,
    SWEEPS,
    TOLERANCES,
    descend,
    minimize_narrow,
)
from wellfit.records import Array

CUT = 1e-13  # eigenvalues below this share of the largest are 0 but for rounding


def minimize(hessian: Array, slope: Array, l1: Array, start: Array) -> Array:
    """Return the v (m,) that minimizes 1/2 v'Hv - s'v + sum l1_j |v_j|, with H (m, m) positive semidefinite.

    Feature-sign search (Lee et al. 2006): given which v_j are not 0, and their signs, v solves a linear system;
    coordinates leave where they reach 0 on the way there, and enter where they break their condition. Where that means
    many changes, cyclic coordinate descent (Friedman, Hastie & Tibshirani 2010) comes nearer first. So the answer is
    exact and does not depend on ``start``, but for collinear columns without a quadratic penalty, where it is not
    unique.
    """
    if not l1.any():
        return _solved(hessian, slope)
    v = start.copy()
    if len(v) <= NARROW:
        minimize_narrow(hessian, slope, l1, v)
        return v
    scale = max(float(np.abs(slope).max()), float(l1.max()), 1e-300)
    for tolerance in (None, *TOLERANCES):
        if tolerance is not None:
            descend(hessian, slope, l1, v, tolerance * scale, SWEEPS)
        if _feature_sign(hessian, slope, l1, v, SLACK * scale):
            break
    return v


def _solved(hessian: Array, slope: Array) -> Array:
    """Return the v with H v = s; the shortest of them where there are many."""
    v = _by_cholesky(hessian, slope)
    return _shortest(hessian, slope) if v is None else v


def _shortest(hessian: Array, slope: Array) -> Array:
    """Return the shortest v with H v = s, for a singular H, from its eigenvectors.

    Not by `scipy.linalg.lstsq`, which takes no account of the symmetry: its singular values did not converge for a
    Hessian (550, 550) of pixels that are always black.
    """
    from scipy.linalg import eigh

    values, vectors = eigh(hessian, check_finite=False)
    kept = values > CUT * values[-1]
    return vectors[:, kept] @ ((vectors[:, kept].T @ slope) / values[kept])


def _by_cholesky(hessian: Array, slope: Array) -> Array | None:
    """Return the v with H v = s, or None where H is singular but for rounding."""
    from scipy.linalg.lapack import dposv, dpotrs

    factor, v, failed = dposv(hessian, slope)
    if failed:
        return None
    diagonal = factor.diagonal()
    if diagonal.min() < SPAN * diagonal.max():
        return None
    return v + dpotrs(factor, slope - hessian @ v)[0]


def _feature_sign(hessian: Array, slope: Array, l1: Array, v: Array, slack: float) -> bool:
    """Bring v to the minimum, in place; return whether that took no more than `CHANGES` changes of the support."""
    signs = np.where(l1 > 0, np.sign(v), 0.0)
    there = (v != 0) | (l1 == 0)
    for _ in range(CHANGES):
        at = np.flatnonzero(there)
        if at.size:
            target = _by_cholesky(hessian[np.ix_(at, at)], slope[at] - l1[at] * signs[at])
            if target is None:
                return False
            crossing = np.flatnonzero(target * signs[at] < 0)
            if crossing.size:
                here = v[at]
                shares = here[crossing] / (here[crossing] - target[crossing])
                share = shares.min()
                v[at] = here + share * (target - here)
                gone = at[crossing[shares <= share]]
                v[gone], signs[gone], there[gone] = 0.0, 0.0, False
                continue
            v[at] = target
        gradient = hessian[:, at] @ v[at] - slope
        broken = np.where(there, 0.0, np.abs(gradient) - l1)
        worst = int(broken.argmax())
        if broken[worst] <= slack:
            return True
        there[worst], signs[worst] = True, -np.sign(gradient[worst])
    return False
