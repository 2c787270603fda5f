"""`audit`, which runs every check."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import column_or_1d

from skcovid._base._compatibility import Interval, StrOptions, validate_params
from skcovid._base._label_checks import as_columns, check_indices, check_samples
from skcovid._base._random import draw_seed
from skcovid._base._requirements import require
from skcovid.auditing._attributes import check_attributes
from skcovid.auditing._blanked_lungs import check_blanked_lungs
from skcovid.auditing._duplicates import check_duplicates
from skcovid.auditing._headers import check_headers
from skcovid.auditing._labels import check_disputed_labels
from skcovid.auditing._leakage import check_leakage
from skcovid.auditing._outside import check_outside
from skcovid.auditing._refit import prepare_refit
from skcovid.auditing._report import AuditReport
from skcovid.auditing._shortcut_ratio import check_shortcut_ratio
from skcovid.auditing._source import check_source
from skcovid.auditing._source_signal import check_source_signal
from skcovid.auditing._subject import Subject
from skcovid.auditing._thumbnails import check_thumbnails
from skcovid.auditing._visible_area import MIN_BORDER_FRACTION
from skcovid.images._pixels import read_pixels
from skcovid.model_selection._evaluate import check_folds, evaluate
from skcovid.model_selection._leave_one_source_out import explain_too_many
from skcovid.model_selection._prediction_columns import read_prediction_columns
from skcovid.model_selection._result import TABLE, EvaluationResult
from skcovid.model_selection._splits import split
from skcovid.preprocessing._reader import find_white_level
from skcovid.reading._check_files import check_files


@validate_params(
    {
        "pipeline_or_result": [BaseEstimator, EvaluationResult, *TABLE],
        "X": "no_validation",
        "y": ["array-like", None],
        "groups": ["array-like", None],
        "source": ["array-like", None],
        "cv": ["cv_object", StrOptions({"leave-one-source-out"})],
        "attributes": [Mapping, None],
        "refit": [BaseEstimator, StrOptions({"auto"})],
        "fractions": [list, tuple],
        "max_images": [Interval(Integral, 1, None, closed="left")],
        # With 19, the smallest possible p-value is 5 %.
        "n_permutations": [Interval(Integral, 19, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=False,
)
def audit(
    pipeline_or_result: Any,
    X: Any = None,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    source: ArrayLike | None = None,
    *,
    cv: int | BaseCrossValidator | Literal["leave-one-source-out"] = 5,
    attributes: Mapping[str, ArrayLike] | None = None,
    refit: BaseEstimator | Literal["auto"] = "auto",
    fractions: Sequence[float] = (0.5, 0.7, 0.9),
    max_images: int = 1000,
    n_permutations: int = 99,
    random_state: int | np.random.RandomState | None = 0,
    n_jobs: int = 2,
    verbose: int = 1,
) -> AuditReport:
    """Look for evidence that a score rests on something other than the disease.

    Published classifiers of COVID-19 radiographs were shown to tell apart hospitals,
    ages, marks or file formats [1]_ [2]_ [3]_. These checks each have a figure, a
    threshold and a verdict: *headers* (properties of the files alone), *thumbnails*
    (16 × 16 pixels), *blanked lungs* (the centre of the images is black), *shortcut
    ratio* (the share of the model's skill that these baselines have), *duplicates*,
    *leakage* (patients and resampled copies on both sides of a split), *source*
    (whether classes come from different places), *attributes* (age, sex, machine and
    the like alone), *source signal* (whether the model's features tell sources apart
    within a class), *labels* (those that the model, the pixels and similar images
    dispute), *outside* (a forecast of the ROC AUC in another hospital). Baselines are
    cross-validated on the model's folds.

    Parameters
    ----------
    pipeline_or_result : estimator, EvaluationResult, table or path-like
        A classifier, which is evaluated first, or the result of
        :func:`skcovid.evaluate` for `X` and `y`. Or a table of any model's predictions,
        as for
        :meth:`~skcovid.model_selection.EvaluationResult.from_predictions`: a frame, a
        mapping of columns, or the path of a CSV file. `X`, `y`, `groups`, `source` and
        `attributes` are then its columns.
    X : array-like of shape (n_samples, ...), default=None
        Paths, which the headers check needs, or images as the pipeline takes them.
        Preprocessed ones, such as floats in [-1, 1], are brought to [0, 255] for the
        checks of pixels, and blanked with 0.
    y : array-like of shape (n_samples,), default=None
        Class labels.
    groups : array-like of shape (n_samples,), default=None
        Patients. A pipeline is evaluated with them; of a result it is checked that no
        patient is on two sides of a split. By default those of a result.
    source : array-like of shape (n_samples,), default=None
        Hospital or collection of each image. By default that of a result.
    cv : int, cross-validator or "leave-one-source-out", default=5
        As for :func:`skcovid.evaluate`; not used with a result. For a table without the
        column "fold", it makes the folds of the baselines.
    attributes : mapping of str to array-like of shape (n_samples,), default=None
        What is known of each image beside its pixels, such as ``attributes`` of
        :func:`skcovid.datasets.load_radiographs`; None, NaN or empty if missing.
    refit : estimator or "auto", default="auto"
        The classifier that is fitted to blanked images, and without a source. "auto"
        takes the pipeline itself, or the linear recipe on its network if it fine-tunes
        one, or logistic regression on 32 × 32 pixels if there is only a result.
    fractions : sequence of float, default=(0.5, 0.7, 0.9)
        Height and width of the blanked area, as shares of the image's. The verdict is
        that of the largest, at least 0.9, which leaves only the border visible.
    max_images : int, default=1000
        Maximum number of images for `refit`, drawn so that classes keep their shares.
    n_permutations : int, default=99
        Random labellings in the headers check, at least 19. It stops earlier once the
        result cannot become significant.
    random_state : int, RandomState instance or None, default=0
        Seed of folds, forests and draws.
    n_jobs : int, default=2
        Threads.
    verbose : int, default=1
        0 hides the progress bars; the pipeline has its own `verbose`.

    Returns
    -------
    AuditReport
        The checks, and the model's result.

    Raises
    ------
    ImportError
        If Pillow, of the ``audit`` extra, is not installed.
    FileNotFoundError
        If images of a table are missing; all are listed.
    ValueError
        If lengths or pandas indices differ, the result is of other labels, `X` holds no
        valid images, `fractions` leave the lungs visible, or a table is not as
        :meth:`~skcovid.model_selection.EvaluationResult.from_predictions` needs it, or
        something is given twice.

    See Also
    --------
    skcovid.inspection.AuditDisplay : Draws the report.

    Notes
    -----
    Where the data hold no shortcut, each check should pass in 19 of 20 data sets.
    Headers, thumbnails and blanked lungs each compare every class with the rest, and
    share that error.

    References
    ----------
    .. [1] DeGrave, A. J., Janizek, J. D., and Lee, S.-I. (2021). AI for radiographic
       COVID-19 detection selects shortcuts over signal. Nature Machine Intelligence,
       3, 610-619.
    .. [2] Maguolo, G., and Nanni, L. (2021). A critic evaluation of methods for
       COVID-19 automatic detection from X-ray images. Information Fusion, 76, 1-7.
    .. [3] Roberts, M., et al. (2021). Common pitfalls and recommendations for using
       machine learning to detect and prognosticate for COVID-19 using chest
       radiographs and CT scans. Nature Machine Intelligence, 3, 199-217.

    Examples
    --------
    A mark in a corner of every COVID-19 image, and a model that uses it:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skcovid import audit
    >>> from skcovid.datasets import make_radiographs
    >>> X, y = make_radiographs(
    ...     90, image_size=48, weights=(1, 1, 1), random_state=0, return_X_y=True
    ... )
    >>> X[y == "COVID-19", 1:4, 1:4] = 255
    >>> pipeline = make_pipeline(
    ...     FunctionTransformer(lambda images: images.reshape(len(images), -1) / 255.0),
    ...     LogisticRegression(C=0.01),
    ... )
    >>> report = audit(pipeline, X, y, cv=3, fractions=[0.9], verbose=0)
    >>> report["blanked lungs"].flagged
    True
    >>> report["duplicates"].verdict
    'No image occurs twice.'
    """
    require("PIL", extra="audit", caller="audit")
    valid = [f for f in fractions if isinstance(f, Real) and 0 < f < 1]
    if len(valid) != len(fractions) or max(valid, default=0) < MIN_BORDER_FRACTION:
        raise ValueError(
            "fractions must be numbers between 0 and 1, the largest at least "
            f"{MIN_BORDER_FRACTION} so that no lungs are visible, got {fractions!r}."
        )
    if not isinstance(pipeline_or_result, BaseEstimator | EvaluationResult):
        columns = {"X": X, "y": y, "groups": groups, "source": source}
        columns["attributes"] = attributes
        if twice := [name for name, values in columns.items() if values is not None]:
            raise ValueError(
                f"{', '.join(twice)} given besides a table of predictions, which has "
                "them as the columns path, label, patient, source, age, sex and the "
                "like. Add them there."
            )
        table = read_prediction_columns(pipeline_or_result)
        check_files(table["path"], n_jobs=n_jobs)
        X, y = np.array(table["path"], dtype=object), table["label"]
        attributes = table["attributes"]
        pipeline_or_result = EvaluationResult._from_columns(table)
    if X is None or y is None:
        raise ValueError(
            "X and y are needed with a pipeline or a result: the images and their "
            "labels. A table of predictions alone has them as columns."
        )
    check_samples(X, y, groups, source)
    given = attributes or {}
    check_indices(X=X, y=y, attributes=given)
    labels = column_or_1d(y)
    patients, sources = (
        None if values is None else column_or_1d(values) for values in (groups, source)
    )
    columns = as_columns(given, len(labels))
    seed = draw_seed(random_state)
    white_level = find_white_level(pipeline_or_result)
    pixels = read_pixels(X, white_level=white_level, n_jobs=n_jobs, verbose=verbose)
    pipeline = None
    if isinstance(pipeline_or_result, EvaluationResult) and sources is None:
        sources = pipeline_or_result.source
    # The check of sources reports those that name images.
    usable = None if sources is None or explain_too_many(sources) else sources
    if isinstance(pipeline_or_result, EvaluationResult):
        result = pipeline_or_result
        patients = result.groups if patients is None else patients
        if not np.array_equal(result.y_true, labels):
            raise ValueError(
                "pipeline_or_result is of other data: its y_true "
                f"({len(result.y_true)} labels) differs from y ({len(labels)}). Pass "
                "the X and y that were evaluated, in the same order."
            )
    else:
        pipeline = pipeline_or_result
        result = evaluate(
            pipeline,
            X,
            y,
            cv=cv,
            groups=patients,
            source=usable,
            random_state=seed,
            verbose=verbose,
        )
    splits = [(fold.train_indices, fold.test_indices) for fold in result.folds]
    if not result.folds_known:
        splitter = check_folds(cv, labels, patients, seed)
        drawn = split(labels, cv=splitter, groups=patients, source=sources)
        splits = [(rows.train, rows.test) for rows in drawn]
    subject = Subject(
        X, labels, patients, usable, result, pipeline, seed, n_jobs, verbose, splits
    )
    headers, of_headers = check_headers(subject, n_permutations)
    thumbnails, whole, ring = check_thumbnails(subject, pixels)
    with prepare_refit(subject, refit, max_images) as refitted:
        blanked, curve, views = check_blanked_lungs(subject, refitted, fractions)
        whole_view = views[0] if views else None
        of_source, left_out = check_source(subject, sources, refitted, whole_view)
        signal = check_source_signal(subject, sources, refitted, of_source)
        of_labels, queue = check_disputed_labels(subject, pixels, refitted)
    # The last view is the border alone.
    without_lungs = [*of_headers, ring, *views[-1:]]
    ratio = check_shortcut_ratio(subject, without_lungs, [whole])
    return AuditReport(
        checks=(
            *(headers, thumbnails, blanked, ratio),
            check_duplicates(subject, pixels),
            check_leakage(subject),
            of_source,
            check_attributes(subject, columns, sources),
            signal,
            of_labels,
            check_outside(subject, without_lungs, left_out),
        ),
        result=result,
        chance=subject.chance,
        settings={
            "n_images": len(labels),
            "protocol": result.protocol,
            "cv": result.cv,
            "n_folds": len(splits),
            "fractions": sorted(map(float, fractions)),
            "max_images": int(max_images),
            "n_permutations": int(n_permutations),
            "random_state": seed,
        },
        visible_curve=tuple(curve),
        visible_chance=None if whole_view is None else whole_view.chance,
        label_queue=queue,
    )
