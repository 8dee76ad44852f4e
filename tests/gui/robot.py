"""Clicks and types like a person: real X events by xdotool, into a window that runs in the test's own process."""

import subprocess
import time
from pathlib import Path

from emtomo.gui.core.settings import Settings


class Robot:
    """A project window and the hands on it."""

    def __init__(self, folder: Path, factor: float | None = None) -> None:
        from emtomo.gui.tk.project import ProjectWindow

        self.window = ProjectWindow(folder, Settings(), factor)
        self.window.on_error = lambda told: None  # kept in window.errors, which fail the test
        self.window.geometry("+0+0")
        assert self.pump(until=lambda: self.window.w.get("loaded"), timeout=30), "the project did not open"
        self.pump(0.3)

    def pump(self, seconds=0.25, until=None, timeout=20.0):
        """Let the window live for a while, or until something holds; return whether it does."""
        end = time.time() + (timeout if until else seconds)
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
        self.pump(0.12)

    def at(self, widget):
        """Return the middle of a widget on the screen."""
        self.window.update()
        return widget.winfo_rootx() + widget.winfo_width() // 2, widget.winfo_rooty() + widget.winfo_height() // 2

    def click(self, widget, button=1, times=1):
        """Click the middle of a widget."""
        assert self.pump(until=widget.winfo_viewable, timeout=5), f"{widget} is not to be seen"
        x, y = self.at(widget)
        self.click_at(x, y, button, times)

    def click_at(self, x, y, button=1, times=1, keys=()):
        """Click a place on the screen, with keys held down."""
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

    def tab(self, book, title):
        """Click a tab of a notebook."""
        k = next(i for i in range(book.index("end")) if book.tab(i, "text").startswith(title))
        y = 12
        for x in range(4, book.winfo_width(), 6):
            if book.identify(x, y) and _tab_at(book, x, y) == k:
                self.click_at(book.winfo_rootx() + x + 8, book.winfo_rooty() + y)
                break
        assert self.pump(until=lambda: book.index("current") == k, timeout=3), f"tab {title} did not open"
        self.pump(0.3)

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


def _tab_at(book, x, y):
    import tkinter

    try:
        return book.index(f"@{x},{y}")
    except tkinter.TclError:
        return -1
