import io
import subprocess
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from _helpers import small_forests as forests
from _helpers import tiny_backbone


def smooth_images(n_images, height, width, seed=0):
    """Make different uint8 images with structures of a few pixels, from 0 to 255."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n_images, 5, 6), np.uint8)
    return np.stack([cv2.resize(image, (width, height)) for image in coarse])


@pytest.fixture(scope="module")
def eager():
    """Run networks uncompiled."""
    with tiny_backbone.eagerly():
        yield


@pytest.fixture
def small_forests(monkeypatch):
    """Audit with forests of three trees, where the forest is not the subject."""
    forests.use(monkeypatch)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal as stderr of the progress bar."""
    # pytest replaces the process' stderr between a fixture and its test.
    stream = Terminal()
    stand_in = SimpleNamespace(stderr=stream)
    monkeypatch.setattr("skcovid._base._progress.sys", stand_in)
    return stream


@pytest.fixture
def plt():
    """Matplotlib's pyplot without a screen; figures are closed after the test."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


@pytest.fixture
def grey_images():
    """Six grey images of 12 × 10 pixels."""
    return smooth_images(6, 12, 10)


@pytest.fixture
def rgb_images():
    """Six RGB images of 12 × 10 pixels with different channels."""
    return np.stack([smooth_images(6, 12, 10, seed) for seed in range(3)], axis=-1)


@pytest.fixture
def write_image(tmp_path):
    """Write grey or RGB pixels to a file below `tmp_path` and return its path."""

    def write(name, pixels, parameters=()):
        in_opencv_order = pixels[..., ::-1] if pixels.ndim == 3 else pixels
        done, encoded = cv2.imencode(Path(name).suffix, in_opencv_order, parameters)
        assert done
        path = tmp_path / name
        path.write_bytes(encoded.tobytes())
        return path

    return write


@pytest.fixture
def grey_paths(write_image, grey_images):
    """Paths of the grey images as PNG files, a list of str."""
    return [
        str(write_image(f"{number}.png", image))
        for number, image in enumerate(grey_images)
    ]


@pytest.fixture
def make_disk(tmp_path):
    """Mount a disk of a given number of bytes; the test is skipped where
    this process lacks the privileges."""
    folders = []

    def make(size):
        folder = tmp_path / f"disk{len(folders)}"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("mounting a tmpfs needs privileges this process does not have")
        folders.append(folder)
        return folder

    yield make
    for folder in folders:
        subprocess.run(["umount", "-l", str(folder)], check=True)
