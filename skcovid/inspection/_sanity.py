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
from tqdm.auto import tqdm

from skcovid._base._compatibility import HasMethods, Interval, validate_params
from skcovid._base._random import draw_seed
from skcovid.inspection._explained import (
    Target,
    check_target,
    disposable_copy,
    network_and_input,
)

__all__ = ["RandomizationCheck", "randomization_check"]

# Saliency of images, (estimator, X, target=labels) -> (n_samples, height, width).
SaliencyFunction = Callable[..., NDArray]


@dataclass(frozen=True, eq=False)
class RandomizationCheck:
    """What is left of a saliency while a network's weights are randomised.

    Parameters
    ----------
    layers : tuple of str
        The lowest layer randomised at each step, with all layers above it. The last
        step has randomised the whole network.
    similarity : ndarray of shape (n_repeats, n_steps, n_samples), float in [-1, 1]
        Spearman's correlation, over the pixels of each image, between the saliency of
        the trained and of the randomised network.
    threshold : float
        The mean similarity at the last step from which on the check fails.

    See Also
    --------
    randomization_check : Makes one.
    """

    layers: tuple[str, ...]
    similarity: NDArray[np.float64]
    threshold: float

    @property
    def final_similarity(self) -> float:
        """Mean similarity over images and repetitions, all weights being random."""
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
        "saliency": [callable],
        "estimator": [HasMethods("predict_proba")],
        "X": "no_validation",
        "target": "no_validation",
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "threshold": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
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

    The layers are initialised anew from the top of the network downwards, and the
    saliency of the same images for the same classes is computed again and again. One
    that looks as before does not depend on what the network has learned: it shows the
    image, as an edge detector does.

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
        Images or paths, whatever `estimator` predicts from. A dozen images will do.
    target : class label or array-like of shape (n_samples,), default=None
        The class to explain, of all images or of each. None: the one that the trained
        network predicts.
    n_steps : int, default=4
        How many times the saliency is computed on the way to the bottom, each time
        with as many layers more randomised.
    n_repeats : int, default=3
        How many networks of random weights there are. One alone may resemble the
        trained one by chance, in all images alike.
    threshold : float, default=0.5
        The mean similarity at the last step from which on the check fails, in (0, 1):
        by default halfway between no relation and equal ranks.
    random_state : int, RandomState instance or None, default=None
        Seed of the random weights.
    verbose : int, default=1
        0 for silence; otherwise a progress bar over the steps.

    Returns
    -------
    RandomizationCheck
        Similarity at each step, and whether the check is passed. Maps that are equal
        have a similarity of 1; a map without differences has one of 0 with any other.

    Raises
    ------
    TypeError
        If `estimator` does not end in a TransferLearningClassifier.
    ValueError
        If `target` is no class, `saliency` returns an array of another shape or with
        NaN, or `X` is not valid.
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.

    Notes
    -----
    Source: Adebayo et al. (2018), Sanity Checks for Saliency Maps, NeurIPS, section 3:
    the cascading randomisation. The source plots the rank correlation and draws no
    line; the threshold is ours.

    Examples
    --------
    A network of one convolution, to be quick; `make_transfer_pipeline` has the real
    ones.

    >>> import keras
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from skcovid import BackbonePreprocessor, TransferLearningClassifier
    >>> from skcovid.networks.backbones import Backbone
    >>> from skcovid.datasets import make_radiographs
    >>> from skcovid.inspection import randomization_check
    >>> def build(include_top, weights, input_shape):
    ...     pixels = keras.Input(input_shape)
    ...     return keras.Model(pixels, keras.layers.Conv2D(8, 3, strides=4)(pixels))
    >>> network = Backbone("conv", build, image_size=32, mode="tf", fine_tune_from=1)
    >>> X, y = make_radiographs(
    ...     9, image_size=32, weights=(1, 1, 1), random_state=0, return_X_y=True
    ... )
    >>> pipeline = make_pipeline(
    ...     BackbonePreprocessor(network),
    ...     TransferLearningClassifier(network, weights=None, epochs=1, verbose=0),
    ... ).fit(X, y)
    >>> def brightness(estimator, X, target):
    ...     return np.asarray(X, dtype=float)
    >>> check = randomization_check(brightness, pipeline, X[:4], verbose=0)
    >>> check.passed, check.final_similarity
    (False, 1.0)
    """
    classifier, images = network_and_input(estimator, X, "randomization_check")
    if target is None:
        labels = disposable_copy(classifier).predict(images)
    else:
        columns = check_target(target, classifier.classes_, len(images))
        labels = classifier.classes_[columns]
    trained = _compute(saliency, estimator, X, labels)
    generator = np.random.default_rng(draw_seed(random_state))
    names = [layer.name for layer in classifier.model_.layers if layer.weights]
    steps = np.array_split(names[::-1], min(n_steps, len(names)))
    similarity = np.empty((n_repeats, len(steps), len(images)))
    with tqdm(
        total=similarity[..., 0].size,
        desc="randomisation",
        unit="step",
        leave=False,
        disable=not verbose,
    ) as progress:
        for of_network in similarity:
            network = _trained_copy(classifier.model_)
            fresh = _untrained_copy(classifier.model_, generator)
            changed = _with_network(estimator, classifier, network)
            for row, step in zip(of_network, steps, strict=True):
                for name in step:
                    weights = fresh.get_layer(name).get_weights()
                    network.get_layer(name).set_weights(weights)
                maps = _compute(saliency, changed, X, labels)
                row[:] = list(map(_rank_correlation, trained, maps))
                progress.update()
    lowest = tuple(str(step[-1]) for step in steps)
    return RandomizationCheck(lowest, similarity, threshold)


def _compute(
    saliency: SaliencyFunction, estimator: Any, X: Any, labels: NDArray
) -> NDArray:
    maps = np.asarray(saliency(estimator, X, target=labels), dtype=np.float64)
    if maps.ndim != 3 or len(maps) != len(labels) or not np.isfinite(maps).all():
        raise ValueError(
            "saliency must return finite numbers of shape "
            f"({len(labels)}, height, width), got shape {maps.shape} and values from "
            f"{maps.min()} to {maps.max()}."
        )
    return maps


def _trained_copy(model: Any) -> Any:
    import keras

    copied = keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    return copied


def _untrained_copy(model: Any, generator: np.random.Generator) -> Any:
    import keras

    def initialise(layer: Any) -> Any:
        config = layer.get_config()
        for name, initializer in config.items():
            # A seed of its own: those of the head would draw its first weights again.
            if name.endswith("_initializer") and "seed" in initializer["config"]:
                initializer["config"]["seed"] = int(generator.integers(2**31 - 1))
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=initialise)


def _with_network(estimator: Any, classifier: Any, network: Any) -> Any:
    """Copy the estimator, with another network in place of the classifier's."""
    changed = disposable_copy(classifier)
    changed.model_ = network
    if not isinstance(estimator, Pipeline):
        return changed
    copied = copy(estimator)
    copied.steps = [*estimator.steps[:-1], (estimator.steps[-1][0], changed)]
    return copied


def _rank_correlation(first: NDArray, second: NDArray) -> float:
    if np.array_equal(first, second):
        return 1.0
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return spearmanr(first, second, axis=None).statistic
