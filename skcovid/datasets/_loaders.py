"""Load a set of radiographs: paths, labels, patients, sources and views."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skcovid._base._compatibility import Interval, StrOptions, validate_params
from skcovid.datasets._attributes import as_arrays
from skcovid.datasets._bad_files import leave_out_bad_files
from skcovid.datasets._joining import (
    check_classes,
    check_distinct,
    describe_coincidence,
    name_collections,
)
from skcovid.datasets._metadata import enumerate_some
from skcovid.datasets._provenance import NOT_KNOWN, fill_provenance
from skcovid.datasets._sets import TABLE_LAYOUT, Choice, RadiographSet, find_set
from skcovid.reading._dicom_headers import FRONTAL_VIEWS
from skcovid.reading._lung_masks import find_mask
from skcovid.reading._paths import format_path


@validate_params(
    {
        "root": [str, os.PathLike, list, tuple],
        "class_names": [list, tuple, np.ndarray, None],
        "class_mapping": [dict, None],
        "metadata": [str, os.PathLike, None],
        "views": [StrOptions({"all", "frontal"})],
        "split_pneumonia": ["boolean"],
        "on_error": [StrOptions({"raise", "report"})],
        "n_jobs": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    }
)
def load_radiographs(
    root: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    class_names: Sequence[str] | None = None,
    class_mapping: Mapping[str, str] | None = None,
    metadata: str | os.PathLike[str] | None = "auto",
    views: Literal["all", "frontal"] = "all",
    split_pneumonia: bool = False,
    on_error: Literal["raise", "report"] = "raise",
    n_jobs: int = 2,
    verbose: int = 1,
) -> Bunch:
    """Find the radiographs of folders, zip archives or tables.

    It returns paths, for :class:`skcovid.RadiographReader`, and reads no pixels unless
    `on_error` is "report". Supported layouts, on disk or in an archive:

    - a folder for each class;
    - all releases of the COVID-19 Radiography Database: images in the class folders, or
      in ``images`` there with lung masks in ``masks``;
    - the paediatric set of Kermany et al., and any other with class folders in
      ``train``, ``val`` and ``test``;
    - a folder of images, in any folders below, with a ``metadata.csv`` that has the
      columns ``path`` and ``label``.

    Parameters
    ----------
    root : str or path-like, or list of them
        A folder, a zip archive of one (read in place), a folder in an archive, or a CSV
        table. Hidden files, and those that operating systems write, are skipped. A
        table has the columns ``path`` or ``file`` (absolute, or relative to the table's
        folder) and ``label``, and any of ``patient``, ``source``, ``view``, ``split``,
        ``age``, ``sex``, ``manufacturer``, ``model``, ``acquisition_date`` and others.
        A list joins collections, each of which is a source; one of them may have one
        class, in one folder.
    class_names : list of str, default=None
        Classes to load, as `class_mapping` names them; all by default. A collection may
        lack some.
    class_mapping : dict of str to str, default=None
        New names of classes, by the name that is found, in all collections; classes
        that it does not name keep theirs. Classes may get the same name.
    metadata : str, path-like or None, default="auto"
        A CSV table with a row for each image: its ``path``, relative to the folder of
        class folders, and any of the columns above (``label`` is checked against the
        folder); or the table of the Cohen collection (:func:`cohen_patients`). "auto"
        reads ``metadata.csv`` in that folder, if it exists; None reads no table. A list
        of collections takes "auto" or None.
    views : {"all", "frontal"}, default="all"
        "frontal" keeps the images known to be postero-anterior or antero-posterior;
        `dropped` lists the others, and `DESCR` counts them by view.
    split_pneumonia : bool, default=False
        Whether to split the Kermany set's ``PNEUMONIA`` into ``Bacterial Pneumonia``
        and ``Viral Pneumonia``, by file name.
    on_error : {"raise", "report"}, default="raise"
        What to do with files that can't be read. "raise": missing files of a table and
        bad headers of DICOM files raise one error here that lists them, other files
        when :class:`skcovid.RadiographReader` reads them. "report": every file is read
        here, and `bad_files` has those that are left out.
    n_jobs : int, default=2
        Threads that read files, if `on_error` is "report".
    verbose : int, default=1
        0 hides the progress bars.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with the attributes

        paths : ndarray of shape (n_images,), object
            Paths of the images, each a str that begins with `root` (the table's folder,
            for a table); sorted by class name, then by file name with numbers in
            numeric order, or in the table's order; collection by collection. Paths in
            an archive look like ``radiographs.zip/NORMAL/1.png``.
        target : ndarray of shape (n_images,), str
            Labels: the names of the class folders, or the table's.
        target_names : list of str
            The classes, sorted.
        groups : ndarray of shape (n_images,), str, or None
            Patient of each image: from the table; or else the patient ID of a DICOM
            file, or its study if the ID is empty or a placeholder; or else from file
            names that follow the scheme of the Kermany set or of NIH ChestX-ray14. An
            image without a patient is a separate group. None if no patient is known. In
            a list of collections, each begins with the collection's name and ``/``.
        source : ndarray of shape (n_images,), str, or None
            Source of each image, or empty: from the table, or else the institution of a
            DICOM file, or the collection whose scheme file names follow. None if none
            is known. In a list of collections, the name of each: the last part of its
            path, and parts before where names would be alike.
        view_position : ndarray of shape (n_images,), object, or None
            ``PA``, ``AP``, ``LATERAL`` or another in capitals, or None: from the table,
            or else from DICOM files. None if none is known.
        masks : ndarray of shape (n_images,), object, or None
            Path of each image's lung mask, ``masks/1.png`` of ``images/1.png``, or
            None; for ``RadiographReader(lungs=...)``. None if there are none.
        split : ndarray of shape (n_images,), str, or None
            ``train``, ``val`` or ``test``, if the folders or the table say so.
        attributes : dict of str to ndarray of shape (n_images,)
            What a table or else a DICOM file says of images, only those that are known
            for an image: ``age`` (years, float64, NaN if unknown; 90+ is 90); ``sex``
            (``F``, ``M``, ``O``); ``view`` (as `view_position`), ``manufacturer``,
            ``model``; ``acquisition_date`` (ISO 8601; else the study's date); in a list
            of collections ``source``, the own source of each image; and the further
            columns of a table, float64 if all values are plain numbers. Text is empty
            where not known. An age, sex or date of a DICOM file that is not in DICOM's
            form is not known; in a table it is an error.
        dropped : list of str
            Images left out by `views`.
        ignored : list of str
            Files in class folders that are not images, and images outside of any, or
            that ``metadata.csv`` does not list.
        bad_files : dict of str to str
            Reason why a file can't be read, by path; empty if `on_error` is "raise".
        DESCR : str
            Layout, counts, how patients were found, classes of one source only and
            sources of one class only, and what was left out.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or table, or a file that a table given as `root`
        names.
    NotADirectoryError
        If `root` is another file.
    ImportError
        If there are DICOM files, and pydicom is not installed.
    ValueError
        If there are fewer than two classes; a class has no images; the layout is not
        supported; one file is found by two paths, or in two collections; labels differ
        only by case or spaces; `class_mapping` has a class that no collection has; the
        table is not in UTF-8, lacks an image, contradicts its folder, or has a column
        whose name is like a known one, an age, sex or date that is not understood, or a
        row of another length than its header; the archive is damaged or not safe; DICOM
        files are not radiographs; or `on_error` is "report" and no file of a class can
        be read.
    OSError
        If a folder cannot be read.

    Warns
    -----
    UserWarning
        If files are ignored or left out, rows of the table name missing files, or DICOM
        files, or some of the file names of a class, name no patient; or if, in a list
        of collections, a class is in one only, or one has a single class.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from skcovid.datasets import (
    ...     load_radiographs, make_radiographs, save_radiographs
    ... )
    >>> X, y = make_radiographs(6, image_size=32, random_state=0, return_X_y=True)
    >>> with TemporaryDirectory() as folder:
    ...     save_radiographs(X, y, folder)
    ...     data = load_radiographs(folder)
    >>> data.target_names
    ['COVID-19', 'NORMAL', 'Viral Pneumonia']
    >>> data.paths.shape, data.target.shape, data.groups
    ((6,), (6,), None)

    Two collections, each a source:

    >>> with TemporaryDirectory() as folder:
    ...     save_radiographs(X, y, f"{folder}/here")
    ...     save_radiographs(X, y, f"{folder}/there")
    ...     data = load_radiographs(
    ...         [f"{folder}/here", f"{folder}/there"],
    ...         class_mapping={"Viral Pneumonia": "Pneumonia"},
    ...     )
    >>> data.target_names, sorted(set(data.source.tolist()))
    (['COVID-19', 'NORMAL', 'Pneumonia'], ['here', 'there'])
    """
    is_list = isinstance(root, list | tuple)
    roots: Any = root if is_list else [root]
    choice = Choice(
        None if class_names is None else list(map(str, class_names)),
        class_mapping or {},
        metadata,
        split_pneumonia,
        all_must_exist=on_error == "raise",
        is_part=is_list,
    )
    if not roots or not all(isinstance(one, str | os.PathLike) for one in roots):
        raise ValueError(
            f"root must be a path, or a list of one or more paths, got {roots!r}."
        )
    if is_list and metadata not in ("auto", None):
        raise ValueError(
            "metadata is one table, but root is a list; put metadata.csv into the "
            "folder of each collection, or give tables in root."
        )
    messages: list[str] = []
    names = name_collections(roots) if is_list else [""]
    sets = [find_set(Path(one), choice) for one in roots]
    check_classes(sets, choice)
    if is_list:
        check_distinct(sets)
    for found, name in zip(sets, names, strict=True):
        found.collection = name
        if on_error == "report":
            leave_out_bad_files(found, n_jobs=n_jobs, verbose=verbose)
        fill_provenance(found, verbose=verbose)
        messages += _list_warnings(found)
        if views == "frontal":
            _keep_frontal_views(found)
        for image in found.images:
            image.attributes["view"] = image.view
            image.patient = image.patient or image.file
            if name:
                # A patient's ID means something in its own collection only.
                image.patient = f"{name}/{image.patient}"
                image.attributes["source"], image.source = image.source, name
    data = _bundle(sets)
    lines = describe_coincidence(data.target, data.source) if is_list else []
    if lines:
        messages.append(
            f"{' '.join(lines)} A model can tell these classes by the look of their "
            "source, so a score inside these collections may not hold in another."
        )
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=4)
    return data


def _keep_frontal_views(found: RadiographSet) -> None:
    """Move images of other views to `dropped`; raise if a class has no other."""
    class_names, images = found.class_names, found.images
    found.images = [image for image in images if image.view in FRONTAL_VIEWS]
    found.dropped = [image for image in images if image.view not in FRONTAL_VIEWS]
    if lost := sorted(set(class_names).difference(found.class_names)):
        own = [image.view for image in found.dropped if image.label == lost[0]]
        raise ValueError(
            f"views='frontal' leaves no image of class {lost[0]!r} in {found.name}: "
            f"its views are {_count(own)}. Views come from DICOM headers or a table's "
            "column view."
        )


def _list_warnings(found: RadiographSet) -> Iterator[str]:
    if found.bad_files:
        yield (
            f"{len(found.bad_files)} files in {found.name} can't be read and are left "
            f"out (`bad_files` says why): {enumerate_some(list(found.bad_files))}"
        )
    if found.ignored:
        why = (
            "the table has no row for them"
            if found.layout == TABLE_LAYOUT
            else "they have neither suffix nor first bytes of an image, can't be "
            "opened, or are not directly in a class folder"
        )
        yield (
            f"{len(found.ignored)} files in {found.name} are ignored, as {why} "
            f"(`ignored` lists them all): {enumerate_some(found.ignored)}"
        )
    if found.table is not None and found.absent:
        yield (
            f"{format_path(found.table.path)} has rows for {len(found.absent)} files "
            f"that don't exist: {enumerate_some(found.absent)}"
        )
    if found.unnamed:
        yield (
            f"{len(found.unnamed)} images in {found.name} name no patient: a DICOM "
            "patient ID is empty or a placeholder, or a file name has not the form of "
            "others in its class. Each study, or else each image, counts as a patient, "
            "so images of one patient may be in different folds. To prevent that, pass "
            f"a table with a column patient. {enumerate_some(found.unnamed)}"
        )


def _bundle(sets: Sequence[RadiographSet]) -> Bunch:
    images = [image for found in sets for image in found.images]

    def column(name: str) -> NDArray[Any] | None:
        values = [getattr(image, name) for image in images]
        return np.array(values) if any(values) else None

    if (views := column("view")) is not None:
        views = views.astype(object)
        views[views == ""] = None
    masks = [find_mask(image.path) for image in images]
    data = Bunch(
        paths=np.array([image.path for image in images], dtype=object),
        target=np.array([image.label for image in images]),
        target_names=sorted({image.label for image in images}),
        groups=column("patient") if _list_origins(sets) - {NOT_KNOWN} else None,
        source=column("source"),
        view_position=views,
        masks=np.array(masks, dtype=object) if any(masks) else None,
        split=column("split"),
        attributes=as_arrays([image.attributes for image in images]),
        dropped=[image.path for found in sets for image in found.dropped],
        ignored=[path for found in sets for path in found.ignored],
        bad_files={
            path: why for found in sets for path, why in found.bad_files.items()
        },
    )
    data.DESCR = "\n".join(_describe(sets, data))
    return data


def _list_origins(sets: Sequence[RadiographSet]) -> set[str]:
    """List how the patients of all classes were found."""
    return {one for found in sets for one in found.patient_origins.values()}


def _describe(sets: Sequence[RadiographSet], data: Bunch) -> Iterator[str]:
    if sets[0].collection:
        names = ", ".join(format_path(found.collection) for found in sets)
        yield f"Radiographs of {len(sets)} collections: {names}"
        yield ""
        for label in data.target_names:
            own = data.source[data.target == label]
            yield f"{format_path(label)}: images {len(own)}, of {_count(own.tolist())}"
    for found in sets:
        if found.collection:
            yield ""
        yield from _describe_set(found)
    if data.groups is None:
        yield from ["", "Groups: none, as no patient is known."]
    else:
        unnamed = any(found.unnamed for found in sets)
        unknown = unnamed or NOT_KNOWN in _list_origins(sets)
        of = "patient or unknown image" if unknown else "patient"
        yield from ["", f"Groups: {len(set(data.groups))}, one per {of}."]
    if data.split is not None:
        yield f"Split: {_count(data.split.tolist())}"
    if data.view_position is not None:
        yield f"Views: {_count([view or '' for view in data.view_position])}"
    if data.attributes:
        known = {
            name: np.sum(values == values) - np.sum(values == "")
            for name, values in data.attributes.items()
        }
        shown = ", ".join(f"{name} {count}" for name, count in known.items())
        yield f"Attributes, and of how many images they are known: {shown}"
    if data.source is not None:
        yield from describe_coincidence(data.target, data.source)
    if dropped := [image.view for found in sets for image in found.dropped]:
        yield f"Dropped as not frontal: {len(dropped)}, {_count(dropped)}"
    if data.bad_files:
        yield f"Files left out that can't be read: {len(data.bad_files)}"
        for path, reason in data.bad_files.items():
            yield f"{format_path(path)}: {reason}"
    yield f"Files ignored: {len(data.ignored)}"
    yield from map(format_path, data.ignored)


def _describe_set(found: RadiographSet) -> Iterator[str]:
    yield from [f"Radiographs in {found.name}", f"Layout: {found.layout}", ""]
    for label in found.class_names:
        own = [image.patient for image in found.images if image.label == label]
        origin = found.patient_origins[label]
        patients = origin if origin == NOT_KNOWN else f"{len(set(own))} ({origin})"
        masks = found.n_masks[label]
        beside = f", masks {masks}" if masks else ""
        counts = f"images {len(own)}, patients {patients}{beside}"
        yield f"{format_path(label)}: {counts}"


def _count(values: Sequence[str]) -> str:
    counts = sorted(Counter(values).items())
    return ", ".join(
        f"{format_path(value or NOT_KNOWN)} {count}" for value, count in counts
    )
