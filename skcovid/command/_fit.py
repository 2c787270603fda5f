"""`skcovid fit`: train a model on a folder, and save it."""

import argparse

from skcovid.command import _options as shared
from skcovid.command._outcome import Outcome, say


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    shared.add_data_options(parser)
    shared.add_model_options(parser)
    shared.add_output_options(parser, "model.skcovid", "file")


def run(options: argparse.Namespace) -> Outcome:
    """Fit a pipeline on folders, and save it."""
    from skcovid import save
    from skcovid._base._atomic_files import check_writable
    from skcovid.persistence import describe

    check_writable(options.output)
    data = shared.load_data(options)
    counts, model = shared.describe_counts(data), shared.describe_model(options)
    say(f"{shared.name_data(options)}: {counts}. Model: {model}.")
    with shared.feature_folder(options) as folder:
        pipeline = shared.make_pipeline(options, options.recipe, folder)
        shared.check_pipeline(pipeline, data.paths)
        pipeline.fit(data.paths, data.target, groups=data.groups)
        save(pipeline, options.output, X=data.paths, y=data.target)
    return Outcome(
        f"Trained on {counts}. `skcovid evaluate` says how good such a model is.",
        describe(options.output),
        {options.output: f"the model, {options.output.stat().st_size / 1e6:.0f} MB"},
        (f"skcovid predict {options.output} NEW_IMAGES -o predictions.csv",),
    )
