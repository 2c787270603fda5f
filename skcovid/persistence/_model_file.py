"""`save`, `load` and `describe`: what goes into a model file, and how it is read."""

import json
import os
import re
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils.validation import check_is_fitted

from skcovid._base._atomic_files import atomic_write
from skcovid.persistence import _manifest, _probe
from skcovid.persistence._container import (
    ModelFileError,
    parse_json,
    read_members,
    write_members,
)
from skcovid.persistence._fingerprint import fingerprint_model
from skcovid.persistence._networks import detach, pack_network, without_memory
from skcovid.persistence._rebuilding import attach
from skcovid.persistence._trusted import dump_pipeline, load_pipeline

__all__ = ["describe", "load", "save"]

_MANIFEST = "manifest.json"
_PIPELINE = "pipeline.skops"
_NETWORK = "network-{}.safetensors"
_MEMBERS = re.compile(r"manifest\.json|pipeline\.skops|network-[0-9]{1,3}\.safetensors")


def save(
    pipeline: Any,
    path: str | os.PathLike,
    *,
    X: Any = None,
    y: ArrayLike | None = None,
) -> None:
    """Save a fitted pipeline to one file.

    The file holds no pickle and no code: scikit-learn's and skcovid's estimators as
    skops keeps them, and the weights of the networks as plain arrays. Folders are not
    taken along: where the pipeline has a `memory`, the loaded one has None. The file is
    written under another name, read again and compared before it gets its own, so that
    a file that is there is whole; a file of that name is replaced.

    Parameters
    ----------
    pipeline : estimator
        A fitted pipeline of skcovid, imbalanced-learn or scikit-learn, or an estimator.
        Its backbones must be registered. Estimators that could run code, or crash
        Python when made up, can't be saved: functions of one's own, trees and forests,
        nearest neighbours, kernel support vector machines.
    path : path-like
        The file, for example ``"model.skcovid"``.
    X : array-like of shape (n_samples,) of paths, LazyImages, or array-like of shape \
            (n_samples, height, width[, 3]), default=None
        The images it was trained on, for their fingerprint to be in the file.
    y : array-like of shape (n_samples,), default=None
        Their labels.

    Raises
    ------
    NotFittedError
        If the pipeline is not fitted.
    TypeError
        If the pipeline holds something that can't be saved; it is named.
    ValueError
        If parameters were changed after it was fitted, so that they no longer describe
        its network.

    See Also
    --------
    load : Reads the file.
    skcovid.persistence.describe : Reads what the file says of itself.

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
    path = Path(path)
    copy, networks = detach(pipeline)
    packed = [pack_network(network) for network in networks]
    members = {_PIPELINE: dump_pipeline(copy)}
    for number, (arrays, _) in enumerate(packed):
        members[_NETWORK.format(number)] = arrays
    answers = _probe.ask(without_memory(pipeline))
    manifest = {
        "format": _manifest.FORMAT,
        "format_version": _manifest.FORMAT_VERSION,
        "fingerprint": fingerprint_model(pipeline),
        "created": _manifest.timestamp(),
        "versions": _manifest.list_versions(_backend(networks)),
        "data": None if X is None else _manifest.describe_data(X, y),
        "classes": np.asarray(getattr(pipeline, "classes_", [])).tolist(),
        "networks": [layers for _, layers in packed],
        "probe": None if answers is None else answers.tolist(),
        "members": _manifest.describe_members(members),
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    _write(path, {_MANIFEST: text.encode(), **members}, answers)


def _backend(networks: list[Any]) -> str | None:
    if not networks:
        return None
    import keras

    return keras.backend.backend()


def _write(
    path: Path, members: dict[str, bytes], answers: NDArray[np.float64] | None
) -> None:
    try:
        with atomic_write(path) as file:
            write_members(file, members)
            if answers is not None:
                _check_answers(_probe.ask(_read(file)), answers)
    except ModelFileError as error:
        raise ValueError(
            "This pipeline can't be saved: its parameters no longer describe what was "
            f"fitted ({error}). Fit it again."
        ) from error


def load(path: str | os.PathLike) -> Any:
    """Load a pipeline from a file that `save` wrote.

    Nothing in the file is run, and nothing is written. What it may hold is a closed
    list of scikit-learn's and skcovid's estimators; backbones of one's own must be
    registered before, as they were when it was saved. A file saved with other versions
    of Keras, scikit-learn and the like is asked about two test images whose
    probabilities it holds, and refused where it gives others.

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
    ModelFileError
        If the file is not a model, is truncated or damaged, holds anything it should
        not, needs a backbone that is not registered, or is of a newer format or another
        major version of skcovid; the message names the file and the reason. It is a
        ValueError.

    See Also
    --------
    save : Writes the file.

    Examples
    --------
    >>> import skcovid
    >>> pipeline = skcovid.load("model.skcovid")  # doctest: +SKIP
    >>> pipeline.predict(["new.png"])  # doctest: +SKIP
    """
    with Path(path).open("rb") as file, _refusals_naming(path):
        return _read(file)


def describe(path: str | os.PathLike) -> dict[str, Any]:
    """Read what a model file says of itself, without loading the model.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    dict
        Among others "fingerprint" (of the model, the same however often it is saved),
        "created" (UTC), "versions" (of skcovid and what it predicts with),
        "classes", and "data": number, classes and fingerprint of the training images,
        or None.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is no model, or damaged.

    Examples
    --------
    >>> from skcovid.persistence import describe
    >>> describe("model.skcovid")["versions"]["keras"]  # doctest: +SKIP
    '3.15.1'
    """
    with Path(path).open("rb") as file, _refusals_naming(path):
        return _read_members(file)[0]


class _refusals_naming:  # noqa: N801 (a context manager, used as a function)
    """Make every error one that names the file."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = os.fspath(path)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ModelFileError):
            raise ModelFileError(f"{self.path} can't be loaded: {error}.") from error
        # Whatever a made-up file makes the libraries that read it raise.
        if isinstance(error, Exception):
            raise ModelFileError(
                f"{self.path} can't be loaded: {type(error).__name__}: {error}"
            ) from error


def _read_members(file: BinaryIO) -> tuple[dict[str, Any], dict[str, bytes]]:
    members = read_members(file, _MEMBERS)
    if _MANIFEST not in members:
        raise ModelFileError("it is a zip file without a manifest.json, and no model")
    manifest = parse_json(members.pop(_MANIFEST), _MANIFEST)
    _manifest.check_manifest(manifest)
    _manifest.check_members(manifest, members)
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
    probe = manifest.get("probe")
    with warnings.catch_warnings():
        if probe is not None:
            # Asking the model tells more than the versions do.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
        pipeline = attach(load_pipeline(members[_PIPELINE]), networks)
    backend = _backend(networks)
    installed = _manifest.list_versions(backend)
    others = {
        name: saved
        for name, saved in manifest["versions"].items()
        if installed.get(name) != saved
    }
    if probe is not None and others:
        try:
            _check_answers(_probe.ask(pipeline), np.asarray(probe, dtype=np.float64))
        except ModelFileError as error:
            raise ModelFileError(
                f"{error}; {_difference(others, installed)}"
            ) from error
    return pipeline


def _check_answers(
    found: NDArray[np.float64] | None, expected: NDArray[np.float64]
) -> None:
    if (
        found is None
        or found.shape != expected.shape
        or not np.allclose(
            found,
            expected,
            rtol=_probe.TOLERANCE,
            atol=_probe.TOLERANCE,
            equal_nan=True,
        )
    ):
        raise ModelFileError("it predicts otherwise than it did when it was saved")


def _difference(others: dict[str, str], installed: dict[str, str]) -> str:
    return "it was saved with " + ", ".join(
        f"{name} {saved} (here {installed.get(name, 'none')})"
        for name, saved in others.items()
    )
