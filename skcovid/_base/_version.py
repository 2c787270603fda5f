"""The version of skcovid and of the packages that its results depend on.

The build reads ``__version__`` without importing skcovid.
"""

import platform
from collections.abc import Iterable
from importlib import metadata

__version__ = "0.1.0.dev0"

# What the numbers of a training or an evaluation depend on.
_PACKAGES = (
    "skcovid",
    "imbalanced-learn",
    "keras",
    "numpy",
    "opencv-python",
    "scikit-learn",
    "scipy",
    "tensorflow",
)
# What the pixels that are read from files depend on; OpenCV has four distributions.
DECODERS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "simplejpeg",
    "pillow",
    "pydicom",
    "python-gdcm",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
)


def installed_versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Return the version of each package, or "unknown"; "python" counts as one."""
    versions = {}
    for name in packages:
        if name == "python":
            versions[name] = platform.python_version()
        elif name == "skcovid":
            versions[name] = __version__
        else:
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                # Builds for one platform have other names, such as tensorflow-cpu.
                versions[name] = "unknown"
    return versions
