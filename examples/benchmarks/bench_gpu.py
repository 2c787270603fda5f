"""Training steps: fed by our pipeline against fed from arrays on the device.

For both phases of both recipes, images a second of the training step that our
classifier runs, fed in three ways:

- by our pipeline, `model.fit` on lazy images, augmented, or on kept features;
- by `model.fit` on one batch in host memory, again and again: no image is computed,
  but every batch is copied to the device;
- by `model.train_on_batch` on one batch that stays on the device: nothing is fed.

Where the first is near the fastest of the others, the device does not wait for the
host. Any Keras backend runs it, KERAS_BACKEND=tensorflow, jax or torch; it prints the
device that was used, and runs on a processor too, to be tried.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import _common

FED, HOST, DEVICE = "our pipeline", "one batch in host memory", "one batch on the device"
N_SYNTHETIC = 1000
LEARNING_RATE = 0.001


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _common.add_common_options(parser, repeats=5)
    _common.add_network_options(parser, backbone="inceptionv3")
    count = {"type": _common.positive_int, "metavar": "N"}
    parser.add_argument(
        "--steps", default=50, help="a measurement; default: %(default)s", **count
    )
    parser.add_argument(
        "--n-jobs",
        default=_common.n_cores(),
        help="threads that prepare batches; default: all cores, %(default)s",
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
    device = describe_device()
    title = (
        f"Images a second, {options.backbone}, {options.precision}, batches of "
        f"{options.batch_size}, {options.n_jobs} threads, median of {options.repeats}; "
        f"Keras on {device['backend']}, {device['device']}"
    )
    rows = [
        [
            f"{result['recipe']}, phase {result['phase']}",
            *[f"{result['medians'][side]:,.1f}" for side in (FED, HOST, DEVICE)],
            f"{result['share']:.2f}×",
        ]
        for result in results
    ]
    header = ["recipe", FED, HOST, DEVICE, "ours against the faster of the two"]
    _common.report(
        options,
        {title: _common.markdown_table(header, rows)},
        {"device": device, "measurements": results},
    )


def training_images(options: argparse.Namespace, folder: str) -> tuple[Any, Any]:
    """Lazy, augmented, prepared images as the classifier gets them, and labels."""
    import numpy as np

    from skcovid import make_transfer_pipeline

    radiographs = _common.load_radiographs(options, folder, n_synthetic=N_SYNTHETIC)
    pipeline = make_transfer_pipeline(options.backbone, random_state=options.seed)
    read, balance, preprocess = (
        pipeline.named_steps[name] for name in ("read", "balance", "preprocess")
    )
    images = read.fit_transform(np.asarray(radiographs.paths))
    images, y = balance.fit_resample(images, np.asarray(radiographs.y))
    order = np.random.default_rng(options.seed).permutation(len(y))
    rows = np.resize(order, options.steps * options.batch_size)
    labels = np.unique(y, return_inverse=True)[1]
    return preprocess.fit_transform(images[rows]), labels[rows]


def measure(
    recipe: str,
    phase: int,
    images: Any,
    y: Any,
    options: argparse.Namespace,
    folder: str,
) -> dict[str, Any]:
    """Time the steps of one phase of a recipe."""
    import keras

    model, load = training_step(recipe, phase, images, options, folder)
    from skcovid.training import Batches

    fed = Batches(load, y, batch_size=options.batch_size, n_jobs=options.n_jobs)
    batch = fed[0]
    again = OneBatch.of(batch, options.steps)
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
    sides: dict[str, Callable[[], Any]] = {
        FED: lambda: model.fit(fed, shuffle=False, verbose=0),
        HOST: lambda: model.fit(again, shuffle=False, verbose=0),
        DEVICE: lambda: train_on_device(model, tensors, options.steps),
    }
    for side in sides.values():
        side()  # compiled, and the files in the page cache
    n_images = options.steps * options.batch_size
    seconds = _common.alternate(
        {
            f"{recipe}, phase {phase}, {name}": lambda side=side: timed(side)
            for name, side in sides.items()
        },
        options.repeats,
    )
