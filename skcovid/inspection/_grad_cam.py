"""Grad-CAM: feature maps weighted by the gradient of a class's score."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from skcovid._base._compatibility import HasMethods, validate_params
from skcovid.inspection._explained import Target, check_target, network_and_input

__all__ = ["grad_cam"]


@validate_params(
    {
        "estimator": [HasMethods("predict_proba")],
        "X": "no_validation",
        "target": "no_validation",
        "layer": [Integral, str, None],
        "verbose": ["verbose"],
    }
)
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
    target class's score, before the softmax, with respect to it; negative values are
    cut.

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
        last one that is no pooling. A lower one gives a finer map of simpler patterns.
    verbose : int, default=1
        0 for silence; otherwise a progress bar over the images.

    Returns
    -------
    ndarray of shape (n_samples, height, width), float32 in [0, 1]
        Saliency at the size of the network's input, the largest value of each image
        brought to 1. Zero throughout if nothing speaks for the class.

    Raises
    ------
    TypeError
        If `estimator` does not end in a TransferLearningClassifier.
    ValueError
        If `target` is no class, `layer` no layer with feature maps, or `X` not valid.
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
    A network of one convolution, to be quick; `make_transfer_pipeline` has the real
    ones.

    >>> import keras
    >>> from sklearn.pipeline import make_pipeline
    >>> from skcovid import BackbonePreprocessor, TransferLearningClassifier
    >>> from skcovid.networks.backbones import Backbone
    >>> from skcovid.datasets import make_radiographs
    >>> from skcovid.inspection import grad_cam
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
    >>> saliency = grad_cam(pipeline, X[:2], target="COVID-19", verbose=0)
    >>> saliency.shape, saliency.dtype
    ((2, 32, 32), dtype('float32'))
    """
    from skcovid.inspection._feature_maps import CutNetwork, scale_to_images
    from skcovid.inspection._gradients import gradient

    classifier, images = network_and_input(estimator, X, "grad_cam")
    columns = check_target(target, classifier.classes_, len(images))
    network = CutNetwork(classifier, layer)
    saliency = np.empty(images.shape[:3], dtype=np.float32)
    with tqdm(
        total=len(images),
        desc="Grad-CAM",
        unit="image",
        leave=False,
        disable=not verbose,
    ) as progress:
        for rows, tensors in network.batches(images):
            if columns is None:
                scores = network.tail.predict_on_batch(tensors) @ network.kernel
                explained = (scores + network.bias).argmax(axis=1)
            else:
                explained = columns[rows]
            slopes = gradient(
                network.tail, tensors, network.position, network.kernel.T[explained]
            )
            maps = np.einsum(
                "nhwc,nc->nhw", tensors[network.position], slopes.mean(axis=(1, 2))
            )
            saliency[rows] = scale_to_images(maps, images.shape[1:3])
            progress.update(rows.stop - rows.start)
    return saliency
