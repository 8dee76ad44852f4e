"""How long the windows take: slices of a large tomogram, a workflow of 500 runs, a set of 300,000 particles.

``python benchmarks/bench_windows.py [slices] [workflow] [browser] [stall]`` needs a display (DISPLAY) or Xvfb. Prints
medians and the longest of each, in milliseconds, and how long a click would have waited while a project of 500 runs, or
a large set, was read.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPE = (300, 1000, 1000)
RUNS, PARTICLES = 500, 300_000


def display():
    """Start an X server of our own where there is none."""
    if os.environ.get("DISPLAY"):
        return None
    if shutil.which("Xvfb") is None:
        raise SystemExit("No display and no Xvfb: nothing to measure.")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    os.environ["DISPLAY"] = ":" + os.fdopen(read).readline().strip()
    return server


def print_times(what, values):
    values = np.array(values) * 1e3
    print(f"{what:<58}median {np.median(values):7.1f} ms   longest {values.max():7.1f} ms")


class Heart:
    """Beats every 10 ms as long as the window answers; a late beat is how long a click would have waited.

    On a machine that others use, a beat is late because they compute as well: what the processor has done for this
    process alone between two beats, all its threads together, is how long the click would have waited at most on an
    idle machine (besides what it waits for the disk and the X server).
    """

    def __init__(self, app):
        self.app, self.late, self.busy, self._due = app, [], [], time.perf_counter()
        self._used = time.process_time()
        self._beat()

    def _beat(self):
        now, used = time.perf_counter(), time.process_time()
        self.late.append(max(0.0, now - self._due))
        self.busy.append(used - self._used)
        self._due, self._used = now + 0.01, used
        self._id = self.app.after(10, self._beat)

    def stop(self):
        """Print both; call when what was waited for is there."""
        self.app.after_cancel(self._id)
        print_times("a click would have waited meanwhile", self.late[1:])
        print_times("... of that this process computed", self.busy[1:])


def big_volume(folder):
    """Write noise as a float32 MRC file of 1.2 GB."""

    import mrcfile

    path = folder / "large.mrc"
    slab = np.random.default_rng(0).normal(size=(30, *SHAPE[1:])).astype(np.float32)
    with mrcfile.new_mmap(path, SHAPE, mrc_mode=2) as file:
        for k in range(0, SHAPE[0], 30):
            file.data[k : k + 30] = slab + np.float32(k % 3)
    return path


def slices(app, path):
    """Change slices in the full window: extraction, drawing, display."""
    from emtomo.compute.slices import warm_up
    from emtomo.gui.core.volume import VolumeSource
    from emtomo.gui.tk.slicewindow import SliceWindow

    warm_up()  # as the project window does
    started = time.perf_counter()
    window = SliceWindow(app, VolumeSource(path), "large", 10.0)
    window.geometry("1200x900+0+0")
    app.update()
    opened = time.perf_counter() - started
    for _ in range(30):
        app.update()
        time.sleep(0.01)
    print(f"{'opened':<58}       {1e3 * opened:7.1f} ms")
    began = time.perf_counter()
    while window.source._bytes is None:
        app.update()
        time.sleep(0.005)
    print(f"{'copy in 8 bits, in the background':<58}       {1e3 * (time.perf_counter() - began):7.1f} ms")
    for axis, name in ((0, "XY"), (1, "XZ"), (2, "ZY")):
        window.show_planes(axis)
        app.update()
        times = []
        for _ in range(40):
            start = time.perf_counter()
            window.state_.step(axis, 3)
            app.update()
            times.append(time.perf_counter() - start)
        print_times(f"next {name} slice, one plane", times)
    window.show_planes(None)
    app.update()
    times = []
    for _ in range(40):
        start = time.perf_counter()
        window.state_.step(0, -3)
        app.update()
        times.append(time.perf_counter() - start)
    print_times("next XY slice, three planes shown", times)
    window.close()


def workflow(app):
    """Draw 500 runs; change the status of some."""
    from emtomo.gui.core.runs import Run
    from emtomo.gui.tk.graphview import GraphView

    rng = np.random.default_rng(1)
    runs = {i: Run(i, f"run {i}", "bin-tomograms", "bin", "finished",
                   frozenset(int(k) for k in rng.choice(i, min(i, 2), replace=False)) if i else frozenset())
            for i in range(RUNS)}  # fmt: skip
    graph = GraphView(app, lambda _: None, lambda _: None, lambda *_: None)
    graph.pack(fill="both", expand=True)
    app.geometry("1200x800+0+0")
    app.update()
    heart, start = Heart(app), time.perf_counter()
    graph.show(runs)
    while graph._portions is not None or not graph.places:
        app.update()
    print(f"{f'workflow of {RUNS} runs, drawn whole':<58}       {1e3 * (time.perf_counter() - start):7.1f} ms")
    heart.stop()
    times = []
    for k in range(20):
        changed = {**runs, k: Run(k, f"run {k}", "bin-tomograms", "bin", "running", runs[k].parents, progress=0.5)}
        start = time.perf_counter()
        graph.show(changed)
        app.update()
        times.append(time.perf_counter() - start)
    print_times("change of status", times)
    graph.destroy()


def stall(app, folder):
    """Open a project of 500 runs and look at it again and again; return the longest stand-still of the window."""
    from emtomo.engine.parameters import protocol_named
    from emtomo.engine.project import EmtomoProject
    from emtomo.gui.core.gc_pause import settle as pause_collector
    from emtomo.gui.core.service import ProjectService

    path = folder / "many"
    project = EmtomoProject.start(path)
    protocol = protocol_named("import-tomograms")
    for k in range(RUNS):
        run = project.newProtocol(protocol)
        run.setObjLabel(f"run {k}")
        project.saveProtocol(run)
    project.closeMapper()
    seen = []
    pause_collector()  # as the project window does
    service = ProjectService(path, app.mailbox, seen.append, print)
    service.open()
    heart, start, first, turns = Heart(app), time.perf_counter(), None, 0
    while time.perf_counter() - start < 12:
        app.update()
        turns += 1
        if seen and first is None:
            first = time.perf_counter() - start
        if first is not None and turns % 150 == 0:
            service.refresh()
        time.sleep(0.002)
    service.close()
    print(f"{f'project of {RUNS} runs: first rows after':<58}       {1e3 * first:7.1f} ms")
    heart.stop()


def browser(app, folder):
    """Read a set of 300,000 oriented particles while the window lives; filter, sort, select, colour, plot."""
    from scipy.spatial.transform import Rotation

    from emtomo.gui.core.browser_images import prepare_browser
    from emtomo.gui.core.shown import Shown
    from emtomo.gui.tk.browser import BrowserWindow
    from emtomo.objects import SetOfCoordinates3D, coordinates_frame

    rng = np.random.default_rng(2)
    path = folder / "particles.sqlite"
    rotations = Rotation.random(PARTICLES, random_state=rng).as_matrix()
    frame = coordinates_frame(
        "TS_1", rng.uniform(-5000, 5000, (PARTICLES, 3)), rotations, score=rng.normal(size=PARTICLES)
    )
    SetOfCoordinates3D.save(path, frame, pixel_size=10.0, box_size=32)
    shown = Shown(folder, 1, "a", "coordinates", "p", SetOfCoordinates3D.open(path), folder)
    windows = []
    heart, start = Heart(app), time.perf_counter()
    app.work(lambda _: prepare_browser(shown), lambda _: windows.append(BrowserWindow(app, shown, "plot")))
    while not windows or not windows[0].table.tree.get_children():
        app.update()
        time.sleep(0.002)
    window = windows[0]
    print(f"{f'browser of {PARTICLES} particles: shown after':<58}       {1e3 * (time.perf_counter() - start):7.1f} ms")
    heart.stop()
    settle(app, 0.5)
    model = window.browser

    def timed(what, *calls, wait=lambda: True):
        times = []
        for call in calls:
            start = time.perf_counter()
            call()
            while not wait():
                app.update()
            app.update()
            times.append(time.perf_counter() - start)
        print_times(what, times)

    heard = []
    model.listeners.append(heard.append)

    def found():
        return "rows" in heard

    def ask(name):
        heard.clear()
        window.sort(name)

    timed("sorted by a column", *[lambda n=n: ask(n) for n in ("score", "x", "tilt", "score")], wait=found)

    def filter_by(text):
        heard.clear()
        window.condition.delete(0, "end")
        window.condition.insert(0, text)
        window.apply()

    texts = ("score > 1 and tilt < 30", "z > 0", "tomogram_id ~ TS", "")
    timed("filtered", *[lambda t=t: filter_by(t) for t in texts], wait=found)
    timed("scrolled by a page", *[lambda: window.table.move(30)] * 20)
    window.panes["plot"].plot("score")
    app.update()
    timed("selected in the histogram", *[lambda k=k: model.select(np.arange(k, k + 100_000)) for k in range(10)])
    timed("inverted", *[model.invert] * 5)
    timed("coloured by a column", *[lambda n=n: model.set_colour(n) for n in ("score", "tilt", "x")])
    timed("scatter plot drawn", *[lambda n=n: window.panes["plot"].plot("x", n) for n in ("y", "z", "score", "tilt")])
    timed("scatter plot zoomed", *[lambda: window.panes["plot"].chart.view.zoom_at(1.3, 300, 200) or
                                   window.panes["plot"].chart.redraw()] * 6)  # fmt: skip
    timed("selected in the scatter plot", *[lambda k=k: model.select(np.arange(k, k + 100_000)) for k in range(10)])
    window.shut()


def settle(app, seconds):
    """Let the window live for a while."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        app.update()
        time.sleep(0.005)


def main():
    server = display()
    from emtomo.gui.core.settings import Settings
    from emtomo.gui.tk.app import App

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = App("benchmark", Settings(folder / "s.json"))
        app.update()
        parts = sys.argv[1:] or ["slices", "workflow", "browser", "stall"]
        if "slices" in parts:
            slices(app, big_volume(folder))
        if "workflow" in parts:
            workflow(app)
        if "browser" in parts:
            browser(app, folder)
        if "stall" in parts:
            stall(app, folder)
        app.destroy()
    if server is not None:
        server.terminate()


if __name__ == "__main__":
    main()
