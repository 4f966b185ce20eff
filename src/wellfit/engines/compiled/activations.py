"""Activations with their derivatives, and dropout applied in the same pass."""

from __future__ import annotations

from wellfit.engines.compiled import elementary
from wellfit.engines.compiled.jit import kernel
from wellfit.nets.network import LEAK

# Codes of `wellfit.nets.network.ACTIVATIONS`.
RELU, TANH, GELU, SILU, LEAKY_RELU = range(5)


@kernel
def activate(code, z, slope):
    """z <- f(z) and slope <- f'(z), flat arrays of one size."""
    zero = z[0] * 0
    one = zero + 1
    if code == RELU:
        for i in range(z.size):
            x = z[i]
            slope[i] = one if x > zero else zero
            z[i] = x if x > zero else zero
    elif code == TANH:
        for i in range(z.size):
            t = elementary.tanh(z[i])
            z[i] = t
            slope[i] = one - t * t
    elif code == GELU:
        for i in range(z.size):
            x = z[i]
            below, density = elementary.phi(x)
            z[i] = x * below
            slope[i] = below + x * density
    elif code == LEAKY_RELU:
        leak = z.dtype.type(LEAK)
        for i in range(z.size):
            x = z[i]
            slope[i] = one if x > zero else leak
            z[i] = x if x > zero else leak * x
    else:
        for i in range(z.size):
            x = z[i]
            s = one / (one + elementary.exp(-x))
            z[i] = x * s
            slope[i] = s + x * s * (one - s)


@kernel
def activate_and_drop(code, z, slope, mask):
    """z <- f(z) mask and slope <- f'(z) mask: inverted dropout, whose mask holds 0 or 1/keep."""
    if code == RELU:
        zero = mask[0] * 0
        for i in range(z.size):
            x = z[i]
            kept = mask[i] if x > zero else zero
            slope[i] = kept
            z[i] = x * kept
        return
    activate(code, z, slope)
    for i in range(z.size):
        z[i] *= mask[i]
        slope[i] *= mask[i]


@kernel
def through(code, e, slope, z, dropped):
    """e <- e f'(z): the error passed back through an activation. ReLU without dropout reads its slope off z."""
    if code == RELU and not dropped:
        zero = z[0] * 0
        for i in range(e.size):
            e[i] = e[i] if z[i] > zero else zero
    else:
        for i in range(e.size):
            e[i] *= slope[i]


@kernel
def rectify(z):
    """z <- max(z, 0): ReLU where no slope needs to be kept."""
    zero = z[0] * 0
    for i in range(z.size):
        z[i] = z[i] if z[i] > zero else zero
