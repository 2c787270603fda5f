"""The check "leakage": patients and resampled copies on two sides of a split."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from skcovid.auditing._baseline import proportion
from skcovid.auditing._check import AuditCheck, AuditFigure, AuditTable, Status
from skcovid.auditing._subject import Subject
from skcovid.images._lazy_images import LazyImages
from skcovid.metrics._estimates import Estimate

__all__ = ["check_leakage"]

QUESTION = "Do patients or resampled copies stand on two sides of a split?"


class _Finding(NamedTuple):
    """One thing that was looked for; `found` is None where it could not be."""

    what: str
    found: bool | None
    explanation: str
    share: Estimate | None = None


def check_leakage(subject: Subject) -> AuditCheck:
    """Look for patients and copies on both sides of a split."""
    findings = [
        _shared_patients(subject),
        _shared_origins(subject),
        _validation_data(subject.pipeline),
    ]
    leaks = [one for one in findings if one.found]
    status: Status = "flagged" if leaks else "passed"
    if all(one.found is None for one in findings):
        status = "not run"
    return AuditCheck(
        name="leakage",
        question=QUESTION,
        status=status,
        verdict=" ".join(one.explanation for one in leaks or findings),
        threshold="any image, as none can be there by chance.",
        advice=(
            "Pass the patients as groups to evaluate, and resample inside the pipeline "
            "(AugmentationBalancer as a step), after validation data have been set "
            "aside (HoldoutPipeline). The score so far is of no use."
            if leaks
            else ""
        ),
        figures=tuple(
            AuditFigure(one.what, one.share)
            for one in findings
            if one.share is not None
        ),
        tables=(
            AuditTable(
                "What was looked for",
                ["", "found", "explanation"],
                [
                    [
                        one.what,
                        {True: "yes", False: "no", None: "not checked"}[one.found],
                        one.explanation,
                    ]
                    for one in findings
                ],
            ),
        ),
        details={one.what: one.found for one in findings},
    )


def _shared_patients(subject: Subject) -> _Finding:
    what = "test images whose patient is trained on"
    if subject.groups is None:
        return _Finding(
            what, None, "Patients are not known; pass groups to have them compared."
        )
    share = _leaked_share(subject, subject.groups)
    n_patients = len(np.unique(subject.groups))
    return _Finding(
        what,
        share.value > 0,
        f"{share.format_percent(1)} of the test images show a patient who is trained "
        f"on in the same fold; there are {n_patients} patients.",
        share,
    )


def _shared_origins(subject: Subject) -> _Finding:
    what = "test images with a resampled copy that is trained on"
    if subject.paths is not None:
        origins: NDArray = np.asarray(subject.paths)
        compared = "the paths"
    elif isinstance(subject.X, LazyImages):
        origins = subject.X.origins
        compared = "what every image was first made from"
    else:
        return _Finding(
            what,
            None,
            "Of an array it is not known what its images were made from. Copies that "
            "were not changed are found as duplicates; for augmented ones pass the "
            "balancer's sample_indices_ as groups.",
        )
    share = _leaked_share(subject, origins)
    return _Finding(
        what,
        share.value > 0,
        f"{share.format_percent(1)} of the test images are made from an image that is "
        f"trained on in the same fold, by {compared}.",
        share,
    )


def _leaked_share(subject: Subject, units: NDArray) -> Estimate:
    tested = subject.result.test_indices
    return proportion(subject.leaked(units)[tested], subject.patients(tested))


def _validation_data(pipeline: Any) -> _Finding:
    what = "resampled copies in validation data"
    if pipeline is None:
        return _Finding(
            what,
            None,
            "A result holds no pipeline; pass the pipeline itself to have its steps "
            "looked at.",
        )
    steps = (
        [step for _, step in pipeline.steps]
        if isinstance(pipeline, Pipeline)
        else [pipeline]
    )
    samplers = [step for step in steps[:-1] if hasattr(step, "fit_resample")]
    if not samplers:
        return _Finding(what, False, "The pipeline does not resample.")
    sampler, last = type(samplers[0]).__name__, steps[-1]
    parameters = last.get_params(deep=False)
    # Keras' name, and scikit-learn's: both take validation data from what they are
    # fitted on, which here holds several copies of every image.
    for name in ("validation_split", "early_stopping"):
        if parameters.get(name) not in (None, 0.0, False, "auto"):
            return _Finding(
                what,
                True,
                f"{type(last).__name__}({name}={parameters[name]!r}) takes validation "
                f"data from what {sampler} has resampled: they are copies of images "
                "it is trained on.",
            )
    return _Finding(
        what,
        False,
        f"{sampler} is a step of the pipeline, which resamples the training images of "
        "a fold alone, and no validation data are taken after it.",
    )
