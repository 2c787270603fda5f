"""What the code of the documentation uses: a folder of radiographs, and a pipeline.

`sphinx-build -b doctest` runs `from doctest_setup import *` before the code of each
page, in a temporary folder with a sub-folder "radiographs".
"""

import os
from pathlib import Path
from tempfile import mkdtemp

from skcovid import make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs, save_radiographs

__all__ = ["X", "data", "paths", "pipeline", "y"]

os.chdir(mkdtemp(prefix="skcovid-doctest-"))
drawn = make_radiographs(
    36, image_size=64, weights=(1, 1, 1), n_patients=18, random_state=0
)
X, y = drawn.images, drawn.target
save_radiographs(X, y, Path("radiographs"), groups=drawn.groups)
data = load_radiographs("radiographs", verbose=0)
paths = data.paths
pipeline = make_transfer_pipeline(
    "mobilenetv2",
    weights=None,
    recipe="linear",
    image_size=64,
    random_state=0,
    verbose=0,
).fit(paths, data.target)
