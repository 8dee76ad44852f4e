"""Small pictures of what runs have made, for their cards: drawn once, kept in the project's ``Logs`` folder."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from emtomo.compute.slices import contrast_limits, to_bytes
from emtomo.gui.core.class_averages import read_averages
from emtomo.gui.core.output_volumes import load_box, load_tilts
from emtomo.gui.core.runs import Run, RunOutput
from emtomo.gui.core.shown import Shown
from emtomo.gui.core.volume import VolumeSource
from emtomo.objects import SetOfTomograms

SIDE = 128  # pixels
FOLDER = "Logs/cards"
INK, POINT, PAPER = (86, 180, 233), (255, 196, 0), (40, 40, 40)
MOST_POINTS, MOST_IMAGES = 400, 9
# what says most of a run with several outputs, the first that there is
RANK = ("Average", "FSC", "SetOfClasses2D", "SetOfClasses3D", "Volume", "Mask", "SetOfSubtomograms", "SetOfParticles",
        "SetOfCoordinates3D", "SetOfCoordinates2D", "SetOfMeshes", "SetOfTomograms", "SetOfMicrographs",
        "SetOfTiltSeries")  # fmt: skip


def choose_output(run: Run) -> RunOutput | None:
    """Return the output that a run's card shows; None if it has made none that can be drawn."""
    made = [o for o in run.outputs if not o.pending]
    ranked = [(min((RANK.index(k) for k in o.kinds if k in RANK), default=len(RANK)), o) for o in made]
    best = min(ranked, key=lambda pair: pair[0], default=(len(RANK), None))
    return best[1] if best[0] < len(RANK) else None


def picture_path(project: Path, run: Run) -> Path:
    """Return the file of a run's picture; another result of the run has another file."""
    made = repr([run.started, run.seconds, [(o.name, o.summary) for o in run.outputs if not o.pending]])
    return project / FOLDER / f"{run.id}-{hashlib.blake2s(made.encode(), digest_size=6).hexdigest()}.png"


def read_picture(project: Path, run: Run) -> Image.Image | None:
    """Return the picture that was kept of a run, None if there is none that can be read."""
    try:
        with Image.open(picture_path(project, run)) as found:
            return found.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None


def keep_picture(project: Path, run: Run, picture: Image.Image) -> None:
    """Keep the picture of a run in the place of older ones; a project that cannot be written is passed over."""
    path = picture_path(project, run)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        picture.save(part, "PNG")
        part.replace(path)
        for old in path.parent.glob(f"{run.id}-*.png"):
            if old != path:
                old.unlink(missing_ok=True)
    except OSError:
        return


def newest_picture(project: Path) -> Path | None:
    """Return the picture that was kept last, for a list of projects."""
    try:
        return max((project / FOLDER).glob("*.png"), key=lambda p: p.stat().st_mtime, default=None)
    except OSError:
        return None


def draw_picture(shown: Shown) -> Image.Image | None:
    """Return the picture of an output, None for a kind that has none.

    Slices of tomograms and volumes, images of particles and classes side by side, places of picks on their tomogram,
    the histogram of scores that differ, FSC curves.
    """
    kind = type(shown.value).__name__
    if kind == "FSC":
        return _curve(shown.path(str(shown.value.file.get())))
    if kind in ("SetOfCoordinates3D", "SetOfCoordinates2D", "SetOfMeshes"):
        return _picks(shown)
    images = _images(shown, kind)
    if not images:
        return None
    if len(images) == 1:
        return _grey(images[0])
    columns = int(np.ceil(np.sqrt(len(images))))
    side = SIDE // columns
    sheet = Image.new("RGB", (side * columns, side * -(-len(images) // columns)), PAPER)
    for k, image in enumerate(images):
        sheet.paste(_grey(image).resize((side - 1, side - 1)), (k % columns * side, k // columns * side))
    return sheet


def _images(shown: Shown, kind: str) -> list[np.ndarray]:
    """Return the slices or images that stand for an output."""
    value = shown.value
    if kind in ("Volume", "Mask", "Average"):
        return [_middle(VolumeSource(shown.path(str(value.file.get()))))]
    if kind == "SetOfTiltSeries":
        return [_middle(load_tilts(shown, str(value.tomogram_ids()[0])))]
    if kind in ("SetOfTomograms", "SetOfMicrographs"):
        return [_middle(VolumeSource(shown.path(str(value.frame(["file"])["file"].iloc[0]))))]
    if kind == "SetOfClasses2D":
        order = np.argsort(-value.frame(["members"])["members"].to_numpy())
        return list(read_averages(shown)[order[:MOST_IMAGES]])
    if kind == "SetOfClasses3D":
        return [_middle(VolumeSource(shown.path(str(f)))) for f in value.frame(["file"])["file"][:4]]
    if kind in ("SetOfSubtomograms", "SetOfParticles"):
        rows = value.frame(["file", "index"]).iloc[:MOST_IMAGES]
        rows = rows[rows["file"].astype(str) != ""]
        flat = kind == "SetOfParticles"
        return [
            _middle(VolumeSource(shown.path(str(r.file)), int(r.index_), 1) if flat
                    else load_box(shown, str(r.file), int(r.index_)))
            for r in rows.rename(columns={"index": "index_"}).itertuples()
        ]  # fmt: skip
    return []


def _middle(source: VolumeSource) -> np.ndarray:
    """Return the middle slice of a volume, of large ones every few pixels, and close it."""
    try:
        k = source.shape[0] // 2
        plane = source.slab(k, k + 1)[0]
        step = max(1, min(plane.shape) // (4 * SIDE))
        return np.asarray(plane[::step, ::step], np.float32)
    finally:
        source.close()


def _grey(plane: np.ndarray) -> Image.Image:
    """Return a slice as a picture of at most SIDE pixels, y upwards as everywhere."""
    grey = np.empty(plane.shape, np.uint8)
    to_bytes(np.ascontiguousarray(plane), contrast_limits(plane), grey)
    picture = Image.fromarray(np.ascontiguousarray(grey[::-1]))
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC).convert("RGB")


def _picks(shown: Shown) -> Image.Image | None:
    """Return the histogram of scores that differ, else the places of the picks of one tomogram or micrograph."""
    value: Any = shown.value
    known = {field.name for field in value.ITEM_TYPE.FIELDS}
    if "score" in known:
        scores = value.frame(["score"])["score"].to_numpy(float)
        scores = scores[np.isfinite(scores)]
        if len(scores) > 1 and np.ptp(scores) > 0:
            return _histogram(scores)
    group = "micrograph_id" if "micrograph_id" in known else "tomogram_id"
    frame = value.frame([group, "x", "y"])
    if not len(frame):
        return None
    name = frame[group].value_counts().index[0]
    places = frame[frame[group] == name][["x", "y"]].to_numpy(float)[:MOST_POINTS]
    images: Any = shown.micrographs if group == "micrograph_id" else shown.tomograms
    picture, centre, extent = Image.new("RGB", (SIDE, SIDE), PAPER), places.mean(axis=0), np.ptp(places, axis=0).max()
    if images is not None:
        row = images.frame()
        row = row[row[group] == name].iloc[0]
        size = float(images.pixel_size.get())
        wide, high = int(row["size_x"]), int(row["size_y"])
        picture = _grey(_middle(VolumeSource(shown.path(str(row["file"])))))
        extent = max(wide, high) * size
        # positions count from the centre, n // 2, in tomograms and from the first pixel in micrographs
        whole = np.array([wide, high]) / 2
        centre = (whole - (whole // 1 if isinstance(images, SetOfTomograms) else 0)) * size
    draw, middle = ImageDraw.Draw(picture), np.array(picture.size) / 2
    for x, y in (places - centre) / max(extent, 1e-9) * max(picture.size) * (1, -1) + middle:
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=POINT)
    return picture


def _histogram(values: np.ndarray) -> Image.Image:
    counts, _ = np.histogram(values, bins=24)
    picture = Image.new("RGB", (SIDE, SIDE), PAPER)
    draw, wide = ImageDraw.Draw(picture), SIDE / len(counts)
    for k, count in enumerate(counts):
        top = SIDE - 2 - (SIDE - 8) * count / counts.max()
        draw.rectangle((k * wide + 1, top, (k + 1) * wide - 1, SIDE - 2), fill=INK)
    return picture


def _curve(path: Path) -> Image.Image | None:
    """Return the first curve of a file of FSC curves, between 0 and 1, with the line of 0.143."""
    with path.open(encoding="utf8") as stream:
        rows = list(csv.reader(stream))[1:]
    values = np.array([[float(v) for v in row[:2]] for row in rows], float)
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) < 2:
        return None
    picture = Image.new("RGB", (SIDE, SIDE), PAPER)
    draw, high = ImageDraw.Draw(picture), SIDE - 12

    def level(fsc: float) -> float:
        """Return the height on the card, in pixels, of a shell correlation."""
        return SIDE - 6 - high * min(max(fsc, 0.0), 1.0)

    draw.line((0, level(0.143), SIDE, level(0.143)), fill=(120, 120, 120))
    across = values[:, 0] / values[-1, 0] * SIDE
    draw.line([(float(x), level(float(v))) for x, v in zip(across, values[:, 1], strict=True)], fill=INK, width=3)
    return picture
