"""Intervals of proportions, where patients are independent but their images are not.

A figure is a proportion, or as good as one: a share of images, or of pairs of images as
the area under the ROC curve. It has Wilson's interval with an *effective* sample size,
the number of independent images that would leave the figure as uncertain.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray

from skcovid.metrics._estimates import EFFECTIVE_WILSON, WILSON, Estimate, wilson_bounds

__all__ = [
    "Proportions",
    "Sample",
    "estimate_share",
    "find_class_ratios",
    "find_ratios",
]


class Sample(NamedTuple):
    """Who the images belong to."""

    units: "NDArray | sparray"
    repeats: NDArray
    grouped: bool

    @classmethod
    def of_independent_images(cls, counts: NDArray) -> "Sample":
        """Every image its own unit: `counts` of shape (n_kinds,)."""
        return cls(np.eye(len(counts)), counts, grouped=False)

    @classmethod
    def of_patients(cls, units: "NDArray | sparray") -> "Sample":
        """One unit a patient: `units` of shape (n_patients, n_kinds)."""
        return cls(units, np.ones(units.shape[0]), grouped=True)

    def count_images(self) -> NDArray[np.float64]:
        """Images of each kind, shape (n_kinds,)."""
        return self.repeats @ self.units

    def multiply(self, by_kind: NDArray) -> NDArray[np.float64]:
        """Sum over units of the outer product of their sums with themselves."""
        sums = self.units @ by_kind
        return (sums.T * self.repeats) @ sums


class Proportions(NamedTuple):
    """Figures, and what their uncertainty follows from."""

    values: NDArray[np.float64]
    influence: NDArray[np.float64]
    reach: NDArray[np.float64]
    sizes: NDArray[np.float64]
    sample: Sample
    method: str

    def estimate(self, confidence_level: float) -> list[Estimate]:
        """Figures with Wilson's interval, of the effective sample size."""
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = self._effective_sizes()
            bounds = wilson_bounds(self.values, sizes, confidence_level)
        return [
            Estimate(value, low, high, self.method)
            for value, low, high in zip(
                self.values.tolist(), *bounds.tolist(), strict=True
            )
        ]

    def _effective_sizes(self) -> NDArray[np.float64]:
        """Find the number of independent images that leaves a figure as uncertain.

        It follows from the variance between patients (Rao and Scott, 1992, Biometrics
        48, 577-585; for the area under the curve Obuchowski, 1997, Biometrics 53,
        567-578), which says little where few images carry it: without a mistake it is
        zero. So it is averaged with its worst case, all images of a patient being
        right or wrong together; the weight of the worst case is the number of images
        of one patient, that of what was seen the number of images that carry it.
        """
        counts = self.sample.count_images()
        between_images = counts @ self.influence**2
        # Never narrower than for independent images, whatever chance has it.
        between_patients = np.maximum(
            np.diag(self.sample.multiply(self.influence)), between_images
        )
        carriers = between_images**2 / (counts @ self.influence**4)
        images_a_patient = np.diag(self.sample.multiply(self.reach)) / (
            counts @ self.reach**2
        )
        seen = between_patients / (self.values * (1 - self.values))
        nothing_seen = between_images == 0
        carriers[nothing_seen], seen[nothing_seen] = 0, 0
        worst = images_a_patient / self.sizes
        return (carriers + images_a_patient) / (
            carriers * seen + images_a_patient * worst
        )

    def carrying_patients(self) -> NDArray[np.float64]:
        """Effective number of patients that a figure's variance comes from.

        About the number of patients with a mistake where those are few, and NaN where
        there is none.
        """
        sums = self.sample.units @ self.influence
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.sample.repeats @ sums**2) ** 2 / (
                self.sample.repeats @ sums**4
            )

    def correlate(self) -> NDArray[np.float64]:
        """Correlation between the figures, shape (n_figures, n_figures).

        Unknown where a figure has no variance, for no mistake was seen; then 1, which
        makes the interval of their mean widest, unless they have no patient in common.
        """
        covariance = self.sample.multiply(self.influence)
        deviation = np.sqrt(np.diag(covariance))
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation = covariance / np.outer(deviation, deviation)
        in_common = (self.reach.T @ self.reach + self.sample.multiply(self.reach)) > 0
        unknown = ~np.isfinite(correlation)
        correlation[unknown] = in_common[unknown]
        return correlation


def find_ratios(
    sample: Sample,
    numerators: ArrayLike,
    denominators: ArrayLike,
) -> Proportions:
    """Shares of images, each of some kinds among some kinds."""
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
        reach=among,
        sizes=sizes,
        sample=sample,
        method=EFFECTIVE_WILSON if sample.grouped else WILSON,
    )


def find_class_ratios(sample: Sample, n_classes: int) -> dict[str, Proportions]:
    """Figures of every class from the cells of the confusion matrix."""
    cells = np.arange(n_classes)
    classes = cells[:, np.newaxis, np.newaxis]
    # Of shape (n_classes, n_cells): is the class the true one, the predicted one?
    true, predicted = (
        np.broadcast_to(side, (n_classes,) * 3).reshape(n_classes, -1)
        for side in (cells[:, np.newaxis] == classes, cells == classes)
    )
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
    hits: NDArray[np.bool_], groups: ArrayLike, confidence_level: float = 0.95
) -> Estimate:
    """Share of images that something holds for, images of a patient being alike."""
    patients = np.unique(groups, return_inverse=True)[1]
    units = np.stack([np.bincount(patients, hits), np.bincount(patients, ~hits)], 1)
    share = find_ratios(Sample.of_patients(units), [[True, False]], [[True, True]])
    return share.estimate(confidence_level)[0]
