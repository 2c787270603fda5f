"""Results of evaluations of made-up scores, inside and outside, without any fit."""

import numpy as np
from sklearn.metrics import confusion_matrix

from skcovid.model_selection import EvaluationResult, ExternalResult, Fold

CLASSES = np.array(["COVID-19", "NORMAL"])


def make_scores(n_images, skill, *, shift=0.0, seed=0):
    """Return labels, predictions and probabilities of normal scores.

    The classes' scores lie `skill` standard deviations apart, moved by `shift`.
    """
    y_true = CLASSES[np.arange(n_images) % 2]
    scores = np.random.default_rng(seed).normal(size=n_images) + shift
    scores += np.where(y_true == "COVID-19", 0.5, -0.5) * skill
    positive = 1 / (1 + np.exp(-scores))
    predictions = CLASSES[(positive < 0.5).astype(int)]
    return y_true, predictions, np.column_stack([positive, 1 - positive])


def make_result(
    n_images=400, skill=4.0, *, source=None, leave_out=True, external=None, seed=0
):
    """Return a result of two folds, or of a fold for each source that is left out.

    The skill is a number, or one for each image.
    """
    y_true, predictions, probabilities = make_scores(n_images, skill, seed=seed)
    rows = np.arange(n_images)
    by_source = source is not None and leave_out
    fold_of = np.asarray(source) if by_source else rows // 2 % 2
    folds = []
    for fold in np.unique(fold_of):
        test = rows[fold_of == fold]
        folds.append(
            Fold(
                train_indices=rows[fold_of != fold],
                validation_indices=rows[:0],
                test_indices=test,
                predictions=predictions[test],
                probabilities=probabilities[test],
                confusion_matrix=confusion_matrix(
                    y_true[test], predictions[test], labels=CLASSES
                ),
                history={},
                fit_seconds=1.0,
                predict_seconds=1.0,
            )
        )
    return EvaluationResult(
        y_true,
        folds,
        "cross_val_predict",
        "KFold(n_splits=2)",
        "Pipeline()",
        groups=rows,
        external=external,
        source=source,
    )


def make_external(n_images, skill, *, shift=0.0, with_probabilities=True, seed=1):
    """Return the result of an external set, each image of another patient."""
    y_true, predictions, probabilities = make_scores(
        n_images, skill, shift=shift, seed=seed
    )
    rows = np.arange(n_images)
    return ExternalResult(
        y_true=y_true,
        predictions=predictions,
        probabilities=probabilities if with_probabilities else None,
        classes=CLASSES,
        groups=rows,
        rows=rows,
        copies={},
        patients_in_training=rows[:0],
        history={},
        fit_seconds=1.0,
        predict_seconds=1.0,
    )
