"""Every random number is a pure function of (seed, stream, epoch, step, element).

The generator is Philox4x32 (Salmon, Moraes, Dror & Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011): the
64-bit seed is its key and (block, step, epoch, stream) its counter, so no draw depends on how many came before, on the
thread or on the order of work. `wellfit.engines.compiled` holds the same functions as kernels; the tests hold the two
against each other and against the published known answers.
"""

from __future__ import annotations

import numpy as np

# Streams keep draws for different purposes apart. Dropout uses DROPOUT + layer, that of the inputs the one before.
INIT, SHUFFLE, SPLIT, RESAMPLE, DATA, NOISE, MIXUP, AUGMENT, AUGMENT_NOISE = range(1, 10)
DROPOUT = 1024
INPUT_DROPOUT = DROPOUT - 1

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox4x32(counter: np.ndarray, key: tuple[int, int], rounds: int = 10) -> np.ndarray:
    """Philox4x32 on counters of shape (..., 4), dtype uint32, with a key of two 32-bit words; same shape back.

    >>> [hex(w) for w in philox4x32(np.zeros(4, np.uint32), (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (
            (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def _key(seed: int) -> tuple[int, int]:
    return seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF


def words(seed: int, stream: int, count: int, *, epoch: int = 0, step: int = 0) -> np.ndarray:
    """Return ``count`` independent 32-bit words, shape (count,), dtype uint32."""
    blocks = -(-count // 4)
    counter = np.empty((blocks, 4), np.uint32)
    counter[:, 0] = np.arange(blocks, dtype=np.uint32)
    counter[:, 1], counter[:, 2], counter[:, 3] = step, epoch, stream
    return philox4x32(counter, _key(seed)).reshape(-1)[:count]


def uniform(seed: int, stream: int, count: int, *, epoch: int = 0, step: int = 0) -> np.ndarray:
    """Return ``count`` float64 in the open interval (0, 1), with 53 random bits each."""
    pair = words(seed, stream, 2 * count, epoch=epoch, step=step).astype(np.uint64).reshape(count, 2)
    bits = ((pair[:, 0] << _SHIFT) | pair[:, 1]) >> np.uint64(11)
    return (bits.astype(np.float64) + 0.5) * 2.0**-53


def normal(seed: int, stream: int, count: int, *, epoch: int = 0, step: int = 0) -> np.ndarray:
    """Return ``count`` standard normal float64: the inverse distribution function at `uniform`."""
    from scipy.special import ndtri

    return ndtri(uniform(seed, stream, count, epoch=epoch, step=step))


def permutation(seed: int, stream: int, n: int, *, epoch: int = 0) -> np.ndarray:
    """Return a permutation of range(n), shape (n,), int64: Fisher-Yates with one 32-bit word a swap.

    The bounded draw is the high half of word x bound; its bias, below n / 2**32, is accepted.
    """
    draws = words(seed, stream, n, epoch=epoch).astype(np.uint64)
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = int(draws[i] * np.uint64(i + 1) >> _SHIFT)
        order[i], order[j] = order[j], order[i]
    return np.array(order, dtype=np.int64)


def generator(seed: int, stream: int) -> np.random.Generator:
    """Return a NumPy generator of its own for (seed, stream): for splits, resampling and generated data."""
    return np.random.Generator(np.random.Philox(key=(seed & 0xFFFFFFFFFFFFFFFF) + (stream << 64)))


def dropout_mask(seed: int, layer: int, shape: tuple[int, int], rate: float, *, epoch: int, step: int) -> np.ndarray:
    """Return the inverted dropout mask of a hidden layer, (units, columns) float64 of 0 and 1/keep.

    ``columns`` counts the padding columns of the batch too. The rate is rounded to 1/65536: element e is kept where
    its 16 bits lie below 65536 keep. They are, of Philox block 16 (e // 128) + (e % 32) // 2 (7 rounds), of its word
    (e % 128) // 32, the low half where e is even and the high half where it is odd.
    """
    units, columns = shape
    tiles = -(-units * columns // 128)
    counter = np.empty((tiles * 16, 4), np.uint32)
    counter[:, 0] = np.arange(tiles * 16, dtype=np.uint32)
    counter[:, 1], counter[:, 2], counter[:, 3] = step, epoch, DROPOUT + layer
    drawn = philox4x32(counter, _key(seed), rounds=7).reshape(tiles, 16, 4)
    halves = np.stack([drawn & np.uint32(0xFFFF), drawn >> np.uint32(16)], axis=-1)
    flat = halves.transpose(0, 2, 1, 3).reshape(-1)[: units * columns]
    threshold = max(1, round((1.0 - rate) * 65536.0))
    return np.where(flat < threshold, 65536.0 / threshold, 0.0).reshape(units, columns)


def gaussian_noise(seed: int, shape: tuple[int, int], *, epoch: int, step: int) -> np.ndarray:
    """Return standard normal noise for a batch's inputs, (inputs, columns) float64, padding columns included.

    Box & Muller (1958): element e takes part (e % 64) // 16 of Philox block 16 (e // 64) + e % 16 (7 rounds), whose
    words, less their last bit, are a radius and an angle twice; parts are cosine, sine, cosine, sine.
    """
    inputs, columns = shape
    tiles = -(-inputs * columns // 64)
    counter = np.empty((tiles * 16, 4), np.uint32)
    counter[:, 0] = np.arange(tiles * 16, dtype=np.uint32)
    counter[:, 1], counter[:, 2], counter[:, 3] = step, epoch, NOISE
    drawn = (philox4x32(counter, _key(seed), rounds=7) >> np.uint32(1)).astype(np.float64) * 2.0**-31
    radius = np.sqrt(-2 * np.log(drawn[:, ::2] + 2.0**-32))
    angle = 2 * np.pi * drawn[:, 1::2]
    parts = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(tiles, 16, 4)
    return parts.transpose(0, 2, 1).reshape(-1)[: inputs * columns].reshape(inputs, columns)


def mixup_draw(seed: int, count: int, *, epoch: int, step: int) -> tuple[float, int]:
    """Return a uniform number in (0, 1) and a distance from 1 to count - 1 (0 where count is 1) for a batch."""
    first, second = (int(w) for w in words(seed, MIXUP, 2, epoch=epoch, step=step))
    return (first + 0.5) * 2.0**-32, (1 + (second * (count - 1) >> 32) if count > 1 else 0)
