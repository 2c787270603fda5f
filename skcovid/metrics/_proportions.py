"""Intervals of proportions where images of one patient are alike.

A figure is a share of images, or of pairs of images as the area under the ROC curve.
It has Wilson's interval with an *effective* sample size: the number of independent
images that would leave the figure as uncertain.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, sparray

from skcovid.metrics._estimates import EFFECTIVE_WILSON, WILSON, Estimate
from skcovid.metrics._wilson import wilson_bounds


class Sample(NamedTuple):
    """Number of images of each kind in each unit, a patient or an image."""

    # Of shape (n_units, n_kinds); each row stands for `repeats` such units.
    units: NDArray[Any] | sparray
    repeats: NDArray[Any]
    grouped: bool

    def count_images(self) -> NDArray[np.float64]:
        """Count the images of each kind, shape (n_kinds,)."""
        counts: NDArray[np.float64] = self.repeats @ self.units
        return counts

    def sum_outer_products(self, by_kind: NDArray[Any]) -> NDArray[np.float64]:
        """Sum, over units, the outer product of their sums with themselves."""
        sums = self.units @ by_kind
        total: NDArray[np.float64] = (sums.T * self.repeats) @ sums
        return total


class Proportions(NamedTuple):
    """Figures, and what determines their uncertainty."""

    values: NDArray[np.float64]
    # Of shape (n_kinds, n_figures): of one image of a kind on a figure, and the largest
    # that it could have, up to a factor for each figure.
    influence: NDArray[np.float64]
    max_influence: NDArray[np.float64]
    # Number of images behind each figure.
    sizes: NDArray[np.float64]
    sample: Sample
    method: str

    def estimate(self, confidence_level: float) -> list[Estimate]:
        """Return the figures with Wilson's interval of the effective sample size."""
        with np.errstate(divide="ignore", invalid="ignore"):
            bounds = wilson_bounds(self.values, self.find_sizes(), confidence_level)
        return [
            Estimate(value, low, high, self.method)
            for value, low, high in zip(
                self.values.tolist(), *bounds.tolist(), strict=True
            )
        ]

    def find_sizes(self) -> NDArray[np.float64]:
        """Return the effective sample sizes; see the Notes of `per_class_table`.

        The worst case of the variance has the weight of the images of one patient, the
        observed variance that of the images that contribute to it.
        """
        sample = self.sample
        counts = sample.count_images()
        between_images = counts @ self.influence**2
        between_patients = np.diag(sample.sum_outer_products(self.influence))
        n_effective = between_images**2 / (counts @ self.influence**4)
        images_per_patient = np.diag(sample.sum_outer_products(self.max_influence)) / (
            counts @ self.max_influence**2
        )
        # Never narrower than for independent images.
        variance = np.maximum(between_patients, between_images)
        observed = variance / (self.values * (1 - self.values))
        unobserved = between_images == 0
        n_effective[unobserved], observed[unobserved] = 0, 0
        worst = images_per_patient / self.sizes
        return (n_effective + images_per_patient) / (
            n_effective * observed + images_per_patient * worst
        )

    def effective_n_patients(self) -> NDArray[np.float64]:
        """Return the effective number of patients behind the variance of a figure.

        About the number of patients with a mistake where those are few; NaN if there
        are none.
        """
        sums, repeats = self.sample.units @ self.influence, self.sample.repeats
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((repeats @ sums**2) ** 2 / (repeats @ sums**4))

    def correlate(self) -> NDArray[np.float64]:
        """Return the correlation of the figures, shape (n_figures, n_figures).

        It is unknown where a figure has no variance because no mistake was seen; then
        1, which makes the interval of their mean widest, or 0 without common patients.
        """
        covariance = self.sample.sum_outer_products(self.influence)
        deviation = np.sqrt(np.diag(covariance))
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation: NDArray[np.float64] = covariance / np.outer(
                deviation, deviation
            )
        shared = self.max_influence.T @ self.max_influence
        shared = shared + self.sample.sum_outer_products(self.max_influence)
        unknown = ~np.isfinite(correlation)
        correlation[unknown] = shared[unknown] > 0
        return correlation


def find_ratios(
    sample: Sample, numerators: ArrayLike, denominators: ArrayLike
) -> Proportions:
    """Return shares of images: those of some kinds among those of some kinds.

    Both arguments are masks of shape (n_figures, n_kinds).
    """
    counted, among = (
        np.asarray(kinds, dtype=float).T for kinds in (numerators, denominators)
    )
    counts = sample.count_images()
    sizes = counts @ among
    with np.errstate(divide="ignore", invalid="ignore"):
        values = (counts @ counted) / sizes
        influence = (counted - among * values) / sizes
    return Proportions(
        values=values,
        influence=influence,
        max_influence=among,
        sizes=sizes,
        sample=sample,
        method=EFFECTIVE_WILSON if sample.grouped else WILSON,
    )


def find_class_ratios(sample: Sample, n_classes: int) -> dict[str, Proportions]:
    """Return the figures of every class; the kinds are cells of a confusion matrix."""
    # Of shape (n_classes, n_cells): is the class the true one, the predicted one?
    one_hot = np.eye(n_classes, dtype=bool)
    true, predicted = np.repeat(one_hot, n_classes, axis=1), np.tile(one_hot, n_classes)
    every = np.ones_like(true)
    hit = true & predicted
    return {
        "recall": find_ratios(sample, hit, true),
        "precision": find_ratios(sample, hit, predicted),
        "specificity": find_ratios(sample, ~true & ~predicted, ~true),
        "one_vs_rest_accuracy": find_ratios(sample, true == predicted, every),
        "jaccard": find_ratios(sample, hit, true | predicted),
        "accuracy": find_ratios(sample, [hit.any(axis=0)], every[:1]),
    }


def estimate_share(
    hits: NDArray[np.bool_],
    groups: ArrayLike | None = None,
    confidence_level: float = 0.95,
    *,
    among: NDArray[np.bool_] | None = None,
) -> Estimate:
    """Return the share of (some) images that are hits, alike in a patient or not."""
    if among is not None:
        hits, groups = hits[among], None if groups is None else np.ravel(groups)[among]
    if groups is None or not len(hits):
        return Estimate.from_counts(
            int(np.count_nonzero(hits)), len(hits), confidence_level
        )
    patients = np.unique(groups, return_inverse=True)[1]
    return estimate_ratio(
        np.bincount(patients, hits), np.bincount(patients), confidence_level
    )


def estimate_ratio(
    hits: NDArray[Any], images: NDArray[Any], confidence_level: float = 0.95
) -> Estimate:
    """Return the share of hits, given both numbers in all, or of each patient."""
    if not np.ndim(hits):
        return Estimate.from_counts(int(hits), int(images), confidence_level)
    units = np.stack([hits, images - hits], axis=1)
    sample = Sample(units, np.ones(len(units)), grouped=True)
    share = find_ratios(sample, [[True, False]], [[True, True]])
    return share.estimate(confidence_level)[0]


def estimate_mean(
    values: NDArray[np.float64],
    groups: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> Estimate:
    """Return the mean of figures in [0, 1], which may be alike in a patient."""
    mean = values.mean()
    return Proportions(
        values=np.array([mean]),
        influence=(values - mean)[:, np.newaxis] / len(values),
        max_influence=np.full((len(values), 1), 1 / len(values)),
        sizes=np.array([float(len(values))]),
        sample=list_images(len(values), groups),
        method=EFFECTIVE_WILSON,
    ).estimate(confidence_level)[0]


def list_images(n_images: int, groups: ArrayLike | None) -> Sample:
    """Take each image as a kind of its own, of its patient if patients are known."""
    images = np.arange(n_images)
    patients = images if groups is None else np.unique(groups, return_inverse=True)[1]
    units = csr_array((np.ones(n_images), (patients, images)))
    return Sample(units, np.ones(units.shape[0]), grouped=groups is not None)


def count_kinds(
    kinds: NDArray[np.intp], n_kinds: int, groups: ArrayLike | None
) -> Sample:
    """Count the images of each kind, of every patient where these are known."""
    if groups is None:
        counts = np.bincount(kinds, minlength=n_kinds)
        return Sample(np.eye(n_kinds), counts, grouped=False)
    names, patients = np.unique(groups, return_inverse=True)
    units = np.zeros((len(names), n_kinds))
    np.add.at(units, (patients, kinds), 1)
    return Sample(units, np.ones(len(names)), grouped=True)
