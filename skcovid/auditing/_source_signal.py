"""The check "source signal": sources told apart by the model's features in a class."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcovid._base._document import Table
from skcovid.auditing._baseline import MIN_TOLD_APART
from skcovid.auditing._check import AuditCheck, AuditFigure
from skcovid.auditing._features import NO_FEATURES, model_features
from skcovid.auditing._refit import Refit
from skcovid.auditing._subject import Subject
from skcovid.metrics._estimates import Estimate
from skcovid.metrics._roc_auc import find_areas

_NAME = "source signal"
_QUESTION = "Do the model's features tell the sources apart within a class?"
_THRESHOLD = (
    "the ROC AUC of a source against the other sources of a class is above "
    f"{MIN_TOLD_APART} (chance: 0.5), by the lower bound of its 95 % interval."
)
# Of each source in a class; one for each fold.
_MIN_PATIENTS = 3
# Over the number of features: 0.01 for the 1,024 pixels of `refit="auto"`, as there.
_C = 10.0
# Of a class: cells of its table; patient, place (class and source), whether the image
# comes from there, and score, for each image beside each source.
_OfClass = tuple[list[str], tuple[NDArray[Any], ...]]


def check_source_signal(
    subject: Subject,
    source: NDArray[Any] | None,
    refit: Refit,
    of_source: AuditCheck,
) -> AuditCheck:
    """Predict sources from the model's features, in one class at a time."""
    classes: list[_OfClass] = []
    reason = of_source.verdict
    if source is not None and of_source.status != "not run":
        features, reason = model_features(subject, refit), NO_FEATURES
        if features is not None:
            classes = list(_predict_sources(subject, source, refit.rows, features))
            reason = (
                f"No class has {_MIN_PATIENTS} patients in each of two sources. Add "
                "images of a class from several sources."
            )
    if not classes:
        return AuditCheck(_NAME, _QUESTION, "not run", reason, _THRESHOLD)
    area = _find_area([arrays for _, arrays in classes])
    flagged = area.low > MIN_TOLD_APART
    meaning = f"which is not significantly above {MIN_TOLD_APART}."
    if flagged and of_source.details["associated"]:
        meaning = (
            "and source and class are associated (check source): a model can take the "
            "source as a shortcut to the class."
        )
    elif flagged:
        meaning = (
            "but source and class are not significantly associated (check source): a "
            "model gains little here, and would where a source has more of one class."
        )
    return AuditCheck(
        name=_NAME,
        question=_QUESTION,
        status="flagged" if flagged else "passed",
        verdict=(
            f"In a class, the features of {refit.description} tell a source from the "
            f"others with a ROC AUC of {area.format_fraction(2)}, {meaning}"
        ),
        threshold=_THRESHOLD,
        advice=(
            "Give every source the same shares of the classes, by collecting or by "
            "balancing; standardise features within each source; and score the model "
            "on sources that it was not trained on."
        ),
        decision=f"lower bound {area.low:.2f}, flagged above {MIN_TOLD_APART}",
        figures=(
            AuditFigure("ROC AUC of a source in a class", area, 0.5, as_percent=False),
        ),
        tables=(
            Table(
                ["class", "sources", "images", "patients", "ROC AUC"],
                [
                    [*cells, _find_area([arrays]).format_fraction(2)]
                    for cells, arrays in classes
                ],
                caption="A source against the others, in each class",
            ),
        ),
    )


def _predict_sources(
    subject: Subject,
    source: NDArray[Any],
    rows: NDArray[np.intp],
    features: NDArray[np.float64],
) -> Iterator[_OfClass]:
    """Cross-validate by patients, where two sources of a class have enough of them."""
    groups = subject.patients(rows)
    every, n_places = rows if groups is None else groups, 0
    for label in np.unique(subject.y[rows]):
        of_class = subject.y[rows] == label
        own, patients = source[rows][of_class], every[of_class]
        names = [
            name
            for name in np.unique(own)
            if len(np.unique(patients[own == name])) >= _MIN_PATIENTS
        ]
        kept = np.isin(own, names)
        X, own, patients = features[of_class][kept], own[kept], patients[kept]
        folds = StratifiedGroupKFold(
            _MIN_PATIENTS, shuffle=True, random_state=subject.random_state
        )
        splits = list(folds.split(X, own, patients)) if len(names) > 1 else []
        # Patients with images from several sources may not spread over the folds.
        if not splits or any(len(set(own[train])) < len(names) for train, _ in splits):
            continue
        logistic = LogisticRegression(
            C=_C / X.shape[1], class_weight="balanced", max_iter=1000
        )
        scores = cross_val_predict(
            make_pipeline(StandardScaler(), logistic),
            X,
            own,
            cv=splits,
            method="predict_proba",
        )
        true = own[:, np.newaxis] == names
        places = np.broadcast_to(n_places + np.arange(len(names)), true.shape)
        n_places += len(names)
        cells = [label, ", ".join(map(str, names)), len(X), len(np.unique(patients))]
        beside = np.repeat(patients, len(names)), places, true, scores
        yield [*map(str, cells)], tuple(one.ravel() for one in beside)


def _find_area(classes: Sequence[tuple[NDArray[Any], ...]]) -> Estimate:
    """Share of pairs of images of a class in which the source's own scores higher."""
    patients, places, true, scores = map(np.concatenate, zip(*classes, strict=True))
    areas = find_areas(true[:, np.newaxis], scores[:, np.newaxis], patients, places)
    return areas.estimate(0.95)[0]
