"""The check "leakage": patients and resampled copies on two sides of a split."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from skcovid._base._document import Table
from skcovid.auditing._check import AuditCheck, AuditFigure, Status
from skcovid.auditing._subject import UNKNOWN_FOLDS, Subject, list_parts
from skcovid.images._lazy_images import LazyImages
from skcovid.metrics._estimates import Estimate

_QUESTION = "Are patients or resampled copies on two sides of a split?"
_THRESHOLD = "any image, since none is on two sides by chance."
# Keras' name, and scikit-learn's for one split and for several.
_VALIDATION_PARAMETERS = {"validation_split", "early_stopping", "cv"}


class _Finding(NamedTuple):
    """The outcome of one search; `found` is None if it was not possible."""

    what: str
    found: bool | None
    explanation: str
    share: Estimate | None = None


def check_leakage(subject: Subject) -> AuditCheck:
    """Look for patients and copies on both sides of a split."""
    if not subject.result.folds_known:
        return AuditCheck("leakage", _QUESTION, "not run", UNKNOWN_FOLDS, _THRESHOLD)
    findings = [
        _find_shared_patients(subject),
        _find_shared_origins(subject),
        _find_resampled_validation_data(subject.pipeline),
    ]
    leaks = [one for one in findings if one.found]
    status: Status = "flagged" if leaks else "passed"
    if all(one.found is None for one in findings):
        status = "not run"
    answers = {True: "yes", False: "no", None: "not checked"}
    return AuditCheck(
        name="leakage",
        question=_QUESTION,
        status=status,
        verdict=" ".join(one.explanation for one in leaks or findings),
        threshold=_THRESHOLD,
        advice=(
            "Pass the patients as groups to evaluate, and resample inside the pipeline "
            "(AugmentationBalancer as a step), after validation data have been set "
            "aside (HoldoutPipeline). Do not use this score."
        ),
        decision=f"{len(leaks)} of {len(findings)} searches found one, flagged above 0",
        figures=tuple(
            AuditFigure(one.what, one.share) for one in findings if one.share
        ),
        tables=(
            Table(
                ["", "found", "explanation"],
                [[one.what, answers[one.found], one.explanation] for one in findings],
                caption="Searches",
            ),
        ),
        details={one.what: one.found for one in findings},
    )


def _find_shared_patients(subject: Subject) -> _Finding:
    what = "test images whose patient is trained on"
    if subject.groups is None:
        reason = "Patients are not known; pass groups to compare them."
        return _Finding(what, None, reason)
    share = _leaked_share(subject, subject.groups)
    explanation = (
        f"{share.format_percent(1)} of the test images show a patient who is trained "
        f"on in the same fold; there are {len(np.unique(subject.groups))} patients."
    )
    return _Finding(what, share.value > 0, explanation, share)


def _find_shared_origins(subject: Subject) -> _Finding:
    what = "test images with a resampled copy that is trained on"
    if subject.paths is not None:
        origins: NDArray[Any] = np.asarray(subject.paths)
        compared = "paths"
    elif isinstance(subject.X, LazyImages):
        origins = subject.X.origins
        compared = "the originals of all images"
    else:
        reason = (
            "An array does not state which images its images were made from. Unchanged "
            "copies are found as duplicates; for augmented ones pass the balancer's "
            "sample_indices_ as groups."
        )
        return _Finding(what, None, reason)
    share = _leaked_share(subject, origins)
    explanation = (
        f"{share.format_percent(1)} of the test images are made from an image that is "
        f"trained on in the same fold, by comparison of {compared}."
    )
    return _Finding(what, share.value > 0, explanation, share)


def _leaked_share(subject: Subject, units: NDArray[Any]) -> Estimate:
    tested = subject.result.test_indices
    return subject.estimate_share(subject.find_leaked(units)[tested], tested)


def _find_resampled_validation_data(pipeline: Any) -> _Finding:
    what = "resampled copies in validation data"
    if pipeline is None:
        reason = "A result holds no pipeline; pass the pipeline to check its steps."
        return _Finding(what, None, reason)
    # Also those inside a search or an ensemble.
    pipelines = [one for one in list_parts(pipeline) if isinstance(one, Pipeline)]
    sampler = ""
    for inner in pipelines:
        *before, last = (step for _, step in inner.steps)
        samplers = [step for step in before if hasattr(step, "fit_resample")]
        if not samplers:
            continue
        sampler = type(samplers[0]).__name__
        parameters = last.get_params()
        # Validation data come from the data passed to fit, which here hold several
        # copies of every image.
        for name, value in parameters.items():
            short = name.split("__")[-1]
            unused = [0.0, False, "auto", "prefit", *([] if short == "cv" else [None])]
            if short in _VALIDATION_PARAMETERS and value not in unused:
                explanation = (
                    f"{type(last).__name__}({name}={value!r}) takes validation data "
                    f"from the images that {sampler} has resampled: they are copies of "
                    "images it is trained on."
                )
                return _Finding(what, True, explanation)
    if not sampler:
        return _Finding(what, False, "The pipeline does not resample.")
    explanation = (
        f"{sampler} is a step of the pipeline: it resamples the training images of a "
        "fold only, and no validation data are taken after it."
    )
    return _Finding(what, False, explanation)
