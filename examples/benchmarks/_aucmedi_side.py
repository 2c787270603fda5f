"""AUCMEDI's side of bench_cross_validation.py, run by the Python that has AUCMEDI.

It is given arrays in memory, already augmented and of the network's size, so that
AUCMEDI pays for neither. Its frozen phase runs for all the epochs and its second one,
which would unfreeze the whole network, for none.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
from aucmedi import DataGenerator, NeuralNetwork
from aucmedi.neural_network.architectures import architecture_dict


class EpochTimes(keras.callbacks.Callback):
    """Seconds that every epoch took."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.started)


def architecture_of(backbone):
    """Find AUCMEDI's name of a backbone, such as 2D.InceptionV3."""
    for name in architecture_dict:
        if name.lower() == f"2d.{backbone}":
            return name
    raise SystemExit(f"AUCMEDI has no architecture named {backbone!r}")


def load_weights(network, backbone, path):
    """Load weights that are the network's without its top."""
    base = getattr(keras.applications, architecture_of(backbone)[len("2D.") :])(
        include_top=False, weights=None, input_shape=network.input_shape
    )
    if str(path).endswith(".keras"):
        base = keras.saving.load_model(path, compile=False)
    else:
        base.load_weights(path)
    own_layers = network.model.layers[: len(base.layers)]
    for own, loaded in zip(own_layers, base.layers, strict=True):
        own.set_weights(loaded.get_weights())


def batches(network, images, labels, batch_size, *, shuffle=False):
    """Make AUCMEDI's generator over grey images in memory."""
    return DataGenerator(
        samples=np.arange(len(images)),
        path_imagedir=None,
        labels=labels,
        batch_size=batch_size,
        resize=None,
        standardize_mode=network.meta_standardize,
        shuffle=shuffle,
        loader=lambda row, *_, **__: np.repeat(images[row][..., np.newaxis], 3, axis=2),
    )


def main():
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    arrays = {name: np.load(path) for name, path in job["arrays"].items()}
    one_hot = np.eye(job["n_classes"], dtype=np.float32)
    keras.utils.set_random_seed(job["seed"])
    network = NeuralNetwork(
        n_labels=job["n_classes"],
        channels=3,
        input_shape=arrays["X_train"].shape[1:3],
        architecture=architecture_of(job["backbone"]),
        verbose=0,
    )
    if job["weights"] is not None:
        load_weights(network, job["backbone"], job["weights"])
    network.tf_epochs, network.tf_lr_start = job["epochs"], job["learning_rate"]
    times = EpochTimes()
    network.train(
        batches(
            network,
            arrays["X_train"],
            one_hot[arrays["y_train"]],
            job["batch_size"],
            shuffle=True,
        ),
        batches(network, arrays["X_val"], one_hot[arrays["y_val"]], job["batch_size"]),
        epochs=job["epochs"],
        callbacks=[times],
        transfer_learning=True,
    )
    probabilities = network.predict(
        batches(network, arrays["X_test"], None, job["batch_size"])
    )
    outcome = {
        "predictions": probabilities.argmax(axis=1).tolist(),
        "epoch_s": times.seconds,
        "versions": {
            name: version(name) for name in ("aucmedi", "albumentations", "keras")
        },
    }
    Path(sys.argv[2]).write_text(json.dumps(outcome), "utf-8")


if __name__ == "__main__":
    main()
