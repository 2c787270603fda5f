"""Checks of the classifier's validation data and sample weights."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skcovid._base._compatibility import check_sample_weight
from skcovid.images._checks import check_network_input
from skcovid.images._lazy_images import LazyImages
from skcovid.networks._network import is_batch_norm


def check_validation_data(
    X_val: Any,
    y_val: ArrayLike | None,
    image_shape: tuple[int, ...],
    classes: NDArray[Any],
) -> tuple[LazyImages, NDArray[Any]] | None:
    """Validate the images and labels that training monitors."""
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val must be given together.")
    if X_val is None:
        return None
    images = check_network_input(X_val, name="X_val")
    if images.shape[1:] != image_shape:
        raise ValueError(
            f"X_val has images of shape {images.shape[1:]}, but those of X have shape "
            f"{image_shape}."
        )
    labels = column_or_1d(y_val)
    check_consistent_length(images, labels)
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(f"y_val has classes that y lacks: {unknown.tolist()}.")
    unseen = np.setdiff1d(classes, labels)
    if len(unseen):
        warnings.warn(
            f"The validation data are too few to monitor training: {len(labels)} "
            f"images, none of the classes {unseen.tolist()}. Pass more images as "
            "X_val, or none, to monitor the training loss.",
            stacklevel=4,
        )
    return images, labels


def warn_of_empty_statistics(
    model: Any, history: Mapping[str, list[Any]], n_steps: int
) -> None:
    """Warn if moving statistics that started at zero are still too small to predict."""
    momentum = max(layer.momentum for layer in model.layers if is_batch_norm(layer))
    losses = [
        loss
        for loss, phase in zip(
            history.get("val_loss", []), history["phase"], strict=False
        )
        if phase == 2
    ]
    # A guess has the loss log(n_classes). A hundredth less in the variance of each of
    # a hundred layers in a row makes the last one's output 1.6 times as large.
    guess = math.log(model.output_shape[-1])
    if momentum**n_steps < 0.01 or (losses and min(losses) <= guess):
        return
    found = f", and the validation loss is {min(losses):.3g}" if losses else ""
    warnings.warn(
        f"After {n_steps} training steps, the moving statistics of batch normalisation "
        f"lack {momentum**n_steps:.1%} of their values{found}: all predictions may be "
        "one class. They start at zero because reset_batch_norm=True, as in the paper. "
        "Pass reset_batch_norm=False or more images, or use recipe='fast' or 'linear'.",
        stacklevel=3,
    )


def combine_weights(
    sample_weight: ArrayLike | None,
    class_weight: dict[Any, float] | str | None,
    y: NDArray[Any],
) -> NDArray[np.float32] | None:
    """Multiply the weights of samples by those of their classes."""
    if sample_weight is None and class_weight is None:
        return None
    weights: NDArray[Any] = check_sample_weight(
        sample_weight, y, ensure_non_negative=True
    )
    if class_weight is not None:
        weights = weights * compute_sample_weight(class_weight, y)
    if not weights.any():
        raise ValueError(
            f"sample_weight and class_weight={class_weight!r} give every sample a "
            "weight of zero; at least one sample needs a positive weight."
        )
    return weights.astype(np.float32)
