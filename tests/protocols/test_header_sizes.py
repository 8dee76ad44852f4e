"""A file whose header says another pixel size than the project is said by every protocol that reads it."""

from pathlib import Path

import numpy as np
import pytest

from emtomo.engine.pixel_sizes import size_remarks
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects.volume_arrays import resample_to_box
from tests.compute.refinement.data import blobs
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
N, PIXEL, WRONG = 16, 8.0, 5.0
SAID = f"says a pixel size of {WRONG:g} Å; the project's, {PIXEL:g} Å, is taken."


def spoil(*paths):
    """Write another pixel size into headers, as a program that resamples without a word would."""
    for path in paths:
        mrc.write_volume(path, np.array(mrc.read_volume(path)), WRONG)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("headers")
    made = Bench(folder / "project")
    volume = blobs(N, "C2", count=4)
    rng = np.random.default_rng(1)
    big = np.zeros((40, 40, 40), np.float32)
    for z in (8, 24):
        for y in (8, 24):
            for x in (8, 24):
                big[z : z + N, y : y + N, x : x + N] -= volume
    mrc.write_volume(folder / "t.mrc", big + rng.normal(0, 0.1, big.shape), PIXEL)
    mrc.write_volume(folder / "volume.mrc", volume, PIXEL)
    r = np.sqrt(((np.indices((N,) * 3) - N // 2) ** 2).sum(axis=0))
    mrc.write_volume(folder / "mask.mrc", np.clip(7 - r, 0, 1), PIXEL)
    made.run("import-tomograms", "t", files=folder / "t.mrc")
    made.run("import-volume", "volume", file=folder / "volume.mrc")
    made.run("import-volume", "mask", file=folder / "mask.mrc", kind="mask")
    rows = [f"t,{x + 8},{y + 8},{z + 8},0,0,0" for x in (8, 24) for y in (8, 24) for z in (8, 24)]
    (folder / "picks.csv").write_text("tomogram_id,x,y,z,rot,tilt,psi\n" + "\n".join(rows) + "\n")
    made.run("import-coordinates", "picks", tomograms="t.tomograms", files=folder / "picks.csv")
    made.run("extract-subtomograms", "boxes", coordinates="picks.coordinates", tomograms="t.tomograms", box_size=N)
    made.run("reconstruct-average", "average", subtomograms="boxes.subtomograms")
    outputs = [made.project.find(label) for label in ("volume", "mask", "boxes", "average")]
    spoil(
        outputs[0].volume.file.get(),
        outputs[1].mask.file.get(),
        *set(outputs[2].subtomograms.frame()["file"]),
        outputs[3].average.file.get(),
    )
    return made


@pytest.mark.parametrize(
    ("name", "parameters", "whose"),
    [
        ("symmetrize", {"volume": "volume.volume", "symmetry": "C2"}, ["volume"]),
        ("align-symmetry", {"volume": "volume.volume", "symmetry": "C2", "recentre": False,
                            "subtomograms": "boxes.subtomograms"}, ["volume", "boxes"]),
        ("create-mask", {"volume": "volume.volume"}, ["volume"]),
        ("postprocess", {"average": "average.average", "mask": "mask.mask"}, ["average", "mask"]),
        ("apply-alignment", {"subtomograms": "boxes.subtomograms"}, ["boxes"]),
        ("reconstruct-average", {"subtomograms": "boxes.subtomograms"}, ["boxes"]),
        pytest.param(
            "refine-poses",
            {"subtomograms": "boxes.subtomograms", "reference": "volume.volume", "mask": "mask.mask",
             "max_iterations": 1, "initial_lowpass": 60, "angular_step": 3.7},
            ["reference", "mask", "boxes"],
            marks=pytest.mark.slow,
        ),
        (
            "initial-model",
            {"subtomograms": "boxes.subtomograms", "reference": "volume.volume", "mask": "mask.mask", "iterations": 1,
             "batches": 1, "batch_size": 2, "filter_to": 60, "return_aligned": False},
            ["reference", "mask", "boxes"],
        ),
    ],
)  # fmt: skip
def test_headers_of_another_pixel_size_are_said(bench, name, parameters, whose):
    run = bench.run(name, f"{name} with headers", **parameters)
    said = " ".join(run._summary())
    for one in whose:
        if one == "boxes":
            assert f"another pixel size than the set's {PIXEL:g} Å, which is taken" in said
            assert f" {WRONG:g} Å" in said
        else:
            assert f"The header of the {one} " in said and SAID in said


def test_the_reference_and_the_mask_of_a_search_are_compared_too(bench):
    given = {"tomograms": "t.tomograms", "reference": "volume.volume", "mask": "mask.mask"}
    run = bench.project.find(str(bench.add("match-template", "search", **given)))
    sentences = size_remarks(run.iterInputAttributes())
    assert len(sentences) == 2
    for one, sentence in zip(("reference", "mask"), sentences, strict=True):
        assert f"The header of the {one} " in sentence and SAID in sentence


def test_headers_that_agree_are_not_mentioned(bench):
    bench.run("import-volume", "good", file=Path(bench.project.path).parent / "volume.mrc")
    run = bench.run("symmetrize", "good symmetrized", volume="good.volume", symmetry="C2")
    assert "header" not in " ".join(run._summary())


def test_an_empty_mask_says_what_its_header_says(bench):
    given = {"average": "average.average", "mask": "mask.mask"}
    run = bench.project.find(str(bench.add("postprocess", "nothing left", **given)))
    mask = run.input_mask.get()
    mrc.write_volume(Path(bench.project.path) / "extra.mrc", np.zeros((N,) * 3, np.float32), WRONG)
    mask.file.set("extra.mrc")
    with pytest.raises(EmtomoError, match="The mask is empty: .* says a pixel size of 5 Å; the project's, 8 Å"):
        resample_to_box(mask, N, PIXEL, "mask")
