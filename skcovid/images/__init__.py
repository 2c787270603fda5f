"""`LazyImages`, which carries images through a pipeline, and checks of images."""

from skcovid._base._digests import image_key
from skcovid._base._read_ahead import read_ahead
from skcovid.images._lazy_images import LazyImages

__all__ = ["LazyImages", "image_key", "read_ahead"]
