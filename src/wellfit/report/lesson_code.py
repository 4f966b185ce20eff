"""The lines of Python that make a lesson's networks: written from the lesson itself, so that they cannot differ."""

from __future__ import annotations

from wellfit.report.lessons import Lesson, Resampled, Turn, training_text

PENALTIES = ("l1", "l2", "elastic_net")  # whose zeros are counted
# Which strengths the lines of the samples show: few, for here each network is fitted by itself.
_SHOWN = (0.0, 1e-3, 1e-2, 1e-1)


def code(lesson: Lesson) -> str:
    """Return the lines that train what the lesson shows and print it, ready to run.

    >>> from wellfit.report.lessons import find
    >>> print(code(find("dropout")).splitlines()[0])
    import wellfit as wf
    """
    if (turn := lesson.resampled) is not None:
        return _samples(turn)
    if lesson.turns[0].rates:
        return _rates(*lesson.turns)
    return _one(lesson.turns[0]) if len(lesson.turns) == 1 else _several(lesson.turns)


def picture(lesson: Lesson) -> str:
    """Return the lines that draw what `code` has trained, for the notebook."""
    if lesson.resampled is not None:
        return _SAMPLES_PICTURE
    if lesson.turns[0].rates:
        return _RATES_PICTURE
    return _PICTURE if len(lesson.turns) == 1 else _SEVERAL_PICTURE


def _call(turn: Turn, over: str) -> str:
    points = repr(turn.points) if isinstance(turn.points, int) else repr(list(turn.points))
    counts = f"points={points}, folds={turn.folds}, seeds={turn.seeds}"
    return f'wf.path("{turn.data}", over={over}, {counts}, network="{turn.network}", training=training)'


def _one(turn: Turn) -> str:
    return f"""import wellfit as wf

training = {training_text(turn.training)}
path = {_call(turn, f'"{turn.over}"')}

train, validation = path.mean(path.train_losses), path.mean(path.losses)
for strength, old, new in zip(path.strengths, train, validation):
    print(f"{turn.over} {{strength:<9g}} training loss {{old:.3f}}  validation loss {{new:.3f}}")
print(f"best: {{path.strengths[path.best]:g}}; one-standard-error rule: {{path.strengths[path.one_standard_error]:g}}")
"""


def _several(turns: tuple[Turn, ...]) -> str:
    names = ", ".join(f'"{turn.over}"' for turn in turns)
    lines = _ZEROS if all(turn.over in PENALTIES for turn in turns) else _LOSSES
    return f"""import wellfit as wf

training = {training_text(turns[0].training)}
paths = []
for over in ({names}):
    path = {_call(turns[0], "over")}
    paths.append(path)
    print(f"{{over}}: the best is {{path.strengths[path.best]:g}}")
{lines}"""


def _rates(rates: Turn, turned: Turn) -> str:
    return f"""from dataclasses import replace
import wellfit as wf

training = {training_text(turned.training)}
settings = dict(folds={turned.folds}, seeds={turned.seeds}, network="{turned.network}")
path = wf.path("{turned.data}", over="{turned.over}", points={turned.points}, training=training, **settings)
curves = dict(zip(path.cocktails, path.curves["score_loss"]))
for rate in {rates.rates!r}:
    slower = replace(training, learning_rate=rate)
    one = wf.path("{turned.data}", over="{turned.over}", points=[0], training=slower, **settings)  # no penalty
    curves[f"learning rate {{rate:g}}"] = one.curves["score_loss"][0]
for name, curve in curves.items():
    epoch = path.checkpoints[curve.argmin()]
    print(f"{{name:20}} lowest {{curve.min():.3f}} at epoch {{epoch}}, at the end {{curve[-1]:.3f}}")
"""


def _samples(turn: Resampled) -> str:
    given = turn.points if isinstance(turn.points, tuple) else ()
    strengths = tuple(s for s in _SHOWN if s == 0 or s in given)
    hidden = tuple(int(width) for width in turn.network.split(","))
    return f"""import numpy as np
import wellfit as wf
from wellfit.rng import DATA, generator

draw, grid = generator(0, DATA), np.linspace(0, 1, {turn.grid})
x = draw.uniform(size=({turn.samples}, {turn.size}))
y = np.sin(2 * np.pi * x) + {turn.noise:g} * draw.normal(size=x.shape)
settings = dict(network=wf.MLP({hidden!r}, "{turn.activation}"), seeds=1, random_state=0)
settings["training"] = {training_text(turn.training)}
fits = {{}}
for l2 in {strengths!r}:
    model = wf.WellfitRegressor(wf.L2(l2) if l2 else "none", **settings)
    fits[l2] = np.array([model.fit(a[:, None], b).predict(grid[:, None]) for a, b in zip(x, y)])
    bias2 = ((fits[l2].mean(axis=0) - np.sin(2 * np.pi * grid)) ** 2).mean()
    variance = fits[l2].var(axis=0).mean()
    print(f"l2={{l2:<7g}} squared bias {{bias2:.4f}}  variance {{variance:.4f}}  noise {{{turn.noise:g} ** 2:.4f}}")
"""


_ZEROS = """    for strength, zeros, loss in zip(path.strengths, path.zeros, path.mean(path.losses)):
        print(f"  {strength:<9g} validation loss {loss:.3f}, {zeros:.1%} of the weights are zero")
"""
_LOSSES = """    for strength, old, new in zip(path.strengths, path.mean(path.train_losses), path.mean(path.losses)):
        print(f"  {strength:<9g} training loss {old:.3f}  validation loss {new:.3f}")
"""
_PICTURE = """import matplotlib.pyplot as plt

plt.plot(train, "--", label="training loss")
plt.plot(validation, label="validation loss")
plt.axvline(path.best, color="grey", linestyle=":")
plt.xticks(range(len(train)), [f"{strength:g}" for strength in path.strengths], rotation=60)
plt.xlabel(path.over)
plt.yscale("log")
plt.legend()
"""
_SEVERAL_PICTURE = """import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, len(paths), sharey=True, figsize=(10, 4))
for ax, path in zip(axes, paths):
    ax.plot(path.mean(path.train_losses), "--", label="training loss")
    ax.plot(path.mean(path.losses), label="validation loss")
    ax.set_xticks(range(len(path.strengths)), [f"{strength:g}" for strength in path.strengths], rotation=60)
    ax.set_xlabel(path.over)
    ax.set_yscale("log")
axes[0].legend()
"""
_RATES_PICTURE = """import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, sharey=True, figsize=(11, 4))
for name, curve in curves.items():
    axes[0 if name.startswith("learning") else 1].plot(path.checkpoints, curve, label=name)
for ax in axes:
    ax.set_xlabel("epoch")
    ax.set_yscale("log")
    ax.legend(fontsize=7)
axes[0].set_ylabel("validation loss")
"""
_SAMPLES_PICTURE = """import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, len(fits), sharey=True, figsize=(3.2 * len(fits), 3))
for ax, (l2, curves) in zip(axes, fits.items()):
    ax.plot(grid, curves.T, color="C0", alpha=0.2, linewidth=0.8)
    ax.plot(grid, curves.mean(axis=0), color="C0", label="mean")
    ax.plot(grid, np.sin(2 * np.pi * grid), "k--", label="truth")
    ax.set_title(f"l2={l2:g}")
axes[0].legend()
"""
