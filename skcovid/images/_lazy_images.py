"""`LazyImages`, the one carrier of images between the steps of a pipeline."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from skcovid._base._digests import image_key
from skcovid._base._read_ahead import read_ahead

# Images that are computed in one call. More would take less time but more memory.
_TOGETHER = 64


class LazyImages:
    """Images computed on access, behind the interface of an array.

    It has a `shape`, `dtype`, `ndim` and length, is indexed along its first axis by an
    integer (one image), a slice, a mask or an array of indices (a smaller `LazyImages`,
    nothing computed), and becomes an array with ``np.asarray``. scikit-learn's
    splitters and ``cross_val_predict`` accept it, and memory holds only a batch.

    Parameters
    ----------
    load : callable
        Computes one image from one item: ``load(item) -> ndarray``. Must be picklable
        and free of side effects; it is called from several threads at once.
    items : array-like of shape (n_samples,)
        What each image is computed from.
    image_shape : tuple of int
        Shape of one image: ``(height, width)`` or ``(height, width, 3)``.
    keys : array-like of shape (n_samples,) of str, default=None
        A stable name for the content of each image: what it was read from and every
        operation since. Equal keys mean equal pixels, in any process. By default
        digests of the pixels, computed when the keys are first used.
    dtype : dtype, default=uint8
        Type of the pixels, also an attribute.
    origins : array-like of shape (n_samples,) of str, default=None
        Key of the image that each was first made from; `keys` by default.
    index : pandas.Index of length n_samples, default=None
        Labels of the rows, which a table of the images' features gets. Also an
        attribute.

    Attributes
    ----------
    pixel_mode : str or None
        The mode of :class:`skcovid.networks.backbones.Backbone` that pixels are in;
        None if no :class:`BackbonePreprocessor` made them.

    Raises
    ------
    ValueError
        If there are not as many keys or index labels as items or, on access, if `load`
        returns an image of another shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid import LazyImages
    >>> images = LazyImages(lambda grey: np.full((4, 4), grey, np.uint8), [10, 20, 30],
    ...                     image_shape=(4, 4))
    >>> images.shape
    (3, 4, 4)
    >>> images[1:]
    LazyImages(shape=(2, 4, 4), dtype=uint8)
    >>> np.asarray(images[[2, 0]]).mean(axis=(1, 2))
    array([30., 10.])
    """

    def __init__(
        self,
        load: "_Load",
        items: Any,
        *,
        image_shape: tuple[int, ...],
        keys: ArrayLike | None = None,
        dtype: DTypeLike = np.uint8,
        origins: ArrayLike | None = None,
        index: Any = None,
    ) -> None:
        self._load = load
        if not isinstance(items, np.ndarray) or items.ndim != 1:
            items = np.fromiter(items, dtype=object, count=len(items))
        self._items: NDArray[Any] = items
        self._image_shape = tuple(int(side) for side in image_shape)
        self._keys = None if keys is None else np.asarray(keys, dtype=np.str_)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._origins = None if origins is None else np.asarray(origins, dtype=np.str_)
        self.index = index
        self.pixel_mode: str | None = None
        for name, values in (("keys", self._keys), ("index", index)):
            if values is not None and len(values) != len(items):
                raise ValueError(
                    f"{name} has {len(values)} entries for {len(items)} items."
                )

    @classmethod
    def from_array(cls, images: NDArray[Any]) -> "LazyImages":
        """Wrap an array of images without copying the pixels.

        Parameters
        ----------
        images : ndarray of shape (n_samples, height, width[, 3])
            The images.

        Returns
        -------
        LazyImages
        """
        return cls(
            np.asarray, list(images), image_shape=images.shape[1:], dtype=images.dtype
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n_samples, *image_shape)``."""
        return (len(self._items), *self._image_shape)

    @property
    def ndim(self) -> int:
        """Number of axes, the one of the samples included."""
        return len(self.shape)

    @property
    def keys(self) -> NDArray[np.str_]:
        """Content key of every image, ndarray of shape (n_samples,)."""
        if self._keys is None:
            keys = [
                image_key(image.shape, image.dtype.str, image.tobytes())
                for image in self
            ]
            self._keys = np.array(keys, dtype=np.str_)
        return self._keys

    @property
    def origins(self) -> NDArray[np.str_]:
        """Key of the image that each was first made from, as `keys`."""
        return self.keys if self._origins is None else self._origins

    def map(
        self,
        operation: Callable[[NDArray[Any]], NDArray[Any]],
        name: str,
        *,
        image_shape: tuple[int, ...] | None = None,
        dtype: DTypeLike | None = None,
    ) -> "LazyImages":
        """Apply an operation to every image, on access.

        Parameters
        ----------
        operation : callable
            ``operation(image) -> image``; picklable and without side effects.
        name : str
            States the operation and all its parameters; it becomes part of the keys.
        image_shape : tuple of int, default=None
            Shape of one resulting image, if the operation changes it.
        dtype : dtype, default=None
            Type of the resulting pixels, if the operation changes it.

        Returns
        -------
        LazyImages
            The same number of images.
        """
        keys = self._keys
        return self._with(
            load=_Composed(self._load, operation),
            image_shape=self._image_shape if image_shape is None else image_shape,
            keys=None if keys is None else [image_key(key, name) for key in keys],
            dtype=self.dtype if dtype is None else dtype,
        )

    def derive(
        self,
        operation: Callable[[Sequence[NDArray[Any]], Sequence[Any]], NDArray[Any]],
        indices: NDArray[np.intp],
        arguments: Any,
        keys: ArrayLike,
    ) -> "LazyImages":
        """Make new images of the same shape out of these, with one argument each.

        Parameters
        ----------
        operation : callable
            ``operation(images, arguments) -> images``: takes a list of images and one
            of arguments, returns an array of as many new images. Each must depend on
            its own image and argument alone. Picklable, without side effects.
        indices : ndarray of shape (n_new_samples,)
            Which of these images each new one is made from.
        arguments : sequence of length n_new_samples
            The argument for each new image.
        keys : array-like of shape (n_new_samples,) of str
            Content key of each new image.

        Returns
        -------
        LazyImages
            `n_new_samples` images.
        """
        items = zip(self._items[indices], arguments, strict=True)
        return self._with(
            load=_Derived(self._load, operation),
            items=list(items),
            keys=keys,
            origins=self.origins[indices],
            index=None,
        )

    def _with(self, **changes: Any) -> "LazyImages":
        """Make images of which the arguments in `changes` are other ones."""
        arguments: dict[str, Any] = {
            "load": self._load,
            "items": self._items,
            "image_shape": self._image_shape,
            "keys": self._keys,
            "dtype": self.dtype,
            "origins": self._origins,
            "index": self.index,
        }
        images = LazyImages(**{**arguments, **changes})
        images.pixel_mode = self.pixel_mode
        return images

    def batches(
        self, batch_size: int, *, n_jobs: int = 2
    ) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Compute the images in order, batch by batch, some batches ahead.

        Parameters
        ----------
        batch_size : int
            Images in a batch; the last may hold fewer.
        n_jobs : int, default=2
            Threads that compute batches ahead of the caller.

        Yields
        ------
        rows : slice
            Where the batch lies.
        images : ndarray of shape (batch_size, ...)
            Its images.
        """
        # Computing two batches in one call takes less time; as fewer are computed ahead
        # (one per thread and one more), memory hardly grows.
        few = len(self) < 2 * n_jobs * batch_size
        n_together = 1 if few or 2 * batch_size > _TOGETHER else 2
        parts = read_ahead(
            lambda rows: np.asarray(self[rows]),
            len(self),
            batch_size=n_together * batch_size,
            n_jobs=n_jobs,
            n_ahead=max(n_jobs + 1, 2 * n_jobs // n_together),
        )
        for rows, images in parts:
            for start in range(0, len(images), batch_size):
                batch = images[start : start + batch_size]
                first = rows.start + start
                yield slice(first, first + len(batch)), batch

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        # scikit-learn indexes arrays with (rows, ...).
        if isinstance(index, tuple):
            if len(index) != 2 or index[1] is not Ellipsis:
                raise IndexError(
                    "LazyImages are indexed along the first axis only; use "
                    "np.asarray(images) to index pixels."
                )
            index = index[0]
        if isinstance(index, int | np.integer) and not isinstance(index, bool):
            [image] = _load_each(self._load, [self._items[index]])
            return self._checked(image, self._image_shape)
        rows = np.arange(len(self))[index]
        if rows.ndim != 1:
            raise IndexError(
                "LazyImages are indexed by an integer, a slice, or a one-dimensional "
                f"mask or array of indices, got {index!r}."
            )
        keys, origins, labels = (
            None if values is None else values[rows]
            for values in (self._keys, self._origins, self.index)
        )
        items = self._items[rows]
        return self._with(items=items, keys=keys, origins=origins, index=labels)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[row] for row in range(len(self)))

    def _compute(self, items: NDArray[Any]) -> NDArray[Any]:
        computed = _load_each(self._load, items)
        if isinstance(computed, np.ndarray):
            return self._checked(computed, (len(items), *self._image_shape))
        images = np.empty((len(items), *self._image_shape), self.dtype)
        for row, image in enumerate(computed):
            images[row] = self._checked(image, self._image_shape)
        return images

    def _checked(self, computed: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        # Assignment to an array would broadcast and cast without an error.
        if computed.shape != shape or computed.dtype != self.dtype:
            raise ValueError(
                f"load must return pixels of shape {shape} and {self.dtype}, but "
                f"returned {computed.shape} and {computed.dtype}."
            )
        return computed

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            raise ValueError("copy=False is not possible: LazyImages are computed.")
        if 0 < len(self) <= _TOGETHER:
            images = self._compute(self._items)
        else:
            images = np.empty(self.shape, self.dtype)
            for start in range(0, len(self), _TOGETHER):
                rows = slice(start, start + _TOGETHER)
                images[rows] = self._compute(self._items[rows])
        return images if dtype is None else images.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"LazyImages(shape={self.shape}, dtype={self.dtype})"


@dataclass
class _Composed:
    """Load images and apply an operation to each; a class, so that it pickles."""

    load: "_Load"
    operation: Callable[[NDArray[Any]], NDArray[Any]]

    def each(self, items: Iterable[Any]) -> Iterable[NDArray[Any]]:
        return map(self.operation, _load_each(self.load, items))


@dataclass
class _Derived:
    """Load images and apply an operation to all of them and their arguments."""

    load: "_Load"
    operation: Callable[[Sequence[NDArray[Any]], Sequence[Any]], NDArray[Any]]

    def each(self, items: Iterable[tuple[Any, Any]]) -> NDArray[Any]:
        sources, arguments = zip(*items, strict=True)
        return self.operation(list(_load_each(self.load, sources)), arguments)


_Load: TypeAlias = Callable[[Any], NDArray[Any]] | _Composed | _Derived


def _load_each(load: _Load, items: Iterable[Any]) -> Iterable[NDArray[Any]]:
    if isinstance(load, _Composed | _Derived):
        return load.each(items)
    return map(load, items)
