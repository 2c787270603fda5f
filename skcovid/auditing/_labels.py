"""The check "labels": images whose label two sets of features dispute."""

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcovid._base._document import Table
from skcovid.auditing._baseline import ALPHA
from skcovid.auditing._check import AuditCheck, AuditFigure
from skcovid.auditing._features import NO_FEATURES, model_features
from skcovid.auditing._refit import Refit
from skcovid.auditing._subject import Subject
from skcovid.images._pixels import Pixels
from skcovid.metrics._estimates import Estimate
from skcovid.metrics._roc_auc import roc_auc_table

_NAME = "labels"
_QUESTION = "Which labels are disputed by the model, by the pixels and by neighbours?"
# Of ten public test sets, from 0.15 to 10 % of labels are wrong, 3.3 % on average
# (Northcutt, Athalye and Mueller, 2021, Pervasive label errors in test sets).
_MIN_SHARE = 0.005
_THRESHOLD = (
    "the share of labels that stay contradicted however sure the prediction is, which "
    f"clean labels do not, is significantly above {100 * _MIN_SHARE:.1f} % (it is not "
    f"in at most {100 * ALPHA:.0f} % of resamples of the patients)."
)
_MAX_CONTRADICTED = 0.3
_MIN_PATIENTS, _MAX_FOLDS = 3, 5
_N_NEIGHBOURS = 15
_N_COMPONENTS = 64
# Cells of a side, and directions, of the histograms of gradients.
_N_CELLS, _N_DIRECTIONS = 8, 9
# One opinion of 0 would outvote all others.
_MIN_PROBABILITY = 0.02
_N_BINS, _N_RESAMPLES = 40, 200
# Lower ends, levels and slopes of the logistic curves. At no margin, where two classes
# are equally likely, about half of the labels are contradicted: 27 to 73 %.
_CURVES = (
    np.append(0, np.geomspace(0.001, 0.5, 60)),
    np.linspace(-1, 1, 11),
    np.append(0, np.geomspace(1, 60, 20)),
)


class DisputedLabel(NamedTuple):
    """An image whose label is disputed.

    Parameters
    ----------
    row : int
        Its row in the `X` that was audited.
    name : str
        Its path below the common folder, or "image 3".
    given : label
        Its label in `y`.
    suggested : label
        The class that the model, the pixels and the neighbours prefer.
    score : float
        Mean probability of the suggested class minus that of the given one, in [0, 1].
    """

    row: int
    name: str
    given: Hashable
    suggested: Hashable
    score: float


def check_disputed_labels(
    subject: Subject, pixels: Pixels, refit: Refit
) -> tuple[AuditCheck, tuple[DisputedLabel, ...]]:
    """Rank the images whose label is disputed, by confident learning.

    Three opinions, out of folds that keep patients whole, are the model's
    probabilities, those of logistic regression on histograms of gradients, and the
    classes of the nearest images in these. An image is disputed if their geometric mean
    and at least two of them prefer another class to its label.
    """
    result, groups = subject.result, subject.groups
    rows, features, reason = result.test_indices, None, ""
    parted = groups is not None and subject.find_leaked(groups).any()
    if result.probabilities is None or parted or not result.folds_known:
        rows, features = refit.rows, model_features(subject, refit)
        if features is None:
            reason = f"No folds with whole patients gave probabilities. {NO_FEATURES}"
    classes, codes = np.unique(subject.y, return_inverse=True)
    y, n = codes[rows], np.arange(len(rows))
    patients = n if groups is None else np.unique(groups[rows], return_inverse=True)[1]
    pairs = np.unique(np.stack([y, patients]), axis=1)
    n_patients = np.bincount(pairs[0], minlength=len(classes))
    if n_patients.min() < _MIN_PATIENTS:
        few, what = n_patients.argmin(), "images" if groups is None else "patients"
        reason = (
            f"{classes[few]} has {n_patients[few]} {what}; add some, so that every "
            f"class has {_MIN_PATIENTS}."
        )
    if reason:
        return AuditCheck(_NAME, _QUESTION, "not run", reason, _THRESHOLD), ()
    seed = subject.random_state
    n_folds = min(_MAX_FOLDS, n_patients.min())
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    splits = list(folds.split(y, y, patients))

    def ask(classifier: Any, features: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled = StandardScaler().fit_transform(features)
        components = PCA(min(_N_COMPONENTS, *scaled.shape), random_state=seed)
        # Images without detail have no variance to share among components.
        with np.errstate(invalid="ignore"):
            found = components.fit_transform(scaled)
        probabilities = np.zeros((len(y), len(classes)))
        for train, test in splits:
            classifier.fit(found[train], y[train])
            columns = np.ix_(test, classifier.classes_)
            probabilities[columns] = classifier.predict_proba(found[test])
        return probabilities

    n_near = min(_N_NEIGHBOURS, *(len(train) for train, _ in splits))
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    gradients = _describe_gradients(pixels.small[rows])
    opinions: list[NDArray[np.floating]] = [
        ask(logistic, features)
        if features is not None
        else np.asarray(result.probabilities),
        ask(logistic, gradients),
        ask(KNeighborsClassifier(n_near), gradients),
    ]
    logs = np.mean([np.log(np.maximum(p, _MIN_PROBABILITY)) for p in opinions], axis=0)
    mean = softmax(logs, axis=1)
    best = mean.argmax(axis=1)
    if (contradicted := float((best != y).mean())) > _MAX_CONTRADICTED:
        reason = (
            f"The opinions contradict {100 * contradicted:.0f} % of the labels, above "
            f"{100 * _MAX_CONTRADICTED:.0f} %: the images do not show the classes well "
            "enough to tell wrong labels; use this check with a better model."
        )
        return AuditCheck(_NAME, _QUESTION, "not run", reason, _THRESHOLD), ()
    second, first = np.sort(logs, axis=1).T[-2:]
    share, p_value = _find_constant_share(best != y, first - second, patients, seed)
    votes = np.sum([p[n, best] > p[n, y] for p in opinions], axis=0)
    score = mean[n, best] - mean[n, y]
    order = np.argsort(-score, kind="stable")
    order = order[(best[order] != y[order]) & (votes[order] > 1)]
    columns = (
        rows[order].tolist(),
        subject.names(rows[order]),
        classes[y[order]].tolist(),
        classes[best[order]].tolist(),
        score[order].tolist(),
    )
    queue = tuple(map(DisputedLabel, *columns))
    counts = [
        np.bincount(some, minlength=len(classes))
        for some in (y, _find_wrong(mean, y), y[order])
    ]
    suggested = subject.y.copy()
    suggested[rows[order]] = classes[best[order]]
    figures = [AuditFigure("labels contradicted by sure predictions", share)]
    figures += _score(subject, subject.y, "given")
    figures += _score(subject, suggested, "suggested")
    check = AuditCheck(
        name=_NAME,
        question=_QUESTION,
        status="flagged" if p_value <= ALPHA else "passed",
        verdict=(
            f"Disputed are the labels of {len(queue)} of {len(rows)} images. By "
            f"confident learning {counts[1].sum()} labels are wrong. The share that is "
            "contradicted however sure the prediction is: "
            f"{share.format_percent(1)}. Under the suggested labels scores are an "
            "upper bound, since the model has a part in the suggestions."
        ),
        threshold=_THRESHOLD,
        advice=(
            "Have the images of label_queue read again by somebody who does not see "
            "the given label; write_label_queue writes a table for the decisions. "
            "Correct what was decided, and drop no image because it is disputed."
        ),
        decision=f"share above {100 * _MIN_SHARE:.1f} % if p ≤ {ALPHA}: "
        f"p = {p_value:.3f}",
        figures=tuple(figures),
        tables=(
            Table(
                ["class", "images", "wrong by confident learning", "disputed"],
                [[*map(str, row)] for row in zip(classes, *counts, strict=True)],
                caption="Labels of each class",
            ),
            Table(
                ["image", "given", "suggested", "score"],
                [
                    [one.name, str(one.given), str(one.suggested), f"{one.score:.3f}"]
                    for one in queue
                ],
                caption="Disputed labels, the surest first",
            ),
        ),
        details={"p_value": p_value, "n_images": len(rows), "n_disputed": len(queue)},
    )
    return check, queue


def _describe_gradients(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return histograms of the gradients' directions in cells of each image."""
    down, right = np.indices(images.shape[1:]) // (images.shape[1] // _N_CELLS)
    cells = (down * _N_CELLS + right) * _N_DIRECTIONS
    histograms = np.empty((len(images), _N_CELLS**2 * _N_DIRECTIONS))
    for histogram, image in zip(histograms, images, strict=True):
        down, right = np.gradient(image.astype(float))
        turns = np.arctan2(down, right) / np.pi % 1
        bins = cells + (turns * _N_DIRECTIONS).astype(int)
        lengths = np.hypot(down, right).ravel()
        histogram[:] = np.bincount(bins.ravel(), lengths, len(histogram))
    histograms /= np.maximum(histograms.sum(axis=1, keepdims=True), 1)
    return np.sqrt(histograms, out=histograms)


def _find_wrong(p: NDArray[np.float64], y: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the labels that are wrong by confident learning.

    A class is likely where its probability reaches its mean among the images with that
    label [Northcutt, Jiang, and Chuang, 2021, https://doi.org/10.1613/jair.1.12125].
    """
    likely = np.where(p >= [p[y == one, one].mean() for one in range(p.shape[1])], p, 0)
    wrong: NDArray[np.intp] = y[(likely.max(axis=1) > 0) & (likely.argmax(axis=1) != y)]
    return wrong


def _find_constant_share(
    contradicted: NDArray[np.bool_],
    margin: NDArray[np.float64],
    patients: NDArray[np.intp],
    seed: int,
) -> tuple[Estimate, float]:
    """Return the share of labels that stay contradicted however large the margin is.

    Where classes overlap, contradictions end as predictions become surer; labels wrong
    at random stay. It is the lower asymptote of a logistic curve [Copas, 1988, Binary
    regression models for contaminated data, JRSS B, 50, 225-265]. The interval
    resamples patients; also returned is the part of resamples without a higher share
    than `_MIN_SHARE`.
    """
    ranks = np.argsort(np.argsort(margin, kind="stable"), kind="stable")
    bins = ranks * _N_BINS // len(ranks)
    counts = np.zeros((2, patients.max() + 1, _N_BINS))
    np.add.at(counts, (contradicted.astype(int), patients, bins), 1)
    sums = np.bincount(bins, margin / (margin.max() or 1), _N_BINS)
    x = sums / np.maximum(counts.sum(axis=(0, 1)), 1)
    # Every curve is tried, as the likelihood can have several maxima.
    low, level, slope = (one.reshape(-1, 1) for one in np.meshgrid(*_CURVES))
    shares = np.clip(low + (1 - low) * expit(level - slope * x), 1e-9, 1 - 1e-9)
    n = counts.shape[1]
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), _N_RESAMPLES)
    agree, differ = np.vstack([np.ones(n), draws]) @ counts
    likelihoods = differ @ np.log(shares).T + agree @ np.log1p(-shares).T
    value, *resampled = low[likelihoods.argmax(axis=1), 0]
    bottom, top = np.quantile(resampled, [0.025, 0.975]).tolist()
    share = Estimate(float(value), bottom, top, "bootstrap (percentile)")
    return share, float(np.mean(np.array(resampled) <= _MIN_SHARE))


def _score(subject: Subject, labels: NDArray[Any], whose: str) -> list[AuditFigure]:
    """Score the model under some labels."""
    result, rows = subject.result, subject.result.test_indices
    hits = result.predictions == labels[rows]
    scores = {"accuracy": subject.estimate_share(hits, rows)}
    if (p := result.probabilities) is not None:
        areas = roc_auc_table(
            labels[rows], p, result.classes, groups=subject.patients(rows)
        )
        scores["mean ROC AUC"] = areas.mean
    return [
        AuditFigure(f"{name} under the {whose} labels", score)
        for name, score in scores.items()
    ]
