"""Optimizer steps, one fused pass over a piece of the parameter vector; then the proximal step of L1.

The order within a step: coupled L2 into the gradient; decoupled decay ``W <- (1 - lr decay) W_old - lr step``
(Loshchilov & Hutter 2019, in PyTorch's order); the prox with threshold ``l1 * eta``, eta the optimizer's own step for
that coordinate: lr, lr / (1 - momentum), lr / (sqrt(v_hat) + eps).
"""

from __future__ import annotations

import numpy as np

from wellfit.engines.compiled.jit import inlined, kernel

GD, SGD, ADAM = range(3)
CODE_OF_OPTIMIZER = {"gd": GD, "sgd": SGD, "adam": ADAM, "adamw": ADAM}
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@kernel
def soft_threshold(x, t):
    """The prox of t |x|: the minimizer of (u - x)^2 / 2 + t |u| (Parikh & Boyd 2014, section 6.5.2)."""
    zero = type(x)(0)
    return x - t if x > t else (x + t if x < -t else zero)


@inlined
def _descend(w, g, lr, l2, decay):
    one = w.dtype.type(1)
    shrink = one - lr * decay
    for j in range(w.size):
        w[j] = w[j] * shrink - lr * (g[j] + l2 * w[j])


@inlined
def _descend_with_momentum(w, g, u, lr, l2, decay, momentum, nesterov):
    """SGD as in PyTorch: u <- momentum u + g; the step is u, or g + momentum u (Nesterov)."""
    one = w.dtype.type(1)
    shrink = one - lr * decay
    for j in range(w.size):
        slope = g[j] + l2 * w[j]
        u[j] = momentum * u[j] + slope
        step = slope + momentum * u[j] if nesterov else u[j]
        w[j] = w[j] * shrink - lr * step


@inlined
def _adam(w, g, u, v, lr, l1, l2, decay, correct1, correct2):
    """Adam (Kingma & Ba 2015) with the bias corrections correct = 1 / (1 - beta^t), eps added as in PyTorch."""
    cast = w.dtype.type
    one, b1, b2, eps = cast(1), cast(BETA1), cast(BETA2), cast(EPSILON)
    a1, a2 = cast(1.0 - BETA1), cast(1.0 - BETA2)
    shrink, rate = one - lr * decay, lr * correct1
    for j in range(w.size):
        slope = g[j] + l2 * w[j]
        u[j] = b1 * u[j] + a1 * slope
        v[j] = b2 * v[j] + a2 * slope * slope
        w[j] = w[j] * shrink - rate * u[j] / (np.sqrt(v[j] * correct2) + eps)
    if l1 > 0:
        for j in range(w.size):
            w[j] = soft_threshold(w[j], lr * l1 / (np.sqrt(v[j] * correct2) + eps))


@inlined
def step(code, w, g, u, v, lr, l1, l2, decay, momentum, nesterov, correct1, correct2):
    """Update one piece w of the parameters by its gradient g; u and v are its moments. All scalars in w's type."""
    if code == ADAM:
        _adam(w, g, u, v, lr, l1, l2, decay, correct1, correct2)
        return
    threshold = lr * l1
    if code == GD:
        _descend(w, g, lr, l2, decay)
    else:
        _descend_with_momentum(w, g, u, lr, l2, decay, momentum, nesterov)
        threshold /= w.dtype.type(1) - momentum
    if l1 > 0:
        for j in range(w.size):
            w[j] = soft_threshold(w[j], threshold)
