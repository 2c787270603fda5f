"""`write_reviewer_pack`: what reviewers of a paper ask for, as a folder of files."""

import csv
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skcovid._base._atomic_files import atomic_write
from skcovid._base._compatibility import HasMethods, validate_params
from skcovid._base._document import (
    Paragraph,
    render_markdown,
    render_parts,
    render_table,
)
from skcovid._base._requirements import require
from skcovid.auditing._report import AuditReport
from skcovid.inspection._flow_diagram import FlowDiagramDisplay
from skcovid.model_selection._result import EvaluationResult
from skcovid.persistence._atlas_card import atlas_card, list_missing_fields
from skcovid.persistence._model_card import model_card
from skcovid.report._clinical import describe_subgroups
from skcovid.report._demographics import describe_demographics, find_partitions
from skcovid.report._facts import Study, collect_facts, fill_item
from skcovid.report._headline import headline
from skcovid.report._report import check_same_data

_CHECKLISTS = ("stard_ai", "claim_2024", "tripod_ai")


@validate_params(
    {
        "folder": [str, os.PathLike],
        "result": [EvaluationResult],
        "pipeline": [HasMethods(["get_params"]), None],
        "audit": [AuditReport, None],
        "data": [Bunch, None],
        "test_data": [Bunch, None],
        "name": [str],
        "link": [str, None],
    }
)
def write_reviewer_pack(
    folder: str | os.PathLike[str],
    result: EvaluationResult,
    *,
    pipeline: Any = None,
    audit: AuditReport | None = None,
    data: Bunch | None = None,
    test_data: Bunch | None = None,
    name: str = "Classifier of chest radiographs",
    link: str | None = None,
) -> list[Path]:
    """Write what reviewers and editors of a paper ask for, filled in as far as it goes.

    The checklists say of every item whether it was filled from the evaluation, in whole
    or in part, and what is left for the author to write.

    Parameters
    ----------
    folder : path-like
        A folder, made if it does not exist. Files of these names are replaced.
    result : EvaluationResult
        What :func:`skcovid.evaluate` returned.
    pipeline : estimator, default=None
        The evaluated pipeline, for its steps and parameters; fitted, for the model
        card.
    audit : AuditReport, default=None
        What :func:`skcovid.audit` returned for the same result.
    data : Bunch, default=None
        What :func:`skcovid.datasets.load_radiographs` returned for the evaluated
        images, for age, sex, view, machine and the files that were left out.
    test_data : Bunch, default=None
        The same for the external set.
    name : str, default="Classifier of chest radiographs"
        Name of the model in the ATLAS card, of 4 to 256 characters.
    link : str, default=None
        URL of the model or its paper, which the ATLAS card must have before it is
        uploaded.

    Returns
    -------
    list of Path
        The files: ``README.md``, which says what can be done with the model and lists
        the files; ``flow.svg``, images and patients from the collections to the
        partitions; ``demographics.md``, by partition, source and fold;
        ``subgroups.md``, if `data` has attributes; ``stard_ai.md``,
        ``claim_2024.md`` and ``tripod_ai.md``; ``atlas.json``, RSNA's card
        (:func:`skcovid.atlas_card`); ``model_card.md``, if `pipeline` is fitted; and
        ``result.json``, with every prediction.

    Raises
    ------
    ImportError
        If matplotlib, of the ``report`` extra, is not installed.
    ValueError
        If `audit`, `data` or `test_data` is of another evaluation, `name` or `link` is
        not as ATLAS wants it, or the folds of `result` are not known.
    OSError
        If a file cannot be written.

    See Also
    --------
    write_report : Writes an evaluation as one page.

    References
    ----------
    STARD-AI: https://doi.org/10.1038/s41591-025-03953-8. CLAIM 2024:
    https://doi.org/10.1148/ryai.240300. TRIPOD+AI:
    https://doi.org/10.1136/bmj-2023-078378. ATLAS: https://atlas.rsna.org.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.dummy import DummyClassifier
    >>> from skcovid import evaluate, write_reviewer_pack
    >>> from skcovid.datasets import make_radiographs
    >>> X, y = make_radiographs(60, image_size=16, random_state=0, return_X_y=True)
    >>> result = evaluate(DummyClassifier(), X, y, cv=2, verbose=0)
    >>> with TemporaryDirectory() as folder:
    ...     paths = write_reviewer_pack(folder, result)
    >>> sorted(path.name for path in paths)[:3]
    ['README.md', 'atlas.json', 'claim_2024.md']
    """
    require("matplotlib", extra="report", caller="write_reviewer_pack")
    check_same_data(result, pipeline, audit, None)
    if not result.folds_known:
        raise ValueError(
            "result is of a table without the column 'fold', so that it is not known "
            "what the model was trained on, which every checklist asks for. Add it."
        )
    if data is not None:
        _check_labels("data", data, np.arange(len(data.target)), result.y_true)
    if test_data is not None:
        if (external := result.external) is None:
            raise ValueError(
                "test_data is given, but the result has no external set. Evaluate with "
                "test=, or leave test_data out."
            )
        _check_labels("test_data", test_data, external.rows, external.y_true)
    card = atlas_card(pipeline, result, audit, name=name, link=link, data=data)
    partitions = find_partitions(result, data, test_data)
    facts = collect_facts(Study(result, pipeline, audit, (data, test_data), partitions))
    verdict = render_parts([Paragraph(headline(result, audit), emphasised=True)])
    demographics = render_markdown(describe_demographics(partitions, result))
    texts = {
        "demographics.md": f"# Demographics\n\n{demographics}\n",
        "atlas.json": json.dumps(card, indent=1, ensure_ascii=False) + "\n",
        "result.json": result.to_json(),
        **{f"{each}.md": _fill_checklist(each, facts, verdict) for each in _CHECKLISTS},
    }
    with suppress(NotFittedError):
        if pipeline is not None:
            check_is_fitted(pipeline)
            texts["model_card.md"] = model_card(pipeline, result, audit)
    if attributes := partitions[0].attributes:
        subgroups = render_markdown([describe_subgroups(result, attributes)], level=1)
        texts["subgroups.md"] = f"{verdict}\n\n{subgroups}\n"
    texts["flow.svg"] = _draw_flow(result, data)
    texts["README.md"] = _describe_files(texts, verdict, card)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for filename, text in texts.items():
        with atomic_write(folder / filename) as file:
            file.write(text.encode())
        paths.append(folder / filename)
    return paths


def _fill_checklist(name: str, facts: Mapping[str, str | None], verdict: str) -> str:
    """Write a checklist with what an evaluation says on its items."""
    text = files(__package__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    lines = text.splitlines()
    # Title, version, reference and so on.
    head = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    items = csv.DictReader(line for line in lines if not line.startswith("# "))
    rows = [
        [item["item"], item["section"], item["text"], *fill_item(item, facts)]
        for item in items
    ]
    left = sum(row[3] != "filled" for row in rows)
    header = ["item", "section", "asks for", "status", "text"]
    table = render_table(header, rows, aligned=False)
    return (
        f"# {head['title']}, {head['version']}\n\n{verdict}\n\n{head['reference']}, "
        f"<https://doi.org/{head['doi']}>.\n\n{head['note']}\n\nThe author has "
        f"something to write in {left} of {len(rows)} rows. Journals want their own "
        "form of the checklist: copy the texts to it, and name the pages.\n\n"
        f"{table}\n"
    )


def _describe_files(
    texts: Mapping[str, str], verdict: str, card: Mapping[str, Any]
) -> str:
    """Write what can be done with the model, the files, and what ATLAS still wants."""
    purposes = {
        "flow.svg": "images and patients, from the collections to the partitions",
        "demographics.md": "who is in each partition, source and fold",
        "subgroups.md": "figures by age, sex, view and all other attributes",
        "stard_ai.md": "STARD-AI 2025, for studies of diagnostic accuracy",
        "claim_2024.md": "CLAIM 2024, for AI in medical imaging",
        "tripod_ai.md": "TRIPOD+AI 2024, for prediction models",
        "model_card.md": "the model: use, parameters, limits, figures",
        "atlas.json": "RSNA's card of the model, for https://atlas.rsna.org",
        "result.json": "every figure and prediction",
    }
    rows = [(name, text) for name, text in purposes.items() if name in texts]
    parts = [
        "# For reviewers",
        verdict,
        render_table(["file", "holds"], rows, aligned=False),
    ]
    if "model_card.md" not in texts:
        parts.append("There is no model card: pass the fitted pipeline as pipeline=.")
    missing = list(list_missing_fields(card))
    if required := [field for field, needed in missing if needed]:
        parts.append(f"Before the upload, atlas.json needs: {', '.join(required)}.")
    others = ", ".join(field for field, needed in missing if not needed)
    parts.append(f"The author may add to atlas.json: {others}.")
    return "\n\n".join(parts) + "\n"


def _draw_flow(result: EvaluationResult, data: Bunch | None) -> str:
    """Draw images and patients from the collections to the partitions, as SVG."""
    import matplotlib.pyplot as plt

    lost = {
        "Cannot be read": len((data or {}).get("bad_files") or ()),
        "Another view": len((data or {}).get("dropped") or ()),
    }
    options: dict[str, Any] = {}
    if excluded := {reason: (n, None) for reason, n in lost.items() if n}:
        found = len(result.y_true) + sum(lost.values())
        options = {"excluded": excluded, "collections": {"Images": (found, None)}}
    figure = FlowDiagramDisplay.from_result(result, **options).figure_
    file = StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)
    return file.getvalue()


def _check_labels(
    name: str, data: Bunch, rows: NDArray[np.intp], labels: NDArray[Any]
) -> None:
    """Refuse images of another evaluation."""
    target = np.asarray(data.target)
    if rows.max() >= len(target) or not np.array_equal(target[rows], labels):
        raise ValueError(
            f"{name} has other labels than the images of the result. Pass what "
            "load_radiographs returned for them, in the same order."
        )
