"""A network and its training as a script for another library, to paste into one's own."""

from __future__ import annotations

from wellfit.cocktail import Cocktail
from wellfit.errors import SettingError
from wellfit.nets.code import keras, sklearn, torch
from wellfit.nets.code.recipe import Recipe, header
from wellfit.nets.network import MLP
from wellfit.nets.training import Training

_WRITERS = {"keras": keras.write, "torch": torch.write, "sklearn": sklearn.write}
LIBRARIES = tuple(_WRITERS)


def code(
    network: MLP,
    cocktail: Cocktail,
    training: Training,
    *,
    inputs: int,
    outputs: int,
    task: str,
    rows: int,
    dialect: str,
    seed: int = 0,
    stop_share: float = 0.2,
) -> str:
    """Return a complete script that builds and trains this network in another library.

    ``inputs`` is the number of prepared features and ``outputs`` that of outputs (1 for ``binary`` and
    ``regression``), ``rows`` the rows it was trained on, ``dialect`` one of ``keras``, ``torch``, ``sklearn``. The
    script expects ``X`` and ``y`` and ends with a function ``predict``; what it expects and what the library cannot
    do the same way stands in its comments. With early stopping it splits off ``stop_share`` of the rows. Strengths are
    converted by `wellfit.cocktail.dialects`. Random draws are other draws from the same distributions.
    Raises `SettingError` for an unknown dialect or task, counts that do not fit, a cocktail, loss or class weights
    that do not fit, or a loss that the library has no word for (scikit-learn: all but cross-entropy and squared).

    >>> from wellfit.cocktail import as_cocktail
    >>> text = code(MLP((8,)), as_cocktail("l2=0.002"), Training(), inputs=4, outputs=1, task="binary", rows=100,
    ...             dialect="keras")
    >>> [line.strip() for line in text.splitlines() if "regularizers" in line][0]
    'kernel_regularizer=keras.regularizers.L2(0.001),'
    """
    if dialect not in _WRITERS:
        raise SettingError("code.unknown", value=dialect, known=", ".join(LIBRARIES))
    recipe = Recipe.of(
        network, cocktail, training, inputs=inputs, outputs=outputs, task=task, rows=rows, seed=seed, share=stop_share
    )
    return "\n".join([*header(recipe, dialect), *_WRITERS[dialect](recipe)]) + "\n"
