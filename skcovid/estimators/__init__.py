"""The networks as scikit-learn estimators: a classifier and a feature extractor."""

from skcovid.estimators._backbone_features import BackboneFeatures
from skcovid.estimators._classifier import TransferLearningClassifier

__all__ = ["BackboneFeatures", "TransferLearningClassifier"]
