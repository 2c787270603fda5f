"""The networks as scikit-learn estimators: a classifier, features, novelty."""

from skcovid.estimators._backbone_features import BackboneFeatures
from skcovid.estimators._classifier import TransferLearningClassifier
from skcovid.estimators._novelty_detector import NoveltyDetector

__all__ = ["BackboneFeatures", "NoveltyDetector", "TransferLearningClassifier"]
