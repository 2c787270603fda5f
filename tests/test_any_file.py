"""Image files of every format: whole, damaged or hostile."""

import io
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip("pydicom")
Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")

from pydicom import uid  # noqa: E402 (needs pydicom)

from _helpers.dicom_files import make_dataset  # noqa: E402 (needs pydicom)
from _helpers.fuzzed_files import Reader, _with_checksums, fuzz  # noqa: E402 (needs pydicom)
from _helpers.image_seeds import (  # noqa: E402 (needs pydicom)
    HEIGHT,
    WIDTH,
    make_levels,
    make_seeds,
    write_tiff,
)
from skcovid.reading import read_radiograph  # noqa: E402 (needs pydicom)
from skcovid.reading._dicom_headers import read_header  # noqa: E402 (needs pydicom)

# pydicom warns of what the errors say.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

SEEDS = make_seeds()
REFUSED = {
    **dict.fromkeys((".png animated", ".tif pages"), "at least 2"),
    ".webp animated": "an animation",
    ".dcm frames": "multi-frame file of 2 frames",
    ".tif jpeg": "a TIFF image of compression 7",
    ".tif fax": "a TIFF image of compression 4",
    ".pgm plain": "begins with b'P2 28 20'",
    **dict.fromkeys((".gif", ".gif animated"), "begins with b'GIF8"),
    ".jp2": "not an image that is read",
    ".svg": "begins with b'<svg xml'",
}
TURNED = [name for name in SEEDS if "turned" in name]
READ = [name for name in SEEDS if name not in REFUSED]
# In these formats every missing or changed byte is detected.
CHECKED = [name for name in READ if name.startswith(".png")]


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path."""

    def write(suffix, content):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(scope="module")
def limited():
    """A process that may use 1 GiB and 5 s of processor time for each file."""
    if not sys.platform.startswith("linux"):
        pytest.skip("memory is measured on Linux only")
    with Reader({".png": SEEDS[".png grey"], ".dcm": SEEDS[".dcm"]}) as reader:
        yield reader


def check_not_turned(path):
    """Check that a file is read with a warning, as Pillow reads it."""
    with pytest.warns(UserWarning, match=rf"{path.name}: .*EXIF.*not rotated"):
        grey = read_radiograph(path)
    assert grey.shape == (HEIGHT, WIDTH)
    image = Image.open(path).convert("L")
    assert np.abs(grey - np.asarray(image).astype(int)).mean() < 2


class TestIntact:
    @pytest.mark.parametrize("name", READ)
    def test_has_the_size_of_its_header(self, write, name):
        path = write(name.split()[0], SEEDS[name])
        shape = (WIDTH, HEIGHT) if name in TURNED else (HEIGHT, WIDTH)
        grey, rgb = read_radiograph(path), read_radiograph(path, channels="rgb")
        assert (grey.shape, rgb.shape) == (shape, (*shape, 3))
        assert grey.dtype == rgb.dtype == np.uint8
        assert grey.std() > 20

    @pytest.mark.parametrize("name", [n for n in READ if not n.startswith(".dcm")])
    def test_has_the_pixels_that_pillow_reads(self, write, name):
        path = write(name.split()[0], SEEDS[name])
        image = Image.open(io.BytesIO(SEEDS[name]))
        image.load()
        if "12 bits" in name and name.startswith(".tif"):
            expected = np.dstack([make_levels(4095) * (255 / 4095)] * 3)
        elif image.mode.startswith("I"):
            levels = np.asarray(image) / 257
            # Pillow inverts those of 8 bits alone.
            levels = 255 - levels if name == ".tif white is 0" else levels
            expected = np.dstack([levels] * 3)
        else:
            # It has turned TIFF already.
            is_tiff = name.startswith(".tif")
            upright = image if is_tiff else ImageOps.exif_transpose(image)
            opaque = {"LA": "L", "RGBA": "RGB"}.get(upright.mode, upright.mode)
            if opaque != upright.mode:
                bands = upright.split()[: len(opaque)]
                upright = Image.merge(opaque, bands) if len(bands) > 1 else bands[0]
            expected = np.asarray(upright.convert("RGB"), float)
        found = read_radiograph(path, channels="rgb")
        assert np.abs(found - expected).max() <= (8 if name.startswith(".jpg") else 1)

    @pytest.mark.parametrize("name", REFUSED)
    def test_error_names_the_file_and_the_reason(self, write, name):
        path = write(name.split()[0], SEEDS[name])
        with pytest.raises(ValueError, match=r"a\.\w+: ") as error:
            read_radiograph(path)
        assert REFUSED[name] in str(error.value)

    @pytest.mark.parametrize("name", [n for n in READ if not n.startswith(".dcm")])
    def test_the_suffix_does_not_matter(self, write, name):
        own = read_radiograph(write(name.split()[0], SEEDS[name]))
        for suffix in (".png", ".jpg", ".tif", ".txt", ""):
            other = read_radiograph(write(suffix, SEEDS[name]))
            np.testing.assert_array_equal(other, own)

    @pytest.mark.parametrize("byte_order", ["<", ">"])
    def test_tags_are_read_in_either_byte_order(self, write, byte_order):
        tags = {"262": 0, "274": 3}
        content = write_tiff(make_levels(), 8, byte_order=byte_order, **tags)
        expected = 255 - np.rot90(make_levels(), 2)
        np.testing.assert_array_equal(read_radiograph(write(".tif", content)), expected)

    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize("kind", ["no tag", 0, 1, 2])
    def test_the_alpha_of_a_tiff_is_ignored(self, write, bits, kind):
        levels = np.random.default_rng(0).integers(0, 2**bits, (5, 6, 4))
        tags = {"262": 2} | ({} if kind == "no tag" else {"338": kind})
        path = write(".tif", write_tiff(levels, bits, **tags))
        found = read_radiograph(path, channels="rgb")
        expected = np.rint(levels[..., :3] * (255 / (2**bits - 1)))
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize(
        ("n_samples", "bits"), [(2, 8), (2, 16), (3, 16), (4, 8), (4, 16)]
    )
    def test_planes_that_opencv_mixes_are_an_error(self, write, n_samples, bits):
        levels = np.ones((5, 6, n_samples), np.uint16)
        tags = {"262": 1 if n_samples == 2 else 2, "284": 2}
        path = write(".tif", write_tiff(levels, bits, **tags))
        with pytest.raises(ValueError, match=r"a\.tif: .*separate planes.*PNG"):
            read_radiograph(path)

    def test_three_planes_of_8_bits(self, write):
        levels = np.random.default_rng(0).integers(0, 256, (5, 6, 3))
        path = write(".tif", write_tiff(levels, 8, **{"262": 2, "284": 2}))
        found = read_radiograph(path, channels="rgb")
        np.testing.assert_array_equal(found, levels)

    def test_a_dark_tiff_of_12_bits_states_its_white(self, write, recwarn):
        content = write_tiff(make_levels(1000), 12)
        for white_level in (None, 2000):
            grey = read_radiograph(write(".tif", content), white_level=white_level)
            assert grey.max() == round(1000 * 255 / 4095)
        assert not recwarn

    def test_a_thumbnail_is_not_read_for_the_image_behind_it(self, write):
        first = write_tiff(make_levels()[:4, :4], **{"254": 1})
        second = write_tiff(make_levels())
        shifted = bytearray(first + second)
        # The first directory is followed by the second, whose positions move along.
        end = 8 + 16 + 2 + 12 * 10
        (place,) = struct.unpack_from("<I", second, 4)
        shifted[end : end + 4] = struct.pack("<I", len(first) + place)
        entry = len(first) + place + 2
        while struct.unpack_from("<H", shifted, entry)[0] != 273:
            entry += 12
        shifted[entry + 8 : entry + 12] = struct.pack("<I", len(first) + 8)
        with pytest.raises(ValueError, match=r"several pages, at least 2"):
            read_radiograph(write(".tif", bytes(shifted)))

    @pytest.mark.parametrize(
        "masks", [(0xFF, 0xFF00, 0xFF0000), (0xFF0000, 0xFF00, 0xFF)]
    )
    def test_a_bmp_that_states_masks_of_its_channels(self, write, masks):
        pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 4), np.uint8)
        header = struct.pack("<IiiHHIIiiII", 40, 5, -3, 1, 32, 3, 60, *[0] * 4)
        data = header + struct.pack("<3I", *masks) + pixels.tobytes()
        path = write(".bmp", b"BM" + struct.pack("<IHHI", 126, 0, 0, 66) + data)
        if masks[0] == 0xFF:
            with pytest.raises(ValueError, match=r"a\.bmp: .*channels.*PNG"):
                read_radiograph(path)
        else:
            found = read_radiograph(path, channels="rgb")
            np.testing.assert_array_equal(found, pixels[..., 2::-1])

    @pytest.mark.parametrize("is_compressed", [False, True])
    def test_the_orientation_that_imagemagick_writes(self, write, is_compressed):
        content = SEEDS[".png turned"]
        place = content.index(b"eXIf")
        length = int.from_bytes(content[place - 4 : place], "big")
        exif = content[place + 4 : place + 4 + length]
        lines = b"\nexif\n%8d\n%s\n" % (length, exif.hex().encode())
        text = b"Raw profile type exif\0"
        text += b"\0" + zlib.compress(lines) if is_compressed else lines
        chunk = len(text).to_bytes(4, "big") + (b"zTXt" if is_compressed else b"tEXt")
        chunk += text + bytes(4)
        changed = content[: place - 4] + chunk + content[place + 8 + length :]
        found = read_radiograph(write(".png", _with_checksums(changed)))
        np.testing.assert_array_equal(found, read_radiograph(write(".png", content)))

    @pytest.mark.parametrize("length", [0, 1, 8, 12])
    def test_a_jpeg_whose_exif_data_are_short_is_not_turned(self, write, length):
        content = SEEDS[".jpg turned"]
        start = content.index(b"Exif") + 6
        end = start - 8 + int.from_bytes(content[start - 8 : start - 6], "big")
        size = (length + 8).to_bytes(2, "big")
        exif = size + b"Exif\0\0" + content[start : start + length]
        check_not_turned(write(".jpg", content[: start - 8] + exif + content[end:]))

    @pytest.mark.parametrize("name", [n for n in TURNED if ".tif" not in n])
    @pytest.mark.parametrize("n_bytes", [2, 10])
    def test_an_image_with_damaged_exif_data_is_not_turned(self, write, name, n_bytes):
        content = bytearray(SEEDS[name])
        marks = (b"Exif\0\0", b"eXIf", b"EXIF")
        mark = next(mark for mark in marks if mark in content)
        start = content.index(mark) + {b"EXIF": 8}.get(mark, len(mark))
        if content[start : start + 4] == b"Exif":
            start += 6
        assert content[start : start + 2] in (b"II", b"MM")
        content[start : start + n_bytes] = b"\xff" * n_bytes
        check_not_turned(write(name.split()[0], _with_checksums(bytes(content))))

    def test_an_orientation_before_damage_is_applied(self, write):
        content = SEEDS[".jpg turned"]
        whole = read_radiograph(write(".jpg", content))
        start = content.index(b"Exif") + 6
        order = "big" if content[start : start + 2] == b"MM" else "little"
        # The directory states more entries than it has.
        damaged = bytearray(content)
        damaged[start + 8 : start + 10] = (500).to_bytes(2, order)
        found = read_radiograph(write(".jpg", bytes(damaged)))
        np.testing.assert_array_equal(found, whole)

    def test_the_first_of_several_exif_segments_counts(self, write):
        content = SEEDS[".jpg turned"]
        whole = read_radiograph(write(".jpg", content))
        start = content.index(b"Exif") - 4
        length = 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        after = start + length
        for exif in (b"", b"II*\0"):
            segment = b"\xff\xe1" + (len(exif) + 8).to_bytes(2, "big")
            other = content[:after] + segment + b"Exif\0\0" + exif + content[after:]
            found = read_radiograph(write(".jpg", other))
            np.testing.assert_array_equal(found, whole)

    def test_an_orientation_that_does_not_exist_is_not_applied(self, write):
        content = write_tiff(make_levels(), 8, **{"274": 9})
        with pytest.warns(UserWarning, match="orientation"):
            grey = read_radiograph(write(".tif", content))
        np.testing.assert_array_equal(grey, make_levels())

    def test_a_png_named_dcm_is_refused(self, write):
        with pytest.raises(ValueError, match=r"a\.dcm.*DICOM"):
            read_radiograph(write(".dcm", SEEDS[".png grey"]))

    @pytest.mark.parametrize("name", [*TURNED, ".tif 16 bits turned"])
    def test_orientation_is_applied(self, write, name):
        deep = write_tiff(make_levels(65535), 16, **{"274": 6})
        content = SEEDS.get(name, deep)
        grey = read_radiograph(write(name.split()[0], content))
        upright = np.rot90(make_levels(), -1).astype(int)
        assert np.abs(grey - upright).mean() < 12
        if ".tif" in name:
            np.testing.assert_allclose(grey, upright, atol=1)


class TestLevels:
    @pytest.mark.parametrize("bits", [1, 8, 10, 12, 14, 16])
    @pytest.mark.parametrize("white_is_zero", [False, True])
    def test_tiff_of_any_bit_depth(self, write, bits, white_is_zero):
        levels = make_levels(2**bits - 1)
        tags = {"262": 0} if white_is_zero else {}
        grey = read_radiograph(write(".tif", write_tiff(levels, bits, **tags)))
        expected = np.rint(levels / (2**bits - 1) * 255)
        expected = 255 - expected if white_is_zero else expected
        np.testing.assert_allclose(grey, expected, atol=1)

    @pytest.mark.parametrize("white", [100, 255, 1000, 4095, 65535])
    @pytest.mark.parametrize("channels", ["grey", "rgb"])
    def test_portable_maps_are_scaled_by_their_maximum(self, write, white, channels):
        levels = make_levels(white)
        size = b"%d\n%d #\n%d\n" % (WIDTH, HEIGHT, white)
        stored = levels.astype(">u2" if white > 255 else "u1")
        expected = np.rint(levels * (255 / white))
        for kind, n_channels in ((b"P5 ", 1), (b"P6 ", 3)):
            pixels = np.repeat(stored.ravel(), n_channels)
            path = write(".pgm", kind + size + pixels.tobytes())
            read = read_radiograph(path, channels=channels)
            assert read.ndim == (2 if channels == "grey" else 3)
            same = read if channels == "grey" else read[..., 1]
            np.testing.assert_allclose(same, expected, atol=1)

    def test_levels_above_the_maximum_of_a_map_are_an_error(self, write):
        with pytest.raises(ValueError, match="levels above"):
            read_radiograph(write(".pgm", b"P5 2 1 100\n\1\x65"))

    def test_one_bit_and_palettes(self, write):
        shades = Image.fromarray(make_levels())
        for image, kinds in (
            (shades.convert("1"), ("PNG", "BMP", "TIFF")),
            (Image.merge("RGB", [shades] * 3).convert("P"), ("PNG", "BMP", "TIFF")),
        ):
            expected = np.asarray(image.convert("L"))
            for kind in kinds:
                written = io.BytesIO()
                image.save(written, kind)
                grey = read_radiograph(write(f".{kind.lower()}", written.getvalue()))
                np.testing.assert_allclose(grey, expected, atol=1)

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    def test_cmyk(self, write, kind):
        shades = Image.fromarray(make_levels())
        written = io.BytesIO()
        Image.merge("RGB", [shades] * 3).convert("CMYK").save(written, kind)
        grey = read_radiograph(write(".x", written.getvalue()))
        assert np.abs(grey - make_levels().astype(int)).mean() < 8

    def test_cmyk_as_opencv_converts_it(self, write):
        stored = np.frombuffer(SEEDS[".jpg cmyk"], np.uint8)
        rgb = read_radiograph(write(".jpg", SEEDS[".jpg cmyk"]), channels="rgb")
        expected = cv2.imdecode(stored, cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_allclose(rgb, expected, atol=2)

    def test_jpeg_as_opencv_decodes_it(self, write):
        for name in (".jpg grey", ".jpg colour", ".jpg progressive", ".jpg restarts"):
            path = write(".jpg", SEEDS[name])
            stored = np.frombuffer(SEEDS[name], np.uint8)
            rgb = cv2.cvtColor(cv2.imdecode(stored, 1), cv2.COLOR_BGR2RGB)
            np.testing.assert_array_equal(
                read_radiograph(path), cv2.imdecode(stored, 0)
            )
            np.testing.assert_array_equal(read_radiograph(path, channels="rgb"), rgb)


class TestDamaged:
    @pytest.mark.parametrize("name", READ)
    def test_a_truncated_file_raises_or_gives_the_same_pixels(self, write, name):
        suffix, content = name.split()[0], SEEDS[name]
        whole = read_radiograph(write(suffix, content))
        n_read = 0
        for length in range(0, len(content), max(1, len(content) // 25)):
            path = write(suffix, content[:length])
            try:
                pixels = read_radiograph(path)
            except ValueError as error:
                assert str(error).startswith(f"{path}: ")  # noqa: PT017 (not all raise)
            else:
                n_read += 1
                np.testing.assert_array_equal(pixels, whole)
        assert n_read < 5

    @pytest.mark.parametrize("name", CHECKED)
    def test_a_changed_byte_raises_or_gives_the_same_pixels(self, write, name):
        content = SEEDS[name]
        whole = read_radiograph(write(".png", content))
        for place in range(0, len(content), len(content) // 40):
            changed = bytearray(content)
            changed[place] ^= 0x10
            path = write(".png", changed)
            try:
                np.testing.assert_array_equal(read_radiograph(path), whole)
            except ValueError as error:
                assert str(error).startswith(f"{path}: ")  # noqa: PT017 (not all raise)

    @pytest.mark.parametrize("suffix", [".jpg", ".dcm"])
    @pytest.mark.parametrize("parameters", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
    def test_a_jpeg_with_a_gap_is_an_error(self, write, suffix, parameters):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
        jpeg = cv2.imencode(".jpg", noise, parameters)[1].tobytes()
        middle = len(jpeg) // 2
        for damaged in (
            jpeg[:middle] + jpeg[middle + 300 :],
            jpeg[:middle] + bytes(200) + jpeg[middle + 200 :],
            jpeg[:middle] + b"\xff\xd9",
        ):
            # OpenCV reads it without an error.
            assert cv2.imdecode(np.frombuffer(damaged, np.uint8), 0).shape == (64, 64)
            content = damaged if suffix == ".jpg" else in_dicom(noise, damaged)
            with pytest.raises(ValueError, match="damaged or truncated"):
                read_radiograph(write(suffix, content))

    def test_an_empty_file_and_one_of_zeros(self, write):
        with pytest.raises(ValueError, match="the file is empty"):
            read_radiograph(write(".png", b""))
        with pytest.raises(ValueError, match="not an image"):
            read_radiograph(write(".png", bytes(1000)))

    def test_fuzzed_files_are_read_or_reported(self):
        if not sys.platform.startswith("linux"):
            pytest.skip("memory is measured on Linux only")
        summary = fuzz(SEEDS, 300, 1)
        assert not summary.failures, str(summary)
        assert sum(count["read"] for count in summary.counts.values()) > 30
        assert sum(count["reported"] for count in summary.counts.values()) > 150


def in_dicom(levels, frame, syntax=uid.JPEGBaseline8Bit, **elements):
    """Make a DICOM file with one compressed frame."""
    from pydicom.encaps import encapsulate

    dataset = make_dataset(levels)
    dataset.PixelData = encapsulate([frame + bytes(len(frame) % 2)])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    for name, value in elements.items():
        setattr(dataset, name, value)
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


# ---- hostile files: every function returns suffix, content, and words of the error


def png_chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    )


def a_png(width, height, data, *chunks):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = png_chunk(b"IDAT", data)
    parts = [header, *chunks, data, png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def deflated_zeros(n_mebibytes, window):
    """Make a deflate stream of any length by repeating one block."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, window)
    compressor.compress(b"")
    start = compressor.flush(zlib.Z_FULL_FLUSH)
    piece = compressor.compress(bytes(2**20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return start + n_mebibytes * piece + compressor.flush()


def a_gigapixel_png():
    return ".png", a_png(100_000, 100_000, b""), "100,000 × 100,000 pixels"


def a_gigapixel_jpeg():
    content = bytearray(SEEDS[".jpg grey"])
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 65500, 65500)
    return ".jpg", bytes(content), "65,500 × 65,500 pixels"


def a_gigapixel_bmp():
    content = bytearray(SEEDS[".bmp colour"])
    content[18:26] = struct.pack("<ii", 40_000, -30_000)
    return ".bmp", bytes(content), "30,000 × 40,000 pixels"


def a_gigapixel_webp():
    content = bytearray(SEEDS[".webp lossless"])
    content[21:25] = struct.pack("<I", 2**28 - 1)
    return ".webp", bytes(content), "16,384 × 16,384 pixels"


def a_gigapixel_tiff():
    levels = make_levels()
    content = write_tiff(levels, 8)
    size = struct.pack("<HHII", 256, 4, 1, WIDTH)
    return ".tif", content.replace(size, size[:8] + struct.pack("<I", 2**31)), "pixels"


def a_tiff_of_one_immense_tile():
    tags = {"322": 65520, "323": 65520}
    return ".tif", write_tiff(make_levels(), 8, **tags), "65,520 × 65,520 pixels"


def a_tiff_whose_pages_form_a_loop():
    content = write_tiff(make_levels(), 8)
    return ".tif", content[:-4] + content[4:8], "loop"


def a_tiff_of_many_samples():
    return ".tif", write_tiff(make_levels(), 8, **{"277": 60000}), "60000 × uint8"


def a_gigapixel_map():
    return ".pgm", b"P5 999999999 999999999 255\n" + bytes(99), "truncated"


def a_png_of_blank_rows():
    return ".png", a_png(9000, 9000, deflated_zeros(78, 15)), "9,000 × 9,000 pixels"


def a_png_with_an_immense_profile():
    profile = b"icc\0\0" + deflated_zeros(2000, 15)
    content = a_png(4, 4, zlib.compress(bytes(20)), png_chunk(b"iCCP", profile))
    return ".png", content, None


def a_png_whose_data_go_on():
    return ".png", a_png(4, 4, deflated_zeros(2000, 15)), None


def a_png_of_many_chunks():
    chunks = [png_chunk(b"tEXt", b"a\0b")] * 100_000
    return ".png", a_png(4, 4, zlib.compress(bytes(20)), *chunks), "100,000 chunks"


def a_tiff_whose_strip_goes_on():
    strip = deflated_zeros(1000, 15)
    content = write_tiff(make_levels(), 8, **{"259": 8})
    start, length = 8, WIDTH * HEIGHT
    for tag, old, new in ((273, start, len(content)), (279, length, len(strip))):
        entry = struct.pack("<HHI", tag, 4, 1)
        content = content.replace(
            entry + struct.pack("<I", old), entry + struct.pack("<I", new)
        )
    return ".tif", content + strip, None


def a_jpeg_of_many_scans():
    content = SEEDS[".jpg progressive"]
    place = content.index(b"\xff\xc2") + 5
    content = content[:place] + struct.pack(">HH", 8000, 8000) + content[place + 4 :]
    scans = content[content.index(b"\xff\xda") : -2]
    return ".jpg", content[:-2] + 100 * scans + b"\xff\xd9", "scans"


def a_jpeg_of_many_segments():
    comments = b"\xff\xfe\0\2" * 200_000
    content = SEEDS[".jpg grey"]
    return ".jpg", content[:2] + comments + content[2:], "100,000 segments"


def a_deflated_dicom_bomb():
    content = SEEDS[".dcm deflated"]
    # The group of the meta information has its own length.
    end = 144 + int.from_bytes(content[140:144], "little")
    return ".dcm", content[:end] + deflated_zeros(1500, -15), "would inflate to more"


def a_gigapixel_dicom():
    content = SEEDS[".dcm run lengths"]
    for element in (0x10, 0x11):
        place = content.index(struct.pack("<HH", 0x28, element)) + 8
        content = content[:place] + struct.pack("<H", 65535) + content[place + 2 :]
    return ".dcm", content, "65,535 × 65,535 pixels"


def a_gigapixel_jpeg_in_dicom():
    _, jpeg, _ = a_gigapixel_jpeg()
    return ".dcm", in_dicom(make_levels(), jpeg), "65,500 × 65,500 pixels"


def a_jpeg_of_another_size_in_dicom():
    content = in_dicom(make_levels(), SEEDS[".jpg grey"], Rows=HEIGHT * 4)
    return ".dcm", content, "80 × 28 pixels, but its data have 20 × 28"


def a_jpeg_2000_of_many_channels_in_dicom():
    content = SEEDS[".dcm jpeg 2000"]
    place = content.index(b"\xff\x4f\xff\x51") + 40
    return ".dcm", content[:place] + b"\x40\0" + content[place + 2 :], "16384 channels"


def several_samples_in_dicom():
    content = SEEDS[".dcm"]
    place = content.index(struct.pack("<HH", 0x28, 2)) + 8
    return ".dcm", content[:place] + b"\2\0" + content[place + 2 :], "2 samples"


def an_immense_element():
    content = SEEDS[".dcm"]
    element = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 2**32 - 16)
    return ".dcm", content[: content.index(b"\xe0\x7f\x10\0")] + element, "truncated"


def nested_sequences():
    content = SEEDS[".dcm"]
    start = content.index(struct.pack("<HH", 8, 0x16))
    item = struct.pack("<HH2sHI", 8, 0x1115, b"SQ", 0, 2**32 - 1)
    item += struct.pack("<HHI", 0xFFFE, 0xE000, 2**32 - 1)
    return ".dcm", content[:start] + 50_000 * item, "can't decode it"


HOSTILE = [
    *(a_gigapixel_png, a_gigapixel_jpeg, a_gigapixel_bmp, a_gigapixel_webp),
    *(a_gigapixel_tiff, a_gigapixel_map, a_gigapixel_dicom, a_gigapixel_jpeg_in_dicom),
    *(a_tiff_of_one_immense_tile, a_tiff_whose_pages_form_a_loop),
    *(a_tiff_of_many_samples, a_tiff_whose_strip_goes_on, a_png_of_blank_rows),
    *(a_png_with_an_immense_profile, a_png_whose_data_go_on, a_png_of_many_chunks),
    *(a_jpeg_of_many_scans, a_jpeg_of_many_segments, a_deflated_dicom_bomb),
    *(a_jpeg_of_another_size_in_dicom, a_jpeg_2000_of_many_channels_in_dicom),
    *(several_samples_in_dicom, an_immense_element, nested_sequences),
]


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.__name__)
def test_hostile_files_cost_little_memory_and_time(case, limited):
    suffix, content, said = case()
    answer = limited.read(suffix, content)
    assert "outcomes" in answer, answer
    assert answer["bytes"] < 2**30
    for outcome in answer["outcomes"]:
        if said is None and "shape" in outcome:
            continue
        assert outcome["error"] == "ValueError", outcome
        assert outcome["message"].startswith(f"{answer['path']}: ")
        assert (said or "") in outcome["message"]


def test_a_killed_process_is_replaced(limited):
    assert "outcomes" in limited.read(".png", SEEDS[".png grey"])
    limited._worker.kill()
    assert limited.read(".png", b"")["end"] == "ended with -9"
    assert "outcomes" in limited.read(".png", SEEDS[".png grey"])


def test_deflated_dicom_is_read(write):
    np.testing.assert_array_equal(
        read_radiograph(write(".dcm", SEEDS[".dcm deflated"])),
        read_radiograph(write(".dcm", SEEDS[".dcm"])),
    )


def test_headers_of_hostile_files(write):
    suffix, content, said = nested_sequences()
    with pytest.raises(ValueError, match=said):
        read_header(str(write(suffix, content)))
