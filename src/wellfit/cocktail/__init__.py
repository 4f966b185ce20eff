"""Ingredients as values, mixing, the text form, and what other libraries call the same thing (`dialects`)."""

from wellfit.cocktail.ingredients import L1, L2, Dropout, EarlyStopping, ElasticNet, Ingredient, WeightDecay
from wellfit.cocktail.mixing import Cocktail, Strengths, as_cocktail, as_cocktails

__all__ = [
    "L1",
    "L2",
    "Cocktail",
    "Dropout",
    "EarlyStopping",
    "ElasticNet",
    "Ingredient",
    "Strengths",
    "WeightDecay",
    "as_cocktail",
    "as_cocktails",
]
