"""
A network and a transform of one's own
======================================

How to add both, not how well they do: the network is tiny, its first weights random.
:func:`skcovid.register_backbone` makes any Keras network available by name; a subclass
of :class:`~skcovid.augmentation.IntensityTransform` or
:class:`~skcovid.augmentation.GeometricTransform` joins the augmentation.
"""

# %%
# Transforms
# ----------
# A frozen dataclass with a method ``draw``: its repr is part of the key under which
# copies are kept, so that another range makes other copies.

import os
from dataclasses import dataclass

import keras
import matplotlib.pyplot as plt
import numpy as np
from imblearn.pipeline import Pipeline

from skcovid import (
    AugmentationBalancer,
    BackbonePreprocessor,
    HoldoutPipeline,
    RadiographReader,
    TransferLearningClassifier,
    augment,
    register_backbone,
)
from skcovid.augmentation import (
    PAPER_TRANSFORMS,
    GeometricTransform,
    IntensityTransform,
)
from skcovid.datasets import load_radiographs, make_radiographs


@dataclass(frozen=True)
class Posterize(IntensityTransform):
    """Leave a few grey levels of 256."""

    levels: int = 6

    def draw(self, rng, levels):
        """Round the levels down to multiples of a step."""
        step = 256 / self.levels
        return np.floor(levels / step) * step


@dataclass(frozen=True)
class Shear(GeometricTransform):
    """Shear the image by up to a share of its height."""

    high: float = 0.15

    def draw(self, rng, height, width):
        """Draw the matrix that maps new positions to old ones."""
        slope = rng.uniform(-self.high, self.high)
        return np.array([[1.0, slope, -slope * height / 2], [0.0, 1.0, 0.0]])


folder = os.environ.get("SKCOVID_DATA")
if folder:
    data = load_radiographs(folder)
    X, y = data.paths, data.target
else:
    X, y = make_radiographs(
        90, image_size=64, weights=(1, 1, 1), random_state=0, return_X_y=True
    )
image = np.asarray(RadiographReader(128).fit_transform(X[:1]))[0]
pictures = {
    "image": image,
    "Posterize": augment(image, transforms=[Posterize()], random_state=0),
    "Shear": augment(image, transforms=[Shear()], random_state=0),
}
figure, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained")
for ax, (name, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
    ax.set(title=name, xticks=[], yticks=[])

# %%
# A network
# ---------
# The builder is called as the functions of ``keras.applications`` are. ``mode`` is how
# pixels become its input, and ``fine_tune_from`` the first layer that the second phase
# trains.


def small_network(include_top, weights, input_shape):
    """Three convolutions."""
    inputs = keras.Input(input_shape)
    x = inputs
    for block, filters in enumerate((8, 16, 32)):
        x = keras.layers.Conv2D(
            filters, 3, strides=2, activation="relu", name=f"block{block}"
        )(x)
    return keras.Model(inputs, x, name="small")


register_backbone(
    "small",
    builder=small_network,
    image_size=64,
    mode="tf",
    fine_tune_from="block2",
    overwrite=True,
)

# %%
# A pipeline
# ----------
# Any steps compose. :class:`~skcovid.HoldoutPipeline` sets validation data aside before
# the balancer makes copies; with imbalanced-learn's own pipeline there are none, and
# the callbacks follow the training loss.

steps = [
    ("read", RadiographReader(64)),
    (
        "balance",
        AugmentationBalancer(
            transforms=[*PAPER_TRANSFORMS, Posterize(), Shear()],
            factor=1,
            random_state=0,
        ),
    ),
    ("preprocess", BackbonePreprocessor("small")),
    (
        "classify",
        TransferLearningClassifier(
            "small", weights=None, epochs=6, batch_size=16, random_state=0, verbose=0
        ),
    ),
]
pipeline = HoldoutPipeline(steps, validation_fraction=0.2, random_state=0).fit(X, y)
classifier = pipeline["classify"]
print(
    len(pipeline.validation_indices_),
    "images validate;",
    len(classifier.history_["loss"]),
)
plain = Pipeline(steps)
print("validation data of the plain pipeline:", hasattr(plain, "validation_fraction"))

# %%
figure, ax = plt.subplots(layout="constrained")
ax.plot(classifier.history_["loss"], label="training")
ax.plot(classifier.history_["val_loss"], label="validation")
ax.set(xlabel="epoch of both phases", ylabel="loss")
ax.legend()
plt.show()
