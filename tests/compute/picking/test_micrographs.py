"""Blobs and templates against the truth: simulated micrographs, apoferritin with centres marked by hand, ice."""

import numpy as np
import pytest

from emtomo.compute.blobs import LogOptions
from emtomo.compute.fourier.projections import Projector
from emtomo.compute.picking.choice import choose_blobs, choose_templates
from emtomo.compute.picking.options import BlobOptions, TemplateChoice, TemplateOptions
from emtomo.compute.picking.preparation import search_pixel_size
from emtomo.compute.picking.references import rotate_templates, view_rotations
from emtomo.compute.picking.search import search_blobs, search_templates
from emtomo.io import mrc
from emtomo.io.star import read_blocks
from emtomo.synthetic.micrographs import MicrographOptions, MicrographSimulator
from tests.compute.picking.truth import compare
from tests.conftest import shared

PIXEL = 4.0


def simulate(number=2, **options):
    simulator = MicrographSimulator(
        MicrographOptions(**{"size_x": 640, "size_y": 600, "pixel_size": PIXEL, "per_micrograph": 25, **options})
    )
    made = [simulator.make(k) for k in range(number)]
    return simulator, made, [m.positions[:, ::-1] / PIXEL for m in made]


def blobs_of(images, pixel_size, low, high, white=False, **options):
    log = LogOptions(min_diameter=low, max_diameter=high, **options)
    found = [search_blobs(image, pixel_size, white, log, BlobOptions())[0].peaks for image in images]
    return choose_blobs(found, pixel_size, log)


@pytest.mark.parametrize(("seed", "white"), [(21, False), (22, True)])
def test_blobs_of_simulated_micrographs(seed, white):
    simulator, made, truth = simulate(seed=seed, white=white)
    low, high = 0.65 * simulator.diameter, simulator.diameter
    choice = blobs_of([m.image for m in made], PIXEL, low, high, white)
    f1, distance = compare([p.positions for p in choice.peaks], truth, simulator.diameter / 4 / PIXEL)
    assert f1 >= 0.93 and distance * PIXEL <= 8
    wrong = blobs_of([m.image for m in made], PIXEL, low, high, not white)
    assert compare([p.positions for p in wrong.peaks], truth, simulator.diameter / 4 / PIXEL)[0] < 0.2


@pytest.mark.parametrize("size", [(640, 600), (601, 639)])
def test_templates_of_simulated_micrographs(size):
    """Projections 30° apart find all orientations, to 4 Å; multiplied by the CTF they find more."""
    simulator, made, truth = simulate(number=3, seed=23, snr=0.06, size_x=size[0], size_y=size[1])
    pixel = search_pixel_size(made[0].image.shape, PIXEL, 20.0, 0.0)
    options = TemplateOptions()
    images = Projector(simulator.density).images(view_rotations(30, "D7"))
    templates = rotate_templates(images, PIXEL, pixel, options)
    assert 150 < templates.diameter < 200

    def best_f1(with_ctf):
        found = [search_templates(m.image, PIXEL, False, templates, options, m.ctf if with_ctf else None).peaks
                 for m in made]  # fmt: skip
        choice = choose_templates(found, PIXEL, 0.6 * templates.diameter, TemplateChoice())
        radius = simulator.diameter / 4 / PIXEL
        return compare([p.positions for p in choice.peaks], truth, radius)

    f1, distance = best_f1(True)
    assert f1 >= 0.95 and distance * PIXEL <= 4
    assert f1 > best_f1(False)[0]


def test_apoferritin_against_centres_marked_by_hand():
    """Of each third micrograph of EMPIAR-10146: hollow shells of 120 to 125 Å, at the default of every option."""
    folder = shared("micrographs", "apoferritin")
    table = read_blocks(folder / "truth_particles.star")["particles"]
    names = list(dict.fromkeys(table["rlnMicrographName"]))[::3]
    images = [np.asarray(mrc.open_volume(folder / name)[0], np.float32) for name in names]
    columns = ["rlnCoordinateY", "rlnCoordinateX"]
    truth = [table[table["rlnMicrographName"] == name][columns].to_numpy(float) for name in names]
    for low, high in ((110, 130), (120, 120)):
        choice = blobs_of(images, 3.0, low, high)
        f1, distance = compare([p.positions for p in choice.peaks], truth, 10)
        assert f1 >= 0.92 and distance * 3 <= 10


def test_nothing_is_picked_within_ice():
    folder = shared("micrographs", "mcleaner")
    image = np.asarray(mrc.open_volume(folder / "mics_Ucsf_stack_1142_DW.mrc")[0], np.float32)
    ice = np.asarray(mrc.open_volume(folder / "masks_Ucsf_stack_1142_DW.mrc")[0]) > 0.5
    log = LogOptions(min_diameter=30, max_diameter=50)
    found, _ = search_blobs(image, 1.0, False, log, BlobOptions(max_resolution=5))
    picks = choose_blobs([found.peaks], 1.0, log).peaks[0]
    inside = ice[tuple(np.rint(picks.positions).astype(int).T)]
    assert len(picks) > 50 and inside.mean() < 0.03 and ice.mean() > 0.14


def test_carbon_and_ice_are_left_out_by_their_noise():
    """Carbon film has more noise and is darker: the limits leave nothing on it and keep what is elsewhere."""
    simulator, made, truth = simulate(seed=25, carbon=True, snr=0.15)
    log = LogOptions(min_diameter=0.65 * simulator.diameter, max_diameter=simulator.diameter)
    found = [search_blobs(m.image, PIXEL, False, log, BlobOptions())[0].peaks for m in made]

    def on_carbon(options):
        choice = choose_templates(found, PIXEL, 100.0, options)
        at = [np.rint(p.positions).astype(int) for p in choice.peaks]
        on = sum(int(m.carbon[tuple(a.T)].sum()) for m, a in zip(made, at, strict=True))
        return on, compare([p.positions for p in choice.peaks], truth, simulator.diameter / 4 / PIXEL)[0]

    usual = on_carbon(TemplateChoice())
    stddev, average = on_carbon(TemplateChoice(max_stddev_noise=1.2)), on_carbon(TemplateChoice(min_average_noise=-0.3))
    assert usual[0] > 10
    assert stddev[0] <= 0.2 * usual[0] and average[0] <= 0.2 * usual[0]
    assert stddev[1] > usual[1] + 0.1 and average[1] > usual[1] + 0.1
