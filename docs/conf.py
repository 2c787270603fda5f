"""Configuration of the documentation, which `sphinx-build` reads."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.doctest import TestcodeDirective

import skcovid

sys.path.insert(0, str(Path(__file__).parent))

from api_reference import write_api_pages

# Keras and TensorFlow log messages in every example.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

project = "skcovid"
author = "The skcovid developers"
copyright = f"{datetime.now(UTC).year}, {author}"  # noqa: A001 (Sphinx' name)
release = skcovid.__version__
version = release

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "auto_examples/**/*.ipynb"]
templates_path = ["_templates"]
nitpicky = True
# A property that scikit-learn's Pipeline has, and numpydoc makes a link of.
nitpick_ignore = [("py:obj", "classes_")]

# With intersphinx, names of other projects are links. It needs a network connection, so
# it is off by default.
if os.environ.get("SKCOVID_DOCS_INTERSPHINX") == "1":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "imblearn": ("https://imbalanced-learn.org/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "python": ("https://docs.python.org/3", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }
else:
    nitpick_ignore_regex = [
        ("py:.*", rf"{module}\..*")
        for module in ("imblearn", "keras", "matplotlib", "numpy", "scipy", "sklearn")
    ]

# Markdown. `sphinx-build -b doctest` runs blocks marked "python"; blocks marked "py"
# are only shown.
myst_enable_extensions = ["colon_fence", "deflist", "attrs_block"]
myst_fence_as_directive = {"python"}
myst_heading_anchors = 3
doctest_global_setup = "from doctest_setup import *"
# pytest runs the examples in docstrings.
doctest_test_doctest_blocks = ""

# Docstrings. The text has the types, so signatures do not repeat them.
autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "skcovid"
html_static_path = ["_static"]
html_css_files = ["skcovid.css"]
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
# Pages without others below them.
html_sidebars = {
    page: []
    for page in (
        "benchmarks",
        "changelog",
        "citing",
        "contributing",
        "getting_started",
        "performance",
        "results",
    )
}
html_show_sourcelink = False

write_api_pages(Path(__file__).parent / "api")

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skcovid",),
    "remove_config_comments": True,
    "show_memory": False,
    # Show a block's last expression only if a notebook would.
    "capture_repr": ("_repr_html_",),
    # That page loads scripts from other sites.
    "write_computation_times": False,
}


class PythonBlock(TestcodeDirective):
    """A block of Python in Markdown that is run like `testcode`."""

    def run(self) -> list[Any]:
        """Make the nodes of a `testcode` directive."""
        self.name = "testcode"
        return super().run()


def setup(app: Sphinx) -> None:
    """Register the directive `python`."""
    app.add_directive("python", PythonBlock)
