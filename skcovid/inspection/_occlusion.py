"""Occlusion sensitivity: how far a probability falls when a patch is hidden."""

from collections.abc import Iterator, Sequence
from itertools import islice, product
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skcovid._base._compatibility import Interval, StrOptions, validate_params
from skcovid._base._progress import Progress
from skcovid.images._lazy_images import LazyImages
from skcovid.inspection._saliency_inputs import (
    PARAMETERS,
    Target,
    check_target,
    predictor_and_images,
    quiet_copy,
)

Patch = tuple[slice, slice]

# Share of the image's shorter side, and of the patch.
_PATCH_SHARE = 0.2
_STRIDE_SHARE = 0.5
_COUNT = Interval(Integral, 1, None, closed="left")


@validate_params(
    {
        **PARAMETERS,
        "patch_size": [_COUNT, None],
        "stride": [_COUNT, None],
        "fill": [StrOptions({"mean"}), Real],
        "batch_size": [_COUNT],
    }
)
def occlusion_sensitivity(
    estimator: Any,
    X: Any,
    *,
    target: Target = None,
    patch_size: int | None = None,
    stride: int | None = None,
    fill: float | Literal["mean"] = "mean",
    batch_size: int = 32,
    verbose: int = 1,
) -> NDArray[np.float32]:
    """Explain predictions of any classifier by hiding parts of the image.

    A square patch is moved over the image. The saliency of a pixel is how much the
    probability of the target class falls when the pixel is hidden, the mean over the
    patches that hide it.

    Parameters
    ----------
    estimator : estimator
        A fitted classifier with ``predict_proba``, or a pipeline that ends in one. If
        the pipeline begins with a :class:`~skcovid.RadiographReader`, the patches hide
        parts of the images that it has read.
    X : array-like of shape (n_samples, ...)
        Paths, where a pipeline reads them; otherwise images, LazyImages or numbers of
        shape (n_samples, height, width[, 3]).
    target, verbose
        As for :func:`grad_cam`.
    patch_size : int, default=None
        Side of the patch in pixels; by default a fifth of the image's shorter side.
    stride : int, default=None
        Distance between neighbouring patches in pixels, at most `patch_size`; by
        default half of it. The last patch of a row or column ends at the edge.
    fill : "mean" or float, default="mean"
        Value of a patch: the mean of the image (of each channel), or a number in the
        range of the images, in [0, 255] for uint8.
    batch_size : int, default=32
        Images in one call of ``predict_proba``.

    Returns
    -------
    ndarray of shape (n_samples, height, width), float32 in [-1, 1]
        Fall of the probability, at the size of the images. Negative where hiding the
        pixel makes the class more probable.

    Raises
    ------
    ValueError
        If `target` is not a class, `patch_size`, `stride` or `fill` do not suit the
        images, or `X` holds no valid images.

    See Also
    --------
    grad_cam : One pass an image, for networks.

    Notes
    -----
    Source: Zeiler and Fergus (2014), Visualizing and Understanding Convolutional
    Networks, ECCV, whose patch is a grey square. The default sizes, a fifth of the
    image moved by a tenth, are our choice: about a hundred predictions an image. So
    is the image's own mean in place of grey.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skcovid.inspection import occlusion_sensitivity
    >>> X = np.zeros((8, 6, 6))
    >>> X[::2, :3, :3] = 1  # a bright corner makes the class
    >>> y = ["ill", "well"] * 4
    >>> flatten = FunctionTransformer(lambda images: images.reshape(len(images), -1))
    >>> pipeline = make_pipeline(flatten, LogisticRegression()).fit(X, y)
    >>> saliency = occlusion_sensitivity(
    ...     pipeline, X[:1], patch_size=3, stride=3, fill=0.0, verbose=0
    ... )
    >>> saliency[0, ::3, ::3].round(1)
    array([[0.8, 0. ],
           [0. , 0. ]], dtype=float32)
    """
    predictor, images = predictor_and_images(estimator, X)
    n_samples, height, width = images.shape[:3]
    columns = check_target(target, estimator.classes_, n_samples)
    if images.dtype.kind != "f" and not isinstance(fill, str):
        limits = np.iinfo(images.dtype)
        if not limits.min <= fill <= limits.max:
            raise ValueError(
                f"fill={fill} is out of the range of {images.dtype} images, "
                f"[{limits.min}, {limits.max}]."
            )
    patches = _place_patches(height, width, patch_size, stride)
    shape = (n_samples, 1 + len(patches), len(estimator.classes_))
    quiet, variants, parts = quiet_copy(predictor), _hide(images, patches, fill), []
    total = n_samples * shape[1]
    with Progress("Occlusion", total, "prediction", verbose) as progress:
        while batch := list(islice(variants, batch_size)):
            parts.append(quiet.predict_proba(np.stack(batch)))
            progress.update(len(batch))
    probabilities = np.concatenate(parts).reshape(shape)
    if columns is None:
        labels = [
            quiet.predict(np.asarray(images[start : start + batch_size]))
            for start in range(0, n_samples, batch_size)
        ]
        columns = np.searchsorted(estimator.classes_, np.concatenate(labels))
    of_target = probabilities[np.arange(n_samples), :, columns]
    falls = of_target[:, :1] - of_target[:, 1:]
    saliency = np.zeros((n_samples, height, width), dtype=np.float32)
    times_hidden = np.zeros((height, width), dtype=np.float32)
    for patch, fall in zip(patches, falls.T, strict=True):
        saliency[:, *patch] += fall[:, np.newaxis, np.newaxis]
        times_hidden[patch] += 1
    return saliency / times_hidden


def _place_patches(
    height: int, width: int, patch_size: int | None, stride: int | None
) -> list[Patch]:
    shorter = min(height, width)
    size = max(1, round(_PATCH_SHARE * shorter)) if patch_size is None else patch_size
    step = max(1, round(_STRIDE_SHARE * size)) if stride is None else stride
    if size > shorter:
        raise ValueError(
            f"patch_size={size} exceeds the images, which are {height}×{width} pixels."
        )
    if step > size:
        raise ValueError(
            f"stride={step} exceeds patch_size={size}: pixels between the patches "
            "would never be hidden."
        )
    rows, columns = (
        [slice(start, start + size) for start in [*range(0, last, step), last]]
        for last in (height - size, width - size)
    )
    return list(product(rows, columns))


def _hide(
    images: NDArray[Any] | LazyImages, patches: Sequence[Patch], fill: float | str
) -> Iterator[NDArray[Any]]:
    """Yield each image as it is, and then with each patch hidden."""
    for image in images:
        cover = image.mean(axis=(0, 1)) if fill == "mean" else fill
        if image.dtype.kind != "f":
            cover = np.rint(cover)
        yield image
        for patch in patches:
            variant = image.copy()
            variant[patch] = cover
            yield variant
