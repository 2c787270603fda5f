"""`write_report`: an evaluation and an audit in one HTML file."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skcovid._base._atomic_files import atomic_write, check_writable
from skcovid._base._compatibility import HasMethods, num_samples, validate_params
from skcovid._base._document import Section
from skcovid._base._requirements import require
from skcovid.auditing._report import AuditReport, describe_audit
from skcovid.images._pixels import find_folder, list_paths
from skcovid.inspection._audit import AuditDisplay
from skcovid.inspection._saliency import SaliencyDisplay
from skcovid.model_selection._result import EvaluationResult, describe_result
from skcovid.preprocessing._reader import find_white_level
from skcovid.report._clinical import (
    describe_calibration,
    describe_decision_curves,
    describe_flags,
    describe_subgroups,
    describe_thresholds,
)
from skcovid.report._headline import describe_lead
from skcovid.report._html import render_html
from skcovid.report._model import (
    describe_augmentation,
    describe_model,
    describe_pipeline,
    describe_saliency,
)
from skcovid.report._pictures import (
    draw,
    draw_result,
    insert_image,
    show_disputed,
    show_means,
    show_mistakes,
)

_WARNING = """\
skcovid is not a medical device, and nothing it says about an image is a diagnosis."""

_ORDER = (
    *("headline", "external", "sources", "confusion-matrix", "per-class"),
    *("calibration", "thresholds", "decision-curves", "audit", "mistakes", "means"),
    *("data", "subgroups", "training", "augmentation", "saliency"),
    *("model-card", "making"),
)


@validate_params(
    {
        "path": [str, os.PathLike],
        "result": [EvaluationResult],
        "pipeline": [HasMethods(["get_params"]), None],
        "audit": [AuditReport, None],
        "X": "no_validation",
        "attributes": [Mapping, None],
        "novelty": ["array-like", None],
        "saliency": [SaliencyDisplay, list, tuple, None],
        "title": [str],
        "description": [str],
    }
)
def write_report(
    path: str | os.PathLike[str],
    result: EvaluationResult,
    *,
    pipeline: Any = None,
    audit: AuditReport | None = None,
    X: Any = None,
    attributes: Mapping[str, Any] | None = None,
    novelty: ArrayLike | None = None,
    saliency: SaliencyDisplay | Sequence[SaliencyDisplay] | None = None,
    title: str = "Evaluation of a chest radiograph classifier",
    description: str = "",
) -> Path:
    """Write an evaluation, and an audit if given, to one self-contained HTML file.

    It begins with what can be done with the model (:func:`skcovid.report.headline`),
    the accuracy inside, what of it needs no lungs, what is known outside, and what to
    do next. It holds the intended-use warning, the confusion matrix, the per-class
    table and the data; figures outside and by source where there are any;
    calibration, thresholds and decision curves if the classifier has probabilities, and
    the training history if it has one. Figures have 95 % intervals. The file loads
    nothing, runs no script and can be read on a phone.

    Parameters
    ----------
    path : path-like
        The file, which is replaced if it exists.
    result : EvaluationResult
        What :func:`skcovid.evaluate` returned.
    pipeline : estimator, default=None
        The evaluated pipeline, for the model card; fitted, it also says what a search
        inside it chose.
    audit : AuditReport, default=None
        What :func:`skcovid.audit` returned for the same result, for its checks.
    X : array-like of shape (n_samples, ...), default=None
        The paths or images that were evaluated, for pictures: the most confident
        mistakes, the mean image of each class, the first disputed labels of `audit` and
        samples of the augmentation of `pipeline`. With paths, the report names the
        folder and the files.
    attributes : mapping of str to array-like of shape (n_samples,), default=None
        What is known of the evaluated images, such as age and sex, for figures by
        sub-group: the `attributes` of :func:`skcovid.datasets.load_radiographs`.
    novelty : array-like of shape (n_test,), default=None
        1 or -1 for each image of the external set, in the order of `test`: what
        ``predict`` of a fitted :class:`NoveltyDetector` says. The section on the
        external set says how many are flagged.
    saliency : SaliencyDisplay or sequence of them, default=None
        Where the model looks, on some images.
    title : str, default="Evaluation of a chest radiograph classifier"
        Title of the page.
    description : str, default=""
        Text below the title, such as where the images are from.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ImportError
        If jinja2, markdown-it-py or matplotlib, of the ``report`` extra, are not
        installed.
    ValueError
        If `audit` is of another result, `X` of other data, or `novelty` is not of the
        external set.
    FileNotFoundError
        If the folder of `path` does not exist.
    OSError
        If the file cannot be written; an earlier report is then kept.

    See Also
    --------
    model_card : Describes a model, as Markdown.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.dummy import DummyClassifier
    >>> from skcovid import evaluate, write_report
    >>> from skcovid.datasets import make_radiographs
    >>> X, y = make_radiographs(60, image_size=16, random_state=0, return_X_y=True)
    >>> result = evaluate(DummyClassifier(), X, y, cv=2, verbose=0)
    >>> with TemporaryDirectory() as folder:
    ...     path = write_report(Path(folder) / "report.html", result)
    ...     path.read_text(encoding="utf-8")[:15]
    '<!DOCTYPE html>'
    """
    required = partial(require, extra="report", caller="write_report")
    check_writable(path)
    required("jinja2")
    required("markdown-it-py", module="markdown_it")
    required("matplotlib")
    check_same_data(result, pipeline, audit, X)
    white_level = None if pipeline is None else find_white_level(pipeline)
    sections = describe_result(result)
    lead, more = describe_lead(result, audit, _describe_inputs(result, pipeline, X))
    sections[0] = replace(sections[0], parts=[*more, *sections[0].parts])
    if novelty is not None:
        if result.external is None:
            raise ValueError(
                "novelty is given, but the result has no external set. Leave novelty "
                "out, or pass images from elsewhere to evaluate as test."
            )
        flags = describe_flags(result.external, novelty)
        place = [section.anchor for section in sections].index("external")
        parts = [*sections[place].parts, *flags]
        sections[place] = replace(sections[place], parts=parts)
    if result.probabilities is not None:
        sections.append(describe_calibration(result))
        sections.append(describe_decision_curves(result))
        if result.external is None:
            sections.append(describe_thresholds(result))
    if attributes is not None:
        sections.append(describe_subgroups(result, attributes))
    sections = [draw_result(result, section) for section in sections]
    if audit is not None:
        alt = (
            "Accuracy of the model and of baselines that see less, with intervals; the "
            "tables below have the values."
        )
        image = draw(AuditDisplay.from_report(audit).figure_, alt)
        section = insert_image(describe_audit(audit), image)
        if X is not None and audit.label_queue:
            section = replace(
                section, parts=[*section.parts, *show_disputed(audit, X, white_level)]
            )
        sections.append(section)
    if X is not None:
        mistakes = show_mistakes(result, X, white_level)
        sections.append(Section("mistakes", "Most confident mistakes", mistakes))
        means = show_means(result, X, white_level)
        sections.append(Section("means", "Mean images", means))
    if X is not None and pipeline is not None:
        sections.append(describe_augmentation(pipeline, X, result))
    if saliency:
        displays = [saliency] if isinstance(saliency, SaliencyDisplay) else saliency
        sections.append(describe_saliency(displays))
    if pipeline is not None:
        sections.append(describe_model(pipeline, result))
    sections.sort(key=lambda section: _ORDER.index(section.anchor))
    path = Path(path)
    page = render_html(title, lead, description, _WARNING, sections)
    with atomic_write(path) as file:
        file.write(page.encode())
    return path


def _describe_inputs(result: EvaluationResult, pipeline: Any, X: Any) -> dict[str, str]:
    """Name the model, the images, their folder and the date, as far as they go."""
    rows = {} if pipeline is None else {"Model": describe_pipeline(pipeline)}
    rows["Images"] = f"{len(result.y_true)}"
    if result.n_patients is not None:
        rows["Images"] += f" of {result.n_patients} patients"
    paths = None if X is None else list_paths(X)
    if paths and (folder := find_folder(paths)):
        rows["Images"] += f", in {Path(folder).resolve()}"
    return {**rows, "Date of the report": date.today().isoformat()}


def check_same_data(
    result: EvaluationResult, pipeline: Any, audit: AuditReport | None, X: Any
) -> None:
    """Refuse an audit, or images, of another evaluation."""
    if audit is not None and not (
        np.array_equal(audit.result.y_true, result.y_true)
        and np.array_equal(audit.result.test_indices, result.test_indices)
        and np.array_equal(audit.result.predictions, result.predictions)
    ):
        raise ValueError(
            "audit is of another result, with other labels or predictions. Pass "
            "audit.result as result, or audit the result itself."
        )
    if X is not None and num_samples(X) != len(result.y_true):
        raise ValueError(
            f"X holds {num_samples(X)} samples, the result {len(result.y_true)}. Pass "
            "the X that was evaluated, in the same order."
        )
