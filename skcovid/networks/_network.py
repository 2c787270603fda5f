"""The network: a backbone, its weights, a new head, freezing and prediction.

It uses Keras 3 alone, so that TensorFlow, JAX and PyTorch run it.
"""

import os
import random
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, TypeVar

import keras
import numpy as np
from numpy.typing import NDArray

from skcovid._base._progress import Progress
from skcovid.networks._errors import explain_backend_errors
from skcovid.networks._memory import check_memory
from skcovid.networks._model_cache import keep_last
from skcovid.networks._tensorflow import (
    check_not_forked,
    ignore_retracing,
    release_dead_models,
)
from skcovid.networks._weights_file import (
    identify_weights,
    load_weights,
    weights_path,
)
from skcovid.networks.backbones import Backbone

BatchNorm = Literal["trainable", "frozen"]
Pooling = Literal["avg", "max"]
Rows = TypeVar("Rows")

# The dtype policy, the order of axes and `random` are global: a process builds one
# network at a time.
_BUILD_LOCK = threading.RLock()
# While JAX predicts, it donates the memory of the variables: a prediction by the same
# network in another thread would fail.
_PREDICTION_LOCK: AbstractContextManager[Any] = (
    threading.Lock() if keras.backend.backend() == "jax" else nullcontext()
)


def build_backbone(
    backbone: Backbone,
    weights: str | os.PathLike[str] | None,
    *,
    image_size: tuple[int, int],
    precision: str = "float32",
    seed: int = 0,
) -> Any:
    """Build a backbone without its top and load its weights."""
    check_not_forked()
    path = weights_path(weights)
    with _build_settings(precision, seed):
        if weights == "imagenet":
            try:
                return _construct(backbone, "imagenet", image_size)
            except ImportError:  # of a package that holds the weights
                raise
            except Exception as error:
                # Keras' other ValueErrors are about the size of the input.
                if isinstance(error, ValueError) and "corrupted" not in str(error):
                    raise
                raise OSError(
                    f"weights='imagenet': the download for {backbone.name!r} failed "
                    f"({error}). Save that file in the folder models of KERAS_HOME "
                    "(~/.keras), or pass weights=PATH, a .weights.h5 or .keras file, "
                    "or weights=None for random weights."
                ) from None
        base = _construct(backbone, None, image_size)
        if path is not None:
            load_weights(base, path, backbone.name)
    return base


def check_weights(backbone: Backbone, weights: str | os.PathLike[str] | None) -> None:
    """Raise an error if a backbone's weights can't be downloaded or loaded."""
    if weights is None:
        return
    size = backbone.image_size

    def build() -> bool:
        build_backbone(backbone, weights, image_size=(size, size))
        return True

    keep_last("weights", (backbone, identify_weights(weights)), build)


def add_head(
    base: Any,
    n_classes: int,
    *,
    feature_layers: Sequence[Any] = (),
    pooling: Sequence[Pooling],
    dense_units: int,
    dropout: float,
    seed: int,
) -> Any:
    """Put the paper's head (section 3.4) on a backbone.

    Flatten (or global poolings), batch normalisation, Dense with ReLU, batch
    normalisation, dropout, softmax.
    """
    layers = keras.layers

    def dense(units: int, activation: str, seed: int) -> Any:
        initializer = keras.initializers.GlorotUniform(seed=seed)
        return layers.Dense(
            units, activation, kernel_initializer=initializer, dtype="float32"
        )

    # The head always computes in float32.
    outputs = [layer.output for layer in feature_layers]
    maps = [*(maps for maps in outputs if maps is not base.output), base.output]
    gathered = global_pool(maps, pooling) or [
        layers.Flatten("channels_last", dtype="float32")(output) for output in maps
    ]
    outputs = gathered[0]
    if len(gathered) > 1:
        outputs = layers.Concatenate(dtype="float32")(gathered)
    outputs = layers.BatchNormalization(dtype="float32")(outputs)
    outputs = dense(dense_units, "relu", seed)(outputs)
    outputs = layers.BatchNormalization(dtype="float32")(outputs)
    outputs = layers.Dropout(dropout, seed=seed, dtype="float32")(outputs)
    outputs = dense(n_classes, "softmax", seed + 1)(outputs)
    return keras.Model(base.input, outputs)


def check_pooling(pooling: Any) -> tuple[Pooling, ...]:
    """Validate the kinds of global pooling."""
    chosen = (pooling,) if isinstance(pooling, str) else tuple(pooling)
    if not 1 <= len(chosen) <= 2 or {*chosen, "avg", "max"} != {"avg", "max"}:
        raise ValueError(
            f"pooling must be 'avg', 'max' or both in a sequence, got {pooling!r}."
        )
    return chosen


def global_pool(maps: Iterable[Any], pooling: Sequence[Pooling]) -> list[Any]:
    """Pool each of the feature maps over the whole image, in float32."""
    pools = {
        "avg": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
    }
    return [
        pools[kind]("channels_last", dtype="float32")(tensor)
        for tensor in maps
        for kind in pooling
    ]


def freeze(layers: Sequence[Any], batch_norm: BatchNorm) -> None:
    """Freeze a backbone for phase 1 of training."""
    for layer in layers:
        layer.trainable = batch_norm == "trainable" and is_batch_norm(layer)


def unfreeze(layers: Sequence[Any], batch_norm: BatchNorm) -> None:
    """Unfreeze the last layers of a backbone for phase 2 of training."""
    for layer in layers:
        layer.trainable = batch_norm == "trainable" or not is_batch_norm(layer)


def reset_moving_statistics(model: Any) -> None:
    """Set the moving mean and variance of every batch normalisation to zeros.

    Section 3.4: "initially their moving average and moving variance are initialized to
    zeros".
    """
    for layer in filter(is_batch_norm, model.layers):
        for variable in (layer.moving_mean, layer.moving_variance):
            variable.assign(keras.ops.zeros(variable.shape, variable.dtype))


def predict_batches(
    model: Any, batches: Iterable[tuple[Rows, Any]], *, batch_size: int | None = None
) -> Iterator[tuple[Rows, list[NDArray[Any]]]]:
    """Run a network on batches, in inference mode."""
    check_not_forked()
    release_dead_models(model)
    if batch_size is not None:
        check_memory(model, batch_size)
    for rows, batch in batches:
        n_rows = len(keras.tree.flatten(batch)[0])
        if batch_size is None:
            batch_size = n_rows
            check_memory(model, batch_size)
        padded = keras.tree.map_structure(partial(_pad_rows, size=batch_size), batch)
        with _PREDICTION_LOCK, explain_backend_errors(batch_size), ignore_retracing():
            outputs = keras.tree.flatten(model.predict_on_batch(padded))
        yield rows, [np.asarray(output)[:n_rows] for output in outputs]


def feature_progress(n_images: int, verbose: int) -> Progress:
    """Return the progress of images that pass through a network."""
    return Progress("features", n_images, "image", verbose)


def _pad_rows(values: NDArray[Any], size: int) -> NDArray[Any]:
    missing = size - len(values)
    if not missing:
        return values
    return np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)])


def is_batch_norm(layer: Any) -> bool:
    """Tell whether a layer is batch normalisation."""
    return isinstance(layer, keras.layers.BatchNormalization)


def _construct(
    backbone: Backbone, weights: str | None, image_size: tuple[int, int]
) -> Any:
    builder = backbone.builder
    if isinstance(builder, str):
        if not hasattr(keras.applications, builder):
            raise ValueError(
                f"The builder of backbone {backbone.name!r} is {builder!r}, which "
                "keras.applications does not have; pass a callable or another name."
            )
        builder = getattr(keras.applications, builder)
    base = builder(include_top=False, weights=weights, input_shape=(*image_size, 3))
    # A Sequential model has no output that a head could be added to.
    return keras.Model(base.inputs[0], base.outputs[0])


@contextmanager
def _build_settings(precision: str, seed: int) -> Iterator[None]:
    """Set the dtype policy, the order of axes and the seed of the initialisers.

    keras.applications take none. The initialisers draw a seed by `random.randint`;
    seeding `random` would change what other threads draw, and they what is drawn here.
    """
    builder, seeded = threading.get_ident(), random.Random(seed).randint
    with _BUILD_LOCK:
        policy, original = keras.config.dtype_policy(), random.randint
        data_format = keras.config.image_data_format()

        def randint(a: int, b: int) -> int:
            return (seeded if threading.get_ident() == builder else original)(a, b)

        keras.config.set_dtype_policy(precision)
        keras.config.set_image_data_format("channels_last")
        random.randint = randint
        try:
            yield
        finally:
            random.randint = original
            keras.config.set_image_data_format(data_format)
            keras.config.set_dtype_policy(policy)
