"""The sides of bench_cross_validation.py, as they run in their child processes."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Job = dict[str, Any]

# The network's head and first rate are those of section 3.4 on every side but
# AUCMEDI's, which has a head of its own.
DENSE_UNITS, DROPOUT, LEARNING_RATE = 128, 0.6, 0.001
FACTOR = 2


class Part(NamedTuple):
    """Images, as paths or arrays, and their encoded labels."""

    X: Any
    y: NDArray[np.intp]


Fold = dict[str, Part]


def skcovid_side(job: Job) -> list[dict[str, Any]]:
    """Our fast recipe, its features in a folder that all folds share."""
    from sklearn.base import clone

    from skcovid import make_transfer_pipeline

    pipeline = make_transfer_pipeline(
        job["backbone"],
        recipe="fast",
        weights=job["weights"],
        memory=job["memory"],
        balance__factor=FACTOR,
        batch_size=job["batch_size"],
        epochs=job["epochs"] // 2,
        early_stopping_patience=job["epochs"],
        random_state=job["seed"],
        verbose=0,
    )

    def run(fold: Fold) -> tuple[NDArray, dict[str, Any]]:
        train, val, test = fold["train"], fold["val"], fold["test"]
        fitted = clone(pipeline).fit(train.X, train.y, X_val=val.X, y_val=val.y)
        classifier = fitted.named_steps["classify"]
        return fitted.predict(test.X), {
            "epochs": len(classifier.history_["loss"]),
            "n_trunk_passes": int(classifier.n_trunk_passes_),
        }

    return run_folds(job, run)


def keras_side(job: Job) -> list[dict[str, Any]]:
    """The script that a user of Keras would write."""

    def run(fold: Fold) -> tuple[NDArray, dict[str, Any]]:
        train, val, test = augmented(job, fold, channels="rgb")
        model = build_network(job)
        history = model.fit(
            train.X,
            train.y,
            validation_data=(val.X, val.y),
            batch_size=job["batch_size"],
            epochs=job["epochs"],
            verbose=0,
        )
        probabilities = model.predict(test.X, verbose=0)
        return probabilities.argmax(axis=1), {"epochs": len(history.epoch)}

    return run_folds(job, run)


def scikeras_side(job: Job) -> list[dict[str, Any]]:
    """scikeras' classifier behind our sampler, in an imblearn pipeline."""
    from imblearn.pipeline import Pipeline
    from scikeras.wrappers import KerasClassifier

    def run(fold: Fold) -> tuple[NDArray, dict[str, Any]]:
        reader = make_reader(job, channels="rgb")
        train, val, test = fold["train"], fold["val"], fold["test"]
        pipeline = Pipeline(
            [
                ("read", reader),
                ("balance", make_balancer(job)),
                (
                    "classify",
                    KerasClassifier(
                        build_network,
                        model__job=job,
                        batch_size=job["batch_size"],
                        epochs=job["epochs"],
                        fit__validation_data=(reader.fit_transform(val.X), val.y),
                        verbose=0,
                    ),
                ),
            ]
        )
        pipeline.fit(train.X, train.y)
        epochs = len(pipeline.named_steps["classify"].history_["loss"])
        return pipeline.predict(test.X), {"epochs": epochs}

    return run_folds(job, run)


def aucmedi_side(job: Job) -> list[dict[str, Any]]:
    """AUCMEDI, in the Python that it is installed for."""
    script = Path(__file__).with_name("_aucmedi_side.py")

    def run(fold: Fold) -> tuple[NDArray, dict[str, Any]]:
        with tempfile.TemporaryDirectory(prefix="skcovid-") as folder:
            arrays = save_arrays(augmented(job, fold, channels="grey"), folder)
            given, returned = Path(folder, "job.json"), Path(folder, "outcome.json")
            network = {"n_classes": len(job["classes"]), "learning_rate": LEARNING_RATE}
            given.write_text(json.dumps({**job, **network, "arrays": arrays}), "utf-8")
            subprocess.run(
                [job["aucmedi_python"], script, given, returned],
                env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
                check=True,
            )
            outcome = json.loads(returned.read_text("utf-8"))
        return np.asarray(outcome.pop("predictions")), outcome

    return run_folds(job, run)


def run_folds(
    job: Job, run: Callable[[Fold], tuple[NDArray, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Run every fold; say what it took and how many predictions were right."""
    paths, y = np.asarray(job["paths"]), np.asarray(job["y"])
    outcomes = []
    for rows in job["folds"]:
        fold = {name: Part(paths[part], y[part]) for name, part in rows.items()}
        started, cpu_before = time.perf_counter(), cpu_seconds()
        predictions, details = run(fold)
        outcomes.append(
            {
                "wall_s": time.perf_counter() - started,
                "cpu_s": cpu_seconds() - cpu_before,
                "n_correct": int((predictions == fold["test"].y).sum()),
                "n_test": len(predictions),
                **details,
            }
        )
        forget_networks()
    return outcomes


def cpu_seconds() -> float:
    """User and system time of this process and of the children it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def forget_networks() -> None:
    """Free what Keras keeps of the last fold's network, where there is one."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session()


def make_reader(job: Job, channels: str) -> Any:
    """Make a reader of images at the network's size, into an array."""
    from skcovid import RadiographReader
    from skcovid.networks.backbones import get_backbone

    size = get_backbone(job["backbone"]).image_size
    return RadiographReader(size, channels=channels, lazy=False)


def make_balancer(job: Job) -> Any:
    """Make the sampler that all sides share."""
    from skcovid import AugmentationBalancer

    return AugmentationBalancer(
        factor=FACTOR, include_originals=True, random_state=job["seed"]
    )


def augmented(job: Job, fold: Fold, channels: str) -> tuple[Part, Part, Part]:
    """Read a fold into arrays, the training images augmented and balanced."""
    reader = make_reader(job, channels)
    train, val, test = (
        Part(reader.fit_transform(part.X), part.y)
        for part in (fold["train"], fold["val"], fold["test"])
    )
    return Part(*make_balancer(job).fit_resample(*train)), val, test


def save_arrays(parts: tuple[Part, Part, Part], folder: str) -> dict[str, str]:
    """Save the arrays of a fold; return their paths."""
    paths = {}
    for name, part in zip(("train", "val", "test"), parts, strict=True):
        for field, values in part._asdict().items():
            paths[f"{field}_{name}"] = str(Path(folder, f"{field}_{name}.npy"))
            np.save(paths[f"{field}_{name}"], values)
    return paths


def build_network(job: Job) -> Any:
    """A frozen backbone, batch normalisation in inference mode, and a new head."""
    import keras
    from keras import layers

    from skcovid.networks.backbones import get_backbone

    keras.utils.set_random_seed(job["seed"])
    backbone = get_backbone(job["backbone"])
    shape = (backbone.image_size, backbone.image_size, 3)
    base = getattr(keras.applications, backbone.builder)(
        include_top=False, weights=None, input_shape=shape
    )
    if job["weights"] is not None:
        base.load_weights(job["weights"])
    base.trainable = False
    inputs = keras.Input(shape, dtype="uint8")
    outputs = keras.ops.cast(inputs, "float32")
    if backbone.mode != "raw":
        outputs = keras.applications.imagenet_utils.preprocess_input(
            outputs, mode=backbone.mode
        )
    outputs = base(outputs, training=False)
    outputs = layers.GlobalAveragePooling2D()(outputs)
    outputs = layers.BatchNormalization()(outputs)
    outputs = layers.Dense(DENSE_UNITS, activation="relu")(outputs)
    outputs = layers.BatchNormalization()(outputs)
    outputs = layers.Dropout(DROPOUT)(outputs)
    outputs = layers.Dense(len(job["classes"]), activation="softmax")(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


SIDES = {
    function.__name__: function
    for function in (skcovid_side, keras_side, scikeras_side, aucmedi_side)
}
