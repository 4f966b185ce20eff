"""Elementary functions that a loop vectorizer can turn into whole-vector code.

The C library's exp costs 5 to 10 ns a call, a tenth of the football network's step; in float32 the versions here are
polynomials within 2 units in the last place (checked in the tests). In float64, the precision for checking, they are
the C library's.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from wellfit.engines.compiled.jit import kernel

_f = np.float32
_LOG2_E = _f(1.44269504)
# ln 2 in two parts, so that x - k ln 2 loses nothing (Cody & Waite).
_LN2_HIGH, _LN2_LOW = _f(0.693359375), _f(-2.12194440e-4)
_E2, _E3, _E4, _E5, _E6, _E7 = (
    _f(c)
    for c in (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4)
)
_TOP, _BOTTOM = _f(88.3), _f(-87.3)
_ONE, _TWO, _HALF = _f(1), _f(2), _f(0.5)


@intrinsic
def _as_int32(_, number):
    """Read the bits of a float32 as an int32."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(types.int32))

    return types.int32(types.float32), generate


@intrinsic
def _as_float32(_, bits):
    """Read the bits of an int32 as a float32."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


@kernel
def exp32(x):
    """exp in float32 (Cephes expf): 2^k times a polynomial in the remainder; clipped to the normal range."""
    x = _TOP if x > _TOP else x  # a comparison with NaN is false, so NaN passes
    x = _BOTTOM if x < _BOTTOM else x
    k = np.floor(x * _LOG2_E + _HALF)
    r = x - k * _LN2_HIGH - k * _LN2_LOW
    p = (((((_E7 * r + _E6) * r + _E5) * r + _E4) * r + _E3) * r + _E2) * r * r + r + _ONE
    power = np.int32((np.int32(k) + np.int32(127)) << np.int32(23))
    return p * _as_float32(power)


@kernel
def tanh32(x):
    """tanh in float32: the rational minimax approximation 13/6 on [-7.9, 7.9] known from Eigen."""
    x = _f(7.90531110763549805) if x > _f(7.90531110763549805) else x
    x = _f(-7.90531110763549805) if x < _f(-7.90531110763549805) else x
    s = x * x
    p = _f(-2.76076847742355e-16)
    p = p * s + _f(2.00018790482477e-13)
    p = p * s + _f(-8.60467152213735e-11)
    p = p * s + _f(5.12229709037114e-08)
    p = p * s + _f(1.48572235717979e-05)
    p = p * s + _f(6.37261928875436e-04)
    p = p * s + _f(4.89352455891786e-03)
    q = _f(1.19825839466702e-06)
    q = q * s + _f(1.18534705686654e-04)
    q = q * s + _f(2.26843463243900e-03)
    q = q * s + _f(4.89352518554385e-03)
    return x * p / q


@kernel
def phi32(x):
    """Standard normal distribution function and density in float32 (Abramowitz & Stegun 7.1.26; error 1.5e-7)."""
    size = -x if x < _f(0) else x
    t = _ONE / (_ONE + _f(0.3275911 * math.sqrt(0.5)) * size)
    gauss = exp32(-_HALF * x * x)
    poly = ((((_f(1.061405429) * t - _f(1.453152027)) * t + _f(1.421413741)) * t - _f(0.284496736)) * t) + _f(
        0.254829592
    )
    tail = _HALF * poly * t * gauss
    below = tail if x < _f(0) else _ONE - tail
    return below, gauss * _f(1.0 / math.sqrt(2 * math.pi))


@kernel
def log32(x):
    """log in float32 (Cephes logf) of a normal number above 0."""
    bits = _as_int32(x)
    k = np.int32((bits >> np.int32(23)) - np.int32(126))
    m = _as_float32(np.int32((bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000)))  # in [1/2, 1)
    small = m < _f(0.707106781)
    power = _f(np.int32(k - np.int32(1))) if small else _f(k)
    f = m + m - _ONE if small else m - _ONE
    s = f * f
    p = _f(7.0376836292e-2)
    p = p * f + _f(-1.1514610310e-1)
    p = p * f + _f(1.1676998740e-1)
    p = p * f + _f(-1.2420140846e-1)
    p = p * f + _f(1.4249322787e-1)
    p = p * f + _f(-1.6668057665e-1)
    p = p * f + _f(2.0000714765e-1)
    p = p * f + _f(-2.4999993993e-1)
    p = p * f + _f(3.3333331174e-1)
    return f - _HALF * s + p * s * f + power * _LN2_HIGH + power * _LN2_LOW


@kernel
def log1p32(x):
    """log(1 + x) in float32 for x >= 0, small ones in full: up to 1 twice the series of artanh(x / (2 + x))."""
    s = x / (_TWO + x)
    q = s * s
    p = _f(1 / 13)
    p = p * q + _f(1 / 11)
    p = p * q + _f(1 / 9)
    p = p * q + _f(1 / 7)
    p = p * q + _f(1 / 5)
    p = p * q + _f(1 / 3)
    return s + s + (s + s) * q * p if x <= _ONE else log32(_ONE + x)


@kernel
def sin_turns32(turns):
    """sin(2 pi turns) in float32 for turns in [0, 1.25]: the odd Taylor polynomial of degree 11 on a quarter turn."""
    t = turns - np.floor(turns + _HALF)  # in [-1/2, 1/2]
    t = _HALF - t if t > _f(0.25) else (-_HALF - t if t < _f(-0.25) else t)
    x = t * _f(2 * math.pi)
    s = x * x
    p = _f(-1 / 39916800)
    p = p * s + _f(1 / 362880)
    p = p * s + _f(-1 / 5040)
    p = p * s + _f(1 / 120)
    p = p * s + _f(-1 / 6)
    return x + x * s * p


@kernel
def phi64(x):
    """Standard normal distribution function and density in float64."""
    return 0.5 * math.erfc(-x * math.sqrt(0.5)), math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def exp(x):
    """Exponential in the precision of x."""
    raise NotImplementedError("a kernel's function")


def tanh(x):
    """Hyperbolic tangent in the precision of x."""
    raise NotImplementedError("a kernel's function")


def log(x):
    """Natural logarithm in the precision of x."""
    raise NotImplementedError("a kernel's function")


def log1p(x):
    """log(1 + x) for x >= 0 in the precision of x."""
    raise NotImplementedError("a kernel's function")


def sin_turns(x):
    """sin(2 pi x) in the precision of x."""
    raise NotImplementedError("a kernel's function")


def phi(x):
    """Normal distribution function and density in the precision of x."""
    raise NotImplementedError("a kernel's function")


def _by_precision(single: Callable, double: Callable) -> Callable:
    def choose(x):  # Numba wants the argument without a type here
        if x == types.float32:
            return lambda x: single(x)
        return lambda x: double(x)

    return choose


@kernel
def _exp64(x):
    return math.exp(x)


@kernel
def _tanh64(x):
    return math.tanh(x)


@kernel
def _log64(x):
    return math.log(x)


@kernel
def _log1p64(x):
    return math.log1p(x)


@kernel
def _sin_turns64(x):
    return math.sin(2 * math.pi * x)


overload(log)(_by_precision(log32, _log64))
overload(log1p)(_by_precision(log1p32, _log1p64))
overload(sin_turns)(_by_precision(sin_turns32, _sin_turns64))
overload(exp)(_by_precision(exp32, _exp64))
overload(tanh)(_by_precision(tanh32, _tanh64))
overload(phi)(_by_precision(phi32, phi64))


@kernel
def sigmoid(x):
    """1 / (1 + exp(-x)) in the precision of x."""
    one = type(x)(1)  # 1 itself would make it a float64
    return one / (one + exp(-x))
