"""Activations with their derivatives. ReLU itself is a floor of the matrix product: see `tiles.product`."""

from __future__ import annotations

from wellfit.engines.compiled import elementary
from wellfit.engines.compiled.jit import kernel
from wellfit.nets.network import LEAK

# Codes of `wellfit.nets.network.ACTIVATIONS`.
RELU, TANH, GELU, SILU, LEAKY_RELU = range(5)


@kernel
def activate(code, z, slope):
    """z <- f(z) and slope <- f'(z), flat arrays of one size, for all but ReLU."""
    cast = z.dtype.type
    zero, one = cast(0), cast(1)
    if code == TANH:
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
def through(e, slope, z):
    """z <- e f'(z): the error before an activation takes the place of its output."""
    for i in range(z.size):
        z[i] = e[i] * slope[i]
