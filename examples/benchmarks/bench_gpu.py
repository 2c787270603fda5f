"""Training steps: fed by our pipeline against fed from arrays on the device.

For both phases of both recipes, images a second of the step that our classifier trains
with, fed in three ways:

- by our pipeline: `model.fit` on lazy images, augmented on access, or kept features;
- by `model.fit` on one batch in host memory, again and again: nothing is computed on
  the host, but every batch is copied to the device;
- by `model.train_on_batch` on one batch that stays on the device: nothing is fed.

Where the first is as fast as the faster of the others, the device does not wait for the
host. Every Keras backend runs it (KERAS_BACKEND=tensorflow, jax or torch); it prints
the device that was used, and runs on a processor too, to be tried.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import _common

FED, HOST, DEVICE = "our pipeline", "batch in host memory", "batch on the device"
N_SYNTHETIC = 600
N_CLASSES = 3


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _common.add_common_options(parser, repeats=5)
    _common.add_network_options(parser, backbone="inceptionv3")
    count: dict[str, Any] = {"type": _common.positive_int, "metavar": "N"}
    parser.add_argument(
        "--steps", default=50, help="of a measurement; default: %(default)s", **count
    )
    parser.add_argument(
        "--n-jobs",
        default=_common.n_cores(),
        help="threads that prepare batches; default: one a core, %(default)s",
        **count,
    )
    parser.add_argument(
        "--recipes",
        nargs="+",
        choices=["paper", "fast"],
        default=["paper", "fast"],
        help="default: both",
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "mixed_bfloat16", "mixed_float16"],
        default="float32",
        help="of the network; default: %(default)s",
    )
    return parser.parse_args()


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="skcovid-") as folder:
        images, y = training_images(options, folder)
        results = [
            measure(recipe, phase, images, y, options, folder)
            for recipe in options.recipes
            for phase in (1, 2)
        ]
    device = _common.describe_device()
    title = (
        f"Images a second, {options.backbone}, {options.precision}, batches of "
        f"{options.batch_size}, {options.n_jobs} threads, median of {options.repeats}; "
        f"{device['backend']} on {device['gpu'] or device['device']}"
    )
    rows = []
    for result in results:
        medians = result["medians"]
        fastest = max(medians[HOST], medians[DEVICE])
        rows.append(
            [
                f"{result['recipe']}, phase {result['phase']}",
                *[f"{medians[side]:,.1f}" for side in (FED, HOST, DEVICE)],
                f"{medians[FED] / fastest:.2f}×",
            ]
        )
    header = ["recipe", FED, HOST, DEVICE, "ours against the faster of the two"]
    _common.report(
        options,
        {title: _common.markdown_table(header, rows)},
        {"device": device, "measurements": results},
    )


def training_images(options: argparse.Namespace, folder: str) -> tuple[Any, Any]:
    """Return as many images as the steps take, as the classifier gets them."""
    import numpy as np

    from skcovid import make_transfer_pipeline

    radiographs = _common.load_radiographs(options, folder, n_synthetic=N_SYNTHETIC)
    steps = make_transfer_pipeline(options.backbone, random_state=options.seed)
    images = steps["read"].fit_transform(np.asarray(radiographs.paths))
    images, labels = steps["balance"].fit_resample(images, radiographs.y)
    _, y = np.unique(labels, return_inverse=True)
    order = np.random.default_rng(options.seed).permutation(len(y))
    rows = np.resize(order, options.steps * options.batch_size)
    return steps["preprocess"].fit_transform(images[rows]), y[rows]


def measure(
    recipe: str,
    phase: int,
    images: Any,
    y: Any,
    options: argparse.Namespace,
    folder: str,
) -> dict[str, Any]:
    """Measure the step of one phase of a recipe, fed in the three ways."""
    import keras

    from skcovid.estimators._training import Batches

    model, load = build_trained_model(recipe, phase, images, options, folder)
    batches = Batches(load, y, batch_size=options.batch_size, n_jobs=options.n_jobs)
    batch = batches[0]
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
    sides: dict[str, Callable[[], float]] = {
        FED: partial(seconds_of_fit, model, batches),
        HOST: partial(seconds_of_fit, model, same_batch(batch, options.steps)),
        DEVICE: partial(seconds_on_device, model, tensors, options.steps),
    }
    print(f"{recipe}, phase {phase}: compiling")
    for side in sides.values():
        side()
    seconds = _common.alternate(sides, options.repeats)
    n_images = options.steps * options.batch_size
    speeds = {
        name: [n_images / value for value in values] for name, values in seconds.items()
    }
    return {
        "recipe": recipe,
        "phase": phase,
        "images_per_s": speeds,
        "medians": {name: _common.median(values) for name, values in speeds.items()},
    }


def build_trained_model(
    recipe: str, phase: int, images: Any, options: argparse.Namespace, folder: str
) -> tuple[Any, Callable]:
    """Build what a phase trains, as the classifier does, and what feeds it."""
    import keras

    from skcovid import make_transfer_pipeline
    from skcovid.estimators._trainable_network import (
        FineTunedModel,
        SplitNetwork,
        WholeNetwork,
    )
    from skcovid.networks import _graph as graph
    from skcovid.networks import _network as network
    from skcovid.networks._network import check_pooling
    from skcovid.networks.backbones import get_backbone

    parameters = make_transfer_pipeline(options.backbone, recipe=recipe)[
        "classify"
    ].get_params()
    backbone = get_backbone(options.backbone)
    base = network.build_backbone(
        backbone,
        _common.weights_argument(options),
        image_size=images.shape[1:3],
        precision=options.precision,
        seed=options.seed,
    )
    pooling, feature_layers = parameters["pooling"], parameters["feature_layers"]
    model = network.add_head(
        base,
        N_CLASSES,
        feature_layers=(
            ()
            if feature_layers is None
            else graph.choose_layers(base, backbone, feature_layers)
        ),
        pooling=() if pooling is None else check_pooling(pooling),
        dense_units=parameters["dense_units"],
        dropout=parameters["dropout"],
        seed=options.seed,
    )
    if parameters["reset_batch_norm"]:
        network.reset_moving_statistics(model)
    first = graph.find_layer(base.layers, backbone.fine_tune_from)
    parts = FineTunedModel(model, len(base.layers), first)
    parts.set_trainable(phase, parameters["batch_norm"])
    trained = (
        SplitNetwork(
            parts,
            folder,
            dtype=parameters["features_dtype"],
            batch_size=options.batch_size,
            n_jobs=options.n_jobs,
            verbose=1,
        )
        if parameters["keep_features"]
        else WholeNetwork(parts)
    )
    part = trained.trained_model(phase)
    part.compile(
        optimizer=keras.optimizers.Adam(parameters["learning_rate"]),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return part, trained.loader(images, phase)


def same_batch(batch: Any, steps: int) -> Any:
    """Make a data set that gives one batch, again and again."""
    import keras

    class SameBatch(keras.utils.PyDataset):
        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> Any:
            return batch

    return SameBatch()


def seconds_of_fit(model: Any, dataset: Any) -> float:
    """Time an epoch, the second: the first has to set up what it is fed by."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            float(logs["loss"])  # the device has finished
            self.seconds = time.perf_counter() - self.started

    clock = Clock()
    model.fit(dataset, epochs=2, shuffle=False, verbose=0, callbacks=[clock])
    return clock.seconds


def seconds_on_device(model: Any, batch: Any, steps: int) -> float:
    """Time as many steps on tensors that are on the device."""
    started = time.perf_counter()
    for _ in range(steps):
        losses = model.train_on_batch(*batch)
    float(losses[0])
    return time.perf_counter() - started


if __name__ == "__main__":
    _common.main_or_side(main, {})
