"""Small valid image files of every format that is read, or looks like one."""

import io
import struct

import cv2
import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from _helpers.dicom_files import make_dataset

__all__ = ["HEIGHT", "WIDTH", "make_levels", "make_seeds", "write_tiff"]

HEIGHT, WIDTH = 20, 28
_TIFF_TYPES = {3: "H", 4: "I"}


def make_levels(maximum=255):
    """Make a grey image with structure and some noise, from 0 to `maximum`."""
    generator = np.random.default_rng(0)
    coarse = generator.random((5, 7)).astype(np.float32)
    smooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    noisy = smooth + 0.1 * generator.random((HEIGHT, WIDTH))
    scaled = (noisy - noisy.min()) / (noisy.max() - noisy.min()) * maximum
    return np.rint(scaled).astype(np.uint8 if maximum < 256 else np.uint16)


def make_seeds():
    """Return the content of files by suffix and variant."""
    return {
        **_from_opencv(),
        **_from_pillow(),
        **_tiffs(),
        **_portable_maps(),
        **_dicoms(),
        **_of_kinds_not_read(),
    }


def write_tiff(levels, bits=8, *, byte_order="<", **tags):
    """Write an uncompressed TIFF file of any bit depth.

    Levels of shape (height, width) or (height, width, n_samples) are in one strip, or
    in one for each sample with planar configuration 2. A tag's value may be a list.
    """
    height, width = levels.shape[:2]
    samples = levels.reshape(height, width, -1)
    is_planar = tags.get("284") == 2
    parts = np.moveaxis(samples, 2, 0)[..., None] if is_planar else [samples]
    strips = [_pack(part.reshape(height, -1), bits, byte_order) for part in parts]
    n_samples = samples.shape[2]
    starts = np.cumsum([8, *(len(strip) for strip in strips)]).tolist()
    entries = {
        **{256: (4, width), 257: (4, height), 258: (3, [bits] * n_samples)},
        **{259: (3, 1), 262: (3, 1), 273: (4, starts[:-1]), 277: (3, n_samples)},
        **{278: (4, height), 279: (4, [len(strip) for strip in strips])},
        **{int(tag): (3, value) for tag, value in tags.items()},
    }
    directory, end = b"", starts[-1] + 2 + 12 * len(entries) + 4
    behind = b""
    for tag, (kind, value) in sorted(entries.items()):
        values = value if isinstance(value, list) else [value]
        packed = struct.pack(f"{byte_order}{len(values)}{_TIFF_TYPES[kind]}", *values)
        if len(packed) > 4:
            behind, packed = (
                behind + packed,
                struct.pack(f"{byte_order}I", end + len(behind)),
            )
        directory += struct.pack(f"{byte_order}HHI", tag, kind, len(values))
        directory += packed.ljust(4, b"\0")
    start = b"II*\0" if byte_order == "<" else b"MM\0*"
    header = start + struct.pack(f"{byte_order}I", starts[-1])
    count = struct.pack(f"{byte_order}H", len(entries))
    return header + b"".join(strips) + count + directory + bytes(4) + behind


def _pack(rows, bits, byte_order):
    """Pack rows of levels, each from a whole byte on."""
    if bits == 16:
        return rows.astype(f"{byte_order}u2").tobytes()
    ordered = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(ordered.astype(np.uint8).reshape(len(rows), -1), 1).tobytes()


def _encode(suffix, pixels, *parameters):
    return cv2.imencode(suffix, pixels, parameters)[1].tobytes()


def _from_opencv():
    grey, deep = make_levels(), make_levels(65535)
    colour = np.dstack([grey, grey[::-1], grey[:, ::-1]])
    return {
        ".png grey": _encode(".png", grey),
        ".png 16 bits": _encode(".png", deep),
        ".png colour": _encode(".png", colour),
        ".png alpha": _encode(".png", np.dstack([colour, grey])),
        ".png 16-bit colour": _encode(".png", np.dstack([deep] * 3)),
        ".jpg grey": _encode(".jpg", grey),
        ".jpg colour": _encode(".jpg", colour),
        ".jpg progressive": _encode(".jpg", grey, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        ".jpg restarts": _encode(".jpg", colour, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        ".bmp grey": _encode(".bmp", grey),
        ".bmp colour": _encode(".bmp", colour),
        ".webp lossy": _encode(".webp", colour, cv2.IMWRITE_WEBP_QUALITY, 80),
        ".webp lossless": _encode(".webp", colour, cv2.IMWRITE_WEBP_QUALITY, 101),
        ".tif 16-bit lzw": _encode(".tif", deep),
        ".tif colour lzw": _encode(".tif", colour),
    }


def _save(image, kind, **options):
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def _from_pillow():
    grey = Image.fromarray(make_levels())
    colour = Image.merge("RGB", [grey, grey.rotate(180), grey])
    frames = {"save_all": True, "append_images": [grey.rotate(180)]}
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        ".png 1 bit": _save(grey.convert("1"), "PNG"),
        ".png palette": _save(colour.convert("P"), "PNG"),
        ".png grey and alpha": _save(grey.convert("LA"), "PNG"),
        ".png turned": _save(grey, "PNG", exif=turned),
        ".png animated": _save(grey, "PNG", **frames),
        ".jpg cmyk": _save(colour.convert("CMYK"), "JPEG"),
        ".jpg turned": _save(grey, "JPEG", exif=turned),
        ".bmp palette": _save(colour.convert("P"), "BMP"),
        ".webp animated": _save(colour, "WEBP", **frames),
        ".webp turned": _save(grey.convert("RGB"), "WEBP", exif=turned),
        ".tif deflate": _save(grey, "TIFF", compression="tiff_adobe_deflate"),
        ".tif packbits": _save(grey, "TIFF", compression="packbits"),
        ".tif jpeg": _save(grey, "TIFF", compression="jpeg"),
        ".tif fax": _save(grey.convert("1"), "TIFF", compression="group4"),
        ".tif palette": _save(colour.convert("P"), "TIFF"),
        ".tif cmyk": _save(colour.convert("CMYK"), "TIFF"),
        ".tif pages": _save(grey, "TIFF", **frames),
        ".tif alpha": _save(Image.merge("RGBA", [*colour.split(), grey]), "TIFF"),
        ".tif tiles": _save(grey, "TIFF", tiffinfo={322: 16, 323: 16}),
    }


def _tiffs():
    return {
        ".tif 1 bit": write_tiff(make_levels(1), 1),
        ".tif 12 bits": write_tiff(make_levels(4095), 12),
        ".tif 16 bits, big endian": write_tiff(make_levels(65535), 16, byte_order=">"),
        ".tif white is 0": write_tiff(make_levels(65535), 16, **{"262": 0}),
        ".tif turned": write_tiff(make_levels(), 8, **{"274": 6}),
        ".tif planes": write_tiff(
            np.dstack([make_levels()] * 3), **{"284": 2, "262": 2}
        ),
    }


def _portable_maps():
    grey, twelve = make_levels(), make_levels(4095)
    size = b"%d %d" % (WIDTH, HEIGHT)
    return {
        ".pgm": b"P5\n# grey\n" + size + b"\n255\n" + grey.tobytes(),
        ".pgm 12 bits": b"P5 " + size + b" 4095\n" + twelve.astype(">u2").tobytes(),
        ".pgm plain": b"P2 "
        + size
        + b" 255\n"
        + b" ".join(b"%d" % v for v in grey.flat),
    }


def _dicoms():
    stored = make_levels(4095)
    grey = make_levels()
    codestream = _save(Image.fromarray(stored), "JPEG2000", no_jp2=True)
    window = {"WindowCenter": 2000, "WindowWidth": 3000}
    return {
        ".dcm": _dicom(stored),
        ".dcm window": _dicom(stored, **window),
        ".dcm white is 0": _dicom(stored, PhotometricInterpretation="MONOCHROME1"),
        ".dcm implicit": _dicom(stored, uid.ImplicitVRLittleEndian),
        ".dcm deflated": _dicom(stored, uid.DeflatedExplicitVRLittleEndian),
        ".dcm frames": _dicom(stored, Rows=HEIGHT // 2, NumberOfFrames=2),
        ".dcm run lengths": _dicom(stored, uid.RLELossless),
        ".dcm jpeg": _dicom(grey, uid.JPEGBaseline8Bit, _encode(".jpg", grey)),
        ".dcm jpeg 2000": _dicom(stored, uid.JPEG2000Lossless, codestream),
    }


def _dicom(levels, syntax=uid.ExplicitVRLittleEndian, frame=None, **elements):
    dataset = make_dataset(levels, **elements)
    if frame is not None:
        dataset.PixelData = encapsulate([frame + bytes(len(frame) % 2)])
        dataset["PixelData"].VR = "OB"
    if syntax == uid.RLELossless:
        dataset.compress(syntax)
    dataset.file_meta.TransferSyntaxUID = syntax
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def _of_kinds_not_read():
    grey = Image.fromarray(make_levels())
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'></svg>"
    return {
        ".gif": _save(grey, "GIF"),
        ".gif animated": _save(
            grey, "GIF", save_all=True, append_images=[grey.rotate(180)]
        ),
        ".jp2": _save(grey, "JPEG2000"),
        ".svg": drawing,
    }
