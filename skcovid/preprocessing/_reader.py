"""`RadiographReader`: from files to pixels of one size."""

from functools import partial
from numbers import Integral
from typing import Any, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skcovid._base._compatibility import Interval, StrOptions, fit_context
from skcovid._base._digests import image_key
from skcovid._base._label_checks import check_target
from skcovid.images._checks import as_lazy, check_images, row_index
from skcovid.images._lazy_images import LazyImages
from skcovid.preprocessing._resize import ImageTransformer, as_size, resize
from skcovid.reading._check_files import FileContent, check_files
from skcovid.reading._files import read_bytes
from skcovid.reading._lung_masks import MARGIN, Lungs, apply_mask, read_mask
from skcovid.reading._paths import as_paths, format_path, holds_paths
from skcovid.reading._read import decode_file


class RadiographReader(ImageTransformer):
    """Read radiographs from files, or take arrays, at one common size.

    Parameters
    ----------
    image_size : int or tuple of int, default=None
        Side, or (height, width), in pixels that every image is resized to. None for the
        images' own size, which must be the same for all.
    channels : {"grey", "rgb"}, default="grey"
        Whether files are read as one grey level or as three RGB channels. Arrays keep
        the channels they have under "grey" and become RGB under "rgb".
    white_level : int, default=None
        Level in [1, 65535] that is white in 16-bit PNG, TIFF and PGM files, such as
        4095 if their pixels have 12 bits; a file with a higher level is an error. None
        for 65535. It changes no other file: white is 255 in 8-bit files, and DICOM
        files, TIFF of 10, 12 and 14 bits and PGM with another maximum state theirs.
    lungs : {"crop", "only", "remove"}, default=None
        What to do by the lung mask beside each file, ``masks/1.png`` of
        ``images/1.png``. "crop": crop to the lungs, with 5 % of their height and width
        as margin. "only": blacken all else. "remove": blacken the lungs, to see what is
        told without them. Lung is where a mask has at least half its highest level; it
        is resized to its image by nearest neighbour. Needs paths.
    lazy : bool or "auto", default="auto"
        Whether images are computed on access (:class:`LazyImages`) rather than at once.
        "auto": lazily from paths, at once from arrays. Those of a pandas column are
        `LazyImages` in any case, as these carry its index.
    n_jobs : int, default=2
        Threads that check files.

    Attributes
    ----------
    image_size_ : tuple of int
        (height, width) of the output, in pixels.

    See Also
    --------
    BackbonePreprocessor : Prepares the images for a network.

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid import RadiographReader
    >>> X = np.zeros((2, 10, 12), dtype=np.uint8)
    >>> RadiographReader(image_size=8).fit_transform(X).shape
    (2, 8, 8)
    """

    _parameter_constraints = {
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, None],
        "channels": [StrOptions({"grey", "rgb"})],
        "white_level": [Interval(Integral, 1, 2**16 - 1, closed="both"), None],
        "lungs": [StrOptions({"crop", "only", "remove"}), None],
        "lazy": ["boolean", StrOptions({"auto"})],
        "n_jobs": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        image_size: int | tuple[int, int] | None = None,
        *,
        channels: Literal["grey", "rgb"] = "grey",
        white_level: int | None = None,
        lungs: Lungs | None = None,
        lazy: bool | Literal["auto"] = "auto",
        n_jobs: int = 2,
    ) -> None:
        self.image_size = image_size
        self.channels = channels
        self.white_level = white_level
        self.lungs = lungs
        self.lazy = lazy
        self.n_jobs = n_jobs

    @fit_context()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Determine the size of the images; open files only if `image_size` is None.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples,) or \
                (n_samples, height, width[, 3])
            Paths, str or path-like, in a list, array or column (not a table); or grey
            or RGB pixels in [0, 255].
        y : array-like of shape (n_samples,), default=None
            Class labels, which are only checked.

        Returns
        -------
        RadiographReader
            The fitted transformer.

        Raises
        ------
        FileNotFoundError
            If `image_size` is None and files are missing (all are listed).
        ValueError
            If `X` holds neither paths nor pixels in [0, 255]; if `image_size` is None
            and files are unreadable (all are listed) or differ in size; if `lungs` is
            set and `X` holds pixels; if labels are missing or differ only by type, case
            or spaces.
        """
        check_target(y)
        source = self._check_input(X)
        self.image_size_ = as_size(self.image_size) or self._own_size(source)
        return self

    def transform(self, X: Any) -> NDArray[np.uint8] | LazyImages:
        """Read or take the images and resize them.

        Each file is decoded once here, so that all unreadable ones are listed before a
        long computation; this process decodes it again only if it has changed. Images
        are read when they are used; a file that has changed by then is a ValueError.

        Parameters
        ----------
        X : LazyImages or array-like of shape (n_samples,) or \
                (n_samples, height, width[, 3])
            Paths or pixels, as `fit` takes them.

        Returns
        -------
        LazyImages or ndarray of shape (n_samples, height, width[, 3]), \
                uint8 in [0, 255], RGB
            The images.

        Raises
        ------
        FileNotFoundError
            If files or their lung masks are missing (all are listed).
        ValueError
            If files are unreadable (all are listed) or pixels are outside [0, 255]; if
            `lungs` is set, and lung masks are unreadable, empty or of another aspect
            than their images (all are listed), or `X` holds pixels.
        """
        check_is_fitted(self)
        source = self._check_input(X)
        images = self._read(source) if isinstance(source, list) else self._take(source)
        eager = isinstance(source, np.ndarray) if self.lazy == "auto" else not self.lazy
        index = row_index(X)
        if eager and index is None:
            return np.asarray(images)
        images = LazyImages.from_array(np.asarray(images)) if eager else images[:]
        images.index = index
        return images

    def _check_input(self, X: Any) -> list[str] | NDArray[np.uint8] | LazyImages:
        if holds_paths(X):
            return as_paths(X)
        if self.lungs is not None:
            raise ValueError(
                f"lungs={self.lungs!r} needs paths, as lung masks lie beside files, "
                "but X holds pixels. Pass paths; or set lungs=None, for images whose "
                "masks are applied already."
            )
        return check_images(X)

    def _own_size(
        self, source: list[str] | NDArray[np.uint8] | LazyImages
    ) -> tuple[int, int]:
        if not isinstance(source, list):
            return source.shape[1], source.shape[2]
        files = self._check(source)
        size = files[0].height, files[0].width
        for path, file in zip(source, files, strict=True):
            if (file.height, file.width) != size:
                raise ValueError(
                    "image_size=None needs files of one size, but "
                    f"{source[0]} is {size[0]}×{size[1]} and {path} is "
                    f"{file.height}×{file.width}. Pass image_size to resize them."
                )
        return size

    def _check(self, paths: list[str]) -> list[FileContent]:
        return check_files(
            paths,
            channels=self.channels,
            white_level=self.white_level,
            masks=self.lungs is not None,
            n_jobs=self.n_jobs,
        )

    def _read(self, paths: list[str]) -> LazyImages:
        size, channels, white = self.image_size_, self.channels, self.white_level
        files = self._check(paths)
        operation = f"read({channels}, {size})"
        if white is not None:
            operation += f", white {white}"
        if (lungs := self.lungs) is not None:
            operation += f", lungs {lungs}, margin {MARGIN}, mask "
        return LazyImages(
            partial(_read_file, size=size, channels=channels, white=white, lungs=lungs),
            list(zip(paths, files, strict=True)),
            image_shape=size if channels == "grey" else (*size, 3),
            keys=[image_key(file.digest, operation + file.mask) for file in files],
        )

    def _take(self, source: NDArray[np.uint8] | LazyImages) -> LazyImages:
        images, size = as_lazy(source), self.image_size_
        if self.channels == "rgb" and images.ndim == 3:
            to_rgb = partial(cv2.cvtColor, code=cv2.COLOR_GRAY2RGB)
            images = images.map(to_rgb, "rgb", image_shape=(*images.shape[1:], 3))
        if images.shape[1:3] == size:
            return images
        shape = (*size, *images.shape[3:])
        operation = partial(resize, size=size)
        return images.map(operation, f"resize({size})", image_shape=shape)


def _read_file(
    item: tuple[str, FileContent],
    size: tuple[int, int],
    channels: Literal["grey", "rgb"],
    white: int | None,
    lungs: Lungs | None,
) -> NDArray[np.uint8]:
    path, checked = item
    data = read_bytes(path)
    _check_unchanged(path, "file", image_key(data), checked.digest)
    # `check_files` has warned of doubts about the file.
    pixels, _ = decode_file(data, path, channels, white)
    if lungs is not None:
        mask, digest = read_mask(path, (pixels.shape[0], pixels.shape[1]))
        _check_unchanged(path, "lung mask", digest, checked.mask)
        pixels = apply_mask(pixels, mask, lungs)
    return resize(pixels, size)


def _check_unchanged(path: str, what: str, found: str, checked: str) -> None:
    if found != checked:
        raise ValueError(
            f"{format_path(path)}: the {what} has changed since `transform` checked "
            "it; call `transform`, or what called it, again."
        )


def find_readers(estimator: Any) -> list[RadiographReader]:
    """List the readers in an estimator."""
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else {}
    parts = estimator, *parameters.values()
    return [part for part in parts if isinstance(part, RadiographReader)]


def find_white_level(estimator: Any) -> int | None:
    """Return the white level of the first reader in an estimator, None without one."""
    readers = find_readers(estimator)
    return readers[0].white_level if readers else None
