"""Clicks and types like a person: real X events by xdotool, into a window that runs in the test's own process."""

import os
import subprocess
import time
from pathlib import Path

from emtomo.gui.core.settings import Settings

PATIENCE = 4  # times the time that an idle machine needs


class Robot:
    """A project window and the hands on it."""

    def __init__(self, folder: Path, factor: float | None = None) -> None:
        from emtomo.gui.tk.project import ProjectWindow

        self.clicks = 0  # of the left and right button, a double click is two
        self.window = ProjectWindow(folder, Settings(), factor)
        self.window.on_error = lambda reported: None  # kept in window.errors, which fail the test
        self.window.geometry("+0+0")
        assert self.pump(until=lambda: self.window.w.get("loaded"), timeout=30), "the project did not open"
        self.pump(0.3)

    def pump(self, seconds=0.25, until=None, timeout=20.0):
        """Let the window live for a while, or until something holds; return whether it does."""
        end = time.time() + (PATIENCE * timeout if until else seconds)
        while time.time() < end:
            self.window.update()
            if until and until():
                return True
            time.sleep(0.005)
        return until is None

    def xdotool(self, *words):
        """Send real events, and let the window take them."""
        process = subprocess.Popen(["xdotool", *map(str, words)], stdout=subprocess.DEVNULL)
        while process.poll() is None:
            self.window.update()
            time.sleep(0.002)
        # the window manager hands a click on when it gets the processor: later where many wait for it
        self.pump(0.12 * max(1.0, os.getloadavg()[0] / (2 * (os.cpu_count() or 1))))

    def at(self, widget):
        """Return the middle of a widget on the screen."""
        self.window.update()
        return widget.winfo_rootx() + widget.winfo_width() // 2, widget.winfo_rooty() + widget.winfo_height() // 2

    def click(self, widget, button=1, times=1):
        """Click the middle of a widget."""
        assert self.pump(until=widget.winfo_viewable, timeout=5), f"{widget} is not to be seen"
        self.scroll_to(widget)
        x, y = self.at(widget)
        self.click_at(x, y, button, times)

    def click_at(self, x, y, button=1, times=1, keys=()):
        """Click a place on the screen, with keys held down."""
        self.clicks += times
        words = ["mousemove", x, y]
        for key in keys:
            words += ["keydown", key]
        words += ["click", *(["--repeat", times, "--delay", 60] if times > 1 else []), button]
        for key in keys:
            words += ["keyup", key]
        self.xdotool(*words)

    def drag(self, start, end, button=1, keys=()):
        """Press, move, release."""
        words = ["mousemove", *start]
        for key in keys:
            words += ["keydown", key]
        words += ["mousedown", button]
        for k in range(1, 6):
            words += ["mousemove", *(int(a + (b - a) * k / 5) for a, b in zip(start, end, strict=True))]
        words += ["mouseup", button]
        for key in keys:
            words += ["keyup", key]
        self.xdotool(*words)

    def type(self, text):
        """Type text into what has the focus."""
        self.xdotool("type", "--delay", 8, "--", text)

    def key(self, *keys):
        """Press keys."""
        self.xdotool("key", "--delay", 15, *keys)

    def fill(self, entry, text):
        """Replace the text of an entry by typing."""
        self.click(entry)
        self.key("ctrl+a")
        self.type(text)
        assert self.pump(until=lambda: entry.get() == text, timeout=3), (entry.get(), text)

    def row(self, tree, iid):
        """Return where a row of a table is on the screen."""
        tree.see(iid)
        self.pump(0.05)
        x, y, w, h = tree.bbox(iid)
        return tree.winfo_rootx() + x + min(w // 2, 60), tree.winfo_rooty() + y + h // 2

    def choose(self, box, word):
        """Choose a word of a combobox by keyboard."""
        self.click(box)
        self.pump(0.25)
        index = next(k for k, v in enumerate(box.cget("values")) if str(v).startswith(word))
        steps = index - max(box.current(), 0)
        self.key(*["Down" if steps > 0 else "Up"] * abs(steps), "Return")
        assert self.pump(until=lambda: str(box.get()).startswith(word), timeout=3), box.get()

    def scroll_to(self, widget):
        """Turn the wheel over the page of a form until a widget of it is seen."""
        page = next((f.page for f in self.window.forms if str(widget).startswith(f"{f.page}.")), None)
        if page is None:
            return
        seen = page.container
        for _ in range(60):
            self.window.update()
            top = widget.winfo_rooty() - seen.winfo_rooty()
            if top >= 0 and top + widget.winfo_height() <= seen.winfo_height():
                return
            x, y = seen.winfo_rootx() + 30, seen.winfo_rooty() + seen.winfo_height() // 2
            self.xdotool("mousemove", x, y, "click", 4 if top < 0 else 5)
        raise AssertionError(f"{widget} cannot be scrolled to")

    def menu(self, menu, label):
        """Click an entry of a menu that is open."""
        assert self.pump(until=menu.winfo_viewable, timeout=5), f"the menu with {label} is not open"
        k = next(
            k
            for k in range(menu.index("end") + 1)
            if menu.type(k) != "separator" and menu.entrycget(k, "label") == label
        )
        self.click_at(menu.winfo_rootx() + 30, menu.winfo_rooty() + menu.yposition(k) + 8)

    def next_step(self, run, label):
        """Take a protocol from those offered below the summary of the selected run, else from + on a run's card."""
        before = len(self.window.forms)
        offered = self.window.w.get(f"next {label}")
        if self.window.selection == [run.id] and offered is not None and offered.winfo_exists():
            self.click(offered)
            assert self.pump(until=lambda: len(self.window.forms) > before, timeout=10), label
            self.pump(0.4)
            return self.window.forms[-1]
        self.pump(until=lambda: self.window.graph.is_seen(run.id), timeout=3)
        self.click_at(*self.window.graph.button_of(run.id))
        self.menu(self.window.w["next menu"], label)
        assert self.pump(until=lambda: len(self.window.forms) > before, timeout=10), label
        self.pump(0.4)
        return self.window.forms[-1]

    def toplevel(self, name, timeout=10):
        """Wait for a window of a class and return the newest."""

        def found():
            return [c for c in self.window.winfo_children() if type(c).__name__ == name]

        assert self.pump(until=found, timeout=timeout), f"no {name} was opened"
        self.pump(0.3)
        return found()[-1]

    def run_named(self, label):
        """Return the run with a label, None if there is none."""
        return next((r for r in self.window.runs.values() if r.label == label), None)

    def finished(self, label, timeout=120):
        """Wait until a run has finished; return it."""

        def done():
            run = self.run_named(label)
            return run is not None and run.status in ("finished", "failed", "aborted")

        assert self.pump(until=done, timeout=timeout), f"{label}: {self.run_named(label)}"
        run = self.run_named(label)
        assert run.status == "finished", run.error
        return run

    def close(self):
        """End the window without questions."""
        import tkinter

        try:
            self.window.shut()
        except tkinter.TclError:  # it is gone already
            return
