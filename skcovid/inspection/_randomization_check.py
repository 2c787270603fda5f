"""Whether a saliency depends on what a network has learned."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.pipeline import Pipeline

from skcovid._base._compatibility import Interval, validate_params
from skcovid._base._progress import Progress
from skcovid._base._random import draw_seed
from skcovid.inspection._saliency_inputs import (
    PARAMETERS,
    Target,
    network_inputs,
    quiet_copy,
)

# Saliency of images, (estimator, X, target=labels) -> (n_samples, height, width).
SaliencyFunction = Callable[..., NDArray[Any]]


@dataclass(frozen=True, eq=False)
class RandomizationCheck:
    """What :func:`randomization_check` found.

    Parameters
    ----------
    layers : tuple of str
        The lowest layer randomised at each step, with all layers above it. The last
        step has randomised the whole network.
    similarity : ndarray of shape (n_repeats, n_steps, n_samples), float in [-1, 1]
        Spearman's correlation, over the pixels of each image, between the saliency of
        the trained and of the randomised network.
    threshold : float
        The check fails if the mean similarity at the last step is at least this.
    """

    layers: tuple[str, ...]
    similarity: NDArray[np.float64]
    threshold: float

    @property
    def final_similarity(self) -> float:
        """Mean similarity over images and repetitions once all weights are random."""
        return float(self.similarity[:, -1].mean())

    @property
    def passed(self) -> bool:
        """Whether the saliency depends on what the network has learned."""
        return self.final_similarity < self.threshold

    def __str__(self) -> str:
        verdict = (
            "passed: the saliency changes with the weights"
            if self.passed
            else "FAILED: the saliency hardly depends on the weights, so it does not "
            "show what the network has learned"
        )
        n_repeats, _, n_samples = self.similarity.shape
        return (
            f"Randomisation check {verdict}. Mean rank correlation with all weights "
            f"random {self.final_similarity:.2f}, threshold {self.threshold:g}, "
            f"{n_samples} images, {n_repeats} random networks."
        )


@validate_params(
    {
        **PARAMETERS,
        "saliency": [callable],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "threshold": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }
)
def randomization_check(
    saliency: SaliencyFunction,
    estimator: Any,
    X: Any,
    *,
    target: Target = None,
    n_steps: int = 4,
    n_repeats: int = 3,
    threshold: float = 0.5,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 1,
) -> RandomizationCheck:
    """Check that a saliency changes when the network's weights become random.

    From the top of the network downwards the layers are initialised anew, and after
    each step the saliency of the same images for the same classes is computed again. A
    saliency that stays the same does not depend on what the network has learned: it
    shows the image, as an edge detector does.

    Parameters
    ----------
    saliency : callable
        ``saliency(estimator, X, target=labels)``, which returns an array of shape
        (n_samples, height, width): :func:`grad_cam`, :func:`score_cam`,
        :func:`occlusion_sensitivity`, or a ``functools.partial`` of one. It is given
        copies of `estimator` whose networks are randomised.
    estimator : TransferLearningClassifier or Pipeline
        A fitted classifier, alone or as the last step of a pipeline. It is not changed.
    X : array-like of shape (n_samples, ...)
        Images or paths, as `estimator` takes them. A dozen images are enough.
    target : class label or array-like of shape (n_samples,), default=None
        As for :func:`grad_cam`; by default what the trained network predicts.
    n_steps : int, default=4
        Number of steps in which the network is randomised, as many layers in each.
    n_repeats : int, default=3
        Number of randomised networks. A single one may resemble the trained one by
        chance, in all images alike.
    threshold : float, default=0.5
        The check fails if the mean similarity at the last step is at least this, in
        (0, 1): by default halfway between no relation and equal ranks.
    random_state : int, RandomState instance or None, default=None
        Seed of the random weights.
    verbose : int, default=1
        0 hides the progress bar over the steps.

    Returns
    -------
    RandomizationCheck
        Similarity at each step, and whether the check is passed. Equal maps have a
        similarity of 1, a constant map has one of 0 with any other.

    Raises
    ------
    TypeError, sklearn.exceptions.NotFittedError
        As :func:`grad_cam` does.
    ValueError
        If `target` is not a class, `saliency` returns an array of another shape or with
        NaN, or `X` is not valid.

    Notes
    -----
    Source: Adebayo et al. (2018), Sanity Checks for Saliency Maps, NeurIPS, section 3:
    the cascading randomisation. The source plots the rank correlation; the threshold
    is our choice.

    Examples
    --------
    With a small network for speed; `make_transfer_pipeline` has the real ones.

    >>> import keras
    >>> import numpy as np
    >>> from skcovid import TransferLearningClassifier
    >>> from skcovid.inspection import randomization_check
    >>> from skcovid.networks.backbones import Backbone
    >>> def build(include_top, weights, input_shape):
    ...     pixels = keras.Input(input_shape)
    ...     return keras.Model(pixels, keras.layers.Conv2D(8, 3, strides=4)(pixels))
    >>> network = Backbone("conv", build, image_size=32, mode="tf", fine_tune_from=1)
    >>> X = np.random.default_rng(0).random((9, 32, 32, 3), dtype=np.float32)
    >>> classifier = TransferLearningClassifier(
    ...     network, weights=None, epochs=1, verbose=0
    ... ).fit(X, ["ill", "well", "well"] * 3)
    >>> def brightness(estimator, X, target):
    ...     return np.asarray(X).mean(axis=-1)
    >>> check = randomization_check(brightness, classifier, X[:4], verbose=0)
    >>> check.passed, check.final_similarity
    (False, 1.0)
    """
    caller = "randomization_check"
    classifier, images, columns = network_inputs(estimator, X, target, caller)
    if columns is None:
        labels = quiet_copy(classifier).predict(images)
    else:
        labels = classifier.classes_[columns]
    trained = _compute(saliency, estimator, X, labels)
    generator = np.random.default_rng(draw_seed(random_state))
    names = [layer.name for layer in classifier.model_.layers if layer.weights]
    steps = np.array_split(names[::-1], min(n_steps, len(names)))
    similarity = np.empty((n_repeats, len(steps), len(images)))
    total = n_repeats * len(steps)
    with Progress("Randomisation", total, "step", verbose) as progress:
        for repeat in similarity:
            changed = _copy_with_network(estimator, classifier)
            final = changed[-1] if isinstance(changed, Pipeline) else changed
            untrained = _untrained_copy(classifier.model_, generator)
            for row, step in zip(repeat, steps, strict=True):
                for name in step:
                    weights = untrained.get_layer(name).get_weights()
                    final.model_.get_layer(name).set_weights(weights)
                maps = _compute(saliency, changed, X, labels)
                row[:] = list(map(_rank_correlation, trained, maps))
                progress.update()
    lowest = tuple(str(step[-1]) for step in steps)
    return RandomizationCheck(lowest, similarity, threshold)


def _compute(
    saliency: SaliencyFunction, estimator: Any, X: Any, labels: NDArray[Any]
) -> NDArray[np.float64]:
    maps = np.asarray(saliency(estimator, X, target=labels), dtype=np.float64)
    if maps.ndim != 3 or len(maps) != len(labels) or not np.isfinite(maps).all():
        raise ValueError(
            "saliency must return finite numbers of shape "
            f"({len(labels)}, height, width), got shape {maps.shape} and values from "
            f"{maps.min()} to {maps.max()}."
        )
    return maps


def _copy_with_network(estimator: Any, classifier: Any) -> Any:
    """Copy the estimator, with a copy of the classifier's network to randomise."""
    import keras

    changed = quiet_copy(classifier)
    changed.model_ = keras.models.clone_model(classifier.model_)
    changed.model_.set_weights(classifier.model_.get_weights())
    if not isinstance(estimator, Pipeline):
        return changed
    copied = copy(estimator)
    copied.steps = [*estimator.steps[:-1], (estimator.steps[-1][0], changed)]
    return copied


def _untrained_copy(model: Any, generator: np.random.Generator) -> Any:
    import keras

    def initialise(layer: Any) -> Any:
        config = layer.get_config()
        for name, initializer in config.items():
            # A seeded initializer would draw the layer's first weights again.
            if name.endswith("_initializer") and "seed" in initializer["config"]:
                initializer["config"]["seed"] = int(generator.integers(2**31 - 1))
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=initialise)


def _rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if np.array_equal(first, second):
        return 1.0
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second, axis=None).statistic)
