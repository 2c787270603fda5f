"""
What made the score?
====================

:func:`skcovid.audit` asks what else than the lungs may have made a score: the files,
their thumbnails, the border of the image, copies, patients on both sides of a split,
and the hospitals. Here every COVID-19 image has a mark in a corner, and comes from a
hospital of its own.

Drawn radiographs: the figures say nothing about real ones.
"""

# %%
# A set with a shortcut
# ---------------------

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skcovid import (
    RadiographReader,
    atlas_card,
    audit,
    make_transfer_pipeline,
    write_report,
    write_reviewer_pack,
)
from skcovid.auditing import (
    MAX_RATIO,
    blank_centre,
    read_properties,
    shortcut_ratio,
    visible_share,
)
from skcovid.datasets import load_radiographs, make_radiographs, save_radiographs
from skcovid.inspection import AuditDisplay
from skcovid.metrics import cramers_v
from skcovid.report import headline

folder = os.environ.get("SKCOVID_DATA")
source = None
if folder:
    data = load_radiographs(folder)
    pipeline = make_transfer_pipeline(recipe="linear", random_state=0, verbose=0)
    source = data.source
else:
    temporary = TemporaryDirectory()
    folder = Path(temporary.name) / "radiographs"
    X, y = make_radiographs(
        60, image_size=64, weights=(1, 1, 1), random_state=0, return_X_y=True
    )
    X[y == "COVID-19", 1:7, 1:7] = 255
    save_radiographs(X, y, folder)
    data = load_radiographs(folder)
    source = np.where(data.target == "COVID-19", "hospital A", "hospital B")
    pipeline = make_pipeline(
        RadiographReader(32, lazy=False),
        FunctionTransformer(lambda images: images.reshape(len(images), -1) / 255),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=1000),
    )

# %%
# The report
# ----------
# An :class:`~skcovid.auditing.AuditReport` maps the name of each check to an
# :class:`~skcovid.auditing.AuditCheck`.

report = audit(
    pipeline,
    data.paths,
    data.target,
    data.groups,
    source,
    cv=3,
    n_permutations=19,
    verbose=0,
)
print(fill(report.headline, 88))
for name, check in report.items():
    print(fill(f"{name}: {check.status}. {check.verdict}", 88, subsequent_indent="  "))

# %%
# The audit compares source and class by :func:`~skcovid.metrics.cramers_v`, which
# counts patients rather than their images:

if source is not None:
    v, pvalue = cramers_v(source, data.target, groups=data.groups)
    print(f"Cramér's V of source and class: {v.format_fraction(2)}, p = {pvalue:.3f}")

# %%
# The model beside what does without lungs, and accuracy against the share of the image
# that is left in view (its :class:`~skcovid.auditing.VisiblePoint` values), in an
# :class:`~skcovid.inspection.AuditDisplay`:

AuditDisplay.from_report(report)

# %%
# :func:`~skcovid.write_report` puts it all into one HTML file, beside the evaluation
# that was audited:

with TemporaryDirectory() as folder:
    page = write_report(Path(folder) / "report.html", report.result, audit=report)
    print(f"{page.name}: {page.stat().st_size / 1e3:.0f} kB")

# %%
# The page begins with what can be done with the model
# (:func:`~skcovid.report.headline`):

print(fill(headline(report.result, report), 88))

# %%
# :func:`~skcovid.write_reviewer_pack` writes what reviewers ask for: checklists, the
# characteristics of the patients, a flow diagram, and RSNA's card of the model
# (:func:`~skcovid.atlas_card`):

with TemporaryDirectory() as folder:
    files = write_reviewer_pack(folder, report.result, audit=report, data=data)
    print(*(file.name for file in files))
card = atlas_card(pipeline, report.result, report, name="COVID-19 on radiographs")
print(list(card["Model"]))

# %%
# One check with its figures (:class:`~skcovid.auditing.AuditFigure`) and tables:

print(report["blanked lungs"].to_markdown())

# %%
# The labels that the model and similar images dispute most, each a
# :class:`~skcovid.auditing.DisputedLabel`. A reader decides; nothing is left out.

for image in report.label_queue[:3]:
    print(f"{image.name}: {image.given}, rather {image.suggested}")

# %%
# Its parts
# ---------
# The centre is blanked as here; what is still in view has no lungs.

image = np.asarray(RadiographReader(64).fit_transform(data.paths[:1]))[0]
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained")
for ax, fraction in zip(axes, (0, 0.5, 0.7, 0.9), strict=True):
    ax.imshow(blank_centre(image, fraction), cmap="gray", vmin=0, vmax=255)
    ax.set(
        title=f"{visible_share(image.shape, fraction):.0%} in view",
        xticks=[],
        yticks=[],
    )

# %%
# The headers check knows :class:`~skcovid.auditing.FileProperties` alone.

for name, value in read_properties(data.paths[0])._asdict().items():
    print(f"{name}: {value}")

# %%
# A model that is right in 90 of 100 images, where chance is 50, has a skill of 40; a
# baseline right in 80 has three quarters of it. Above ``MAX_RATIO`` the check is
# flagged.

print(f"{shortcut_ratio(0.8, 0.9, 0.5):.2f}", MAX_RATIO)
plt.show()
