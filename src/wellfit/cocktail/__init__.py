"""Ingredients as values, mixing, the text form, and what other libraries call the same thing (`dialects`)."""

from wellfit.cocktail.augment import Augment
from wellfit.cocktail.base import Ingredient, Strong
from wellfit.cocktail.ingredients import (
    EMA,
    L1,
    L2,
    BatchNorm,
    EarlyStopping,
    ElasticNet,
    GradientClipping,
    GroupLasso,
    MaxNorm,
    WeightDecay,
)
from wellfit.cocktail.mixing import INGREDIENTS, Cocktail, Strengths, as_cocktail, as_cocktails
from wellfit.cocktail.noise import Dropout, InputDropout, InputNoise, LabelSmoothing, Mixup

__all__ = [
    "EMA",
    "INGREDIENTS",
    "L1",
    "L2",
    "Augment",
    "BatchNorm",
    "Cocktail",
    "Dropout",
    "EarlyStopping",
    "ElasticNet",
    "GradientClipping",
    "GroupLasso",
    "Ingredient",
    "InputDropout",
    "InputNoise",
    "LabelSmoothing",
    "MaxNorm",
    "Mixup",
    "Strengths",
    "Strong",
    "WeightDecay",
    "as_cocktail",
    "as_cocktails",
]
