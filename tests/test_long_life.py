"""Memory, threads, files and global state after many calls."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from _helpers import soak_run, tiny_backbone

pytestmark = [
    pytest.mark.usefixtures("eager"),
    # TensorFlow warns where its functions run eagerly.
    pytest.mark.filterwarnings("ignore:Even though the .tf.config"),
]


def test_global_state_threads_and_files_are_unchanged():
    before = soak_run.settings()
    used = soak_run.soak(2, 1, 2, report=lambda *_: None)
    assert soak_run.settings() == before
    # The first fit of each recipe starts lasting threads.
    for name in ("threads", "open files"):
        assert used[-1][name] <= used[1][name]


def test_predictions_on_kept_features_do_not_leak(tmp_path):
    tiny_backbone.register()
    images, labels = tiny_backbone.make_images(30)
    pipeline = soak_run.make_pipelines(tmp_path)[2].fit(images, labels)
    others = (np.array([np.roll(images[0], k, axis=1)]) for k in range(1, 9))

    def predict():
        pipeline.predict(images[:1])
        pipeline.predict(next(others))

    def count_objects():
        gc.collect()
        return len(gc.get_objects())

    for _ in range(2):
        predict()
    before = count_objects()
    for _ in range(5):
        predict()
    # A new model for each call left about 1,900 objects; a trunk folded again, 336.
    assert count_objects() - before < 200


@pytest.mark.skipif(
    "SKCOVID_SLOW_TESTS" not in os.environ,
    reason="takes half an hour; SKCOVID_SLOW_TESTS=1 runs it",
)
def test_two_hundred_fits_keep_memory_constant():
    done = subprocess.run(
        [sys.executable, "-m", "_helpers.soak_run"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
