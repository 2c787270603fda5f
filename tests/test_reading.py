import os
import struct
import zlib

import cv2
import numpy as np
import pytest

from skcovid import RadiographReader
from skcovid.reading import read_radiograph
from skcovid.reading._check_files import check_files
from skcovid.reading._paths import as_paths

LOSSLESS = ["png", "tif", "bmp"]
FORMATS = [*LOSSLESS, "jpg", "webp"]


def levels_16(grey_images):
    """A 16-bit image with structure in both bytes."""
    return grey_images[0].astype(np.uint16) * 257 - grey_images[1] // 2


def luminance(rgb):
    return rgb @ np.array([0.299, 0.587, 0.114])


class TestPixels:
    @pytest.mark.parametrize("extension", LOSSLESS)
    def test_lossless_grey(self, write_image, grey_images, extension):
        path = write_image(f"a.{extension}", grey_images[0])
        grey = read_radiograph(path)
        assert grey.dtype == np.uint8
        np.testing.assert_array_equal(grey, grey_images[0])
        rgb = read_radiograph(path, channels="rgb")
        np.testing.assert_array_equal(rgb, np.dstack([grey_images[0]] * 3))

    @pytest.mark.parametrize("extension", LOSSLESS)
    def test_lossless_colour(self, write_image, rgb_images, extension):
        path = write_image(f"a.{extension}", rgb_images[0])
        rgb = read_radiograph(path, channels="rgb")
        np.testing.assert_array_equal(rgb, rgb_images[0])
        grey = read_radiograph(path)
        assert grey.shape == rgb_images[0].shape[:2]
        np.testing.assert_allclose(grey, luminance(rgb_images[0]), atol=2)

    @pytest.mark.parametrize("extension", ["jpg", "JPEG", "webp"])
    def test_lossy(self, write_image, extension):
        gradient = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (32, 1))
        path = write_image(f"a.{extension}", gradient)
        np.testing.assert_allclose(read_radiograph(path), gradient, atol=8)
        assert read_radiograph(path, channels="rgb").shape == (32, 64, 3)

    @pytest.mark.parametrize("extension", ["png", "tiff"])
    def test_16_bit_is_scaled_by_the_full_range(
        self, write_image, grey_images, extension
    ):
        levels = levels_16(grey_images)
        path = write_image(f"a.{extension}", levels)
        np.testing.assert_array_equal(read_radiograph(path), np.rint(levels / 257))
        dark = write_image(f"dark.{extension}", levels // 3)
        np.testing.assert_array_equal(
            read_radiograph(dark), np.rint((levels // 3) / 257)
        )

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
    @pytest.mark.parametrize("highest", [1, 1023, 4080, 4095, 16383])
    @pytest.mark.parametrize("channels", ["grey", "rgb"])
    def test_a_16_bit_file_of_fewer_bits_warns(
        self, write_image, name, highest, channels
    ):
        levels = np.linspace(0, highest, 600).reshape(20, 30).astype(np.uint16)
        path = write_image(name, levels)
        white = {1: 1, 1023: 1023, 16383: 16383}.get(highest, 4095)
        match = rf"{name}: .*{highest:,}, but.*white_level={white}\)"
        with pytest.warns(UserWarning, match=match):
            grey = read_radiograph(path, channels=channels)
        assert grey.max() == round(highest / 257)

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
    @pytest.mark.parametrize("white_level", [4095, np.int64(4095), 4080])
    def test_the_white_level_of_16_bit_files(
        self, write_image, recwarn, name, white_level
    ):
        levels = np.linspace(0, 4080, 600).round().reshape(20, 30).astype(np.uint16)
        path = write_image(name, levels)
        expected = np.rint(levels * (255 / white_level))
        grey = read_radiograph(path, white_level=white_level)
        np.testing.assert_array_equal(grey, expected)
        rgb = read_radiograph(path, channels="rgb", white_level=white_level)
        np.testing.assert_array_equal(rgb, np.dstack([expected] * 3))
        reader = RadiographReader(white_level=white_level)
        images = reader.fit_transform([path])
        np.testing.assert_array_equal(images, expected[np.newaxis])
        assert not recwarn

    def test_the_white_level_is_part_of_the_keys(self, write_image):
        path = write_image("a.png", np.full((4, 4), 60_000, np.uint16))
        keys = [
            RadiographReader(white_level=white).fit_transform([path]).keys[0]
            for white in (None, 65535, 61_000, np.int64(61_000))
        ]
        assert len(set(keys)) == 3
        assert keys[2] == keys[3]

    def test_files_that_state_their_white_have_no_other(self, write_image, tmp_path):
        grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
        paths = [write_image(f"a.{extension}", grey) for extension in LOSSLESS]
        twelve = tmp_path / "a.pgm"
        twelve.write_bytes(b"P5 16 16 255\n" + grey.tobytes())
        for path in [*paths, twelve]:
            found = read_radiograph(path, white_level=1000)
            np.testing.assert_array_equal(found, grey)

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
    def test_a_level_above_the_white_level_is_an_error(self, write_image, name):
        path = write_image(name, np.full((4, 4), 4096, np.uint16))
        match = rf"{name}: .*4,096, is above white_level=4095"
        with pytest.raises(ValueError, match=match):
            read_radiograph(path, white_level=4095)
        with pytest.raises(ValueError, match=match):
            RadiographReader(white_level=4095).fit_transform([path])
        assert read_radiograph(path, white_level=4096).max() == 255

    @pytest.mark.parametrize("white_level", [0, 65536, 4095.0, "4095"])
    def test_a_wrong_white_level_is_named(self, grey_paths, white_level):
        with pytest.raises(ValueError, match="white_level"):
            read_radiograph(grey_paths[0], white_level=white_level)
        with pytest.raises(ValueError, match="white_level"):
            RadiographReader(white_level=white_level).fit(grey_paths)

    def test_misspelt_channels_are_an_error(self, grey_paths):
        with pytest.raises(ValueError, match=r"channels.*grey"):
            read_radiograph(grey_paths[0], channels="gray")

    @pytest.mark.parametrize("highest", [0, 16384, 65535])
    def test_other_16_bit_files_do_not_warn(self, write_image, recwarn, highest):
        levels = np.linspace(0, highest, 600).reshape(20, 30).astype(np.uint16)
        read_radiograph(write_image("a.png", levels))
        assert not recwarn

    def test_a_portable_map_states_its_white(self, tmp_path, recwarn):
        levels = np.arange(4096, dtype=">u2").reshape(64, 64)
        path = tmp_path / "a.pgm"
        path.write_bytes(b"P5 64 64 4095\n" + levels.tobytes())
        assert read_radiograph(path).max() == 255
        assert not recwarn

    @pytest.mark.parametrize("extension", ["png", "tiff"])
    def test_16_bit_colour(self, write_image, rgb_images, extension):
        path = write_image(f"a.{extension}", rgb_images[0].astype(np.uint16) * 257)
        rgb = read_radiograph(path, channels="rgb")
        np.testing.assert_array_equal(rgb, rgb_images[0])
        np.testing.assert_allclose(
            read_radiograph(path), luminance(rgb_images[0]), atol=2
        )

    @pytest.mark.parametrize(
        ("kind", "content"), [(b"sRGB", b"\0"), (b"gAMA", (45455).to_bytes(4, "big"))]
    )
    def test_grey_of_a_colour_png_does_not_depend_on_its_gamma(
        self, write_image, kind, content
    ):
        colours = np.array([[[15, 14, 19], [255, 21, 62], [55, 217, 54]]], np.uint8)
        path = write_image("a.png", colours)
        data = path.read_bytes()
        checksum = zlib.crc32(kind + content).to_bytes(4, "big")
        chunk = len(content).to_bytes(4, "big") + kind + content + checksum
        end_of_header = 33
        path.write_bytes(data[:end_of_header] + chunk + data[end_of_header:])
        assert read_radiograph(path).tolist() == [[15, 96, 150]]
        assert read_radiograph(write_image("a.bmp", colours)).tolist() == [
            [15, 96, 150]
        ]

    def test_transparency_is_ignored(self, write_image, rgb_images):
        alpha = np.full((*rgb_images[0].shape[:2], 1), 7, dtype=np.uint8)
        # The helper reverses the channels; alpha must then be last.
        path = write_image("a.png", np.dstack([alpha, rgb_images[0]]))
        np.testing.assert_array_equal(
            read_radiograph(path, channels="rgb"), rgb_images[0]
        )

    @pytest.mark.parametrize("dtype", [np.float32, np.int16])
    def test_other_pixel_types_are_errors(self, write_image, grey_images, dtype):
        path = write_image("a.tiff", grey_images[0].astype(dtype))
        with pytest.raises(ValueError, match=rf"a\.tiff: .*{np.dtype(dtype)}"):
            read_radiograph(path)

    @pytest.mark.parametrize(
        "name", ["with space.png", "röntgen.png", "胸部 X線.png", "50%[1]{a}.PNG"]
    )
    def test_any_name(self, write_image, grey_images, name):
        path = write_image(name, grey_images[0])
        for given in (path, str(path)):
            np.testing.assert_array_equal(read_radiograph(given), grey_images[0])

    def test_the_content_decides_the_format(self, write_image, grey_images):
        path = write_image("a.png", grey_images[0])
        renamed = path.rename(path.with_suffix(".jpg"))
        np.testing.assert_array_equal(read_radiograph(renamed), grey_images[0])

    @pytest.mark.parametrize(
        ("orientation", "upright"),
        [
            (1, lambda image: image),
            (2, np.fliplr),
            (3, lambda image: np.rot90(image, 2)),
            (4, np.flipud),
            (5, np.transpose),
            (6, lambda image: np.rot90(image, -1)),
            (7, lambda image: np.rot90(image, 2).T),
            (8, np.rot90),
        ],
    )
    def test_exif_orientation_is_applied(self, write_image, orientation, upright):
        stored = np.zeros((16, 24), dtype=np.uint8)
        stored[:8, :8] = 200
        path = write_image("a.jpg", stored, (cv2.IMWRITE_JPEG_QUALITY, 100))
        data = path.read_bytes()
        path.write_bytes(data[:2] + exif_segment(orientation) + data[2:])
        expected = upright(stored)
        np.testing.assert_allclose(read_radiograph(path), expected, atol=3)
        [content] = check_files([str(path)])
        assert (content.height, content.width) == expected.shape


def exif_segment(orientation):
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    payload = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (64, 64), dtype=np.uint8)


class TestBroken:
    @pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9, 0.99])
    @pytest.mark.parametrize("extension", FORMATS)
    def test_a_truncated_file_is_an_error(self, write_image, extension, share):
        path = write_image(f"a.{extension}", noise())
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ValueError, match=rf"a\.{extension}: ") as error:
            read_radiograph(path)
        assert "truncated" in str(error.value) or "not an image" in str(error.value)

    @pytest.mark.parametrize("missing", [1, 2, 3, 20])
    @pytest.mark.parametrize(
        "parameters",
        [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 1)],
        ids=["baseline", "progressive", "restarts"],
    )
    def test_a_jpeg_without_its_end_is_an_error(self, write_image, parameters, missing):
        path = write_image("a.jpg", noise(), parameters)
        path.write_bytes(path.read_bytes()[:-missing])
        with pytest.raises(ValueError, match="truncated"):
            read_radiograph(path)

    def test_the_end_of_a_thumbnail_does_not_end_the_image(self, write_image):
        thumbnail = write_image("thumbnail.jpg", noise()[:16, :16]).read_bytes()
        segment = b"\xff\xe5" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
        path = write_image("a.jpg", noise())
        data = path.read_bytes()
        data = data[:2] + segment + data[2:]
        path.write_bytes(data)
        assert read_radiograph(path).shape == (64, 64)
        for length in range(100, len(data), 400):
            path.write_bytes(data[:length])
            with pytest.raises(ValueError, match="truncated"):
                read_radiograph(path)

    @pytest.mark.parametrize("extension", ["jpg", "png", "bmp"])
    @pytest.mark.parametrize("rest", [bytes(50), b"\xff\xda more \xff", b"IEND"])
    def test_bytes_after_the_image_are_ignored(self, write_image, extension, rest):
        path = write_image(f"a.{extension}", noise())
        pixels = read_radiograph(path)
        path.write_bytes(path.read_bytes() + rest)
        np.testing.assert_array_equal(read_radiograph(path), pixels)

    @pytest.mark.parametrize("extension", ["jpg", "png"])
    def test_a_download_padded_with_zeros_is_an_error(self, write_image, extension):
        path = write_image(f"a.{extension}", noise())
        data = path.read_bytes()
        half = len(data) // 2
        path.write_bytes(data[:half] + bytes(len(data) - half))
        with pytest.raises(ValueError, match="truncated"):
            read_radiograph(path)

    def test_a_changed_byte_of_a_png_is_an_error(self, write_image):
        path = write_image("a.png", noise())
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(bytes(data))
        with pytest.raises(ValueError, match=r"a\.png: "):
            read_radiograph(path)

    def test_an_empty_file(self, tmp_path):
        path = tmp_path / "a.png"
        path.touch()
        with pytest.raises(ValueError, match=r"a\.png.*empty"):
            read_radiograph(path)

    @pytest.mark.parametrize("text", [b"no image at all", b"BM", b"\0", b"\xff\xd8"])
    def test_a_file_that_is_not_an_image(self, tmp_path, text):
        path = tmp_path / "a.png"
        path.write_bytes(text)
        with pytest.raises(ValueError, match=r"a\.png: "):
            read_radiograph(path)

    def test_a_folder(self, tmp_path):
        path = tmp_path / "x.png"
        path.mkdir()
        with pytest.raises(ValueError, match=r"x\.png"):
            read_radiograph(path)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"x\.png.*no such file"):
            read_radiograph(tmp_path / "x.png")


class TestCheckFiles:
    def test_sizes_and_digests_in_order(self, write_image, grey_images):
        paths = [
            str(write_image("a.png", grey_images[0])),
            str(write_image("b.png", grey_images[1][:, :7])),
            str(write_image("c.png", grey_images[0])),
        ]
        found = check_files(paths, n_jobs=3)
        assert [(file.height, file.width) for file in found] == [
            (12, 10),
            (12, 7),
            (12, 10),
        ]
        assert found[0].digest == found[2].digest != found[1].digest

    def test_every_bad_file_is_listed_in_one_error(
        self, write_image, tmp_path, grey_images
    ):
        good = write_image("good.png", grey_images[0])
        cut = write_image("cut.jpg", noise())
        cut.write_bytes(cut.read_bytes()[:-9])
        folder = tmp_path / "folder.png"
        folder.mkdir()
        text = tmp_path / "text.png"
        text.write_text("text")
        empty = tmp_path / "empty.png"
        empty.touch()
        missing = tmp_path / "missing.png"
        below_a_file = good / "below.png"
        bad = [cut, folder, text, empty, missing, below_a_file]
        with pytest.raises(ValueError, match="6 of 8 files") as error:
            check_files([str(path) for path in [good, *bad, good]])
        assert not isinstance(error.value, FileNotFoundError)
        lines = str(error.value).splitlines()[1:]
        assert len(lines) == len(bad)
        for path, line in zip(bad, lines, strict=True):
            assert str(path) in line
        assert "truncated" in lines[0]
        assert "empty" in lines[3]
        assert "no such file" in lines[4]

    def test_missing_files_alone_raise_file_not_found_error(
        self, tmp_path, write_image, grey_images
    ):
        good = write_image("good.png", grey_images[0])
        missing = [tmp_path / "a.png", tmp_path / "b.png"]
        with pytest.raises(FileNotFoundError, match="2 of 3 files") as error:
            check_files([str(path) for path in [missing[0], good, missing[1]]])
        assert all(f"{path}: no such file" in str(error.value) for path in missing)

    def test_files_of_few_bits_are_listed_in_one_warning(self, write_image):
        levels = np.full((8, 8), 4000, np.uint16)
        paths = [str(write_image(f"{n}.png", levels + n)) for n in range(8)]
        good = str(write_image("good.png", np.full((8, 8), 9, np.uint8)))
        with pytest.warns(UserWarning, match="wrongly") as caught:
            check_files([good, *paths, paths[0]])
        assert len(caught) == 1
        message = str(caught[0].message)
        assert all(f"{path}: " in message for path in paths[:5])
        assert "4,003" in message
        assert "3 more" in message
        assert good not in message

    def test_the_same_files_are_warned_of_once(self, write_image, recwarn):
        levels = np.full((8, 8), 4000, np.uint16)
        paths = [str(write_image(f"{n}.png", levels)) for n in range(2)]
        with pytest.warns(UserWarning, match="wrongly"):
            check_files(paths[:1])
        with pytest.warns(UserWarning, match="wrongly") as caught:
            images = RadiographReader(8).fit_transform(paths)
        assert paths[0] not in str(caught[0].message)
        assert np.asarray(images).max() == 16
        check_files(paths)
        assert not recwarn

    def test_a_duplicate_file_is_listed_once(self, tmp_path):
        with pytest.raises(FileNotFoundError) as error:
            check_files([str(tmp_path / "a.png")] * 3)
        assert str(error.value).count("a.png") == 1

    @pytest.mark.parametrize("changed", ["size", "time"])
    def test_a_rewritten_file_is_read_again(self, tmp_path, changed):
        path = tmp_path / "a.bmp"
        os.utime(write_bmp(path, 10), ns=(0, 10**18))
        [before] = check_files([str(path)])
        new_time = 10**18 + (1000 if changed == "time" else 0)
        os.utime(write_bmp(path, 20, 9 if changed == "size" else 8), ns=(0, new_time))
        [after] = check_files([str(path)])
        assert after.digest != before.digest

    def test_an_unchanged_file_is_decoded_once(self, tmp_path):
        path = tmp_path / "a.bmp"
        os.utime(write_bmp(path, 10), ns=(0, 10**18))
        [before] = check_files([str(path)])
        [again] = check_files([str(path)])
        assert again is before
        # Other pixels with the same size and time of modification.
        os.utime(write_bmp(path, 20), ns=(0, 10**18))
        [after] = check_files([str(path)])
        assert after.digest != before.digest

    def test_a_repaired_file_is_read(self, tmp_path):
        path = tmp_path / "a.bmp"
        with pytest.raises(FileNotFoundError):
            check_files([str(path)])
        path.touch()
        with pytest.raises(ValueError, match="empty"):
            check_files([str(path)])
        write_bmp(path, 10)
        assert check_files([str(path)])[0].width == 8


def write_bmp(path, level, width=8):
    encoded = cv2.imencode(".bmp", np.full((8, width), level, np.uint8))[1]
    path.write_bytes(encoded.tobytes())
    return path


@pytest.mark.parametrize("wrong", [3, None, float("nan"), b"a.png"])
def test_an_invalid_path_is_named_with_its_position(wrong):
    with pytest.raises(ValueError, match=rf"X\[1\].*path.*{wrong!r}"):
        as_paths(["a.png", wrong])
