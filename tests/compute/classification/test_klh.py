"""Real particles: top and side views of KLH come into separate classes."""

import numpy as np
import pytest
from scipy import ndimage

from emtomo.compute.classification.classify import Classification
from emtomo.compute.classification.options import ClassificationOptions
from emtomo.io import images
from tests.conftest import shared

# rows and columns of the image binned by four, read off it; the last two side views are cut by its edge or by others
TOPS = [(150, 121), (59, 53), (36, 128), (185, 58)]
SIDES = [(61, 95), (190, 119), (85, 167), (22, 164)]
HALF = 32


@pytest.mark.parametrize("seed", [1, 2])
def test_top_and_side_views_are_separate_classes(seed):
    micrograph = np.asarray(images.read_any(shared("micrographs", "KLH.tif")), float).squeeze()
    rows, columns = (n // 4 for n in micrograph.shape)
    binned = micrograph[: 4 * rows, : 4 * columns].reshape(rows, 4, columns, 4).mean((1, 3))
    white = -(binned - ndimage.gaussian_filter(binned, 40)) / binned.std()
    padded = np.pad(white, HALF, mode="reflect")
    boxes = np.stack([padded[y : y + 2 * HALF, x : x + 2 * HALF] for y, x in TOPS + SIDES])
    options = ClassificationOptions(
        number_of_classes=2, mask_diameter=54.0, ctf_correction=False, offset_range=8.0, seed=seed
    )
    found = Classification(boxes, 1.0, options).run().class_index
    assert len(set(found[:4])) == 1 and len(set(found[4:])) == 1 and found[0] != found[4]
