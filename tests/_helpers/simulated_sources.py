"""Simulated scores and shares of several sources, and the coverage of their intervals.

``cd tests && python -m _helpers.simulated_sources`` prints the coverage of 95 %
intervals in all situations; `tests/test_interval_coverage.py` takes a few of them.
"""

import argparse
from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import expit, logit
from scipy.stats import norm

from skcovid.metrics import Estimate, compare_roc_auc, heterogeneity, roc_auc_table
from skcovid.metrics._estimates import difference_estimate
from skcovid.metrics._wilson import wilson_bounds


class Source(NamedTuple):
    """Patients, how far a score separates them, and what it adds to all."""

    n_positive: int
    n_negative: int
    separation: float = 1
    shift: float = 0

    @property
    def area(self):
        return norm.cdf(self.separation / np.sqrt(2))


class Setting(NamedTuple):
    """Sources, numbers of images that a patient may have, and how alike they are."""

    sources: list[Source]
    images: tuple[int, ...] = (1,)
    alike: float = 0

    def true_area(self):
        n_pairs = [source.n_positive * source.n_negative for source in self.sources]
        return np.average([source.area for source in self.sources], weights=n_pairs)


WITHIN = {
    "one source": Setting([Source(20, 30)]),
    "two": Setting([Source(15, 15), Source(15, 15, 1, 3)]),
    "three of unequal size": Setting(
        [Source(40, 10), Source(5, 60, 1, 2), Source(3, 4, 1, -2)]
    ),
    "two that differ": Setting([Source(30, 30, 0), Source(30, 30, 3, 2)]),
    "three, several images": Setting(
        [Source(60, 20, 0.3), Source(10, 30, 2, 2), Source(10, 10, 1, 1)],
        (1, 2, 6),
        0.8,
    ),
    "four, three with one patient of a side": Setting(
        [Source(1, 20), Source(15, 1, 1, 2), Source(1, 6), Source(20, 20)],
        (1, 2, 6),
        0.8,
    ),
    "sixteen, several images": Setting(
        [Source(2 + k, 1 + 7 * k % 9, 1, k) for k in range(16)], (1, 2, 3), 0.6
    ),
    "thirty, up to three patients of a side": Setting(
        [Source(1 + k % 3, 1 + k // 3 % 3, 1, k) for k in range(30)]
    ),
    "nearly separated": Setting([Source(20, 20, 2.5), Source(10, 30, 3.3, 2)]),
}

# Patients of the two sides, separations by two scores, correlation of the scores,
# images of a patient, and how alike they are.
PAIRED = {
    "20 and 20": (20, 20, 1.5, 0.8, 0.5, (1,), 0),
    "30 and 100, several images": (30, 100, 1, 1, 0.5, (1, 2, 4), 0.8),
    "30 and 100, one nearly separated": (30, 100, 3.3, 2, 0.5, (1,), 0),
    "8 and 40": (8, 40, 1.5, 0.8, 0.5, (1,), 0),
}

# Mean and spread on the logit scale of true shares, and images of each source.
SHARES = {
    "three": (0.8, 0.7, [60] * 3),
    "five of unequal size": (0.8, 0.7, [10, 300, 25, 60, 15]),
    "ten, near 1": (0.95, 0.5, [60] * 10),
    "sixteen of unequal size": (0.7, 1.2, [10, 300, 25, 60] * 4),
    "ten alike": (0.8, 0, [60] * 10),
}


def draw_patients(rng, n_positive, n_negative, images, alike):
    """Return each image's side and patient, and a function that draws its noise."""
    n_patients = n_positive + n_negative
    groups = np.repeat(np.arange(n_patients), rng.choice(images, n_patients))

    def noise():
        of_patient, of_image = rng.normal(size=n_patients), rng.normal(size=len(groups))
        return np.sqrt(alike) * of_patient[groups] + np.sqrt(1 - alike) * of_image

    return groups < n_positive, groups, noise


def area_of(true, score, groups, images, source=None):
    """Return the area, clustered where patients have several images."""
    table = roc_auc_table(
        true,
        np.column_stack([score, -score]),
        [True, False],
        groups=groups if len(images) > 1 else None,
        source=source,
    )
    return table[True]


def within_area(rng, setting):
    """Draw the area within sources."""
    true, score, groups, source = [], [], [], []
    for number, (n_positive, n_negative, separation, shift) in enumerate(
        setting.sources
    ):
        side, patients, noise = draw_patients(
            rng, n_positive, n_negative, setting.images, setting.alike
        )
        true.append(side)
        score.append(shift + separation * side + noise())
        groups.append([f"{number}-{patient}" for patient in patients])
        source.append(np.full(len(side), number))
    true, score, groups, source = map(np.concatenate, (true, score, groups, source))
    return area_of(true, score, groups, setting.images, source)


def differences(rng, setting):
    """Draw the paired difference of two areas, that to other patients, and truth."""
    n_positive, n_negative, of_a, of_b, correlation, images, alike = setting
    areas = []
    for _ in range(2):
        true, groups, noise = draw_patients(rng, n_positive, n_negative, images, alike)
        common = np.sqrt(correlation) * noise()
        a, b = (
            separation * true + common + np.sqrt(1 - correlation) * noise()
            for separation in (of_a, of_b)
        )
        areas.append((true, a, b, groups))
    true, a, b, groups = areas[0]
    paired = compare_roc_auc(
        true, a, b, pos_label=True, groups=groups if len(images) > 1 else None
    )
    true, _, b, groups = areas[1]
    unpaired = difference_estimate(paired.area_a, area_of(true, b, groups, images))
    truth = Source(1, 1, of_a).area - Source(1, 1, of_b).area
    return {"paired": paired.difference, "unpaired": unpaired}, truth


def mean_of_shares(rng, setting):
    """Draw the mean over sources, where a new source lies, and both truths."""
    mean, spread, sizes = setting
    centre = logit(mean)
    nodes, weights = hermegauss(40)
    truth = weights @ expit(centre + spread * nodes) / weights.sum()
    shares = expit(centre + spread * rng.normal(size=len(sizes) + 1))
    values = rng.binomial(sizes, shares[:-1]) / sizes
    bounds = wilson_bounds(values, sizes, 0.95)
    found = heterogeneity(list(map(Estimate, values, *bounds)))
    return {"mean": found.mean, "new source": found.prediction}, (truth, shares[-1])


def coverage(kind, setting, repetitions, seed=0):
    """Return the share of repetitions in which each interval holds the true figure."""
    rng = np.random.default_rng(seed)
    covered = Counter()
    for _ in range(repetitions):
        if kind == "within":
            found, truths = {"area": within_area(rng, setting)}, [setting.true_area()]
        elif kind == "differences":
            found, truth = differences(rng, setting)
            truths = [truth] * 2
        else:
            found, truths = mean_of_shares(rng, setting)
        for (name, estimate), truth in zip(found.items(), truths, strict=True):
            covered[name] += estimate.low <= truth <= estimate.high
    return {name: count / repetitions for name, count in covered.items()}


KINDS = {"within": WITHIN, "differences": PAIRED, "shares": SHARES}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000, metavar="N")
    repetitions = parser.parse_args().repetitions
    for kind, settings in KINDS.items():
        for name, setting in settings.items():
            found = coverage(kind, setting, repetitions)
            shares = ", ".join(f"{key} {share:.3f}" for key, share in found.items())
            print(f"{kind}: {name}: {shares}", flush=True)


if __name__ == "__main__":
    main()
