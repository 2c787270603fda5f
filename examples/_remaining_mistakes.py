"""The images that every model gets wrong: how many, which, and how surely."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from benchmarks._common import markdown_table
from numpy.typing import NDArray

from skcovid.metrics import Estimate

# A model is sure where it gives a wrong class at least this probability.
SURE = 0.9


def describe_mistakes(
    results: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> str:
    """Count the mistakes of each model, and list those that all of them make.

    `results` are by title of the model, of the same images, whose files are `names`.
    """
    y = np.array(next(iter(results.values()))["y_true"])
    wrong = {
        title: np.array(result["predictions"]) != y for title, result in results.items()
    }
    sure = {
        title: wrong[title] & (np.max(result["probabilities"], axis=1) >= SURE)
        for title, result in results.items()
    }
    lines = [
        [title, int(wrong[title].sum()), int(sure[title].sum())] for title in results
    ]
    in_all, sure_in_all = (
        np.all(list(flags.values()), axis=0) for flags in (wrong, sure)
    )
    lines.append(["every one of these", int(in_all.sum()), int(sure_in_all.sum())])
    table = markdown_table(["model", "wrong", f"wrong, and ≥ {SURE:.0%} sure"], lines)
    return "\n\n".join(
        [table, _ceiling(in_all, sure_in_all), _list_images(in_all, results, names)]
    )


def _ceiling(in_all: NDArray[np.bool_], sure_in_all: NDArray[np.bool_]) -> str:
    n = len(in_all)
    sure, every = (
        Estimate.from_counts(int(n - flags.sum()), n) for flags in (sure_in_all, in_all)
    )
    return (
        "Were the labels wrong wherever every model is surely wrong, a faultless "
        f"reader would agree with {sure} of the labels; were they wrong wherever every "
        f"model is wrong, with {every}. That is an estimate of how much a better model "
        "could gain on these labels, not of the labels' quality: models on the same "
        "network share their blind spots."
    )


def _list_images(
    in_all: NDArray[np.bool_],
    results: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
) -> str:
    first = next(iter(results.values()))
    classes = np.array(first["classes"])
    mean = np.mean([result["probabilities"] for result in results.values()], axis=0)
    # Models may disagree in which wrong class it is.
    mean[classes == np.array(first["y_true"])[:, None]] = 0
    rows = np.flatnonzero(in_all)
    rows = rows[np.argsort(-mean[rows].max(axis=1), kind="stable")]
    lines = [
        [
            f"`{names[row]}`",
            first["y_true"][row],
            classes[mean[row].argmax()],
            f"{mean[row].max():.3f}",
        ]
        for row in rows
    ]
    return markdown_table(
        ["image", "label", "taken for", "mean probability of that"], lines
    )
