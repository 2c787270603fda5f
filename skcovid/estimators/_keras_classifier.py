"""scikeras' classifier, adapted to images and to scikit-learn's conventions."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import keras
import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import ClassifierTags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skcovid._base._parameters import PlainParameters
from skcovid.images._checks import check_network_input
from skcovid.networks.backbones import BackboneParameter, get_backbone


@contextmanager
def _restore_keras() -> Iterator[None]:
    """Undo the changes that importing scikeras makes to Keras' classes.

    It replaces Keras' own methods, which already pickle and copy them. If the
    user has imported scikeras before, nothing is undone.
    """
    if "scikeras" in sys.modules:
        yield
        return
    classes = (
        keras.Model,
        keras.losses.Loss,
        keras.metrics.Metric,
        keras.optimizers.Optimizer,
    )
    before = [dict(vars(changed)) for changed in classes]
    yield
    for changed, attributes in zip(classes, before, strict=True):
        for name in ("__reduce__", "__deepcopy__"):
            if name in attributes:
                setattr(changed, name, attributes[name])
            elif name in vars(changed):
                delattr(changed, name)


with _restore_keras():
    from scikeras.wrappers import KerasClassifier


class ImageKerasClassifier(BackboneParameter, PlainParameters, KerasClassifier):
    """A classifier of images with scikeras' interface."""

    # scikeras reads these as if they were parameters.
    model = None
    build_fn = None
    warm_start = False
    loss = "sparse_categorical_crossentropy"

    # scikeras takes all attributes for parameters and accepts unknown ones.
    _get_param_names: Any = classmethod(BaseEstimator._get_param_names.__func__)
    set_params = BaseEstimator.set_params
    __repr__ = BaseEstimator.__repr__
    score = ClassifierMixin.score

    @property
    def partial_fit(self) -> NoReturn:
        """Hide scikeras' method: one more epoch has no meaning with two phases."""
        raise AttributeError(f"{type(self).__name__} has no partial_fit.")

    def _initialize(self, X: Any, y: Any = None) -> tuple[Any, Any]:
        # scikeras' encoders take the outputs of their transformers for arrays.
        with config_context(transform_output="default"):
            initialized: tuple[Any, Any] = super()._initialize(X, y)
        return initialized

    def _validate_data(
        self, X: Any = None, y: Any = None, reset: bool = False
    ) -> tuple[Any, Any]:
        # scikeras' own method would compute every lazy image.
        backbone = get_backbone(self.backbone) if reset else self.backbone_
        X = check_network_input(X, mode=backbone.mode)
        if reset:
            self.X_shape_, self.X_dtype_ = X.shape, X.dtype
        elif X.shape[1:] != self.X_shape_[1:]:
            raise ValueError(
                f"X has images of shape {X.shape[1:]}, but the classifier was fitted "
                f"on images of shape {self.X_shape_[1:]}."
            )
        if y is not None:
            check_classification_targets(y)
            y = column_or_1d(y, warn=True)
            check_consistent_length(X, y)
            if len(np.unique(y)) < 2:
                raise ValueError(
                    f"y has one class only, {y.tolist()[0]!r}; a classifier needs two."
                )
        return X, y

    def __sklearn_tags__(self) -> Any:
        # Because of scikeras' order of inheritance, these lack a classifier's tags.
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags(poor_score=True)
        tags.target_tags.required = True
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.non_deterministic = self.random_state is None
        return tags
