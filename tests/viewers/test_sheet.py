"""Grey images side by side, as a picture and as a figure."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.viewers.sheet import BAR, GAP, PAPER, Panel, Sheet


def test_images_stand_upright_at_one_scale_with_a_bar_of_the_length_it_says():
    image = np.zeros((20, 40), np.float32)
    image[:10] = 1  # the lower half is white
    picture = np.asarray(Sheet([[Panel(image, "one", 10.0), Panel(image, "two Å µ")]], 8, 6).picture())
    assert picture.shape[1] == 880 and picture.shape[0] < 300  # no paper below images
    ink = (picture != PAPER).any(axis=2)
    inside = picture[ink.sum(axis=1).argmax() + 3 :, GAP + 3 : 440 - GAP - 3]
    assert (inside[5] == 0).all() and (inside[-GAP - 20, 300:] == 255).all()
    bar = (picture == BAR).all(axis=2)
    assert_allclose(bar.any(axis=0).sum(), 10 * (440 - 2 * GAP) / 40, atol=2)  # 10 nm of 40 nm
    assert not bar[:, 440:].any()


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (1500, 900)])
def test_any_image_is_drawn(shape):
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    image.flat[0] = np.nan
    sheet = Sheet([[Panel(image, "a name that is far longer than the room that there is for it " * 3, 1e-3)]], 3, 3)
    assert sheet.picture().width == 330 and sheet.picture().height <= 330
    assert len(sheet.figure().axes) == 1
    assert np.asarray(Sheet([[Panel(image * np.nan)]], 1, 1).picture()).max() == 255
