"""The network: learns from a few references, is the same for the same seed, is stored as numbers only."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from emtomo.compute.convnet import network as network_file
from emtomo.compute.convnet.apply import answers, picks, sampling
from emtomo.compute.convnet.options import ApplyOptions, TrainOptions
from emtomo.compute.convnet.slabs import CHANNELS, slabs_of
from emtomo.compute.convnet.train import TrainingReferences, batch, train
from emtomo.errors import EmtomoError

torch = pytest.importorskip("torch", reason="PyTorch (extra nn) is not installed: make nn")
BOX = 26
QUICK = {"iterations": 8, "copies": 48}


def ball(n: int, radius: float) -> np.ndarray:
    """Return a ball."""
    return (np.sqrt(((np.indices((n,) * 3) - n // 2) ** 2).sum(axis=0)) <= radius).astype(np.float32)


@pytest.fixture(scope="module")
def scene():
    """A tomogram with dark balls, smaller dark balls (not wanted) and a dark sheet, and their places."""
    rng = np.random.default_rng(3)
    volume = np.zeros((60, 170, 160), np.float32)
    places, small = [], []
    while len(places) < 16 or len(small) < 10:
        at = rng.integers([14, 18, 18], [46, 150, 142])
        if at[1] > 132 or any(np.linalg.norm(at - other) < 26 for other in [*places, *small]):
            if len(places) + len(small) > 22:
                break
            continue
        kind = places if len(places) < 16 and rng.random() < 0.6 else small
        radius = 9 if kind is places else 4.5
        volume[tuple(slice(c - 12, c + 13) for c in at)] -= ball(25, radius)
        kind.append(at)
    volume[:, 152:158] -= 1
    volume += rng.standard_normal(volume.shape, np.float32)
    return volume, np.array(places, float), np.array(small, float)


def references(scene, good: int = 6, bad: int = 6) -> TrainingReferences:
    volume, places, small = scene
    slabs = slabs_of(volume, False, BOX)
    sheet = np.array([[30, 154.0, x] for x in (40, 80, 120)])
    away = np.concatenate([small[: max(0, bad - 3)], sheet[:3]])[:bad]
    chosen = np.concatenate([places[:good], away])
    return TrainingReferences([(slabs, place) for place in chosen], np.arange(len(chosen)) < good)


@pytest.mark.slow  # trains a network
def test_balls_are_found_and_neither_small_ones_nor_the_sheet(scene):
    refs = references(scene)
    losses = []
    network = train(refs, TrainOptions(seed=2, **QUICK), lambda iteration, loss: losses.append((iteration, loss)))
    assert [iteration for iteration, _ in losses] == list(range(1, 9)) and losses[-1][1] < 0.7 * losses[0][1]
    answer, lattice = answers(network, refs.places[0][0], 96)
    found, scores = picks(answer, lattice, refs.places[0][0], 10.0, ApplyOptions())
    distance, index = cKDTree(scene[1]).query(found)
    true = len(set(index[distance < 6]))
    assert 2 * true / (len(found) + len(scene[1])) >= 0.85
    assert np.median(distance[distance < 6]) < 3 and (np.diff(scores) <= 0).all()
    assert (found[:, 1] < 148).all()


def test_the_same_seed_gives_the_same_network(scene):
    refs, states = references(scene), []
    for seed in (5, 5, 6):
        network = train(refs, TrainOptions(seed=seed, iterations=1, copies=16))
        states.append(torch.cat([p.detach().ravel() for p in network.parameters()]).numpy())
    np.testing.assert_array_equal(states[0], states[1])
    assert np.abs(states[0] - states[2]).max() > 0.01


def test_copies_move_with_their_targets(scene):
    volume = np.zeros((40, 80, 80), np.float32)
    volume[18:23, 37:44, 37:44] = -30.0  # a dark cube in the centre
    slabs = slabs_of(volume, False, BOX)
    refs = TrainingReferences([(slabs, np.array([20, 40, 40.0]))] * 5, np.ones(5, bool))
    images, targets, weights = batch(refs, np.zeros(12, int), TrainOptions(), np.random.default_rng(0))
    assert images.shape == (12, CHANNELS, 96, 96) and targets.shape == weights.shape == (12, 1, 24, 24)
    for image, target in zip(images.numpy()[:, 2], targets.numpy()[:, 0], strict=True):
        if target.max() < 0.3:
            continue
        bright = np.clip(image, 0, None)
        at = np.array([(bright.sum(axis=1 - a) * (np.arange(96) + 0.5)).sum() / bright.sum() for a in (0, 1)]) / 96
        wanted = (np.array(np.unravel_index(target.argmax(), target.shape)) + 0.5) / 24
        assert np.abs(at - wanted).max() < 0.04


def test_stored_networks_answer_the_same(scene, tmp_path):
    network = network_file.build(3)
    path = str(tmp_path / "a network.safetensors")
    network_file.save(network, path, 96, 400.0)
    again, box, angstrom = network_file.load(path)
    assert (box, angstrom) == (96, 400.0)
    image = torch.randn(1, CHANNELS, 96, 96)
    np.testing.assert_array_equal(network(image).detach().numpy(), again(image).detach().numpy())
    assert network(image).shape == (1, 1, 24, 24)


def test_files_that_are_no_networks_are_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    for data in (b"", b"not a network", b"\x80\x04pickle" * 40, (2**40).to_bytes(8, "little") + b"{}"):
        path.write_bytes(data)
        with pytest.raises(EmtomoError, match="not a network"):
            network_file.load(str(path))
    save_file({"0.weight": torch.zeros(2, 2)}, str(path), {"kind": network_file.KIND})
    with pytest.raises(EmtomoError, match="not a network"):
        network_file.load(str(path))


def test_too_few_references_are_reported(scene):
    with pytest.raises(EmtomoError, match=r"at least 5 positive and 5 negative references, it has 4 and 6"):
        train(references(scene, 4, 6), TrainOptions())


def test_without_pytorch_one_sentence_says_how_to_get_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EmtomoError, match="pip install"):
        network_file.build(0)


def test_sampling_keeps_the_centre():
    line = np.exp(-((np.arange(81) - 40) ** 2) / 30.0).astype(np.float32)
    out = sampling(81, 200, 0.5) @ line
    assert out.argmax() == 100 and out[0] == 0
