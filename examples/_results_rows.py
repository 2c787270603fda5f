"""The rows of the results page: what is evaluated, on which folds.

To add a row to the page, add a `Model` to `HEADLINE`, or to a table of `ABLATIONS`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from skcovid import make_transfer_pipeline

N_FOLDS = 5
HEADLINE_SEED = 0
# Choices are made on other folds than those of the headline.
ABLATION_SEEDS = (1, 2)

# Channels of InceptionV3's blocks `mixed0` to `mixed10`.
_CHANNELS = (256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048)
BLOCKS = [f"mixed{number}" for number in range(len(_CHANNELS))]
POOLINGS = ("avg", "max")


@dataclass(frozen=True)
class Model:
    """A recipe with some of its parameters changed, or an ensemble of such.

    `name` is that of its files. `columns`: what the linear recipe takes of the features
    of all blocks, as "mixed3_avg"; such models share one pass over the images.
    """

    name: str
    title: str
    recipe: str = "linear"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    backbone: str = "inceptionv3"
    needs_gpu: bool = False
    members: tuple["Model", ...] = ()
    ensemble: Literal["voting", "stacking"] = "voting"
    columns: tuple[str, ...] = ()

    def make_estimator(self, seed: int, *, grouped: bool, **parameters: Any) -> Any:
        """Compose the pipeline, or the ensemble of pipelines, with one seed for all.

        `parameters` are those of every pipeline: `weights` and `memory`.
        """
        if not self.members:
            pipeline = make_transfer_pipeline(
                self.backbone,
                recipe=self.recipe,
                random_state=seed,
                **parameters,
                **self.overrides,
            )
            return _choosing(pipeline, self.columns) if self.columns else pipeline
        members = [
            (member.name, member.make_estimator(seed, grouped=grouped, **parameters))
            for member in self.members
        ]
        if self.ensemble == "voting":
            return VotingClassifier(members, voting="soft")
        # With groups, the inner folds keep patients whole too.
        folds = StratifiedGroupKFold(5) if grouped else 5
        final = GridSearchCV(LogisticRegression(), {"C": [0.1, 1, 10]}, cv=folds)
        return StackingClassifier(members, final, cv=folds)

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> "Model":
        """Make a model of what `dataclasses.asdict` made of it, and JSON of that."""
        members = tuple(cls.from_dict(member) for member in entries["members"])
        columns = tuple(entries["columns"])
        return cls(**{**entries, "members": members, "columns": columns})


def _choosing(pipeline: Any, columns: tuple[str, ...]) -> Any:
    """Take the features of all blocks, and put the choice of columns behind them."""
    pipeline.set_params(features__layers=BLOCKS, features__pooling=POOLINGS)
    names = [name for name, _ in pipeline.steps]
    chosen = ColumnTransformer(
        [(name, "passthrough", part) for name, part in _parts() if name in columns]
    )
    pipeline.steps.insert(names.index("features") + 1, ("choose", chosen))
    return pipeline


def _parts() -> Iterator[tuple[str, slice]]:
    """Where each block's columns of each pooling are."""
    start = 0
    for block, channels in zip(BLOCKS, _CHANNELS, strict=True):
        for pooling in POOLINGS:
            yield f"{block}_{pooling}", slice(start, start + channels)
            start += channels


@dataclass(frozen=True)
class Row:
    """A model on some folds.

    `own_store`: whether the row begins without any kept features, so that its time is
    that of a first run. `outside`: whether a model of all images is tested on the
    images of other hospitals, too.
    """

    model: Model
    seed: int
    protocol: Literal["cross_val_predict", "paper"] = "cross_val_predict"
    grouped: bool = True
    n_folds: int = N_FOLDS
    own_store: bool = False
    outside: bool = False

    def make_estimator(self, **parameters: Any) -> Any:
        """Compose what is evaluated."""
        return self.model.make_estimator(self.seed, grouped=self.grouped, **parameters)

    @property
    def slug(self) -> str:
        """Name of the row, on the command line and as a file."""
        return f"{self.model.name}.{self.folds.replace(' ', '-')}.seed{self.seed}"

    @property
    def folds(self) -> str:
        """The folds in words."""
        if self.outside:
            return "outside"
        if self.protocol == "paper":
            return "half folds"
        return "by patient" if self.grouped else "plain"

    def to_dict(self) -> dict[str, Any]:
        """Return the row as what JSON knows."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> "Row":
        """Make a row of what `to_dict` made of it."""
        return cls(**{**entries, "model": Model.from_dict(entries["model"])})


LINEAR = Model("linear", "linear recipe")
MIRROR = Model(
    "linear-mirror",
    "linear recipe, mirror images averaged",
    overrides={"features__mirror": True},
)
FAST = Model("fast", "fast recipe", "fast")
HEADLINE = [
    LINEAR,
    MIRROR,
    FAST,
    Model(
        "linear-fast",
        "linear and fast recipe, probabilities averaged (`VotingClassifier`)",
        members=(LINEAR, FAST),
    ),
    Model(
        "paper",
        "paper's recipe",
        "paper",
        # Two threads do not prepare images as fast as a GPU trains on them.
        {"classify__n_jobs": 4},
        needs_gpu=True,
    ),
]


def _columns(first: int, last: int, poolings: tuple[str, ...] = POOLINGS) -> Any:
    return tuple(
        f"{block}_{pooling}"
        for block in BLOCKS[first : last + 1]
        for pooling in poolings
    )


# By file name, what the first and the last of some blocks of InceptionV3 are.
_RANGES = {
    **{f"mixed{number}": (number, number) for number in (1, 3, 5, 7, 8, 10)},
    **{f"mixed0-{last}": (0, last) for last in (5, 6, 8, 9, 10)},
    **{f"mixed{first}-7": (first, 7) for first in (1, 2, 3)},
}

# By table, the recipe as it is, and then what differs from it in one thing each.
ABLATIONS: Mapping[str, list[Model]] = {
    "Linear recipe: layers": [
        LINEAR,
        *(
            Model(
                f"linear-{name}",
                f"`mixed{first}` alone"
                if first == last
                else f"`mixed{first}` to `mixed{last}`",
                columns=_columns(first, last),
            )
            for name, (first, last) in _RANGES.items()
        ),
    ],
    "Linear recipe: pooling, mirror images and image size": [
        LINEAR,
        Model("linear-avg", "average pooling alone", columns=_columns(0, 7, ("avg",))),
        Model("linear-max", "maximum pooling alone", columns=_columns(0, 7, ("max",))),
        MIRROR,
        Model("linear-224", "images of 224 pixels", overrides={"image_size": 224}),
        Model(
            "linear-224-mirror",
            "images of 224 pixels, mirror images averaged",
            overrides={"image_size": 224, "features__mirror": True},
        ),
    ],
    "Linear recipe: strength of the regularisation": [
        LINEAR,
        *(
            Model(
                f"linear-C{strength:g}",
                f"C = {strength:g} throughout",
                overrides={"classify__param_grid": {"C": [strength]}},
            )
            for strength in (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
        ),
    ],
    "Fast recipe: what the head sees": [
        FAST,
        Model(
            "fast-last-layer",
            "the last layer alone, average and maximum",
            "fast",
            {"classify__feature_layers": None},
        ),
        Model(
            "fast-avg",
            "several depths, average pooling alone",
            "fast",
            {"classify__pooling": "avg"},
        ),
        Model(
            "fast-last-layer-avg",
            "the last layer alone, average pooling alone",
            "fast",
            {"classify__feature_layers": None, "classify__pooling": "avg"},
        ),
    ],
    "Fast recipe: balancing": [
        FAST,
        Model("fast-factor2", "`factor=2`", "fast", {"balance__factor": 2}),
        Model(
            "fast-copies",
            "copies alone, without the originals",
            "fast",
            {"balance__include_originals": False},
        ),
        Model(
            "fast-factor2-copies",
            "`factor=2` and copies alone, as the paper",
            "fast",
            {"balance__factor": 2, "balance__include_originals": False},
        ),
    ],
    "Fast recipe: where fine-tuning begins": [
        FAST,
        *(
            Model(
                f"fast-from-mixed{block}",
                f"after `mixed{block}`",
                "fast",
                {"classify__fine_tune_from": f"mixed{block}"},
                needs_gpu=True,
            )
            for block in (7, 5, 3, 1)
        ),
    ],
    "Fast recipe: training": [
        FAST,
        *(
            Model(
                f"fast-rate{rate:g}",
                f"fine-tuning at a rate of {rate:g}",
                "fast",
                {"classify__fine_tune_learning_rate": rate},
            )
            for rate in (1e-5, 3e-4, 1e-3)
        ),
        *(
            Model(
                f"fast-epochs{epochs}",
                f"at most {epochs} epochs a phase",
                "fast",
                {"classify__epochs": epochs},
            )
            for epochs in (6, 24)
        ),
        *(
            Model(
                f"fast-patience{patience}",
                f"early stopping after {patience} epochs",
                "fast",
                {"classify__early_stopping_patience": patience},
            )
            for patience in (3, 5)
        ),
    ],
}


def headline_rows(model: Model) -> list[Row]:
    """The rows of a model of the headline: its kinds of folds.

    Half folds are of single networks: the paper steers each by the other half.
    """
    rows = [
        Row(model, HEADLINE_SEED, own_store=True),
        Row(model, HEADLINE_SEED, grouped=False, own_store=True),
    ]
    if not model.members:
        rows.append(Row(model, HEADLINE_SEED, "paper", grouped=False, own_store=True))
    return rows


def outside_row(model: Model) -> Row:
    """The row of a model of the headline that is tested in other hospitals."""
    return Row(model, HEADLINE_SEED, outside=True)


def ablation_rows(model: Model) -> list[Row]:
    """The rows of a model of an ablation: one a seed."""
    return [Row(model, seed) for seed in ABLATION_SEEDS]


def all_rows() -> Iterator[Row]:
    """Every row of the page once; the recipes themselves are in several tables."""
    rows = [outside_row(model) for model in HEADLINE]
    rows += [row for model in HEADLINE for row in headline_rows(model)]
    for models in ABLATIONS.values():
        rows += [row for model in models for row in ablation_rows(model)]
    yield from {row.slug: row for row in rows}.values()
