"""How exact linear paths are: beside scikit-learn's converged solutions, and by their own conditions (`linear.py`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from linear_logistic import Logistic
from linear_tables import Data, ingredient, quiet, read

import wellfit as wf


def check(name: str, penalty: str, task: str) -> dict:
    """Return how far wellfit's coefficients are from scikit-learn's converged ones, and from their own conditions."""
    data = read(name)
    path = (
        Logistic.of(data, penalty).ours(1)
        if task == "binary"
        else wf.path((data.x, data.y), ingredient(penalty), network="linear", points=30, folds=2)
    )
    assert path.linear is not None
    # Only where scikit-learn's solvers converge in seconds.
    wide, last = data.x.shape[1] > data.x.shape[0], len(path.strengths)
    at = range(last - 8 if wide else 1, last) if task == "regression" else (22, 25, 28)
    apart, broken = [], []
    for point in at:
        strengths = wf.Cocktail.parse(path.cocktails[point]).resolve(1)
        l1, l2 = strengths.l1[0], strengths.l2[0]
        w, b = path.linear.coefficients[point, 0], path.linear.intercepts[point, 0]
        with quiet():
            peer = converged(data, task, l1, l2)
        apart.append(float(np.abs(np.append(peer.coef_.ravel(), peer.intercept_) - np.append(w, b)).max()))
        broken.append(violation(data, task, w, b, l1, l2))
    shape = {"data": name, "shape": data.shape, "penalty": penalty, "task": task, "strengths": len(apart)}
    return shape | {"coefficients_apart": max(apart), "conditions_broken_by": max(broken)}


def converged(data: Data, task: str, l1: float, l2: float) -> Any:
    """Return scikit-learn's solution, to the last digits that its solver gives."""
    from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

    rows = len(data.y)
    if task == "regression":
        if not l1:
            return Ridge(alpha=l2 * rows / 2, solver="svd").fit(data.x, data.y)
        alpha = (l1 + l2) / 2
        return ElasticNet(alpha=alpha, l1_ratio=l1 / (l1 + l2), tol=1e-14, max_iter=200_000).fit(data.x, data.y)
    # liblinear penalizes the intercept: by next to nothing with this scaling.
    lasso = {"solver": "liblinear", "tol": 1e-12, "max_iter": 20_000, "intercept_scaling": 3e6}
    options = lasso if l1 else {"solver": "newton-cg", "tol": 1e-12, "max_iter": 1000}
    model = LogisticRegression(C=1 / ((l1 or l2) * rows), l1_ratio=1.0 if l1 else 0.0, random_state=0, **options)
    return model.fit(data.x, data.y.astype(int))


def violation(data: Data, task: str, w: np.ndarray, b: float, l1: float, l2: float) -> float:
    """Return by how much w and b break the conditions of a minimum, as a share of the null model's largest slope."""

    def slope(z: np.ndarray) -> np.ndarray:
        slopes = 2 * (z - data.y) if task == "regression" else 1 / (1 + np.exp(-z)) - data.y
        return slopes / len(z)

    slopes = slope(data.x @ w + b)
    gradient = data.x.T @ slopes + l2 * w
    there = np.abs(gradient + l1 * np.sign(w))
    broken = np.where(w != 0, there, np.maximum(np.abs(gradient) - l1, 0)) if l1 else there
    share = data.y.mean()
    null = share if task == "regression" else np.log(share / (1 - share))
    scale = np.abs(data.x.T @ slope(np.full(len(data.y), null))).max()
    return float(max(broken.max(), abs(slopes.sum())) / scale)
