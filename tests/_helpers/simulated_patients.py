"""Simulated patients with correlated predictions, and their true scores."""

from functools import cache
from typing import NamedTuple

import numpy as np
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from skcovid.metrics import patient_confusion_matrices, per_class_table, roc_auc_table

CLASSES = ["COVID-19", "NORMAL", "Viral Pneumonia"]
SHARES = [0.2, 0.4, 0.4]


class Predictions(NamedTuple):
    y_true: np.ndarray
    y_pred: np.ndarray
    probabilities: np.ndarray
    groups: np.ndarray


def simulate(rng, n_patients, error, alike=0.6, images=(1, 2, 3)):
    """Simulate predictions for patients of one class each.

    An image is right or wrong with the patient's others with probability `alike`.
    """
    true_class = rng.choice(3, n_patients, p=SHARES)
    groups = np.repeat(np.arange(n_patients), rng.choice(images, n_patients))
    true = true_class[groups]
    shared = rng.random(len(groups)) < alike

    def draw(sampler):
        of_patient, of_image = sampler(n_patients)[groups], sampler(len(groups))
        return np.where(
            shared.reshape(-1, *[1] * (of_image.ndim - 1)), of_patient, of_image
        )

    wrong = draw(rng.random) < error
    predicted = (true + wrong * draw(lambda n: rng.integers(1, 3, n))) % 3
    scores = np.exp(
        1.5 * np.eye(3)[predicted] + 0.6 * draw(lambda n: rng.normal(size=(n, 3)))
    )
    labels = np.array(CLASSES)
    return Predictions(
        labels[true],
        labels[predicted],
        scores / scores.sum(axis=1, keepdims=True),
        groups,
    )


@cache
def true_figures(error, alike=0.6, images=(1, 2, 3)):
    """Return the figures of very many patients, taken as the true ones."""
    many = simulate(np.random.default_rng(99), 60_000, error, alike, images)
    pair = many.y_true, many.y_pred
    by_name = {
        "recall": recall_score(*pair, average=None),
        "precision": precision_score(*pair, average=None),
        "f1": f1_score(*pair, average=None),
        "roc_auc": [
            roc_auc_score(many.y_true == label, column)
            for label, column in zip(CLASSES, many.probabilities.T, strict=True)
        ],
    }
    figures = {
        (name, label): value
        for name, values in by_name.items()
        for label, value in zip(
            [*CLASSES, "mean"], [*values, np.mean(values)], strict=True
        )
    }
    right = many.y_true == many.y_pred
    return figures | {("accuracy", ""): right.mean()}


def estimates_of(predictions, *, grouped=True):
    """Return estimates of the same figures."""
    y_true, y_pred, probabilities, groups = predictions
    matrices = patient_confusion_matrices(y_true, y_pred, groups, labels=CLASSES)
    table = per_class_table(matrices if grouped else matrices.sum(axis=0), CLASSES)
    areas = roc_auc_table(
        y_true, probabilities, CLASSES, groups=groups if grouped else None
    )
    figures = {
        (name, label): getattr(row, name)
        for name in ("recall", "precision", "f1")
        for label, row in [*table.items(), ("mean", table.means)]
    }
    figures |= {("roc_auc", label): area for label, area in areas.items()}
    return figures | {
        ("roc_auc", "mean"): areas.mean,
        ("accuracy", ""): table.accuracy,
    }
