"""
Images unlike the training set
==============================

A classifier answers for any image. A :class:`~skcovid.NoveltyDetector` says which ones
are unlike those that it was fitted on. These radiographs are synthetic, and thumbnails
serve as features; :doc:`/novelty` has the figures of real ones, on features of a
network.
"""

import matplotlib.pyplot as plt
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skcovid import NoveltyDetector, RadiographReader
from skcovid.datasets import make_radiographs

# %%
# One hospital trains the detector. Labels are not used; patients are kept whole where
# the threshold is chosen, so that 1 in 100 new images of the same hospital is flagged.

data = make_radiographs(600, image_size=48, n_patients=300, random_state=0)
known, new = data.images[:400], data.images[400:]
detector = make_pipeline(
    RadiographReader(24),
    FunctionTransformer(lambda images: images[..., 0].reshape(len(images), -1) / 255.0),
    StandardScaler(),
    NoveltyDetector(random_state=0),
)
detector.fit(known, noveltydetector__groups=data.groups[:400])

# %%
# It is asked about new images of the same hospital, the same in negative and upside
# down, and images of three hospitals with looks of their own, which thumbnails hardly
# show.

others = make_radiographs(200, image_size=48, n_sources=3, random_state=1)
asked = {
    "same hospital": new,
    "upside down": new[:, ::-1],
    "negative": 255 - new,
    "other hospitals": others.images,
}
figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for place, (name, images) in enumerate(asked.items()):
    scores = detector.decision_function(images)
    flagged = (detector.predict(images) == -1).mean()
    print(f"{name}: {flagged:.0%} flagged")
    ax.plot(scores, [place] * len(scores), "o", alpha=0.2)
ax.axvline(0, color="tab:red", label="flagged to the left of this line")
ax.set_yticks(range(len(asked)), asked)
ax.set(xlabel="decision function", xscale="symlog")
ax.legend(loc="lower left", fontsize="small")
plt.show()
