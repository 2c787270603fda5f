"""`write_report`: the sections put together into one HTML file."""

import os
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from skcovid._base._atomic_files import atomic_write
from skcovid._base._compatibility import HasMethods, num_samples, validate_params
from skcovid.auditing._report import AuditReport
from skcovid.inspection._saliency import SaliencyDisplay
from skcovid.model_selection._result import EvaluationResult
from skcovid.report import _evaluation_sections as of_evaluation
from skcovid.report import _model_sections as of_model
from skcovid.report._audit_section import audit_checks
from skcovid.report._parts import Section

__all__ = ["write_report"]

_WARNING = """\
skcovid is not a medical device, and nothing it says about an image is a diagnosis. In \
the public collections COVID-19 images are mostly of adults and the other classes of \
children, from other hospitals: a network can tell those apart instead of the disease, \
and cross-validation on the same collection will not show it."""

# Module, and the package that has it.
_REQUIRED = {
    "jinja2": "jinja2",
    "markdown_it": "markdown-it-py",
    "matplotlib": "matplotlib",
}


@validate_params(
    {
        "path": [str, os.PathLike],
        "result": [EvaluationResult],
        "pipeline": [HasMethods(["get_params"]), None],
        "audit": [AuditReport, None],
        "X": "no_validation",
        "saliency": [SaliencyDisplay, list, tuple, None],
        "title": [str],
        "description": [str],
    }
)
def write_report(
    path: str | os.PathLike,
    result: EvaluationResult,
    *,
    pipeline: Any = None,
    audit: AuditReport | None = None,
    X: Any = None,
    saliency: SaliencyDisplay | Sequence[SaliencyDisplay] | None = None,
    title: str = "Evaluation of a chest radiograph classifier",
    description: str = "",
) -> Path:
    """Write what was found into one self-contained HTML file.

    It holds the intended-use warning, the headline figures, the data, the confusion
    matrix, the per-class table and the class distribution; calibration and training
    history where the classifier has probabilities and a history; and what is given
    beyond the result. Every figure has its 95 % interval. The file loads nothing, runs
    no script and can be read on a phone.

    Parameters
    ----------
    path : path-like
        The file, which is replaced if it exists.
    result : EvaluationResult
        What :func:`skcovid.evaluate` returned.
    pipeline : estimator, default=None
        What was evaluated, fitted or not, for the model card.
    audit : AuditReport, default=None
        What :func:`skcovid.audit` returned for the same result, for its checks.
    X : array-like of shape (n_samples, ...), default=None
        The paths or images that were evaluated, for samples of what the augmentation
        of `pipeline` makes of them.
    saliency : SaliencyDisplay or sequence of them, default=None
        Where the model looks, on some images.
    title : str, default="Evaluation of a chest radiograph classifier"
        Title of the page.
    description : str, default=""
        What stands below the title, such as where the images are from.

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
        If `audit` is of another result, `X` of other data, or `X` is given without
        `pipeline`.
    OSError
        If it can't be written; an earlier report is then still there.

    See Also
    --------
    model_card : What has to travel with a model, as Markdown.

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
    _check_installed()
    _check_same_data(result, pipeline, audit, X)
    displays = [saliency] if isinstance(saliency, SaliencyDisplay) else saliency or ()
    sections = list(_collect(result, pipeline, audit, X, displays))
    path = Path(path)
    page = _render(title, description, sections)
    with atomic_write(path) as file:
        file.write(page.encode())
    return path


def _collect(
    result: EvaluationResult,
    pipeline: Any,
    audit: AuditReport | None,
    X: Any,
    displays: Sequence[SaliencyDisplay],
) -> Iterator[Section]:
    yield of_evaluation.headline(result, audit)
    yield of_evaluation.data_summary(result)
    if audit is not None:
        yield audit_checks(audit)
    yield of_evaluation.confusion_matrix(result)
    yield of_evaluation.per_class(result)
    for optional in (
        of_evaluation.calibration(result),
        of_evaluation.training_history(result),
    ):
        if optional is not None:
            yield optional
    yield of_evaluation.class_distribution(result)
    if X is not None:
        yield of_model.augmentation_samples(pipeline, X, result)
    if displays:
        yield of_model.saliency_samples(displays)
    yield of_evaluation.how_it_was_made(result)
    if pipeline is not None:
        yield of_model.model_card(pipeline, result)


def _render(title: str, description: str, sections: list[Section]) -> str:
    import jinja2
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    # HTML in the text is escaped: only what Markdown itself makes is markup.
    markdown = MarkdownIt("commonmark", {"html": False})
    environment.filters["markdown"] = lambda text: Markup(markdown.render(text))
    template = files(__package__).joinpath("report.html.jinja")
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        title=title, description=description, warning=_WARNING, sections=sections
    )


def _check_installed() -> None:
    for module, package in _REQUIRED.items():
        try:
            import_module(module)
        except ImportError as error:
            raise ImportError(
                f"write_report requires {package}. Install it with `pip install "
                f"skcovid[report]` or `pip install {package}`."
            ) from error


def _check_same_data(
    result: EvaluationResult, pipeline: Any, audit: AuditReport | None, X: Any
) -> None:
    if audit is not None and not (
        np.array_equal(audit.result.y_true, result.y_true)
        and np.array_equal(audit.result.test_indices, result.test_indices)
        and np.array_equal(audit.result.predictions, result.predictions)
    ):
        raise ValueError(
            "audit is of another result, with other labels or predictions: pass "
            "audit.result as result, or audit the result itself."
        )
    if X is None:
        return
    if pipeline is None:
        raise ValueError(
            "X is shown as the pipeline augments it, but pipeline is None: pass the "
            "pipeline too, or leave X out."
        )
    if num_samples(X) != len(result.y_true):
        raise ValueError(
            f"X holds {num_samples(X)} samples, but the result is of "
            f"{len(result.y_true)}: pass the X that was evaluated, in the same order."
        )
