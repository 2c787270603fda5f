"""`export`: a fitted pipeline as one ONNX file, preprocessing inside."""

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
from sklearn.decomposition import KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skcovid._base._version import __version__
from skcovid.estimators._backbone_features import BackboneFeatures
from skcovid.estimators._classifier import TransferLearningClassifier
from skcovid.persistence._networks import without_memory
from skcovid.persistence._probe import stripes
from skcovid.preprocessing._backbone_preprocessor import BackbonePreprocessor
from skcovid.preprocessing._reader import RadiographReader

__all__ = ["export"]

INPUT, OUTPUT = "images", "probabilities"
# How far onnxruntime's probabilities may be from the pipeline's.
TOLERANCE = 1e-4
# What Keras' export needs on each of its backends.
_CONVERTERS = {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"}


def export(pipeline: Any, path: str | os.PathLike) -> None:
    """Export a fitted pipeline to ONNX, for use without Python or skcovid.

    The model takes the grey levels of images and returns probabilities: three channels,
    the backbone's pixel mode, the network and, in the linear recipe, all behind it are
    inside. Reading files and resizing are not: `images` have the size they have after
    the pipeline's reader. Before the file is there, onnxruntime has given the
    pipeline's probabilities to 1e-4 on test images.

    Parameters
    ----------
    pipeline : estimator
        A fitted pipeline of :func:`make_transfer_pipeline`, or one like it: a
        `RadiographReader`, which may be missing, a `BackbonePreprocessor`, then either
        a `TransferLearningClassifier`, or `BackboneFeatures` and, behind it,
        `StandardScaler`, linear `KernelPCA` (both may be missing) and
        `LogisticRegression`, alone or in a fitted search. Samplers are left out, as
        they are in prediction.
    path : path-like
        The file, for example ``"model.onnx"``; one of that name is replaced. Its input
        is `images`: uint8 of shape (n, height, width), or (n, height, width, 3) in RGB
        where the reader has ``channels="rgb"``. Its output is `probabilities`: float32
        of shape (n, n_classes). The metadata hold "classes" (a JSON list, in the order
        of the columns), "image_size" and "skcovid_version".

    Raises
    ------
    ImportError
        If the ``onnx`` extra is not installed, which is for the TensorFlow backend, or
        what the export needs on another: jax2onnx on JAX, onnxscript on PyTorch.
    NotFittedError
        If the pipeline is not fitted.
    TypeError
        If it has a step that can't be exported; it is named.
    ValueError
        If the network computes in mixed precision, or images are resized between the
        reader and the network.
    RuntimeError
        If onnxruntime predicts otherwise than the pipeline, or the pipeline predicts
        NaN.

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
    check_is_fitted(pipeline)
    pipeline = without_memory(getattr(pipeline, "best_estimator_", pipeline))
    reader, preprocessor, steps = _taken_apart(pipeline)
    shape = _input_shape(reader, preprocessor)
    model = _whole_model(shape, preprocessor, steps)
    path = Path(path)
    with TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as folder:
        part = Path(folder) / "model.onnx"
        _convert(model, shape, part)
        _name_and_describe(part, pipeline.classes_)
        _check_predictions(part, pipeline, shape)
        part.replace(path)


def _check_installed() -> None:
    backend = keras.backend.backend()
    converter = _CONVERTERS[backend]
    needed = ["onnx", "onnxruntime", converter]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        remedy = "pip install 'skcovid[onnx]'"
        if backend != "tensorflow":
            # The extra has TensorFlow's converter alone.
            remedy += (
                f" {converter}, or save the pipeline, load it with "
                "KERAS_BACKEND=tensorflow and export it there"
            )
        raise ImportError(
            f"Exporting on the Keras backend {backend!r} needs {', '.join(missing)}; "
            f"{remedy}."
        )


def _taken_apart(
    pipeline: Any,
) -> tuple[RadiographReader | None, BackbonePreprocessor, list[Any]]:
    """Reader, preprocessor, and the steps from the network on."""
    steps = [
        step
        for _, step in getattr(pipeline, "steps", [("", pipeline)])
        if step not in (None, "passthrough") and not hasattr(step, "fit_resample")
    ]
    reader = steps.pop(0) if isinstance(steps[0], RadiographReader) else None
    if not steps or not isinstance(steps[0], BackbonePreprocessor):
        raise TypeError(
            "export takes a pipeline in which a BackbonePreprocessor prepares the "
            f"images, with a RadiographReader or nothing before it; got {pipeline!r}."
        )
    return reader, steps[0], steps[1:]


def _input_shape(
    reader: RadiographReader | None, preprocessor: BackbonePreprocessor
) -> tuple[int, ...]:
    size = preprocessor.image_size_
    if reader is not None and reader.image_size_ != size:
        raise ValueError(
            f"The pipeline reads images at {reader.image_size_} and resizes them to "
            f"{size} for the network, which ONNX can't do alike. Set the same "
            "image_size on both steps and fit again."
        )
    return (*size, 3) if reader is not None and reader.channels == "rgb" else size


def _whole_model(
    shape: tuple[int, ...], preprocessor: BackbonePreprocessor, steps: list[Any]
) -> Any:
    inputs = keras.Input(shape, dtype="uint8", name=INPUT)
    tensor = _prepare(inputs, preprocessor)
    first = steps[0] if steps else None
    if isinstance(first, TransferLearningClassifier) and len(steps) == 1:
        _check_precision(first)
        outputs = first.model_(tensor, training=False)
    elif isinstance(first, BackboneFeatures):
        _check_precision(first)
        pooled = keras.tree.flatten(first.trunk_(tensor, training=False))
        features = keras.ops.concatenate(pooled, axis=-1)
        outputs = _linear_tail(features, steps[1:])
    else:
        raise TypeError(
            "export takes a TransferLearningClassifier or BackboneFeatures after the "
            f"BackbonePreprocessor; got {steps!r}."
        )
    return keras.Model(inputs, outputs)


def _check_precision(estimator: Any) -> None:
    if estimator.precision != "float32":
        raise ValueError(
            f"precision={estimator.precision!r} can't be exported: ONNX models compute "
            "in float32. Fit with precision='float32'."
        )


def _prepare(inputs: Any, preprocessor: BackbonePreprocessor) -> Any:
    """Do to pixels what the preprocessor does, told from what it makes of colours.

    It is affine in the three channels, whatever the backbone's mode.
    """
    colours = 255 * np.array(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.uint8
    )
    images = np.broadcast_to(
        colours[:, None, None, :], (4, *preprocessor.image_size_, 3)
    )
    prepared = np.asarray(preprocessor.transform(images))[:, 0, 0].astype(np.float64)
    offset = prepared[0].astype(np.float32)
    slopes = ((prepared[1:] - prepared[0]) / 255).astype(np.float32)
    tensor = keras.ops.cast(inputs, "float32")
    if len(inputs.shape) == 3:
        tensor = keras.ops.expand_dims(tensor, -1)
        return tensor * slopes.sum(axis=0) + offset
    return keras.ops.matmul(tensor, slopes) + offset


def _linear_tail(features: Any, steps: list[Any]) -> Any:
    """Standardisation, then all that is linear behind it as one softmax layer."""
    *transformers, classifier = steps or [None]
    classifier = getattr(classifier, "best_estimator_", classifier)
    if transformers and isinstance(transformers[0], StandardScaler):
        features = _standardise(features, transformers.pop(0))
    if not isinstance(classifier, LogisticRegression) or not all(
        isinstance(step, KernelPCA) and step.kernel == "linear" for step in transformers
    ):
        raise TypeError(
            "Behind BackboneFeatures, export takes StandardScaler, KernelPCA with "
            "kernel='linear' and LogisticRegression, in this order; got "
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


def _standardise(features: Any, scaler: StandardScaler) -> Any:
    # Apart from the weights: together they would cancel where a column hardly varies.
    if scaler.with_mean:
        features = features - scaler.mean_.astype(np.float32)
    if scaler.with_std:
        features = features / scaler.scale_.astype(np.float32)
    return features


def _affine(components: KernelPCA) -> tuple[NDArray, NDArray]:
    """Slope (n_features, n_components) and offset of a linear kernel PCA."""
    kept = components.eigenvalues_ > 0
    directions = np.zeros_like(components.eigenvectors_)
    directions[:, kept] = components.eigenvectors_[:, kept] / np.sqrt(
        components.eigenvalues_[kept]
    )
    samples = components.X_fit_.astype(np.float64)
    offset = components.transform(np.zeros_like(components.X_fit_[:1]))[0]
    return (samples - samples.mean(axis=0)).T @ directions, offset


def _convert(model: Any, shape: tuple[int, ...], path: Path) -> None:
    signature = [keras.InputSpec(shape=(None, *shape), dtype="uint8", name=INPUT)]
    with warnings.catch_warnings():
        # Of Keras' and the converters' own code.
        warnings.simplefilter("ignore")
        model.export(str(path), format="onnx", input_signature=signature, verbose=False)


def _name_and_describe(path: Path, classes: NDArray) -> None:
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

    images = stripes(shape)
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run([OUTPUT], {INPUT: images})
    expected = pipeline.predict_proba(images)
    if not np.isfinite(expected).all():
        raise RuntimeError(
            "The pipeline's own probabilities are not finite numbers; it was not "
            "exported."
        )
    difference = np.abs(found - expected).max()
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"The exported model's probabilities differ from the pipeline's by up to "
            f"{difference:.2g}, more than {TOLERANCE:g}; it was not written."
        )
