"""Synthetic chest radiographs for tests and examples."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from numpy.random import RandomState, SeedSequence
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skcovid._base._compatibility import Interval, validate_params
from skcovid._base._random import draw_seed
from skcovid.datasets._phantom import FINDINGS, Anatomy, Look, Projection, render

# First entry of the spawn key: each kind has random streams of its own.
_PATIENT, _IMAGE, _SOURCE = 0, 1, 2


@validate_params(
    {
        "n_samples": [Interval(Integral, len(FINDINGS), None, closed="left")],
        "image_size": [Interval(Integral, 16, None, closed="left")],
        "class_names": [list, tuple, np.ndarray],
        "weights": [list, tuple, np.ndarray],
        "n_patients": [Interval(Integral, len(FINDINGS), None, closed="left"), None],
        "noise": [Interval(Real, 0, None, closed="left")],
        "lesion_contrast": [Interval(Real, 0, None, closed="left")],
        "n_sources": [Interval(Integral, 1, None, closed="left")],
        "confounding": [Interval(Real, 0, 1, closed="both")],
        "confounded_class": [str, None],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    }
)
def make_radiographs(
    n_samples: int = 300,
    *,
    image_size: int = 96,
    class_names: Sequence[str] = ("COVID-19", "NORMAL", "Viral Pneumonia"),
    weights: Sequence[float] = (219, 1341, 1345),
    n_patients: int | None = None,
    noise: float = 4.0,
    lesion_contrast: float = 1.0,
    n_sources: int = 1,
    confounding: float = 0.0,
    confounded_class: str | None = None,
    random_state: int | RandomState | None = None,
    return_X_y: bool = False,
) -> Bunch | tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Draw synthetic frontal chest radiographs of three classes.

    Each shows a thorax with lungs, ribs, clavicles, spine and heart. The classes differ
    in the lungs, as radiology describes it: COVID-19 has ground-glass opacities in both
    lungs near the chest wall of the lower zones; normal has clear lungs with vessels;
    viral pneumonia has interstitial streaks from the hila in a perihilar haze. Anatomy,
    position, contrast, exposure, severity and mean grey level are independent of the
    class. These are drawings: scores on them say nothing about real images.

    Parameters
    ----------
    n_samples : int, default=300
        Number of images, at least 3.
    image_size : int, default=96
        Height and width in pixels, at least 16.
    class_names : sequence of 3 str, default=("COVID-19", "NORMAL", "Viral Pneumonia")
        Labels of the classes, in the order above. The defaults are the folders of the
        COVID-19 Radiography Database.
    weights : sequence of 3 float, default=(219, 1341, 1345)
        Relative frequencies of the classes, above 0. The defaults are the paper's
        (section 3, figure 3). Every class has at least one image.
    n_patients : int, default=None
        Number of patients, from 3 to `n_samples`. Each has one diagnosis, and images
        of the same anatomy and findings. None: each image has its own patient.
    noise : float, default=4.0
        Standard deviation of the noise, in grey levels.
    lesion_contrast : float, default=1.0
        Factor of the findings' attenuation of X-rays, at least 0: 1 draws faint
        opacities, 2 those that a network with ImageNet weights finds.
    n_sources : int, default=1
        Number of sources, such as hospitals. From 2 on, each patient is from one, and
        the images of a source have its look: gamma, contrast, noise (half to twice
        `noise`), a black border and a bright mark in a corner. The looks depend on
        `random_state`, so another seed draws other hospitals.
    confounding : float, default=0.0
        Share of the patients of each class, in [0, 1], that is from the class's own
        sources; the rest is spread evenly over all. 0: all sources have the same class
        mix. 1: each source has one class, if there are 3 or more. Source *k* is the own
        one of class *k*, counted in turn. Above 0 it needs 2 sources.
    confounded_class : str, default=None
        The one class to which `confounding` applies. Its own source is then the last
        one, which has no other class, and alone has a border and a mark; the rest is
        spread evenly over the other sources. None: all classes.
    random_state : int, RandomState instance or None, default=None
        Seed. Image *i* depends on it, on *i* and on the other parameters, but not on
        `n_samples`.
    return_X_y : bool, default=False
        Return ``(images, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with the attributes

        images : ndarray of shape (n_samples, image_size, image_size), uint8
            Grey levels in [0, 255]. The classes alternate, in proportion from the
            first images on.
        target : ndarray of shape (n_samples,), str
            Labels.
        target_names : list of str
            The classes, sorted.
        groups : ndarray of shape (n_samples,), str
            Patient of each image.
        source : ndarray of shape (n_samples,), str, or None
            ``source-1``, ``source-2``, …; None if there is one source.
        DESCR : str
            Counts and findings of each class.

    (images, target) : tuple, if `return_X_y`

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> from skcovid.datasets import make_radiographs
    >>> X, y = make_radiographs(12, image_size=64, random_state=0, return_X_y=True)
    >>> X.shape, X.dtype
    ((12, 64, 64), dtype('uint8'))
    >>> [str(label) for label in y[:4]]
    ['COVID-19', 'NORMAL', 'Viral Pneumonia', 'Viral Pneumonia']
    >>> data = make_radiographs(12, image_size=64, n_patients=6, random_state=0)
    >>> len(set(data.groups))
    6
    >>> data = make_radiographs(
    ...     60, image_size=32, weights=(1, 1, 1), n_sources=3, confounding=0.7
    ... )
    >>> counts = [sum(data.source[data.target == "NORMAL"] == f"source-{k}")
    ...           for k in (1, 2, 3)]
    >>> [int(count) for count in counts]
    [2, 16, 2]
    """
    n_classes = len(FINDINGS)
    names = [str(name) for name in class_names if isinstance(name, str)]
    if not len(class_names) == len(set(names)) == n_classes:
        raise ValueError(
            f"class_names must be {n_classes} different str, got {class_names!r}."
        )
    valid = [
        weight for weight in weights if isinstance(weight, Real) and 0 < weight < np.inf
    ]
    if not len(weights) == len(valid) == n_classes:
        raise ValueError(
            f"weights must be {n_classes} finite numbers above 0, got {weights!r}."
        )
    shares = np.array(valid, dtype=np.float64) / sum(valid)
    n_patients = n_samples if n_patients is None else n_patients
    if n_patients > n_samples:
        raise ValueError(
            f"n_patients={n_patients} exceeds n_samples={n_samples}; every patient "
            "needs an image."
        )
    if confounding > 0 and n_sources == 1:
        raise ValueError(f"confounding={confounding} needs n_sources=2 or more, got 1.")
    if confounded_class is not None and (
        confounded_class not in names or confounding == 0
    ):
        raise ValueError(
            f"confounded_class={confounded_class!r} must be one of {names}, with "
            f"confounding above 0, got confounding={confounding}."
        )
    seed = draw_seed(random_state)
    classes = _alternate(shares, n_samples)
    diagnoses = _alternate(shares, n_patients)
    patients = np.empty_like(classes)
    for label in range(n_classes):
        # The images of a class cycle over its patients.
        own, of_class = np.flatnonzero(diagnoses == label), classes == label
        patients[of_class] = np.resize(own, of_class.sum())
    anatomies = [Anatomy(_generator(seed, _PATIENT, k)) for k in range(n_patients)]
    confounded = None if confounded_class is None else names.index(confounded_class)
    sources = _draw_sources(diagnoses, n_sources, confounding, confounded)[patients]
    looks = [Look(_generator(seed, _SOURCE, one), one) for one in range(n_sources)]
    images = np.empty((n_samples, image_size, image_size), dtype=np.uint8)
    for number, (label, patient) in enumerate(zip(classes, patients, strict=True)):
        rng = _generator(seed, _IMAGE, number)
        finding = list(FINDINGS)[label]
        grey = render(
            anatomies[patient], Projection(rng), finding, image_size, lesion_contrast
        )
        own_noise = noise
        if n_sources > 1:
            look = looks[sources[number]]
            framed = confounded is None or look is looks[-1]
            grey = look.apply(grey, framed)
            own_noise *= look.noise
        grey += np.float32(own_noise) * rng.standard_normal(grey.shape, np.float32)
        images[number] = np.rint(np.clip(grey, 0, 255))
    target = np.array(names)[classes]
    if return_X_y:
        return images, target
    return Bunch(
        images=images,
        target=target,
        target_names=sorted(names),
        groups=np.array([f"patient-{patient + 1}" for patient in patients]),
        source=None
        if n_sources == 1
        else np.array([f"source-{k + 1}" for k in sources]),
        DESCR=_describe(names, classes, patients, sources, image_size),
    )


def _generator(seed: int, stream: int, number: int) -> np.random.Generator:
    return np.random.default_rng(SeedSequence(seed, spawn_key=(stream, number)))


def _alternate(shares: NDArray[np.float64], length: int) -> NDArray[np.intp]:
    """Class numbers: each once, then always the one furthest behind its share."""
    classes = np.arange(length)
    counts = np.ones(len(shares))
    for position in range(len(shares), length):
        classes[position] = np.argmax(shares * (position + 1) - counts)
        counts[classes[position]] += 1
    return classes


def _draw_sources(
    diagnoses: NDArray[np.intp],
    n_sources: int,
    confounding: float,
    confounded: int | None,
) -> NDArray[np.intp]:
    """Source of each patient: always the one furthest behind its share of a class."""
    labels = np.arange(len(FINDINGS))[:, None] - np.arange(n_sources)
    own = labels % min(n_sources, len(FINDINGS)) == 0
    shares = confounding * own / own.sum(axis=1, keepdims=True)
    shares += (1 - confounding) / n_sources
    if confounded is not None:
        shares[:] = 1 / (n_sources - 1)
        shares[confounded] *= 1 - confounding
        shares[:, -1] = np.where(np.arange(len(FINDINGS)) == confounded, confounding, 0)
    counts = np.zeros_like(shares)
    sources = np.empty_like(diagnoses)
    for patient, label in enumerate(diagnoses):
        behind = shares[label] * (counts[label].sum() + 1) - counts[label]
        sources[patient] = np.argmax(np.round(behind, 9))
        counts[label, sources[patient]] += 1
    return sources


def _describe(
    names: Sequence[str],
    classes: NDArray[np.intp],
    patients: NDArray[np.intp],
    sources: NDArray[np.intp],
    image_size: int,
) -> str:
    lines = [f"Synthetic chest radiographs of {image_size} × {image_size} pixels", ""]
    for label, (name, finding) in enumerate(zip(names, FINDINGS, strict=True)):
        of_class = classes == label
        lines.append(
            f"{name}: images {of_class.sum()}, patients "
            f"{len(set(patients[of_class]))}, lungs: {finding}"
        )
        if sources.any():
            counts = np.bincount(sources[of_class], minlength=sources.max() + 1)
            lines[-1] += f", images by source: {', '.join(map(str, counts))}"
    return "\n".join(lines)
