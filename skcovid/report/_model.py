"""Sections on the model: its augmentation, its saliency and its model card."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skcovid._base._compatibility import safe_indexing
from skcovid._base._document import (
    Details,
    Heading,
    Markdown,
    Paragraph,
    Section,
    Table,
)
from skcovid.augmentation._balancer import AugmentationBalancer
from skcovid.inspection._augmentation import AugmentationDisplay
from skcovid.inspection._saliency import SaliencyDisplay
from skcovid.model_selection._result import EvaluationResult
from skcovid.persistence._model_card import INTENDED_USE, LIMITATIONS, list_parameters
from skcovid.report._pictures import draw


def describe_augmentation(pipeline: Any, X: Any, result: EvaluationResult) -> Section:
    """Show an image of each class and augmented copies of it."""
    title = "Augmentation samples"
    is_pipeline = isinstance(pipeline, Pipeline)
    steps = [step for _, step in pipeline.steps] if is_pipeline else [pipeline]
    balancers = [step for step in steps if isinstance(step, AugmentationBalancer)]
    if not balancers:
        text = "The pipeline does not augment."
        return Section("augmentation", title, [Paragraph(text)])
    labels, first = np.unique(result.y_true, return_index=True)
    images = safe_indexing(X, first)
    for step in steps[: steps.index(balancers[0])]:
        if step not in (None, "passthrough"):
            images = clone(step).fit(images, labels).transform(images)
    display = AugmentationDisplay.from_sampler(balancers[0], images, labels)
    alt = "The first image of each class and three augmented copies of it."
    image = draw(display.figure_, alt)
    text = (
        "The first image of each class, and copies of it as they are trained on (the "
        "paper's Figure 4)."
    )
    return Section("augmentation", title, [Paragraph(text), image])


def describe_saliency(displays: Iterable[SaliencyDisplay]) -> Section:
    """Show where the model looks."""
    images = [
        draw(
            display.plot().figure_,
            f"{len(display.images)} radiographs, each beside itself under its "
            f"saliency by {display.method}.",
        )
        for display in displays
    ]
    text = (
        "Where the network looks, on some images. Trust a saliency only if it changes "
        "when the network's weights are made random "
        "(skcovid.inspection.randomization_check)."
    )
    return Section("saliency", "Saliency samples", [Paragraph(text), *images])


def describe_model(pipeline: Any, result: EvaluationResult) -> Section:
    """State intended use, classes, parameters and limitations of the model."""
    classes = ", ".join(map(str, result.classes.tolist()))
    parameters = Table(["parameter", "value"], list_parameters(pipeline))
    return Section(
        "model-card",
        "Model card",
        [
            Heading("Intended use"),
            Markdown(INTENDED_USE),
            Heading("Model"),
            Paragraph(f"Classes: {classes}."),
            Details("Parameters", [parameters]),
            Heading("Limitations"),
            Markdown(LIMITATIONS),
        ],
    )
