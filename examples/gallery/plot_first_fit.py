"""
A first fit
===========

Draft.
"""

import matplotlib.pyplot as plt

from skcovid.datasets import make_radiographs

X, y = make_radiographs(6, image_size=96, random_state=0, return_X_y=True)
plt.imshow(X[0], cmap="gray")
