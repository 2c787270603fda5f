"""Save a fitted pipeline to a file, load it, and describe the file."""

import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils.validation import check_is_fitted

from skcovid._base._atomic_files import atomic_write, check_writable, open_file
from skcovid.persistence import _manifest
from skcovid.persistence._fingerprint import fingerprint_model
from skcovid.persistence._networks import (
    extract_networks,
    list_layer_classes,
    pack_weights,
    restore_networks,
)
from skcovid.persistence._test_predictions import TOLERANCE, predict_test_images
from skcovid.persistence._traversal import without_folders
from skcovid.persistence._trusted_types import dump_pipeline, load_pipeline
from skcovid.persistence._zip_container import (
    ModelFileError,
    parse_json,
    read_members,
    write_members,
)

_MANIFEST = "manifest.json"
_PIPELINE = "pipeline.skops"
_NETWORK = "network-{}.safetensors"
_MEMBERS = re.compile(r"manifest\.json|pipeline\.skops|network-[0-9]{1,3}\.safetensors")


def save(
    pipeline: Any,
    path: str | os.PathLike[str],
    *,
    X: Any = None,
    y: ArrayLike | None = None,
) -> None:
    """Save a fitted pipeline to one file.

    The file holds no pickle and no code: skops stores the estimators of scikit-learn
    and skcovid, and safetensors the weights of the networks. Folders are not saved: the
    loaded pipeline has ``memory=None``. An existing file is replaced only after the new
    one has been written, read again and compared.

    Parameters
    ----------
    pipeline : estimator
        A fitted pipeline of skcovid, imbalanced-learn or scikit-learn, or an estimator.
        Its backbones must be registered. Estimators that a hostile file could use to
        run code or crash Python can't be saved: your own functions, trees and forests,
        nearest neighbours, kernel support vector machines; nor can SciPy's
        distributions, splines and sparse arrays.
    path : path-like
        The file, for example ``"model.skcovid"``.
    X : array-like of shape (n_samples,) of paths, LazyImages, or array-like of shape \
            (n_samples, height, width[, 3]), default=None
        The training images; the file gets their number and fingerprint.
    y : array-like of shape (n_samples,), default=None
        Their labels.

    Raises
    ------
    NotFittedError
        If the pipeline is not fitted.
    FileNotFoundError, IsADirectoryError, PermissionError
        If no file can be written to `path`; checked first.
    TypeError
        If the pipeline holds something that can't be saved; the message names it and
        the parameter or attribute that holds it.
    ValueError
        If parameters were changed after ``fit`` and no longer describe the network.

    See Also
    --------
    load : Reads the file.
    skcovid.persistence.describe : Reads the description in the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import skcovid
    >>> from skcovid.datasets import make_radiographs
    >>> X, y = make_radiographs(
    ...     n_samples=12, image_size=64, random_state=0, return_X_y=True
    ... )
    >>> reader = skcovid.RadiographReader(image_size=32).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "reader.skcovid"
    ...     skcovid.save(reader, path)
    ...     skcovid.load(path)
    RadiographReader(image_size=32)
    """
    check_is_fitted(pipeline)
    check_writable(path)
    copy, networks = extract_networks(pipeline)
    content, is_quick = dump_pipeline(copy)
    members = {_PIPELINE: content}
    for number, network in enumerate(networks):
        members[_NETWORK.format(number)] = pack_weights(network)
    predictions = None
    if is_quick:
        # Not every pipeline takes images or numbers: some take a data frame.
        with suppress(Exception):
            predictions = predict_test_images(without_folders(pipeline))
    manifest = {
        "format": _manifest.FORMAT,
        "format_version": _manifest.FORMAT_VERSION,
        "fingerprint": fingerprint_model(pipeline),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _manifest.list_versions(with_backend=bool(networks)),
        "data": None if X is None else _manifest.describe_data(X, y),
        "classes": np.asarray(getattr(pipeline, "classes_", [])).tolist(),
        "networks": [list_layer_classes(network) for network in networks],
        "probe": None if predictions is None else predictions.tolist(),
        "members": _manifest.describe_members(members),
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    try:
        with atomic_write(Path(path)) as file:
            write_members(file, {_MANIFEST: text.encode(), **members})
            restored = _read(file)
            if predictions is not None:
                _check_predictions(restored, predictions)
    except ModelFileError as error:
        raise ValueError(
            "This pipeline can't be saved: its parameters no longer describe what was "
            f"fitted ({error}). Fit it again."
        ) from error


def load(path: str | os.PathLike[str]) -> Any:
    """Load a pipeline from a file that `save` wrote.

    No code from the file is run, and nothing is written. The file may hold only types
    of a closed list: estimators of scikit-learn, imbalanced-learn and skcovid, and
    plain data. Their number and sizes are checked before anything is built. Register
    your own backbones first. If the file was saved with other versions of Keras or
    other dependencies, the predictions for two test images must be those saved with it;
    if it has none, the versions are a warning.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    estimator
        The fitted pipeline. With the same versions and backend it predicts exactly what
        the saved one does.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If the path is that of a folder, pipe or device.
    ModelFileError
        If the file is not a model, is truncated, damaged or hostile, needs a backbone
        that is not registered, has a newer format or another major version of skcovid,
        or predicts differently under the versions installed here. It is a ValueError;
        its message names the file and the reason.

    Examples
    --------
    >>> import skcovid
    >>> pipeline = skcovid.load("model.skcovid")  # doctest: +SKIP
    >>> pipeline.predict(["new.png"])  # doctest: +SKIP
    """
    with open_file(path) as file, _name_file_in_errors(path):
        return _read(file)


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the description in a model file without loading the model.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    dict
        Among others "fingerprint" (of the model; see :func:`fingerprint_model`),
        "created" (UTC), "versions" (of skcovid and what it predicts with),
        "classes", and "data": number, classes and fingerprint of the training images,
        or None.

    Raises
    ------
    FileNotFoundError, OSError, ModelFileError
        As :func:`skcovid.load` does, which also checks the model itself.

    Examples
    --------
    >>> from skcovid.persistence import describe
    >>> describe("model.skcovid")["versions"]["keras"]  # doctest: +SKIP
    '3.15.1'
    """
    with open_file(path) as file, _name_file_in_errors(path):
        return _read_members(file)[0]


@contextmanager
def _name_file_in_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # A hostile file makes the libraries that read it raise many kinds of errors.
        known = isinstance(error, ModelFileError)
        reason = f"{error}." if known else f"{type(error).__name__}: {error}"
        raise ModelFileError(f"{os.fspath(path)} can't be loaded: {reason}") from error


def _read_members(file: BinaryIO) -> tuple[dict[str, Any], dict[str, bytes]]:
    members = read_members(file, _MEMBERS)
    if _MANIFEST not in members:
        raise ModelFileError("it is a zip file without a manifest.json, not a model")
    manifest = parse_json(members.pop(_MANIFEST), _MANIFEST)
    _manifest.check_manifest(manifest, members)
    return manifest, members


def _read(file: BinaryIO) -> Any:
    manifest, members = _read_members(file)
    names = [_NETWORK.format(number) for number in range(len(manifest["networks"]))]
    missing = {_PIPELINE, *names} - members.keys()
    if missing:
        raise ModelFileError(f"its member {min(missing)!r} is missing")
    networks = [
        (members[name], layers)
        for name, layers in zip(names, manifest["networks"], strict=True)
    ]
    with warnings.catch_warnings():
        # The warning below names the versions of all libraries.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        pipeline, is_quick = load_pipeline(members[_PIPELINE])
    pipeline = restore_networks(pipeline, networks)
    installed = _manifest.list_versions(with_backend=bool(networks))
    differences = [
        f"{name} {saved} (here {installed.get(name, 'none')})"
        for name, saved in manifest["versions"].items()
        if installed.get(name) != saved
    ]
    if differences:
        note = f"it was saved with {', '.join(differences)}"
        predictions = manifest.get("probe")
        if is_quick and predictions is not None:
            _check_predictions(pipeline, predictions, f"; {note}")
        else:
            warnings.warn(
                "The model may not predict what it did when saved, and has no "
                f"test predictions: {note}. Compare its predictions.",
                stacklevel=3,
            )
    return pipeline


def _check_predictions(pipeline: Any, saved: ArrayLike, note: str = "") -> None:
    found, expected = predict_test_images(pipeline), np.asarray(saved, np.float64)
    if (
        found is None
        or found.shape != expected.shape
        or not np.allclose(found, expected, TOLERANCE, TOLERANCE, equal_nan=True)
    ):
        raise ModelFileError(f"its predictions differ from those saved with it{note}")
