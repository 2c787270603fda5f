"""The manifest of a model file: format, versions, data, classes and checksums."""

import hashlib
from collections import Counter
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import ArrayLike

from skcovid._base._digests import image_key
from skcovid._base._version import __version__, installed_versions
from skcovid.images._fingerprints import digest_samples
from skcovid.persistence._zip_container import ModelFileError
from skcovid.reading._files import read_bytes
from skcovid.reading._paths import as_paths, holds_paths

FORMAT = "skcovid-model"
FORMAT_VERSION = 1

_PACKAGES = [
    *("python", "skcovid", "keras", "scikit-learn", "imbalanced-learn"),
    *("numpy", "scipy", "skops", "simplejpeg"),
]


def list_versions(*, with_backend: bool) -> dict[str, str]:
    """Return the versions of Python, skcovid and what it predicts with."""
    versions = installed_versions(_PACKAGES) | {"opencv": cv2.__version__}
    if with_backend:
        backend = keras.backend.backend()
        versions |= {"backend": backend, **installed_versions([backend])}
    return versions


def describe_data(X: Any, y: ArrayLike | None) -> dict[str, Any]:
    """Count and fingerprint images and labels; their order does not matter."""
    if holds_paths(X):
        digests = [image_key(read_bytes(path)) for path in as_paths(X)]
    else:
        digests = digest_samples(X)
    labels = [None] * len(digests) if y is None else np.asarray(y).tolist()
    pairs = sorted(f"{key} {label}" for key, label in zip(digests, labels, strict=True))
    counts = Counter(str(label) for label in labels)
    return {
        "n_samples": len(digests),
        "classes": None if y is None else dict(sorted(counts.items())),
        "fingerprint": image_key(*pairs),
    }


def describe_members(members: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """Return the size and checksum of every member."""
    return {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in members.items()
    }


def check_manifest(manifest: Any, members: dict[str, bytes]) -> None:
    """Check that this version can load the file, and the members' checksums."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelFileError("its manifest is not that of a skcovid model")
    found = manifest.get("format_version")
    if type(found) is not int or found < 1:
        raise ModelFileError(f"its format version {found!r} is not valid")
    if found > FORMAT_VERSION:
        raise ModelFileError(
            f"it has format version {found}, but skcovid {__version__} reads versions "
            f"up to {FORMAT_VERSION}; install a newer skcovid"
        )
    expected = {"versions": dict, "members": dict, "networks": list, "classes": list}
    for name, kind in expected.items():
        if not isinstance(manifest.get(name), kind):
            raise ModelFileError(f"its manifest has no valid {name!r}")
    saved_with = str(manifest["versions"].get("skcovid"))
    if saved_with.split(".")[0] != __version__.split(".")[0]:
        raise ModelFileError(
            f"it was saved with skcovid {saved_with}, and this is skcovid "
            f"{__version__}; install the major version it was saved with"
        )
    described, found = manifest["members"], describe_members(members)
    for name in sorted(described.keys() | found.keys()):
        if name not in found:
            raise ModelFileError(f"its member {name!r} is missing")
        if name not in described:
            raise ModelFileError(f"its member {name!r} is not in its manifest")
        if found[name] != described[name]:
            raise ModelFileError(
                f"its member {name!r} was changed after it was saved: its size or "
                "checksum differs"
            )
