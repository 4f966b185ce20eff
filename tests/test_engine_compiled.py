"""The compiled engine keeps the contract; its kernels equal their definitions."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from numba import njit
from numba.core.codegen import CPUCodeLibrary

from wellfit import rng
from wellfit.engines.compiled import CompiledEngine, batches, draws, elementary, jit, masks, tiles
from wellfit.engines.compiled.jit import FLAGS
from wellfit.engines.contract import EngineContract

ENGINE = CompiledEngine()
entry = njit(fastmath=FLAGS, error_model="numpy")


@cache
def from_python(kernel):
    """An inner kernel, which other kernels alone can call, as a function for these tests."""

    @entry
    def call(*args):
        return kernel(*args)

    return call


def test_an_inner_kernel_called_from_python_is_an_error():
    """And Numba's internals, which keep it from becoming machine code, are where they are taken to be."""
    with pytest.raises((TypeError, ValueError), match="index"):
        elementary.exp32(np.float32(1))  # the stand-in: see jit._make_stand_in
    assert from_python(elementary.exp32)(np.float32(0)) == 1
    assert {"_finalize_final_module", "_optimize_final_module"} <= set(CPUCodeLibrary.__dict__)


class TestCompiledEngine(EngineContract):
    @pytest.fixture
    def engine(self):
        return ENGINE


@pytest.mark.parametrize(
    ("counter", "key", "rounds", "expected"),
    [
        # The known answers distributed with Random123.
        ((0, 0, 0, 0), (0, 0), 7, (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
        ((0, 0, 0, 0), (0, 0), 10, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, 10, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            10,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(counter, key, rounds, expected):
    assert tuple(rng.philox4x32(np.array(counter, np.uint32), key, rounds)) == expected
    words = [np.uint32(w) for w in (*counter, *key)]
    assert from_python(draws.philox)(*words, rounds) == expected


@pytest.mark.parametrize("n", [1, 2, 3, 17, 1000])
def test_the_kernel_shuffles_as_rng_does(n):
    order, seed = np.empty(n, np.int64), 2**40 + 7
    rows = np.arange(n) + 5
    from_python(draws.shuffle)(rows, order, np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32), rng.SHUFFLE, 9)
    assert np.array_equal(order, rows[rng.permutation(seed, rng.SHUFFLE, n, epoch=9)])


def mask_of(seed, layer, epoch, step, shape=(20, 224), rate=0.3, kind=np.float32):
    ones, none = np.ones(shape[0] * shape[1], kind), np.empty(0, kind)
    threshold = max(1, round((1 - rate) * 65536))
    key = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    from_python(masks.drop)(ones, none, ones.size, threshold, *key, rng.DROPOUT + layer, epoch, step)
    return ones.reshape(shape)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [0.0, 1e-4, 0.3, 0.5, 0.99999])
def test_the_kernel_drops_as_rng_does(rate, kind):
    seed = 2**35 + 11
    for shape in ((7, 48), (1, 16), (8, 16), (33, 64)):
        expected = rng.dropout_mask(seed, 2, shape, rate, epoch=3, step=5)
        np.testing.assert_allclose(mask_of(seed, 2, 3, 5, shape, rate, kind), expected, rtol=1e-6)


def test_slopes_are_dropped_with_their_units():
    z, slope = np.full(160, 2, np.float32), np.full(160, 3, np.float32)
    from_python(masks.drop)(z, slope, 144, 40000, np.uint32(1), np.uint32(2), rng.DROPOUT, 0, 0)
    assert np.array_equal(z[:144] / 2, slope[:144] / 3)
    assert 0 < (z[:144] == 0).sum() < 144
    assert (z[144:] == 2).all()
    assert (slope[144:] == 3).all()


def test_masks_do_not_correlate_across_seeds_steps_epochs_and_layers():
    """A mask hashed from seed * constant + step makes one seed's mask another's shifted; these are independent."""
    base = (0, 0, 0, 0)
    others = [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (2**32, 0, 0, 0), (7919, 0, 0, 0)]
    first = mask_of(*base).ravel() > 0
    bound = 5 / math.sqrt(first.size)
    for other in others:
        second = mask_of(*other).ravel() > 0
        for shift in (0, 1, 16, 128, 224):
            assert abs(np.corrcoef(first, np.roll(second, shift))[0, 1]) < bound, (other, shift)
    for shift in (1, 16, 64, 128, 224):
        assert abs(np.corrcoef(first, np.roll(first, shift))[0, 1]) < bound, shift
    assert abs(first.mean() - 0.7) < 5 * math.sqrt(0.21 / first.size)


@entry
def _apply_exp(x, out):
    for i in range(x.size):
        out[i] = elementary.exp(x[i])


@entry
def _apply_tanh(x, out):
    for i in range(x.size):
        out[i] = elementary.tanh(x[i])


@entry
def _apply_phi(x, out, density):
    for i in range(x.size):
        out[i], density[i] = elementary.phi(x[i])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_elementary_functions_are_accurate(kind):
    from scipy.stats import norm

    x = np.linspace(-20, 20, 20001).astype(kind)
    wide, eps = x.astype(np.float64), np.finfo(kind).eps
    out, density = np.empty_like(x), np.empty_like(x)
    _apply_exp(x, out)
    np.testing.assert_allclose(out, np.exp(wide), rtol=2 * eps)
    _apply_tanh(x, out)
    np.testing.assert_allclose(out, np.tanh(wide), rtol=3 * eps)
    _apply_phi(x, out, density)
    np.testing.assert_allclose(out, norm.cdf(wide), atol=3 * eps)
    np.testing.assert_allclose(density, norm.pdf(wide), atol=2 * eps)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("o", "n", "m"),
    [*itertools.product([1, 2, 3, 7, 29, 130], [1, 2, 5, 20, 130], [16, 48, 128]), (520, 260, 256), (65, 2100, 256)],
)
def test_products_equal_numpy(kind, o, n, m):
    """Sizes on both sides of the threshold to the BLAS, with every remainder of the blocks."""
    draw = rng.generator(o * 1000 + n, rng.DATA)
    w, b, a, d = (draw.normal(size=s).astype(kind) for s in ((o, n), o, (n, m), (o, m)))
    p = np.concatenate([w.ravel(), b])
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if kind == np.float32 else {"rtol": 1e-12, "atol": 1e-12}
    z, e, g, s = np.zeros(o * m, kind), np.zeros(n * m, kind), np.zeros(o * n, kind), np.zeros(o, kind)
    strip = np.zeros(32 * max(o, n), kind)
    from_python(tiles.product)(p, 0, o, n, a.ravel(), o * n, kind(-np.inf), z, m, strip)
    np.testing.assert_allclose(z.reshape(o, m), w @ a + b[:, None], **tolerance)
    from_python(tiles.product)(p, 0, o, n, a.ravel(), o * n, kind(0), z, m, strip)
    np.testing.assert_allclose(z.reshape(o, m), np.maximum(w @ a + b[:, None], 0), **tolerance)
    from_python(tiles.back_product)(p, 0, o, n, d.ravel(), np.zeros(n, kind), e, m, strip)
    np.testing.assert_allclose(e.reshape(n, m), w.T @ d, **tolerance)
    from_python(tiles.outer_product)(d.ravel(), o, a.ravel(), n, m, g, 0)
    np.testing.assert_allclose(g.reshape(o, n), d @ a.T, **tolerance)
    from_python(tiles.row_sums)(d.ravel(), o, m, s, 0)
    np.testing.assert_allclose(s, d.sum(axis=1), **tolerance)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 7, 16, 37, 48])
@pytest.mark.parametrize("d", [1, 5, 8, 16, 20, 50])
def test_rows_are_loaded_as_columns(kind, count, d):
    draw = rng.generator(d, rng.DATA)
    values, order = draw.normal(size=(60, d)).astype(kind), draw.permutation(60).astype(np.int64)
    m = tiles.padded(count)
    x = np.full(d * m, 9, kind)
    from_python(batches.load)(values.ravel(), d, order, 3, count, m, x)
    assert np.array_equal(x.reshape(d, m)[:, :count], values[order[3 : 3 + count]].T)
    assert not x.reshape(d, m)[:, count:].any()


def test_nan_passes_through_the_floor():
    """ReLU by a floor keeps NaN, so that a product with a NaN in it cannot look healthy."""
    z = np.zeros(16, np.float32)
    p = np.array([1, 0], np.float32)
    a = np.full(16, np.nan, np.float32)
    from_python(tiles.product)(p, 0, 1, 1, a, 1, np.float32(0), z, 16, np.zeros(32, np.float32))
    assert np.isnan(z).all()


def test_an_edit_of_any_kernel_source_is_a_new_cache_folder(tmp_path):
    (tmp_path / "one.py").write_text("x = 1\n")
    (tmp_path / "two.py").write_text("y = 1\n")
    before = jit.sources_hash(tmp_path)
    assert jit.sources_hash(tmp_path) == before
    (tmp_path / "two.py").write_text("y = 2\n")
    assert jit.sources_hash(tmp_path) != before


def test_an_edited_kernel_is_seen_through_its_cached_caller(tmp_path):
    """Numba alone would run the old code here: the caller's file did not change."""
    package = tmp_path / "kernels"
    package.mkdir()
    source = "import numba\nnumba.config.CACHE_DIR = str(FOLDER)\nfrom numba import njit\n"
    (package / "inner.py").write_text("from numba import njit\n@njit(cache=True)\ndef f(x):\n    return x + 1\n")
    (package / "outer.py").write_text(
        "from numba import njit\nfrom kernels.inner import f\n@njit(cache=True)\ndef g(x):\n    return f(x)\n"
    )
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from wellfit.engines.compiled.jit import sources_hash\n"
        "FOLDER = Path(sys.argv[1]) / sources_hash(Path(sys.argv[1]) / 'kernels')\n"
        f"{source}"
        "from kernels.outer import g\nprint(g(1))\n"
    )

    def run():
        command = [sys.executable, "-c", program, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert run() == "2"
    (package / "inner.py").write_text("from numba import njit\n@njit(cache=True)\ndef f(x):\n    return x + 9\n")
    assert run() == "10"


_DIGEST = """
import hashlib
from wellfit.engines.compiled import CompiledEngine
from wellfit.engines.contract import assorted, finish, make_data
digest = hashlib.sha256()
for task in ("binary", "regression"):
    for state in finish(CompiledEngine(), assorted(task), make_data(task)):
        digest.update(state.parameters.tobytes() + state.curves.tobytes())
print(digest.hexdigest())
"""


def test_a_process_that_compiles_gives_the_bits_of_one_that_loads(tmp_path):
    """Code just compiled is linked otherwise than code from the cache; results must not depend on which it was."""

    def run(cache):
        environment = {
            **os.environ,
            "XDG_CACHE_HOME": str(cache),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        command = [sys.executable, "-c", _DIGEST]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    cold = run(tmp_path)
    assert cold
    assert run(tmp_path) == cold
