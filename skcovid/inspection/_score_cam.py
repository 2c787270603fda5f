"""Score-CAM: feature maps weighted by the score of what they let through."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from tqdm.auto import tqdm

from skcovid._base._compatibility import HasMethods, Interval, validate_params
from skcovid.inspection._explained import Target, check_target, network_and_input

__all__ = ["score_cam"]


@validate_params(
    {
        "estimator": [HasMethods("predict_proba")],
        "X": "no_validation",
        "target": "no_validation",
        "layer": [Integral, str, None],
        "max_channels": [Interval(Integral, 1, None, closed="left"), None],
        "verbose": ["verbose"],
    }
)
def score_cam(
    estimator: Any,
    X: Any,
    *,
    target: Target = None,
    layer: int | str | None = None,
    max_channels: int | None = None,
    verbose: int = 1,
) -> NDArray[np.float32]:
    """Explain predictions by Score-CAM, which needs no gradient.

    The image is multiplied by each feature map of a layer, scaled to [0, 1] and to the
    image's size. The map's weight is the probability that the network then gives the
    target class, less the one it gives an image of nothing. The saliency is the
    weighted sum of the maps, negative values cut.

    Parameters
    ----------
    estimator : TransferLearningClassifier or Pipeline
        A fitted classifier, alone or as the last step of a pipeline.
    X : array-like of shape (n_samples, ...)
        Images or paths, whatever `estimator` predicts from.
    target : class label or array-like of shape (n_samples,), default=None
        The class to explain, of all images or of each. None: the one predicted.
    layer : int or str, default=None
        Index or name of the layer of the backbone whose maps are weighted. None: the
        last one that is no pooling.
    max_channels : int, default=None
        Use only so many maps of each image, those of the largest variance. None uses
        all, as the source does: with a network of 2,048 channels as many passes an
        image.
    verbose : int, default=1
        0 for silence; otherwise a progress bar over the images.

    Returns
    -------
    ndarray of shape (n_samples, height, width), float32 in [0, 1]
        Saliency at the size of the network's input, the largest value of each image
        brought to 1. Zero throughout if no map speaks for the class.

    Raises
    ------
    TypeError
        If `estimator` does not end in a TransferLearningClassifier.
    ValueError
        If `target` is no class, `layer` no layer with feature maps, or `X` not valid.
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.

    See Also
    --------
    grad_cam : Weights the maps by a gradient, in one pass an image.
    occlusion_sensitivity : Explains any classifier.

    Notes
    -----
    Source: Wang et al. (2020), Score-CAM: Score-Weighted Visual Explanations for
    Convolutional Neural Networks, CVPR Workshops. The weights are those of definitions
    4 and 5, on probabilities (section 3.2); the softmax over channels in Algorithm 1,
    which makes every weight positive, is left out. The image of nothing is a network
    input of zero (section 4): mid-grey where the backbone's mode is "tf", the mean of
    ImageNet where it is "caffe" or "torch". `max_channels` is ours.

    Examples
    --------
    A network of one convolution, to be quick; `make_transfer_pipeline` has the real
    ones.

    >>> import keras
    >>> from sklearn.pipeline import make_pipeline
    >>> from skcovid import BackbonePreprocessor, TransferLearningClassifier
    >>> from skcovid.networks.backbones import Backbone
    >>> from skcovid.datasets import make_radiographs
    >>> from skcovid.inspection import score_cam
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
    >>> score_cam(pipeline, X[:2], max_channels=4, verbose=0).shape
    (2, 32, 32)
    """
    import keras

    from skcovid.inspection._feature_maps import find_feature_maps, scale_to_images
    from skcovid.networks._network import predict_batches

    classifier, images = network_and_input(estimator, X, "score_cam")
    columns = check_target(target, classifier.classes_, len(images))
    model, batch_size = classifier.model_, classifier.batch_size
    maps_layer = model.layers[find_feature_maps(classifier, layer)]
    # The probabilities beside the maps: they say which class is predicted.
    outputs = [maps_layer.output, model.outputs[0]]
    to_maps = keras.Model(model.inputs[0], outputs)
    nothing = np.zeros((1, *images.shape[1:]), dtype=np.float32)
    baseline = model.predict_on_batch(nothing)[0]
    saliency = np.empty(images.shape[:3], dtype=np.float32)
    batches = images.batches(batch_size, n_jobs=classifier.n_jobs)
    with tqdm(
        total=len(images),
        desc="Score-CAM",
        unit="image",
        leave=False,
        disable=not verbose,
    ) as progress:
        for rows, (maps, probabilities) in predict_batches(to_maps, batches):
            explained = (
                probabilities.argmax(axis=1) if columns is None else columns[rows]
            )
            for row, image_maps, column in zip(
                range(rows.start, rows.stop), maps, explained, strict=True
            ):
                chosen = _varying_maps(image_maps.astype(np.float32), max_channels)
                masked = _masked(images[row], chosen, batch_size)
                scores = [
                    found[:, column] for _, (found,) in predict_batches(model, masked)
                ]
                weights = np.concatenate([[], *scores]) - baseline[column]
                combined = np.tensordot(weights, chosen, axes=1)
                saliency[row] = scale_to_images(combined[None], images.shape[1:3])[0]
                progress.update()
    return saliency


def _varying_maps(
    maps: NDArray[np.float32], max_channels: int | None
) -> NDArray[np.float32]:
    """Put the channels first, without those that are the same everywhere."""
    stack = np.moveaxis(maps, -1, 0)
    stack = stack[np.ptp(stack, axis=(1, 2)) > 0]
    by_variance = np.argsort(-stack.var(axis=(1, 2)), kind="stable")
    return stack[np.sort(by_variance[:max_channels])]


def _masked(
    image: NDArray[np.float32], maps: NDArray[np.float32], batch_size: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Let the image through each map, in batches."""
    height, width = image.shape[:2]
    for rows in gen_batches(len(maps), batch_size):
        masks = np.stack([cv2.resize(map_, (width, height)) for map_ in maps[rows]])
        low = masks.min(axis=(1, 2), keepdims=True)
        scaled = (masks - low) / (masks.max(axis=(1, 2), keepdims=True) - low)
        yield rows, image * scaled[..., np.newaxis]
