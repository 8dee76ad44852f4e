"""How long a click waits while the windows work on a slow disk.

``python benchmarks/bench_slow_disk.py PROJECT [LATENCY RATE]`` with the project of ``emtomo demo``; a copy of it is
mounted by FUSE so that every operation takes LATENCY seconds (0.005) and RATE bytes a second (50e6) are read and
written. Needs a display, Debian's libfuse2 and fuse, and ``pip install fusepy``.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench_windows import Heart, display

STAT = ("st_atime", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid")
ROOM = (
    "f_bavail",
    "f_bfree",
    "f_blocks",
    "f_bsize",
    "f_favail",
    "f_ffree",
    "f_files",
    "f_flag",
    "f_frsize",
    "f_namemax",
)
OTHERS = {"open-in"}  # viewers that write files for other programs


def mount(root, place, latency, rate):
    """Serve `root` slowly at `place` until it is unmounted."""
    from fuse import FUSE, FuseOSError, Operations

    line = threading.Lock()

    class Slow(Operations):
        def __call__(self, op, path, *args):
            time.sleep(latency)
            try:
                return getattr(self, op)(root + path if op != "symlink" else path, *args)
            except OSError as error:
                raise FuseOSError(error.errno) from error

        def pay(self, count):
            with line:
                time.sleep(count / rate)

        def getattr(self, path, fh=None):
            found = os.lstat(path)
            return {name: getattr(found, name) for name in STAT}

        def statfs(self, path):
            found = os.statvfs(path)
            return {name: getattr(found, name) for name in ROOM}

        def read(self, path, count, at, fh):
            self.pay(count)
            return os.pread(fh, count, at)

        def write(self, path, data, at, fh):
            self.pay(len(data))
            return os.pwrite(fh, data, at)

        def access(self, path, mode):
            return 0 if os.access(path, mode) else -1

        def create(self, path, mode, info=None):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

        readdir = staticmethod(lambda path, fh: [".", "..", *(one.name for one in Path(path).iterdir())])

        def rename(self, old, new):
            Path(old).rename(root + new)

        symlink = staticmethod(lambda name, target: Path(root + name).symlink_to(target))
        utimens = staticmethod(lambda path, times=None: os.utime(path, times))
        truncate = staticmethod(lambda path, length, fh=None: os.truncate(path, length))
        release = staticmethod(lambda path, fh: os.close(fh))
        fsync = staticmethod(lambda path, data, fh: os.fsync(fh))
        flush = staticmethod(lambda path, fh: 0)
        open, mkdir, rmdir, unlink, chmod, readlink = (
            staticmethod(f) for f in (os.open, os.mkdir, os.rmdir, os.unlink, os.chmod, os.readlink)
        )

    FUSE(Slow(), place, foreground=True, allow_other=os.geteuid() == 0)


class Driver:
    """A project window and what is done with it."""

    def __init__(self, project, folder):
        from emtomo.gui.core.settings import Settings
        from emtomo.gui.tk.project import ProjectWindow

        self.window = ProjectWindow(project, Settings(folder / "settings.json"), 1.0)
        self.window.geometry("1240x800+0+0")
        self.wait(lambda: self.window.w.get("loaded"))
        self.rest(3)

    def rest(self, seconds):
        end = time.time() + seconds
        while time.time() < end:
            self.window.update()
            time.sleep(0.01)

    def wait(self, condition):
        end = time.time() + 60
        while not condition():
            if time.time() > end:
                raise SystemExit("waited too long")
            self.window.update()
            time.sleep(0.01)

    def measured(self, what, work):
        heart = Heart(self.window)
        work()
        print(f"{what:<60}a click waits at most {1e3 * max(heart.stop(), default=0):6.0f} ms", flush=True)

    def runs(self):
        for i in list(self.window.runs):
            self.window.graph.select({i})
            self.rest(0.3)

    def view(self, output, viewer):
        got = []
        self.window.view(output, viewer, got.append)
        self.wait(lambda: got)
        self.rest(1)
        for axis, count in ((0, 5), (1, 3)):
            for _ in range(count if hasattr(got[0], "state_") else 0):
                got[0].state_.step(axis, 4)
                self.rest(0.15)
        getattr(got[0], "shut", got[0].close)()

    def sit(self, tomograms, meshes):
        """Open a picker."""
        from emtomo.gui.core import run_actions
        from emtomo.gui.tk.pickingdialog import open_dialog

        form = self.window.new_form("pick-vectorial")
        form.model.put("tomograms", tomograms)
        form.model.put("meshes", meshes)
        asked, made = form.model.asked(), []
        form.destroy_form()
        self.window.service.ask(lambda project: run_actions.save_form(project, asked, self.window.folder), made.append)
        self.wait(lambda: made)
        open_dialog(self.window, made[0])
        self.wait(lambda: made[0] in self.window.picking_dialogs)
        dialog = self.window.picking_dialogs[made[0]]
        name = dialog.picking_run.names[0]
        dialog.open(name)
        self.wait(lambda: name in dialog.pickers)
        self.rest(1.5)
        return dialog, dialog.pickers[name]

    def pick(self, picker):
        for k in range(20):
            picker.state_.step(0, 2)
            picker.session.add(100.0 + k, 100.0, 60.0)
            picker.changed()
            self.rest(0.15)

    def montage(self, picker):
        picker.show_montage()
        self.rest(1)


def journey(project, folder):
    """Look at every output and pick."""
    from emtomo.gui.core.shown import viewers_of_kinds

    driver = Driver(project, folder)
    driver.measured("select every run", driver.runs)
    runs = {run.label: run for run in driver.window.runs.values()}
    for label in ("simulate", "denoise", "vectorial picking", "model workflow", "extract", "average"):
        for output in runs[label].outputs:
            for viewer in viewers_of_kinds(output.kinds):
                if viewer.KEY not in OTHERS:
                    what = f"{label}.{output.name}: {viewer._name}"
                    driver.measured(what, lambda o=output, v=viewer: driver.view(o, v))
    tomograms, meshes = f"{runs['denoise'].id}.tomograms", f"{runs['vectorial picking'].id}.meshes"
    got = []
    driver.measured("opening the picker", lambda: got.extend(driver.sit(tomograms, meshes)))
    dialog, picker = got
    driver.measured("picker: 20 slices and clicks", lambda: driver.pick(picker))
    driver.measured("opening the montage", lambda: driver.montage(picker))
    picker.close()
    dialog.shut()
    driver.window.shut()


def main():
    if sys.argv[1] == "--mount":
        mount(*sys.argv[2:4], *map(float, sys.argv[4:]))
        return
    server = display()
    pace = sys.argv[2:4] or ["0.005", "50e6"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(sys.argv[1], folder / "disk" / "demo", symlinks=True, copy_function=shutil.copy2)
        place = folder / "slow"
        place.mkdir()
        disk = subprocess.Popen([sys.executable, __file__, "--mount", str(folder / "disk"), str(place), *pace])
        time.sleep(2)
        try:
            journey(place / "demo", folder)
        finally:
            os.chdir("/")
            subprocess.run(["fusermount", "-u", "-z", str(place)], check=False)
            disk.terminate()  # files that are still open would keep it
            disk.wait(10)
    if server is not None:
        server.terminate()


if __name__ == "__main__":
    main()
