"""The paper's two evaluation crops."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mixer import Preprocessing
from keras_mixer.data import resize_crop, resmall_crop
from keras_mixer.data.evaluation import fitted
from tests.data import on_torchvision

CROPS = [resize_crop, resmall_crop]


def photograph(height, width, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(dtype)


def gradient(height, width):
    """An image whose values are its own coordinates: row, column, 0."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([rows, columns, 0 * rows], -1)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("shape", [(300, 400), (500, 375), (64, 64), (256, 256)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_any_image_becomes_a_square_of_the_same_type(crop, shape, dtype):
    image = crop(photograph(*shape, dtype))
    assert image.shape == (224, 224, 3)
    assert image.dtype == dtype


@pytest.mark.parametrize("crop", CROPS)
def test_of_an_image_of_256_the_centre_is_cut_out_as_it_is(crop):
    image = photograph(256, 256)
    assert np.array_equal(crop(image), image[16:240, 16:240])
    assert np.array_equal(crop(photograph(512, 512), 448), photograph(512, 512)[32:480, 32:480])


def test_resize_crop_squeezes_and_resmall_crop_keeps_proportions():
    image = gradient(256, 512)
    squeezed, kept = resize_crop(image).numpy(), resmall_crop(image).numpy()
    assert np.ptp(squeezed[..., 1]) == pytest.approx(2 * 223)  # two columns became one
    assert np.ptp(kept[..., 1]) == 223
    assert kept[0, 0].tolist() == [16, 144, 0]  # the centre: 144 = (512 - 224) / 2


def test_the_shorter_side_is_averaged_over_areas_as_the_official_code_does():
    image = photograph(512, 768, np.float32)
    areas = image.reshape(256, 2, 384, 2, 3).mean((1, 3))
    # sums of four values below 256 in float32
    assert np.allclose(resmall_crop(image), areas[16:240, 80:304], atol=1e-4)


def test_sides_are_rounded_as_the_official_code_does():
    """300 x 500 becomes 256 x 427 (426.67), whose centre starts at column 101 (101.5)."""
    image = photograph(300, 500, np.float32)
    resized = tf.image.resize(image, (256, 427), method="bilinear")
    found = resmall_crop(image, method="bilinear")
    assert np.array_equal(found, resized[16:240, 101:325])


@pytest.mark.parametrize("crop", CROPS)
def test_whole_numbers_are_cut_off_and_stay_between_0_and_255(crop):
    image = np.where(photograph(100, 150) > 127, 255, 0).astype(np.uint8)
    exact = crop(image.astype(np.float32), method="bicubic").numpy()
    assert exact.min() < -1  # it overshoots at edges
    assert exact.max() > 256
    cut = np.clip(exact, 0, 255).astype(np.uint8)
    assert np.array_equal(crop(image, method="bicubic"), cut)


@pytest.mark.parametrize("crop", CROPS)
def test_images_of_unknown_size_come_out_of_a_pipeline_with_a_known_one(crop):
    data = tf.data.Dataset.from_generator(
        lambda: (photograph(*shape) for shape in [(300, 400), (500, 375)]),
        output_signature=tf.TensorSpec((None, None, 3), tf.uint8),
    ).map(crop)
    assert data.element_spec == tf.TensorSpec((224, 224, 3), tf.uint8)
    first, second = data.as_numpy_iterator()
    assert np.array_equal(first, crop(photograph(300, 400)))
    assert np.array_equal(second, crop(photograph(500, 375)))


@pytest.mark.parametrize("crop", CROPS)
def test_a_batch_is_an_error(crop):
    with pytest.raises(ValueError, match=r"One image \[H, W, C\].*got shape \(2, 300, 400, 3\)"):
        crop(np.zeros((2, 300, 400, 3), np.uint8))


@pytest.mark.parametrize("row", range(len(on_torchvision.CASES)))
def test_with_pillow_s_rules_pixels_are_torchvision_s(row):
    shape, size, share, crop, interpolation = on_torchvision.CASES[row]
    takes = Preprocessing(
        size=size,
        crop={"center": "resmall_crop", "squash": "resize_crop"}[crop],
        crop_share=share,
        interpolation={"lanczos": "lanczos3"}.get(interpolation, interpolation),
        library="pillow",
    )
    found = fitted(on_torchvision.picture(*shape), takes).numpy()
    off = np.abs(found - np.load(on_torchvision.PATH)[str(row)])
    # Pillow's weights have 22 binary digits: a half may be rounded otherwise, in either pass.
    assert off.max() <= 1
    assert (off > 0).mean() < 0.01


def test_with_pillow_s_rules_floats_are_not_rounded():
    image = on_torchvision.picture(97, 141).astype(np.float32)
    found = resmall_crop(image, 48, method="bicubic", library="pillow").numpy()
    assert (found != np.round(found)).mean() > 0.9
    whole = resmall_crop(image.astype(np.uint8), 48, method="bicubic", library="pillow")
    # Rounding to whole levels, twice, and in the first pass cutting off beyond 0 and 255.
    assert np.abs(found.clip(0, 255) - whole.numpy()).mean() < 0.5


@pytest.mark.parametrize("crop", CROPS)
def test_another_library_or_what_pillow_has_not_is_an_error(crop):
    with pytest.raises(ValueError, match="library to be 'tensorflow' or 'pillow'; got 'PIL'"):
        crop(photograph(8, 8), 4, library="PIL")
    with pytest.raises(ValueError, match=r"Pillow interpolates by bicubic.*got 'area'"):
        crop(photograph(8, 8), 4, method="area", library="pillow")


def test_sides_are_rounded_as_the_library_does():
    """224 / 0.9 is 248.9."""
    takes = {
        n: Preprocessing(crop="resmall_crop", crop_share=0.9, interpolation="bicubic", library=n)
        for n in ("tensorflow", "pillow")
    }
    assert takes["tensorflow"].enlarged((224, 112)) == [249, 124]
    assert takes["pillow"].enlarged((224, 112)) == [248, 124]
