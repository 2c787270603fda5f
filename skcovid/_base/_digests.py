"""Digests of content, the same in every process."""

import hashlib


def image_key(*parts: object) -> str:
    """Digest of `parts`: bytes, or objects whose ``str`` determines their value.

    Parameters
    ----------
    *parts : object
        What the digest depends on, in this order.

    Returns
    -------
    str
        32 hexadecimal digits.

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
