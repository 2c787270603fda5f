"""Flow diagram: which images and patients came in, were left out, and were used."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

from skcovid.inspection._plotting import COLOURS, Axes, Display, wrap_labels
from skcovid.model_selection._result import EvaluationResult

# Numbers of images and of patients by name.
Counts = Mapping[Any, tuple[int, int | None]]

# Size of text in points; spaces inside and between boxes in inches.
_SIZE = 9.0
_PAD, _GAP = 0.1, 0.3


@dataclass
class _Box:
    """A heading and lines of text, and where they are in inches from the top left."""

    heading: str
    body: str
    is_aside: bool = False
    width: float = 0.0
    height: float = 0.0
    heading_height: float = 0.0
    left: float = 0.0
    top: float = 0.0


class FlowDiagramDisplay(Display):
    """Boxes from collections over what was left out to folds and an external set.

    The flow of participants that STARD, CLAIM and TRIPOD+AI ask for. Boxes are as wide
    as their text, and on axes that are given the text shrinks with them.

    Counts are pairs of the number of images and that of patients, None where patients
    are not known.

    Parameters
    ----------
    collections : mapping of str to (int, int or None)
        Counts of each collection as it was found.
    partitions : mapping of str to (int, int or None)
        Counts of the parts of the analysed images: the test images of each fold, or
        training and test images.
    excluded : mapping of str to (int, int or None), default=None
        Counts of images that were left out, by reason.
    external : mapping of str to (int, int or None), default=None
        Counts of each external collection as it was found. By default there is none.
    external_excluded : mapping of str to (int, int or None), default=None
        Counts of external images that were left out, by reason.
    n_patients, n_external_patients : int, default=None
        Number of patients with images that were not left out; it does not follow from
        the other counts, as a patient has several images.

    Attributes
    ----------
    boxes_ : list of matplotlib FancyBboxPatch
        The boxes.
    text_ : list of matplotlib Text
        The texts in them: the heading of each box and, if it has any, its lines.
    ax_, figure_ : matplotlib Axes and Figure
        Where `plot` drew.

    Raises
    ------
    ValueError
        If `collections` is empty, or more images were left out than were found.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skcovid.inspection import FlowDiagramDisplay
    >>> display = FlowDiagramDisplay(
    ...     {"Hospital A": (520, 400), "Hospital B": (300, 290)},
    ...     {"Fold 1": (408, 344), "Fold 2": (408, 343)},
    ...     excluded={"Lateral view": (4, 4)},
    ...     n_patients=687,
    ... ).plot()
    >>> print(display.text_[4].get_text())
    Analysed
    816 images, 687 patients
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        collections: Counts,
        partitions: Counts,
        *,
        excluded: Counts | None = None,
        external: Counts | None = None,
        external_excluded: Counts | None = None,
        n_patients: int | None = None,
        n_external_patients: int | None = None,
    ) -> None:
        if not collections:
            raise ValueError("collections is empty; give at least one.")
        for name, found, left_out in (
            ("excluded", collections, excluded),
            ("external_excluded", external, external_excluded),
        ):
            if _sum_images(left_out) > _sum_images(found):
                raise ValueError(
                    f"{name} holds {_sum_images(left_out):,} images, more than the "
                    f"{_sum_images(found):,} that were found; count each image once."
                )
        self.collections = collections
        self.partitions = partitions
        self.excluded = excluded
        self.external = external
        self.external_excluded = external_excluded
        self.n_patients = n_patients
        self.n_external_patients = n_external_patients

    def _columns(self) -> list[list[_Box | None]]:
        """Return the boxes of each column: found, left out or None, used, parts."""
        inside = _begin(
            "Collections", self.collections, self.excluded, "Analysed", self.n_patients
        )
        columns = [[*inside, _make_box("Partitions", self.partitions)]]
        if self.external is not None:
            outside = _begin(
                "External collections",
                self.external,
                self.external_excluded,
                "External set, scored by a model of all analysed images",
                self.n_external_patients,
            )
            columns.append([*outside, None])
        return columns

    def _arrange(self) -> tuple[list[list[_Box | None]], float, float]:
        """Return the columns with their boxes in place, and the size of all."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(dpi=300)
        canvas: Any = FigureCanvasAgg(figure)
        renderer = canvas.get_renderer()

        def measure(text: str, weight: str) -> Any:
            drawn = figure.text(0, 0, text, size=_SIZE, weight=weight)
            extent = drawn.get_window_extent(renderer)
            return np.array([extent.width, extent.height]) / 300

        columns = self._columns()
        for box in (box for column in columns for box in column if box):
            heading = measure(box.heading, "bold")
            body = measure(box.body, "normal") if box.body else (0, 0)
            box.heading_height = heading[1]
            box.width = 1.03 * max(heading[0], body[0]) + 2 * _PAD
            box.height = heading[1] + body[1] + (3 if box.body else 2) * _PAD
        top, left = _GAP, _GAP
        for row in zip(*columns, strict=True):
            for box in filter(None, row):
                box.top = top
            tallest = max((box.height for box in row if box), default=0)
            top += tallest + (_GAP if tallest else 0)
        for column in columns:
            main = [box for box in column if box and not box.is_aside]
            asides = [box for box in column if box and box.is_aside]
            width = max(box.width for box in main)
            for box in main:
                box.width, box.left = width, left
            left += width + _GAP
            for box in asides:
                # To the right of the arrow that it leaves.
                box.left = left - width / 2
                left = max(left, box.left + box.width + _GAP)
        return columns, left, top

    def _layout(self) -> tuple[tuple[float, float], tuple[int, ...]]:
        _, width, height = self._arrange()
        # A title is wider than the smallest boxes.
        return (max(width, 3.5), height + 0.35), ()

    def _draw(self, ax: "Axes") -> None:
        from matplotlib.patches import FancyBboxPatch

        columns, width, height = self._arrange()
        ax.set(xlim=(0, width), ylim=(height, 0), title="Flow of images and patients")
        ax.set_axis_off()
        style = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
        self.boxes_, self.text_ = [], []
        for column in columns:
            boxes = [box for box in column if box]
            main = [box for box in boxes if not box.is_aside]
            for above, below in pairwise(main):
                centre, bottom = above.left + above.width / 2, above.top + above.height
                ax.annotate("", (centre, below.top), (centre, bottom), arrowprops=style)
            for box in boxes:
                if box.is_aside:
                    middle = box.top + box.height / 2
                    start = main[0].left + main[0].width / 2, middle
                    ax.annotate("", (box.left, middle), start, arrowprops=style)
                colour = COLOURS[1] if box.is_aside else COLOURS[0]
                patch = FancyBboxPatch(
                    (box.left, box.top),
                    box.width,
                    box.height,
                    boxstyle="square,pad=0",
                    edgecolor=colour,
                    facecolor="white",
                )
                self.boxes_.append(ax.add_patch(patch))
                self.text_.append(_write(ax, box, box.heading, _PAD, "bold"))
                if box.body:
                    offset = 2 * _PAD + box.heading_height
                    self.text_.append(_write(ax, box, box.body, offset, "normal"))

    @classmethod
    def from_result(
        cls,
        result: EvaluationResult,
        *,
        collections: Counts | None = None,
        excluded: Counts | None = None,
        ax: "Axes | None" = None,
    ) -> Self:
        """Count the images and patients of an evaluation and plot them.

        Parameters
        ----------
        result : EvaluationResult
            What :func:`skcovid.evaluate` returned.
        collections : mapping of str to (int, int or None), default=None
            Counts of each collection as it was found. By default those of the images
            that were evaluated, by source if it is known.
        excluded : mapping of str to (int, int or None), default=None
            Counts of images that were left out before the evaluation, by reason; give
            `collections` with it.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        FlowDiagramDisplay

        Raises
        ------
        ValueError
            If `collections` less `excluded` are not the images of `result`.
        """
        n_images = len(result.y_true)

        def count(rows: Any) -> tuple[int, int | None]:
            if result.groups is None:
                return len(rows), None
            return len(rows), len(np.unique(result.groups[rows]))

        source = result.source
        if collections is None:
            names = np.full(n_images, "Images") if source is None else source
            collections = {
                name: count(np.flatnonzero(names == name))
                for name in np.unique(names).tolist()
            }
        left = _sum_images(collections) - _sum_images(excluded)
        if left != n_images:
            raise ValueError(
                f"collections less excluded hold {left:,} images, the result has "
                f"{n_images:,}; give both as they were counted before the evaluation."
            )
        partitions = {}
        for number, fold in enumerate(result.folds, start=1):
            title = f"Fold {number}"
            if not result.folds_known:
                title = "Folds not known"
            elif source is not None and result.sources_left_out:
                title = " + ".join(map(str, np.unique(source[fold.test_indices])))
            partitions[f"{title}, test"] = count(fold.test_indices)
        options: dict[str, Any] = {}
        if (outside := result.external) is not None:
            known = {*outside.patients_in_training.tolist()}
            copies = {*(outside.copies or ())} - known
            options["external_excluded"] = {
                reason: (len(rows), None)
                for reason, rows in (
                    ("Patient also in training", known),
                    ("Image also in training", copies),
                )
                if rows
            }
            n_found = len(outside.y_true) + len(known) + len(copies)
            patients = outside.n_patients if n_found == len(outside.y_true) else None
            options["external"] = {"External set": (n_found, patients)}
            options["n_external_patients"] = outside.n_patients
        return cls(
            collections,
            partitions,
            excluded=excluded,
            n_patients=count(np.arange(n_images))[1],
            **options,
        ).plot(ax)


def _sum_images(counts: Counts | None) -> int:
    """Return the number of images of all lines of a box."""
    return sum(images for images, _ in (counts or {}).values())


def _describe(images: int, patients: int | None) -> str:
    """Write a number of images and, if it is known, that of their patients."""
    text = f"{images:,} image{'s' * (images != 1)}"
    if patients is not None:
        text += f", {patients:,} patient{'s' * (patients != 1)}"
    return text


def _make_box(heading: str, counts: Counts, is_aside: bool = False) -> _Box:
    """Make a box of a heading and a line for each count."""
    lines = [f"{name}: {_describe(*count)}" for name, count in counts.items()]
    lines = wrap_labels(lines, 42, break_long_words=True, subsequent_indent="    ")
    return _Box(heading, "\n".join(lines), is_aside)


def _begin(
    heading: str,
    found: Counts,
    excluded: Counts | None,
    used: str,
    n_patients: int | None,
) -> list[_Box | None]:
    """Return the boxes of what was found, left out and used."""
    n_images = _sum_images(found) - _sum_images(excluded)
    (used,) = wrap_labels([used], 40)
    return [
        _make_box(heading, found),
        _make_box("Left out", excluded, is_aside=True) if excluded else None,
        _Box(f"{used}\n{_describe(n_images, n_patients)}", ""),
    ]


def _write(ax: "Axes", box: _Box, text: str, offset: float, weight: str) -> Any:
    """Write text below the top of a box, small enough for it whenever it is drawn."""
    from matplotlib.text import Text

    left, top = box.left + _PAD, box.top + offset
    right = box.left + box.width - _PAD / 2
    height = box.heading_height if weight == "bold" else box.height - offset

    class FittedText(Text):
        def get_window_extent(self, renderer: Any = None, dpi: Any = None) -> Any:
            corners = [(left, top), (right, top + height)]
            room = np.abs(np.diff(ax.transData.transform(corners), axis=0)[0])
            scale = room / [right - left, height] / ax.figure.dpi
            size = _SIZE * min(1, *scale)
            self.set_fontsize(size)
            extent = super().get_window_extent(renderer, dpi)
            # Letters of few pixels are larger than they should be.
            while (ratio := (room / extent.size).min()) < 1 < size:
                size *= 0.98 * ratio
                self.set_fontsize(size)
                extent = super().get_window_extent(renderer, dpi)
            return extent

        def draw(self, renderer: Any) -> None:
            self.get_window_extent(renderer)
            super().draw(renderer)

    drawn = FittedText(left, top, text, va="top", weight=weight)
    ax.add_artist(drawn)
    return drawn
