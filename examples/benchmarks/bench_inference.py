"""Inference: predict_proba over paths against what bounds it from above.

A pipeline of our fast recipe predicts the probabilities of files. Beside it, on the
same images: decoding them alone; the same network on prepared arrays in memory, by
`model.predict` and batch by batch; and the processor's arithmetic limit, the speed of a
large float32 matrix product over the multiply-adds of the network's convolutions and
dense layers.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import _common

# Sides, in the order they run in.
OURS, DECODING = "predict_proba over paths", "decoding alone"
BARE, BARE_BATCHES = "bare model.predict", "bare model.predict_on_batch"
N_SYNTHETIC = 640
# Images that the pipeline is fitted on, which doesn't matter to the speed.
N_FITTED_A_CLASS = 12
MATRIX_SIDE = 4096


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _common.add_common_options(parser, repeats=5)
    _common.add_network_options(parser, backbone="inceptionv3")
    parser.add_argument(
        "--images",
        type=_common.positive_int,
        default=320,
        metavar="N",
        help="that are predicted; default: %(default)s",
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "mixed_bfloat16", "mixed_float16"],
        default="float32",
        help="of the network; the limit is float32's; default: %(default)s",
    )
    return parser.parse_args()


def main() -> None:
    import numpy as np

    options = parse()
    with tempfile.TemporaryDirectory(prefix="skcovid-") as folder:
        radiographs = _common.load_radiographs(options, folder, n_synthetic=N_SYNTHETIC)
        pipeline = fit(radiographs, options)
        order = np.random.default_rng(options.seed).permutation(len(radiographs.paths))
        paths = np.asarray(radiographs.paths)[order[: options.images]]
        model = pipeline.named_steps["classify"].model_
        reader, preprocessor = (
            pipeline.named_steps[name] for name in ("read", "preprocess")
        )
        arrays = np.asarray(preprocessor.transform(reader.transform(paths)))
        sides: dict[str, Callable[[], Any]] = {
            OURS: lambda: pipeline.predict_proba(paths),
            DECODING: lambda: decode(reader, paths, options.batch_size),
            BARE: lambda: model.predict(
                arrays, batch_size=options.batch_size, verbose=0
            ),
            BARE_BATCHES: lambda: predict_batches(model, arrays, options.batch_size),
        }
        for side in sides.values():
            side()  # compiled, and the files in the page cache
        seconds = _common.alternate(
            {name: partial(timed, side) for name, side in sides.items()},
            options.repeats,
        )
    speeds = {
        name: [len(paths) / value for value in values]
        for name, values in seconds.items()
    }
    gflops = matrix_product_gflops(options.repeats)
    macs = count_macs(model)
    limit = 1e9 * gflops / (2 * macs)
    medians = {name: _common.median(values) for name, values in speeds.items()}
    medians["arithmetic limit, float32"] = limit
    title = (
        f"{len(paths)} images, {options.backbone}, {options.precision}, batches of "
        f"{options.batch_size}, median of {options.repeats}; {macs / 1e9:.2f} G "
        f"multiply-adds an image, matrix product {gflops:,.0f} GFLOP/s"
    )
    rows = [
        [name, f"{speed:,.1f}", f"{medians[OURS] / speed:.2f}×"]
        for name, speed in medians.items()
    ]
    header = ["", "images a second", "predict_proba over paths against it"]
    results = {
        "n_images": len(paths),
        "images_per_s": speeds,
        "medians": medians,
        "multiply_adds_an_image": macs,
        "matrix_product_gflops": gflops,
    }
    _common.report(options, {title: _common.markdown_table(header, rows)}, results)


def fit(radiographs: _common.Radiographs, options: argparse.Namespace) -> Any:
    """Fit a pipeline for one epoch on a few images."""
    import numpy as np

    from skcovid import make_transfer_pipeline

    y = np.asarray(radiographs.y)
    rows = np.concatenate(
        [np.flatnonzero(y == label)[:N_FITTED_A_CLASS] for label in np.unique(y)]
    )
    pipeline = make_transfer_pipeline(
        options.backbone,
        recipe="fast",
        weights=_common.weights_argument(options),
        precision=options.precision,
        batch_size=options.batch_size,
        epochs=1,
        balance__factor=1,
        random_state=options.seed,
        verbose=0,
    )
    return pipeline.fit(np.asarray(radiographs.paths)[rows], y[rows])


def decode(reader: Any, paths: Any, batch_size: int) -> None:
    """Read and resize the files, as prediction does."""
    for _ in reader.transform(paths).batches(batch_size):
        pass


def predict_batches(model: Any, arrays: Any, batch_size: int) -> None:
    """Run the network on one batch after the other."""
    for start in range(0, len(arrays), batch_size):
        model.predict_on_batch(arrays[start : start + batch_size])


def timed(side: Callable[[], Any]) -> float:
    """Seconds that a side takes."""
    started = time.perf_counter()
    side()
    return time.perf_counter() - started


def matrix_product_gflops(repeats: int) -> float:
    """Measure a large float32 matrix product, by NumPy and by Keras' backend."""
    import keras
    import numpy as np

    generator = np.random.default_rng(0)
    left, right = generator.random((2, MATRIX_SIDE, MATRIX_SIDE), dtype=np.float32)
    tensors = keras.ops.convert_to_tensor(left), keras.ops.convert_to_tensor(right)
    products: list[Callable[[], Any]] = [
        lambda: left @ right,
        lambda: keras.ops.convert_to_numpy(keras.ops.matmul(*tensors)),
    ]
    seconds = [min(timed(product) for _ in range(repeats + 1)) for product in products]
    return 2 * MATRIX_SIDE**3 / min(seconds) / 1e9


def count_macs(model: Any) -> int:
    """Count the multiply-adds of one image in convolutions and dense layers."""
    from keras import layers

    total = 0
    for layer in model.layers:
        # The kernels' elements, each used once at every position of the output.
        if isinstance(layer, layers.Dense):
            total += math.prod(layer.kernel.shape)
        elif isinstance(
            layer, layers.Conv2D | layers.DepthwiseConv2D | layers.SeparableConv2D
        ):
            positions = math.prod(layer.output.shape[1:3])
            kernels = [weight for weight in layer.weights if len(weight.shape) == 4]
            total += positions * sum(math.prod(kernel.shape) for kernel in kernels)
    return total


if __name__ == "__main__":
    _common.main_or_side(main, {})
