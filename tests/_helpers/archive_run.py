"""Write an archive of small images, some of them bad, and predict it."""

import sys
from pathlib import Path

import cv2
import numpy as np
from imblearn.pipeline import Pipeline

from _helpers.recording import RecordingClassifier, numbered_images
from skcovid import RadiographReader, predict_archive

SIDE, CHUNK_SIZE = 16, 50
BAD_EVERY = 100


def write_archive(folder, n_images):
    """Write PNG files, 1 % of them bad, and return their paths and the bad ones."""
    paths, bad = [], {}
    for number in range(n_images):
        path = folder / f"{number:06d}.png"
        pixels = np.full((SIDE, SIDE), number % 256, np.uint8)
        pixels[0] = np.frombuffer(number.to_bytes(SIDE, "little"), np.uint8)
        content = cv2.imencode(".png", pixels)[1].tobytes()
        kind, is_bad = number // BAD_EVERY % 4, number % BAD_EVERY == 37
        if is_bad:
            bad[str(path)] = kind
            content = (b"", content[:-20], b"no image", None)[kind]
        if content is not None:
            path.write_bytes(content)
        paths.append(str(path))
    return paths, bad


def make_pipeline():
    """Fit a pipeline that predicts the class of nearest mean grey level."""
    classifier = RecordingClassifier(temperature=30.0)
    pipeline = Pipeline([("read", RadiographReader(SIDE)), ("classify", classifier)])
    labels = np.repeat(["COVID-19", "NORMAL", "Viral Pneumonia"], 10)
    return pipeline.fit(numbered_images(240)[::8], labels)


if __name__ == "__main__":
    archive, output = map(Path, sys.argv[1:])
    listed = (archive / "paths.txt").read_text().splitlines()
    predict_archive(make_pipeline(), listed, output, chunk_size=CHUNK_SIZE, verbose=0)
