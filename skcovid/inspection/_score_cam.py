"""Score-CAM: feature maps weighted by the class's score of the image they mask."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from skcovid._base._compatibility import Interval, validate_params
from skcovid._base._progress import Progress
from skcovid.inspection._saliency_inputs import (
    PARAMETERS,
    Target,
    network_inputs,
)


@validate_params(
    {
        **PARAMETERS,
        "layer": [Integral, str, None],
        "max_channels": [Interval(Integral, 1, None, closed="left"), None],
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
    image's size. The map's weight is the probability of the target class for this
    product, less that for an input of zeros. The saliency is the weighted sum of the
    maps; negative sums become 0.

    Parameters
    ----------
    estimator, X, target, layer, verbose
        As for :func:`grad_cam`.
    max_channels : int, default=None
        Number of maps of each image to use, those of the largest variance. None uses
        all, as the source does; each takes a pass of the network, and InceptionV3 has
        2,048.

    Returns
    -------
    ndarray of shape (n_samples, height, width), float32 in [0, 1]
        Saliency at the size of the network's input, scaled so that the largest value of
        each image is 1. All 0 if no map supports the class.

    Raises
    ------
    TypeError, ValueError, sklearn.exceptions.NotFittedError
        As :func:`grad_cam` does.

    Notes
    -----
    Source: Wang et al. (2020), Score-CAM: Score-Weighted Visual Explanations for
    Convolutional Neural Networks, CVPR Workshops. The weights are those of definitions
    4 and 5, on probabilities (section 3.2); the softmax over channels in Algorithm 1,
    which makes every weight positive, is left out. The input of zeros (section 4) is
    mid-grey where the backbone's mode is "tf", the mean of ImageNet where it is "caffe"
    or "torch". `max_channels` is not in the source.

    Examples
    --------
    With a small network for speed; `make_transfer_pipeline` has the real ones.

    >>> import keras
    >>> import numpy as np
    >>> from skcovid import TransferLearningClassifier
    >>> from skcovid.inspection import score_cam
    >>> from skcovid.networks.backbones import Backbone
    >>> def build(include_top, weights, input_shape):
    ...     pixels = keras.Input(input_shape)
    ...     return keras.Model(pixels, keras.layers.Conv2D(8, 3, strides=4)(pixels))
    >>> network = Backbone("conv", build, image_size=32, mode="tf", fine_tune_from=1)
    >>> X = np.random.default_rng(0).random((9, 32, 32, 3), dtype=np.float32)
    >>> classifier = TransferLearningClassifier(
    ...     network, weights=None, epochs=1, verbose=0
    ... ).fit(X, ["ill", "well", "well"] * 3)
    >>> score_cam(classifier, X[:2], max_channels=4, verbose=0).shape
    (2, 32, 32)
    """
    import keras

    from skcovid.inspection._feature_maps import find_feature_maps, scale_to_images
    from skcovid.networks._network import predict_batches

    classifier, images, columns = network_inputs(estimator, X, target, "score_cam")
    model, batch_size = classifier.model_, classifier.batch_size
    maps_layer = model.layers[find_feature_maps(classifier, layer)]
    # The probabilities beside the maps say which class is predicted.
    outputs = [maps_layer.output, model.outputs[0]]
    to_maps = keras.Model(model.inputs[0], outputs)
    zeros = np.zeros((1, *images.shape[1:]), dtype=np.float32)
    baseline = model.predict_on_batch(zeros)[0]
    saliency = np.empty(images.shape[:3], dtype=np.float32)
    batches = images.batches(batch_size, n_jobs=classifier.n_jobs)
    with Progress("Score-CAM", len(images), "image", verbose) as progress:
        for rows, (maps, probabilities) in predict_batches(to_maps, batches):
            explained = (
                probabilities.argmax(axis=1) if columns is None else columns[rows]
            )
            for row, image_maps, column in zip(
                range(rows.start, rows.stop), maps, explained, strict=True
            ):
                chosen = _choose_maps(image_maps.astype(np.float32), max_channels)
                masked = _mask_image(images[row], chosen, batch_size)
                scores = [
                    found[:, column] for _, (found,) in predict_batches(model, masked)
                ]
                weights = np.concatenate([[], *scores]) - baseline[column]
                combined = np.tensordot(weights, chosen, axes=1)
                saliency[row] = scale_to_images(combined[None], images.shape[1:3])[0]
                progress.update()
    return saliency


def _choose_maps(
    maps: NDArray[np.float32], max_channels: int | None
) -> NDArray[np.float32]:
    """Put channels first, drop constant ones, and keep those of largest variance."""
    stack = np.moveaxis(maps, -1, 0)
    stack = stack[np.ptp(stack, axis=(1, 2)) > 0]
    by_variance = np.argsort(-stack.var(axis=(1, 2)), kind="stable")
    return np.asarray(stack[np.sort(by_variance[:max_channels])])


def _mask_image(
    image: NDArray[np.float32], maps: NDArray[np.float32], batch_size: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Multiply the image by each map, scaled to [0, 1], in batches."""
    height, width = image.shape[:2]
    for rows in gen_batches(len(maps), batch_size):
        masks = np.stack([cv2.resize(map_, (width, height)) for map_ in maps[rows]])
        low = masks.min(axis=(1, 2), keepdims=True)
        scaled = (masks - low) / (masks.max(axis=(1, 2), keepdims=True) - low)
        yield rows, image * scaled[..., np.newaxis]
