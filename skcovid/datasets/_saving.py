"""Save images in the folder layout that `load_radiographs` reads."""

import csv
import io
import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length

from skcovid._base._atomic_files import atomic_write
from skcovid._base._compatibility import validate_params
from skcovid._base._label_checks import check_groups, check_labels
from skcovid.datasets._layouts import RESERVED_NAMES, TABLE
from skcovid.datasets._listing import is_hidden
from skcovid.reading._paths import format_path


@validate_params(
    {
        "images": ["array-like"],
        "target": ["array-like"],
        "root": [str, os.PathLike],
        "groups": ["array-like", None],
        "source": ["array-like", None],
    }
)
def save_radiographs(
    images: ArrayLike,
    target: ArrayLike,
    root: str | os.PathLike[str],
    *,
    groups: ArrayLike | None = None,
    source: ArrayLike | None = None,
) -> None:
    """Write images as PNG files, one folder per class.

    Image number *k* of a class, in the order given and from 1, becomes
    ``<root>/<class>/<k>.png``.

    Parameters
    ----------
    images : array-like of shape (n_images, height, width) or \
            (n_images, height, width, 3), uint8 in [0, 255], RGB
        The images.
    target : array-like of shape (n_images,), str
        Labels, which become names of folders.
    root : str or path-like
        An empty folder, or a new one, which is made with its parents.
    groups : array-like of shape (n_images,), default=None
        Patients, which are written to ``<root>/metadata.csv``.
    source : array-like of shape (n_images,), default=None
        Sources, which are written there too.

    Raises
    ------
    FileExistsError
        If `root` is a file, or a folder that is not empty.
    ValueError
        If images are not uint8 or of another shape, the lengths differ, or a label
        is not a valid name of a class folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skcovid.datasets import make_radiographs, save_radiographs
    >>> X, y = make_radiographs(4, image_size=32, random_state=0, return_X_y=True)
    >>> with TemporaryDirectory() as folder:
    ...     save_radiographs(X, y, folder)
    ...     sorted(path.parent.name for path in Path(folder).rglob("*.png"))
    ['COVID-19', 'NORMAL', 'Viral Pneumonia', 'Viral Pneumonia']
    """
    root = Path(root)
    images = np.asarray(images)
    labels = [str(label) for label in np.asarray(target)]
    if (
        images.dtype != np.uint8
        or images.ndim not in (3, 4)
        or images.shape[3:] not in ((), (3,))
    ):
        raise ValueError(
            "images must be uint8 of shape (n_images, height, width) or (n_images, "
            f"height, width, 3), got {images.dtype} of shape {images.shape}."
        )
    check_consistent_length(images, labels, groups, source)
    check_groups(groups)
    for label in dict.fromkeys(labels):
        is_name = label not in ("", "..") and not set(label) & set("/\\")
        if not is_name or is_hidden(label) or label.casefold() in RESERVED_NAMES:
            raise ValueError(
                "target: load_radiographs does not read class folders named "
                f"{label!r}; rename the label."
            )
    check_labels(target)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{format_path(root)}: exists and is not an empty folder")
    for label in set(labels):
        (root / label).mkdir(parents=True)
    counts: Counter[str] = Counter()
    files = []
    for label, image in zip(labels, images, strict=True):
        counts[label] += 1
        files.append(f"{label}/{counts[label]}.png")
        in_opencv_order = image[..., ::-1] if image.ndim == 3 else image
        # cv2.imwrite can't write to every path on Windows.
        _, encoded = cv2.imencode(".png", in_opencv_order)
        with atomic_write(root / files[-1]) as file:
            file.write(encoded.tobytes())
    given = {"patient": groups, "source": source}
    columns = {name: column for name, column in given.items() if column is not None}
    if columns:
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(["file", "label", *columns])
        writer.writerows(
            zip(files, labels, *map(np.asarray, columns.values()), strict=True)
        )
        with atomic_write(root / TABLE) as file:
            file.write(table.getvalue().encode())
