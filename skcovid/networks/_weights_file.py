"""Files of weights: checked by their headers, loaded, and checked again."""

import math
import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

# Keras' name for the weights inside a .keras file.
_MEMBER = "model.weights.h5"

# Numbers in all kernels of convolutions, by which a file of weights is recognised.
KERNEL_SIZES = {
    "densenet121": 6_870_208,
    "efficientnetlite0": 3_328_992,
    "efficientnetlite2": 4_752_976,
    "efficientnetv2b0": 5_784_576,
    "inceptionv3": 21_751_136,
    "mobilenetv2": 2_189_760,
    "resnet50": 23_454_912,
    "vgg19": 20_018_880,
}


class WeightsError(ValueError):
    """What is wrong with a file of weights."""


def weights_path(weights: str | os.PathLike[str] | None) -> Path | None:
    """Return the path of a file of weights, or None for "imagenet" and None."""
    if weights is None or weights == "imagenet":
        return None
    path = Path(weights)
    if not path.name.endswith((".weights.h5", ".keras")):
        is_path = len(path.parts) > 1 or path.suffix
        problem = "is not named .weights.h5 or .keras" if is_path else "is not known"
        raise ValueError(
            f"weights={os.fspath(weights)!r} {problem}. It must be 'imagenet', "
            "None, or the path of a .weights.h5 or .keras file."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"weights={os.fspath(weights)!r}: no such file. Check the path."
        )
    return path


def identify_weights(weights: str | os.PathLike[str]) -> tuple[object, ...]:
    """Return what tells weights apart: of a file, also when it was written."""
    path = weights_path(weights)
    if path is None:
        return (weights,)
    found = path.stat()
    return path.resolve(), found.st_mtime_ns, found.st_size


def load_weights(base: Any, path: Path, backbone: str) -> None:
    """Load the weights of a backbone without its top."""
    try:
        expected = Counter(tuple(variable.shape) for variable in base.weights)
        # Of the widest type; the chunks of a file may reach beyond an array's edges.
        found = _read_shapes(path, largest=2 * 8 * max(map(math.prod, expected)))
        if missing := list((expected - found).elements()):
            size = sum(math.prod(shape) for shape in found.elements() if shape[3:])
            known = [name for name, total in KERNEL_SIZES.items() if total == size]
            others = f"; they look like those of backbone={known[0]!r}" if known else ""
            raise WeightsError(
                f"the file lacks {len(missing)} of {len(base.weights)} arrays, such as "
                f"one of shape {missing[0]}{others}"
            )
        with warnings.catch_warnings():
            # Where a file lacks a layer's weights, Keras warns and leaves them random.
            warnings.filterwarnings("error", message="Skipping|A total of")
            try:
                base.load_weights(path)
            except (ValueError, UserWarning) as error:
                raise WeightsError(
                    "its arrays have other places than the backbone's. If they are of "
                    "a network that has the backbone inside, save the backbone alone. "
                    f"{error}"
                ) from error
        for layer in base.layers:
            for variable in layer.weights:
                if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
                    raise WeightsError(
                        f"{variable.name} of layer {layer.name!r} holds NaN or "
                        "infinite numbers"
                    )
    except Exception as error:
        # Damaged files raise many kinds of errors.
        raise ValueError(
            f"weights={str(path)!r} can't be used for backbone {backbone!r} without "
            f"its top: {error}. Pass a file that Keras saved of this network with "
            "include_top=False, or weights='imagenet'."
        ) from (None if isinstance(error, WeightsError) else error)


def _read_shapes(path: Path, largest: int) -> Counter[tuple[int, ...]]:
    """Count the shapes of the arrays in a file.

    HDF5 files may refer to other files, and state sizes that they do not have: reading
    these may take any memory.
    """
    shapes: Counter[tuple[int, ...]] = Counter()
    links: list[str] = []
    file_size = path.stat().st_size

    def check_link(name: bytes, link: Any) -> None:
        # h5py loses an error that is raised here.
        if link.type != h5py.h5l.TYPE_HARD:
            links.append(name.decode(errors="replace"))

    def check(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual:
            raise WeightsError(f"{name!r} is in another file")
        chunk = math.prod(item.chunks or (0,)) * item.dtype.itemsize
        if item.chunks and max(chunk, item.nbytes) > largest:
            raise WeightsError(
                f"{name!r}, of {item.nbytes:,} bytes in chunks of {chunk:,}, is larger "
                "than the network's arrays"
            )
        stored = min(item.id.get_storage_size(), file_size)
        if stored < (bool(item.nbytes) if item.chunks else item.nbytes):
            raise WeightsError(
                f"{name!r} should have {item.nbytes:,} bytes, but has {stored:,}"
            )
        if "/vars/" in name and not name.startswith("optimizer/"):
            shapes[item.shape] += 1

    with _open_hdf5(path) as file:
        file.id.links.visit(check_link, info=True)
        if links:
            raise WeightsError(f"{links[0]!r} is a link to something else")
        file.visititems(check)
    if not shapes:
        raise WeightsError(
            "it holds no weights as Keras 3 names them. If it is an older .h5 file, "
            "let the network that it is of load it, and call save_weights"
        )
    return shapes


@contextmanager
def _open_hdf5(path: Path) -> Iterator[Any]:
    """Open a .weights.h5 file, or the one in a .keras file, without its network."""
    if path.suffix != ".keras":
        with h5py.File(path) as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(_MEMBER).compress_type != zipfile.ZIP_STORED:
            raise WeightsError(f"{_MEMBER} is compressed, which Keras does not do")
        with archive.open(_MEMBER) as member, h5py.File(member) as file:
            yield file
