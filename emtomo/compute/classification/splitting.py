"""Empty classes take half of the largest one, parted where its members differ most."""

from collections.abc import Callable

import numpy as np

from emtomo.compute.classification.half_plane import HalfPlane
from emtomo.compute.linear_algebra import multiply

EMPTY = 0.3  # of an equal share: a class with less is empty
LARGE = 1.6  # of an equal share: a class with more may be parted
FEWEST = 4  # members of a class that is parted
SAMPLE = 200  # of its members that are looked at


def align_images(images: np.ndarray, psi: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return images (m, n, n) rotated by psi (degrees) and moved by shift (m, 2; x, y) onto their class average.

    The inverse of the model: an image at psi and shift is the average at R (x - shift), R = [[c, -s], [s, c]].
    """

    from scipy import ndimage

    n = images.shape[-1]
    middle = np.array([n // 2, n // 2])
    out = np.empty_like(images)
    for k, image in enumerate(images):
        c, s = np.cos(np.deg2rad(psi[k])), np.sin(np.deg2rad(psi[k]))
        turn = np.array([[c, -s], [s, c]])  # of rows and columns
        ndimage.affine_transform(image, turn, middle + shift[k, ::-1] - turn @ middle, output=out[k], order=1)
    return out


def principal_component(
    aligned: np.ndarray, plane: HalfPlane, mask: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the image along which aligned images (m, n, n) differ most within `radius` shells, and where they lie.

    The image's scale is the mean distance of the images from their average along it; the second array (m,) says by
    its sign on which side of the average each image is.
    """

    from scipy.linalg import eigh

    spectra = plane.transform(aligned * mask)
    spectra[:, plane.count(radius) :] = 0
    differences = plane.image(spectra) * mask
    differences -= differences.mean(0)
    flat = np.ascontiguousarray(differences.reshape(len(differences), -1), np.float32)
    last = len(flat) - 1
    gram = multiply(flat, flat.T).astype(float)  # has the same components, and is small
    first = eigh(gram, subset_by_index=(last, last))[1][:, 0]
    first = first * np.sign(first[np.argmax(np.abs(first))])
    # first @ flat is the component times its singular value; times |first| it is the images' coordinate along it
    return np.asarray((np.abs(first).mean() * (first @ flat)).reshape(mask.shape), np.float32), first


def split_empty_classes(
    references: np.ndarray,
    share: np.ndarray,
    label: np.ndarray,
    component: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
) -> list[int]:
    """Give every empty class a half of the largest one, and return the classes that were changed.

    Parameters
    ----------
    references : (K, n, n) array
        Changed in place, as is `share`.
    share : (K,) array
        Sums to 1.
    label : (p,) int array
        Class of every image, from 0; -1 for none.
    component : callable
        Numbers of images to what :func:`principal_component` gives of them.
    rng : Generator
    """
    label, classes, changed = label.copy(), len(share), []
    for empty in np.flatnonzero(share < EMPTY / classes):
        full = int(np.argmax(share))
        members = np.flatnonzero(label == full)
        if share[full] < LARGE / classes or len(members) < FEWEST:
            break
        sample = np.sort(rng.permutation(members)[:SAMPLE])
        step, side = component(sample)
        references[empty], references[full] = references[full] + step, references[full] - step
        share[[empty, full]] = share[full] / 2
        label[sample[side > 0]] = empty
        changed += [int(empty), full]
    return changed
