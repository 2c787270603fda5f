"""`skcovid fit`: train a model on all images of a folder, and save it."""

import argparse

from skcovid.command._options import (
    add_data_options,
    add_model_options,
    add_output_options,
    describe_counts,
    describe_model,
    feature_folder,
    load_data,
    make_pipeline,
)
from skcovid.command._outcome import Outcome, say


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add_data_options(parser)
    add_model_options(parser)
    add_output_options(parser, "model.skcovid", "file")


def run(options: argparse.Namespace) -> Outcome:
    """Fit a pipeline on folders, and save it."""
    from skcovid import save
    from skcovid._base._atomic_files import check_writable
    from skcovid.model_selection._external_set import check_files_of
    from skcovid.persistence import describe

    check_writable(options.output)
    data = load_data(options, options.data, options.classes, options.rename)
    counts, model = describe_counts(data), describe_model(options)
    say(f"Images of {', '.join(options.data)}: {counts}. Model: {model}.")
    with feature_folder(options) as folder:
        pipeline = make_pipeline(options, options.recipe, folder)
        check_files_of(pipeline, data.paths, None)
        pipeline.fit(data.paths, data.target, groups=data.groups)
        save(pipeline, options.output, X=data.paths, y=data.target)
    size = options.output.stat().st_size / 1e6
    return Outcome(
        f"Trained on {counts}.\nNot evaluated: `skcovid evaluate` says how good such a "
        "model is.",
        describe(options.output),
        {options.output: f"the model, {size:.0f} MB"},
        (f"skcovid predict {options.output} NEW_IMAGES -o predictions.csv",),
    )
