"""Sections on the model: its augmentation, its saliency and its model card."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from imblearn.base import SamplerMixin
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skcovid._base._compatibility import safe_indexing
from skcovid._base._document import (
    Details,
    Heading,
    List,
    Markdown,
    Paragraph,
    Section,
    Table,
)
from skcovid.augmentation._balancer import AugmentationBalancer
from skcovid.inspection._augmentation import AugmentationDisplay
from skcovid.inspection._saliency import SaliencyDisplay
from skcovid.model_selection._result import EvaluationResult
from skcovid.networks.backbones import get_backbone
from skcovid.persistence._model_card import (
    INTENDED_USE,
    list_limitations,
    list_parameters,
)
from skcovid.preprocessing._backbone_preprocessor import BackbonePreprocessor
from skcovid.preprocessing._reader import RadiographReader
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
            Paragraph(f"{describe_pipeline(pipeline)} Classes: {classes}."),
            Details("Parameters", [parameters]),
            Heading("Limitations"),
            List(list_limitations(result)),
        ],
    )


def describe_pipeline(pipeline: Any) -> str:
    """Say in plain words what a model is made of."""
    steps = pipeline.steps if isinstance(pipeline, Pipeline) else [("", pipeline)]
    found = [step for _, step in steps if step not in (None, "passthrough")]
    texts = [text for step in found if (text := _describe_step(step))]
    return f"{', '.join(texts)}."


def _describe_step(step: Any) -> str:
    """Name a step, with the parameters that readers ask for."""
    params = step.get_params(deep=False)
    if isinstance(step, RadiographReader | BackbonePreprocessor):
        return ""
    if isinstance(step, SamplerMixin):
        return f"training images balanced by {type(step).__name__}"
    if isinstance(step, StandardScaler):
        return "standardised"
    if "backbone" in params:
        backbone = params["backbone"]
        if isinstance(backbone, str):
            backbone = get_backbone(backbone)
        name = backbone.builder if isinstance(backbone.builder, str) else backbone.name
        name = name.replace("efficientnetlite", "EfficientNet-Lite")
        weights = {"imagenet": "ImageNet weights", None: "random weights"}
        use = "its features" if hasattr(step, "transform") else "fine-tuned"
        kind = weights.get(params["weights"], "weights from a file")
        return f"{name} with {kind}, {use}"
    if not {"estimator", "refit"} <= params.keys():  # no search
        return _spell(step) + (f" with C = {params['C']:g}" if "C" in params else "")
    if not hasattr(step, "best_params_"):
        return f"{_spell(step.estimator)}, its parameters chosen by {_spell(step)}"
    chosen = ", ".join(f"{key} = {one}" for key, one in step.best_params_.items())
    return (
        f"{_spell(step.estimator)} with {chosen}, chosen by cross-validation in "
        f"{step.n_splits_} folds of the training images"
    )


def _spell(step: Any) -> str:
    """Write the name of a class as words: "logistic regression", "kernel PCA"."""
    words = re.findall(
        r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]+|[a-z0-9_]+", type(step).__name__
    )
    return " ".join(word if word.isupper() else word.lower() for word in words)
