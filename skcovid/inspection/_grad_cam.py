"""Grad-CAM: feature maps weighted by the gradient of a class's score."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skcovid._base._compatibility import forget_calls, validate_params
from skcovid._base._progress import Progress
from skcovid.inspection._saliency_inputs import (
    PARAMETERS,
    Target,
    network_inputs,
)


@validate_params({**PARAMETERS, "layer": [Integral, str, None]})
def grad_cam(
    estimator: Any,
    X: Any,
    *,
    target: Target = None,
    layer: int | str | None = None,
    verbose: int = 1,
) -> NDArray[np.float32]:
    """Explain predictions by Grad-CAM.

    The feature maps of a layer are added up, each weighted by the mean gradient of the
    target class's score, before the softmax, with respect to the map; negative sums
    become 0.

    Parameters
    ----------
    estimator : TransferLearningClassifier or Pipeline
        A fitted classifier, alone or as the last step of a pipeline.
    X : array-like of shape (n_samples, ...)
        Images or paths, as `estimator` takes them.
    target : class label or array-like of shape (n_samples,), default=None
        The class to explain, for all images or for each; by default the predicted one.
    layer : int or str, default=None
        Index or name of the backbone's layer whose maps are weighted, by default the
        last that is not a pooling. A lower one gives a finer map of simpler patterns.
    verbose : int, default=1
        0 hides the progress bar over the images.

    Returns
    -------
    ndarray of shape (n_samples, height, width), float32 in [0, 1]
        Saliency at the size of the network's input, scaled so that the largest value of
        each image is 1. All 0 if no map supports the class.

    Raises
    ------
    TypeError
        If `estimator` does not end in a TransferLearningClassifier.
    ValueError
        If `target` is not a class, `layer` has no feature maps, or `X` is not valid.
    NotImplementedError
        If the Keras backend has no gradients.
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.

    See Also
    --------
    score_cam : Weights the maps without a gradient.
    occlusion_sensitivity : Explains any classifier.
    randomization_check : Whether a saliency depends on what the network has learned.

    Notes
    -----
    Source: Selvaraju et al. (2017), Grad-CAM: Visual Explanations from Deep Networks
    via Gradient-based Localization, ICCV.

    Examples
    --------
    With a small network for speed; `make_transfer_pipeline` has the real ones.

    >>> import keras
    >>> import numpy as np
    >>> from skcovid import TransferLearningClassifier
    >>> from skcovid.inspection import grad_cam
    >>> from skcovid.networks.backbones import Backbone
    >>> def build(include_top, weights, input_shape):
    ...     pixels = keras.Input(input_shape)
    ...     return keras.Model(pixels, keras.layers.Conv2D(8, 3, strides=4)(pixels))
    >>> network = Backbone("conv", build, image_size=32, mode="tf", fine_tune_from=1)
    >>> X = np.random.default_rng(0).random((9, 32, 32, 3), dtype=np.float32)
    >>> classifier = TransferLearningClassifier(
    ...     network, weights=None, epochs=1, verbose=0
    ... ).fit(X, ["ill", "well", "well"] * 3)
    >>> saliency = grad_cam(classifier, X[:2], target="ill", verbose=0)
    >>> saliency.shape, saliency.dtype
    ((2, 32, 32), dtype('float32'))
    """
    import keras

    from skcovid.inspection._feature_maps import (
        find_feature_maps,
        gradient,
        scale_to_images,
    )
    from skcovid.networks._graph import frontier
    from skcovid.networks._network import predict_batches

    classifier, images, columns = network_inputs(estimator, X, target, "grad_cam")
    model = classifier.model_
    index = find_feature_maps(classifier, layer)
    # The network in two: up to the maps, and from there to the layer below the scores.
    entering = frontier(model.layers[index + 1 :])
    trunk = keras.Model(model.inputs[0], entering)
    with forget_calls(model.layers):
        tail = keras.Model(entering, model.layers[-2].output)
    kernel, bias = model.layers[-1].get_weights()
    maps = model.layers[index].output
    position = [tensor is maps for tensor in entering].index(True)
    saliency = np.empty(images.shape[:3], dtype=np.float32)
    batches = images.batches(classifier.batch_size, n_jobs=classifier.n_jobs)
    with Progress("Grad-CAM", len(images), "image", verbose) as progress:
        for rows, outputs in predict_batches(trunk, batches):
            tensors = [output.astype(np.float32) for output in outputs]
            if columns is None:
                scores = tail.predict_on_batch(tensors) @ kernel + bias
                explained = scores.argmax(axis=1)
            else:
                explained = columns[rows]
            slopes = gradient(tail, tensors, position, kernel.T[explained])
            weighted = np.einsum(
                "nhwc,nc->nhw", tensors[position], slopes.mean(axis=(1, 2))
            )
            saliency[rows] = scale_to_images(weighted, images.shape[1:3])
            progress.update(rows.stop - rows.start)
    return saliency
