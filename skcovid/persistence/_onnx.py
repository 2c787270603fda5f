"""Export a fitted pipeline to ONNX, preprocessing included."""

import importlib.util
import json
import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.decomposition import KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skcovid._base._atomic_files import check_writable
from skcovid._base._network_estimator import NetworkEstimator
from skcovid._base._requirements import install_command
from skcovid._base._version import __version__
from skcovid.persistence._test_predictions import make_test_images
from skcovid.persistence._traversal import without_folders
from skcovid.preprocessing._backbone_preprocessor import (
    PIXEL_MODES,
    BackbonePreprocessor,
)
from skcovid.preprocessing._reader import RadiographReader

INPUT, OUTPUT = "images", "probabilities"
# Largest difference allowed between onnxruntime's probabilities and the pipeline's.
TOLERANCE = 1e-4
# The package that Keras exports with on each backend.
_CONVERTERS = {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"}


def export(pipeline: Any, path: str | os.PathLike[str]) -> None:
    """Export a fitted pipeline to ONNX, for use without Python or skcovid.

    The model takes pixels and returns probabilities. It contains the pixel mode of the
    backbone, the network and, in the linear recipe, all steps after it. It does not
    read files or resize: `images` must have the size that the pipeline's reader gives.
    The file is written only if onnxruntime's probabilities for test images differ from
    the pipeline's by at most 1e-4.

    Parameters
    ----------
    pipeline : estimator
        A fitted pipeline of :func:`make_transfer_pipeline`, or one like it: a
        `RadiographReader` (optional), a `BackbonePreprocessor`, then either a
        `TransferLearningClassifier`, or `BackboneFeatures` followed by `StandardScaler`
        and linear `KernelPCA` (both optional) and `LogisticRegression`, alone or in a
        fitted search. Samplers are skipped, as in prediction.
    path : path-like
        The file, for example ``"model.onnx"``; an existing one is replaced. The input
        is `images`: uint8 of shape (n, height, width), or (n, height, width, 3) in RGB
        where the reader has ``channels="rgb"``. The output is `probabilities`: float32
        of shape (n, n_classes). The metadata hold "classes" (a JSON list in the order
        of the columns), "image_size" and "skcovid_version".

    Raises
    ------
    ImportError
        If the ``onnx`` extra (for the TensorFlow backend) is not installed, or on
        another backend jax2onnx (JAX) or onnxscript (PyTorch).
    NotFittedError
        If the pipeline is not fitted.
    TypeError
        If a step can't be exported; the message names it.
    ValueError
        If the network computes in mixed precision, or images are resized between the
        reader and the network.
    RuntimeError
        If onnxruntime's probabilities differ from the pipeline's, or these are NaN.

    See Also
    --------
    save : For use in Python.

    Examples
    --------
    >>> import skcovid
    >>> skcovid.export(pipeline, "model.onnx")  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("model.onnx")  # doctest: +SKIP
    >>> session.run(["probabilities"], {"images": images})  # doctest: +SKIP
    """
    _check_installed()
    check_writable(path)
    check_is_fitted(pipeline)
    pipeline = without_folders(getattr(pipeline, "best_estimator_", pipeline))
    shape, preprocessor, steps = _split_steps(pipeline)
    model = _build_model(shape, preprocessor, steps)
    path = Path(path)
    with TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as folder:
        part = Path(folder) / "model.onnx"
        inputs = [keras.InputSpec(shape=(None, *shape), dtype="uint8", name=INPUT)]
        with warnings.catch_warnings():
            # Keras and the converters warn about their own code.
            warnings.simplefilter("ignore")
            model.export(
                str(part), format="onnx", input_signature=inputs, verbose=False
            )
        _name_and_describe(part, pipeline.classes_)
        _check_predictions(part, pipeline, shape)
        part.replace(path)


def _check_installed() -> None:
    backend = keras.backend.backend()
    needed = ["onnx", "onnxruntime", _CONVERTERS[backend]]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        cure = f"pip install {' '.join(missing)}"
        if backend == "tensorflow":
            cure = install_command("onnx")
        raise ImportError(
            f"Exporting on the Keras backend {backend!r} needs {', '.join(missing)}; "
            f"{cure}."
        )


def _split_steps(
    pipeline: Any,
) -> tuple[tuple[int, ...], BackbonePreprocessor, list[Any]]:
    """Return the shape of an image, the preprocessor, and the steps after it."""
    steps = [
        step
        for _, step in getattr(pipeline, "steps", [("", pipeline)])
        if step not in (None, "passthrough") and not hasattr(step, "fit_resample")
    ]
    reader = steps.pop(0) if isinstance(steps[0], RadiographReader) else None
    if not steps or not isinstance(steps[0], BackbonePreprocessor):
        raise TypeError(
            "export needs a pipeline that begins with a BackbonePreprocessor, or a "
            f"RadiographReader and a BackbonePreprocessor; got {pipeline!r}."
        )
    shape: tuple[int, ...] = steps[0].image_size_
    if reader is not None and reader.image_size_ != shape:
        raise ValueError(
            f"The pipeline reads images at {reader.image_size_} and resizes them to "
            f"{shape} for the network, which ONNX can't do in the same way. Set the "
            "same image_size on both steps and fit again."
        )
    if reader is not None and reader.lungs is not None:
        raise ValueError(
            "ONNX can't read lung masks. Set lungs=None on the reader, and give the "
            "exported model images whose masks are applied."
        )
    if reader is not None and reader.channels == "rgb":
        shape = (*shape, 3)
    return shape, steps[0], steps[1:]


def _build_model(
    shape: tuple[int, ...], preprocessor: BackbonePreprocessor, steps: list[Any]
) -> Any:
    inputs = keras.Input(shape, dtype="uint8", name=INPUT)
    # The preprocessor, without its resizing.
    subtracted, divisor, reverse = PIXEL_MODES[preprocessor.backbone_.mode]
    tensor = keras.ops.cast(inputs, "float32")
    if len(shape) == 2:
        tensor = keras.ops.expand_dims(tensor, -1)
    tensor = (tensor - subtracted) / divisor
    tensor = keras.ops.flip(tensor, axis=-1) if reverse else tensor
    if not steps or not isinstance(steps[0], NetworkEstimator):
        raise TypeError(
            "export needs a TransferLearningClassifier or BackboneFeatures after the "
            f"BackbonePreprocessor; got {steps!r}."
        )
    estimator, *linear_steps = steps
    if estimator.precision != "float32":
        raise ValueError(
            f"precision={estimator.precision!r} can't be exported: ONNX models compute "
            "in float32. Fit with precision='float32'."
        )
    outputs = estimator._apply_network(tensor)
    if not is_classifier(estimator):
        outputs = _apply_linear_steps(outputs, linear_steps)
    return keras.Model(inputs, outputs)


def _apply_linear_steps(features: Any, steps: list[Any]) -> Any:
    """Standardise, then apply all linear steps as one softmax layer."""
    *transformers, classifier = steps or [None]
    classifier = getattr(classifier, "best_estimator_", classifier)
    if transformers and isinstance(transformers[0], StandardScaler):
        # Merged into the weights, columns of low variance would lose precision.
        scaler = transformers.pop(0)
        if scaler.with_mean:
            features = features - scaler.mean_.astype(np.float32)
        if scaler.with_std:
            features = features / scaler.scale_.astype(np.float32)
    if not isinstance(classifier, LogisticRegression) or not all(
        isinstance(step, KernelPCA) and step.kernel == "linear" for step in transformers
    ):
        raise TypeError(
            "After BackboneFeatures, export needs LogisticRegression, or before it "
            "StandardScaler and KernelPCA with kernel='linear', in this order; got "
            f"{', '.join(map(repr, steps)) or 'nothing'}."
        )
    weights, bias = classifier.coef_.T, classifier.intercept_
    for step in reversed(transformers):
        slope, offset = _affine(step)
        weights, bias = slope @ weights, offset @ weights + bias
    if weights.shape[1] == 1:
        weights = np.hstack([np.zeros_like(weights), weights])
        bias = np.append(0.0, bias)
    layer = keras.layers.Dense(len(bias), activation="softmax", dtype="float32")
    outputs = layer(features)
    layer.set_weights([weights, bias])
    return outputs


def _affine(components: KernelPCA) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return slope (n_features, n_components) and offset of a linear kernel PCA."""
    values, kept = components.eigenvalues_, components.eigenvalues_ > 0
    directions = np.zeros_like(components.eigenvectors_)
    directions[:, kept] = components.eigenvectors_[:, kept] / np.sqrt(values[kept])
    samples = components.X_fit_.astype(np.float64)
    offset = components.transform(np.zeros_like(components.X_fit_[:1]))[0]
    return (samples - samples.mean(axis=0)).T @ directions, offset


def _name_and_describe(path: Path, classes: NDArray[Any]) -> None:
    import onnx

    model = onnx.load(path)
    names = {model.graph.input[0].name: INPUT, model.graph.output[0].name: OUTPUT}
    for node in model.graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    for value in (model.graph.input[0], model.graph.output[0]):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    size = [side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim]
    onnx.helper.set_model_props(
        model,
        {
            "classes": json.dumps(classes.tolist(), ensure_ascii=False),
            "image_size": json.dumps(size[1:3]),
            "skcovid_version": __version__,
        },
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _check_predictions(path: Path, pipeline: Any, shape: tuple[int, ...]) -> None:
    import onnxruntime

    images = make_test_images(shape)
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run([OUTPUT], {INPUT: images})
    expected = pipeline.predict_proba(images)
    if not np.isfinite(expected).all():
        raise RuntimeError(
            "The pipeline predicts NaN or infinite probabilities; it was not exported. "
            "Fit it again."
        )
    difference = np.abs(found - expected).max()
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"The exported model's probabilities differ from the pipeline's by up to "
            f"{difference:.2g}, more than {TOLERANCE:g}; the file was not written."
        )
