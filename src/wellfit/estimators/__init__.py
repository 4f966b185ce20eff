"""The scikit-learn contract: `WellfitClassifier` and `WellfitRegressor`."""

from wellfit.estimators.network import WellfitClassifier, WellfitRegressor

__all__ = ["WellfitClassifier", "WellfitRegressor"]
