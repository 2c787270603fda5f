"""Features of the frozen trunk: compute once, keep on disk, serve in batches."""

import errno
import hashlib
import json
import math
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import keras
import numpy as np
from numpy.typing import NDArray

from skcovid._base._atomic_files import atomic_write
from skcovid._base._compatibility import input_tensors, tensor_source
from skcovid._base._digests import image_key
from skcovid._base._read_ahead import read_ahead
from skcovid._base._version import DECODERS, __version__, installed_versions
from skcovid.images._lazy_images import LazyImages
from skcovid.networks._batch_norm import folded
from skcovid.networks._batch_plan import planned_batches
from skcovid.networks._model_cache import build_once, weight_checksums
from skcovid.networks._network import feature_progress, predict_batches

Arrays = tuple[NDArray[Any], ...]

# numpy.save writes a header of this many bytes before a one-dimensional array; the
# CRC-32 of both follows.
_NPY_HEADER = 128
_CHECKSUM = 4


def feature_bytes(trunk: Any, n_images: int, dtype: str = "float16") -> int:
    """Disk space that the features of `n_images` images take.

    Parameters
    ----------
    trunk : keras.Model
        The trunk; all its outputs are kept.
    n_images : int
        Number of different images.
    dtype : {"float16", "float32"}, default="float16"
        Type of the kept features.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> import keras
    >>> from skcovid.networks import feature_bytes
    >>> inputs = keras.Input((8, 8, 3))
    >>> trunk = keras.Model(inputs, [keras.layers.MaxPooling2D(4)(inputs)])
    >>> feature_bytes(trunk, n_images=1000)
    156000
    """
    size = sum(math.prod(output.shape[1:]) for output in trunk.outputs)
    n_bytes = _NPY_HEADER + size * np.dtype(dtype).itemsize + _CHECKSUM
    return int(n_images * n_bytes)


class StoredFeatures:
    """Features in a store, read on access.

    Parameters
    ----------
    store : FeatureStore
        The store.
    keys : ndarray of shape (n_samples,) of str
        Keys of the images, also an attribute.
    """

    def __init__(self, store: "FeatureStore", keys: NDArray[np.str_]) -> None:
        self._store = store
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, rows: "NDArray[np.intp] | slice") -> "StoredFeatures":
        return StoredFeatures(self._store, self.keys[rows])

    def load(self, rows: "NDArray[np.intp] | slice") -> Arrays:
        """Read the features of the images in some rows.

        Parameters
        ----------
        rows : ndarray of int or slice
            The rows.

        Returns
        -------
        tuple of ndarray of shape (n_rows, ...), float16 or float32
            One array for each output of the trunk, in the dtype of the store.

        Raises
        ------
        OSError
            If a file is missing or damaged.
        """
        return self._store._read(self.keys[rows])

    def batches(
        self, batch_size: int, *, n_jobs: int = 2
    ) -> Iterator[tuple[slice, Arrays]]:
        """Read the features in order, batch by batch, in threads that read ahead.

        Parameters
        ----------
        batch_size : int
            Images in a batch; the last may hold fewer.
        n_jobs : int, default=2
            Number of threads.

        Yields
        ------
        rows : slice
            The rows of the batch.
        features : tuple of ndarray of shape (batch_size, ...), float16 or float32
            As from :meth:`load`.
        """
        return read_ahead(self.load, len(self), batch_size=batch_size, n_jobs=n_jobs)


class FeatureStore:
    """Features of images from a frozen network, one file for each image.

    The folder is named by a fingerprint of the network and the file by the image's key,
    so other folds, searches and processes find the same features. Several processes may
    write at once: each file gets its name only when it is complete and on disk. Each
    has a checksum, so that the features in a damaged file are computed again.

    Parameters
    ----------
    directory : path-like
        Folder of the features; it is created if needed.
    trunk : keras.Model
        Computes the features, in inference mode, so that they never change.
    dtype : {"float16", "float32"}, default="float16"
        Type of the kept features.
    source : FeatureStore, default=None
        Store of the features that the trunk takes instead of images.

    Attributes
    ----------
    fingerprint : str
        Digest of the network and of the networks below it.
    n_computed : int
        Number of images whose features this object computed.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        trunk: Any,
        *,
        dtype: str = "float16",
        source: "FeatureStore | None" = None,
    ) -> None:
        self.trunk = trunk
        self.dtype = np.dtype(dtype)
        below = "" if source is None else source.fingerprint
        # Checksums take a fifth of the digest's time, and find weights loaded since.
        settings = self.dtype.str, below, *weight_checksums(trunk)
        self.fingerprint: str = build_once(
            trunk,
            "fingerprint",
            settings,
            lambda: fingerprint(trunk, dtype=self.dtype.str, below=below),
        )
        self.n_computed = 0
        self._shapes = [tuple(output.shape[1:]) for output in trunk.outputs]
        self._bytes_per_image = feature_bytes(trunk, 1, dtype)
        self._directory = Path(directory) / self.fingerprint

    def fill(
        self,
        source: LazyImages | StoredFeatures,
        *,
        batch_size: int,
        n_jobs: int,
        verbose: int,
    ) -> StoredFeatures:
        """Compute the features that are missing.

        After an interruption, the next call repeats the batches that were planned, so
        the features are the same to the last bit.

        Parameters
        ----------
        source : LazyImages or StoredFeatures
            Preprocessed images, or the features that the trunk takes.
        batch_size : int
            Images in a pass through the trunk.
        n_jobs : int
            Threads that compute images ahead of the trunk.
        verbose : int
            0 for silence; otherwise a progress bar.

        Returns
        -------
        StoredFeatures
            The features of all images, in their order.

        Raises
        ------
        OSError
            If the disk has too little space; the message names the space needed.
            Features written so far remain.
        FloatingPointError
            If a feature exceeds the range of the dtype.
        """
        keys, first_rows = np.unique(source.keys, return_index=True)
        absent = np.array([not self._has(key) for key in keys], dtype=bool)
        missing = np.sort(first_rows[absent])
        if len(missing):
            if len(missing) * self._bytes_per_image > self._free_bytes():
                raise self._disk_full_error(len(missing))
            folder = self._directory / "unfinished"
            plan = planned_batches(folder, source.keys, missing, batch_size)
            with plan as (rows, n_together):
                self._compute(source[rows], n_together, n_jobs, verbose)
        return StoredFeatures(self, source.keys)

    def batches(
        self,
        images: LazyImages,
        *,
        keep: bool,
        batch_size: int,
        n_jobs: int,
        verbose: int,
    ) -> Iterator[tuple[NDArray[np.intp] | slice, Arrays]]:
        """Read the features that are stored, and compute the others.

        Parameters
        ----------
        images : LazyImages
            Preprocessed images.
        keep : bool
            Whether to store what is computed, as :meth:`fill` does.
        batch_size, n_jobs, verbose : int
            As for :meth:`fill`.

        Yields
        ------
        rows : slice or ndarray of int
            Rows of a batch; in the order of the images only with `keep`.
        features : tuple of ndarray of shape (n_rows, ...), float16 or float32
            As from :meth:`StoredFeatures.load`.
        """
        if keep:
            kept = self.fill(
                images, batch_size=batch_size, n_jobs=n_jobs, verbose=verbose
            )
            yield from kept.batches(batch_size, n_jobs=n_jobs)
            return
        stored = np.array([self._has(key) for key in images.keys], dtype=bool)
        known, missing = np.flatnonzero(stored), np.flatnonzero(~stored)
        kept = StoredFeatures(self, images.keys[known])
        for rows, features in kept.batches(batch_size, n_jobs=n_jobs):
            yield known[rows], features
        if not len(missing):
            return
        size = min(batch_size, len(missing))
        progress = feature_progress(len(missing), verbose)
        with progress:
            for rows, outputs in self._passes(images[missing], size, n_jobs):
                self.n_computed += rows.stop - rows.start
                progress.update(rows.stop - rows.start)
                yield missing[rows], tuple(map(self._to_dtype, outputs))

    def _passes(
        self, images: LazyImages | StoredFeatures, batch_size: int, n_jobs: int
    ) -> Iterator[tuple[slice, list[NDArray[Any]]]]:
        batches = images.batches(batch_size, n_jobs=n_jobs)
        return predict_batches(folded(self.trunk), batches, batch_size=batch_size)

    def _compute(
        self,
        images: LazyImages | StoredFeatures,
        batch_size: int,
        n_jobs: int,
        verbose: int,
    ) -> None:
        progress = feature_progress(len(images), verbose)

        def write(rows: slice, outputs: Sequence[NDArray[Any]]) -> None:
            try:
                self._write(images.keys[rows], outputs)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise self._disk_full_error(len(images) - rows.start) from error
            self.n_computed += rows.stop - rows.start
            progress.update(rows.stop - rows.start)

        # A batch is written while the network computes the next.
        with progress, ThreadPoolExecutor(1) as writer:
            written: Future[None] = writer.submit(lambda: None)
            for rows, outputs in self._passes(images, batch_size, n_jobs):
                written.result()
                written = writer.submit(write, rows, outputs)
            written.result()

    def _read(self, keys: NDArray[np.str_]) -> Arrays:
        # Not widened to float32: networks do that faster than NumPy.
        parts = [np.empty((len(keys), *shape), self.dtype) for shape in self._shapes]
        for row, key in enumerate(keys):
            path = self._path(key)
            if not _read_file(path, [part[row] for part in parts]):
                raise OSError(f"{path} is damaged. Fit again to replace it.")
        return tuple(parts)

    def _path(self, key: str) -> Path:
        # A key may be any text; its digest is a valid file name.
        name = image_key(key)
        return self._directory / name[:2] / f"{name}.npy"

    def _has(self, key: str) -> bool:
        path = self._path(key)
        try:
            is_whole = _read_file(
                path, [np.empty(shape, self.dtype) for shape in self._shapes]
            )
        except FileNotFoundError:
            return False
        if not is_whole:
            warnings.warn(
                f"{path} is damaged: its size or its checksum is wrong. Its features "
                "are computed again.",
                stacklevel=2,
            )
        return is_whole

    def _write(self, keys: NDArray[np.str_], outputs: Sequence[NDArray[Any]]) -> None:
        n_rows = len(keys)
        rows = [np.asarray(part, np.float32).reshape(n_rows, -1) for part in outputs]
        kept = self._to_dtype(np.concatenate(rows, axis=1))
        for key, row in zip(keys, kept, strict=True):
            path, content = self._path(key), BytesIO()
            np.save(content, row)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                file.write(content.getbuffer())
                file.write(crc32(content.getbuffer()).to_bytes(_CHECKSUM))

    def _to_dtype(self, features: NDArray[Any]) -> NDArray[Any]:
        largest = max(features.max(), -features.min())
        if not np.isfinite(largest):
            raise FloatingPointError(
                "The network gives NaN or infinite features; check its weights."
            )
        if largest > np.finfo(self.dtype).max:
            raise FloatingPointError(
                f"Features of up to {largest:g} exceed the range of {self.dtype}; pass "
                "features_dtype='float32'."
            )
        # NumPy takes up to ten times as long for values that are subnormal in float16.
        kept: NDArray[Any] = keras.ops.convert_to_numpy(
            keras.ops.cast(features, self.dtype.name)
        )
        return kept

    def _free_bytes(self) -> int:
        folders = self._directory, *self._directory.absolute().parents
        return shutil.disk_usage(next(filter(Path.is_dir, folders))).free

    def _disk_full_error(self, n_images: int) -> OSError:
        needed = n_images * self._bytes_per_image
        return OSError(
            errno.ENOSPC,
            f"The features of {n_images} images need {needed / 1e6:,.1f} MB more; "
            f"{self._directory} has {self._free_bytes() / 1e6:,.1f} MB free. Set "
            "memory to a folder on a larger disk, or features_dtype='float16', which "
            "takes half of 'float32'.",
        )


def _read_file(path: Path, parts: Sequence[NDArray[Any]]) -> bool:
    """Read the features of one image into arrays; tell whether the file is whole."""
    # numpy.load parses the header and copies, which takes three times as long.
    with path.open("rb", buffering=0) as file:
        checksum = crc32(file.read(_NPY_HEADER))
        for part in parts:
            file.readinto(part.data)
            checksum = crc32(part.data, checksum)
        # One byte more than there should be.
        return file.read(_CHECKSUM + 1) == checksum.to_bytes(_CHECKSUM)


def fingerprint(model: Any, *, dtype: str = "", below: str = "") -> str:
    """Digest all that a network's output depends on, except its input."""
    digest = hashlib.blake2b(digest_size=16)
    positions = {id(layer): index for index, layer in enumerate(model.layers)}

    def position(tensor: Any) -> int | None:
        return positions.get(id(tensor_source(tensor).layer))

    # Other versions may augment, read or decode differently.
    parts: list[Any] = [__version__, below, keras.backend.backend()]
    parts += [keras.__version__, dtype, installed_versions(DECODERS)]
    for layer in model.layers:
        config = {**layer.get_config(), "name": None, "trainable": None}
        sources = [position(tensor) for tensor in input_tensors(layer)]
        parts.append([type(layer).__name__, config, sources])
        for weights in layer.get_weights():
            digest.update(np.ascontiguousarray(weights).data.cast("B"))
    parts += map(position, model.outputs)
    digest.update(json.dumps(parts, default=str, sort_keys=True).encode())
    return digest.hexdigest()
