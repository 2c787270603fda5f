"""Digests of content that are the same in any process."""

import hashlib


def image_key(*parts: object) -> str:
    """Digest of `parts`, bytes or anything whose ``str`` says all there is to know.

    Examples
    --------
    >>> from skcovid.images import image_key
    >>> image_key("a.png", 299) == image_key("a.png", 299)
    True
    >>> len(image_key(b"pixels"))
    32
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        content = part if isinstance(part, bytes | memoryview) else str(part).encode()
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()
