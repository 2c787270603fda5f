"""A network small enough to train in tests, importable in a new process too."""

from contextlib import contextmanager

import numpy as np

import skcovid

NAME = "tiny"
IMAGE_SIZE = 32
# The second convolution of the long branch. Its frontier has two tensors: that branch
# and the short one, which joins it later.
FINE_TUNE_FROM = 7
CLASSES = ["COVID-19", "NORMAL", "Viral Pneumonia"]


def build_tiny(include_top, weights, input_shape):
    """Build two convolution blocks; the features of the first skip the second."""
    from keras import Input, Model, layers

    assert not include_top
    inputs = Input(input_shape)
    outputs = layers.Conv2D(6, 3, strides=4, use_bias=False)(inputs)
    outputs = layers.BatchNormalization()(outputs)
    short = layers.ReLU()(outputs)
    outputs = layers.Conv2D(4, 3, padding="same", use_bias=False)(short)
    outputs = layers.BatchNormalization()(outputs)
    outputs = layers.ReLU()(outputs)
    outputs = layers.Conv2D(4, 3, padding="same", use_bias=False)(outputs)
    outputs = layers.BatchNormalization()(outputs)
    outputs = layers.ReLU()(outputs)
    return Model(inputs, layers.Concatenate()([short, outputs]))


def register():
    """Make the network available as "tiny"."""
    return skcovid.register_backbone(
        NAME,
        builder=build_tiny,
        image_size=IMAGE_SIZE,
        mode="tf",
        fine_tune_from=FINE_TUNE_FROM,
    )


def make_images(n_samples, classes=CLASSES, seed=0):
    """Make grey images with a bright bar whose place is the class; labels in turn."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_samples) % len(classes)
    images = rng.integers(0, 80, (n_samples, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[8 * label : 8 * label + 8] += 120
    return images, np.asarray(classes)[labels]


def prepare(images):
    """Make network input like `BackbonePreprocessor`."""
    return skcovid.BackbonePreprocessor(NAME).fit_transform(images)


@contextmanager
def eagerly():
    """Run networks uncompiled: compiling such small ones takes longer than running."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)
    elif backend == "jax":
        import jax

        with jax.disable_jit():
            yield
    else:
        yield
