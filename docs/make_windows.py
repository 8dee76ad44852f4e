"""Draw docs/pictures/window-*.png: the windows on the project of ``emtomo demo``.

``emtomo demo --project emtomo-demo``, then on a screen of 1500 × 950 pixels (Xvfb) with Debian's imagemagick
``python docs/make_windows.py emtomo-demo``. The project gets runs for picking and two
refinements; nothing else in it changes.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PICTURES = Path(__file__).parent / "pictures"


class Photographer:
    """A project window, and pictures of what is on the screen."""

    def __init__(self, project: Path, folder: Path, mode: str, factor: float = 1.0) -> None:
        from emtomo.gui.core.settings import Settings
        from emtomo.gui.tk.project import ProjectWindow

        settings = Settings(folder / f"{mode}.json")
        settings.put("theme", mode)
        self.window = ProjectWindow(project, settings, factor)
        self.window.geometry("1240x800+0+0")
        self.wait(lambda: self.window.w.get("loaded"))
        self.rest(0.8)

    def rest(self, seconds: float) -> None:
        """Let the windows draw."""
        end = time.time() + seconds
        while time.time() < end:
            self.window.update()
            time.sleep(0.01)

    def wait(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Let the windows live until something holds."""
        end = time.time() + seconds
        while not condition():
            if time.time() > end:
                raise SystemExit("waited too long")
            self.window.update()
            time.sleep(0.01)

    def run(self, label: str) -> int:
        """Return the number of a run."""
        return next(r.id for r in self.window.runs.values() if r.label == label)

    def shoot(self, window: Any, name: str) -> None:
        """Write a picture of one window."""
        window.lift()
        self.rest(0.9)
        x, y, w, h = window.winfo_rootx(), window.winfo_rooty(), window.winfo_width(), window.winfo_height()
        target = PICTURES / f"window-{name}.png"
        crop = ["-crop", f"{w}x{h}+{max(x, 0)}+{max(y, 0)}", "+repage", "-colors", "200"]
        subprocess.run(["import", "-window", "root", *crop, f"PNG8:{target}"], check=True)

    def view(self, label: str, output: str, viewer: Any) -> Any:
        """Open an output in a viewer and return the window."""
        got: list = []
        self.window.view(self.window.output_named(f"{self.run(label)}.{output}"), viewer, got.append)
        self.wait(lambda: got)
        self.rest(1.2)
        return got[0]

    def picker(self, dialog: Any) -> Any:
        """Open the picker for the first tomogram and return it."""
        name = dialog.picking_run.names[0]
        dialog.open(name)
        self.wait(lambda: name in dialog.pickers)
        return dialog.pickers[name]


def models(p: Photographer) -> None:
    """Vectorial picking with the demo's points, the montage, the 3D view."""
    from emtomo.gui.core import run_actions
    from emtomo.gui.tk.pickingdialog import open_dialog

    form = p.window.new_form("pick-vectorial")
    form.model.put("tomograms", f"{p.run('denoise')}.tomograms")
    form.model.put("meshes", f"{p.run('vectorial picking')}.meshes")
    values = form.model.form_values()
    form.destroy_form()
    made: list = []
    p.window.service.ask(lambda project: run_actions.save_form(project, values, p.window.folder), made.append)
    p.wait(lambda: made)
    open_dialog(p.window, made[0])
    p.wait(lambda: made[0] in p.window.picking_dialogs)
    dialog = p.window.picking_dialogs[made[0]]
    p.rest(0.5)
    p.shoot(dialog, "tomograms")
    picker = p.picker(dialog)
    p.rest(2.0)
    p.shoot(picker, "picker")
    picker.show_montage()
    p.rest(1.5)
    p.shoot(picker, "montage")
    picker.show_montage()
    picker.open_3d()
    p.rest(2.0)
    p.shoot(picker.w["view"], "3d-models")
    picker.w["view"].close()
    picker.close()
    dialog.shut()


def boxes(p: Photographer) -> None:
    """The boxer, and the network's window, on the soluble molecules of the demo."""
    from emtomo.objects import SetOfCoordinates3D

    truth = SetOfCoordinates3D.open(p.window.folder / p.window.runs[p.run("simulate")].folder / "truth.sqlite").frame()
    truth = truth[truth["group"] != 1]
    for name, values in (("pick-manually", {"box_size": "24"}), ("pick-convnet", {"box_size": "24"})):
        form = p.window.new_form(name)
        form.model.put("tomograms", f"{p.run('simulate')}.tomograms")
        for key, text in values.items():
            form.model.put(key, text)
        form.pick()
        p.wait(lambda: p.window.picking_dialogs)
        dialog = next(iter(p.window.picking_dialogs.values()))
        session = dialog.picking_run.session(dialog.picking_run.names[0])
        points = truth[["x", "y", "z"]].to_numpy() / dialog.picking_run.pixel_size
        centre = [n // 2 for n in dialog.picking_run.shape(dialog.picking_run.names[0])[::-1]]
        rows = [[*map(float, q + centre), "point"] for q in points]
        kind = "particles" if name == "pick-manually" else "positive"
        if not session.count:
            session.add_many(session.new_model(kind), rows)
            if kind == "positive":
                shifted = [[(r[0] + 40) % 240 + 8, (r[1] + 60) % 240 + 8, r[2], "point"] for r in rows]
                session.add_many(session.new_model("negative"), shifted)
        picker = p.picker(dialog)
        if rows:
            picker.state_.centre(*rows[0][2::-1])
        p.rest(2.0)
        p.shoot(picker, "boxer" if name == "pick-manually" else "references")
        if name == "pick-convnet":
            p.shoot(dialog, "network")
        picker.close()
        dialog.shut()


def cluster(p: Photographer) -> None:
    """A refinement whose particles are spread over jobs of a queue, itself a job."""
    form = p.window.new_form("refine-poses")
    form.model.put("executor", "dask")
    form.model.put("cluster", "slurm")
    form.model.put("workers", "8")
    form.page.fold(form.model.tabs[-1], folded=False)
    p.wait(lambda: "queue" in form.w and str(form.w["queue"].cget("state")) == "normal")
    form.w["queue"].invoke()
    form.geometry("900x640")
    p.rest(0.5)
    form.page.see(form.w["section Computation"], at_top=True)
    p.shoot(form, "form-cluster")
    form.destroy_form()


def refine(project: Path) -> None:
    """Run two short refinements whose curves are shown, unless the project has them."""
    known = subprocess.run(["emtomo", "status", str(project)], capture_output=True, text=True, check=True).stdout
    for label, strength in (("refine", "1"), ("refine_sharper", "3")):
        if f" {label} " not in known:
            given = [
                "subtomograms=extract.subtomograms",
                "reference=average.average",
                "max_iterations=5",
                "angular_step=1.8",
            ]
            command = [
                "emtomo",
                "run",
                str(project),
                "refine-poses",
                *given,
                f"regularisation={strength}",
                "--label",
                label,
            ]
            subprocess.run(command, check=True)


def charts(p: Photographer) -> None:
    """The charts of a refinement with those of another one over them, a point read out."""
    from emtomo.viewers import ViewConvergence

    window = p.view("refine", "average", ViewConvergence)
    p.wait(lambda: window.canvases)
    window.other.set("refine_sharper")
    window.refresh()
    p.rest(1.5)
    canvas = window.canvases[-1]
    curve = canvas.view.chart.curves[0]
    (at,) = canvas.view.to_screen(curve.x[len(curve.x) // 2 :][:1], curve.y[len(curve.y) // 2 :][:1])
    canvas.canvas.event_generate("<Motion>", x=int(at[0]), y=int(at[1]))
    p.shoot(window, "charts")
    window.close()


def main(project: Path) -> None:
    """Draw all."""
    refine(project)
    os.environ.setdefault("TTKBOOTSTRAP_STRICT", "1")
    os.environ["SCIPION_HOSTS"] = str(Path(__file__).parents[1] / "emtomo" / "engine" / "hosts_slurm.conf")
    from emtomo import viewers

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for mode in ("light", "dark"):
            p = Photographer(project, folder, mode)
            p.window.graph.select({p.run("model workflow")})
            p.window.details.select(0)
            p.shoot(p.window, f"project-{mode}")
            form = p.window.new_form("model-workflow")
            form.model.put("meshes", f"{p.run('vectorial picking')}.meshes")
            p.rest(0.4)
            form.model.put("cropping", "-5")
            p.shoot(form, f"form-{mode}")
            form.destroy_form()
            if mode == "light":
                for label, output, viewer, shot in (
                    ("denoise", "tomograms", viewers.ViewTomograms, "before-after"),
                    ("model workflow", "coordinates", viewers.ViewCoordinates, "coordinates"),
                    ("model workflow", "coordinates", viewers.ViewParticlesInSpace, "3d"),
                    ("extract", "subtomograms", viewers.ViewSubtomograms, "gallery"),
                    ("average", "average", viewers.ViewVolume, "average"),
                    ("extract", "subtomograms", viewers.ViewScores, "plot"),
                ):
                    window = p.view(label, output, viewer)
                    if hasattr(window, "browser"):
                        window.browser.select(np.arange(3, 9))
                        window.browser.look_at(5)
                        window.colour.set("tilt")
                        window._recolour()
                        if shot == "plot":
                            window.panes["plot"].plot("z", "tilt")
                        if shot == "3d":
                            p.wait(lambda pane=window.panes["3d"]: pane.view is not None)
                        p.rest(2.0)
                    p.shoot(window, shot)
                    getattr(window, "shut", window.close)()
                charts(p)
                cluster(p)
                models(p)
                boxes(p)
            p.window.shut()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
