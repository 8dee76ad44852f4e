"""What every window below the root shares: size, keys, the F1 list, a bar of actions, a way to close."""

import time
import tkinter as tk
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import ttkbootstrap as ttk

from emtomo.gui.core.actions import Action, key_list, key_text
from emtomo.gui.core.background import Task
from emtomo.gui.core.raising import SAME_CLICK, Box, RaisingClick, overlap
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import Parent, root_of

# keys that mean nothing to a text field; all others are left to it while somebody types
WHILE_TYPING = ("<Escape>", "<F1>", "<F2>", "<F5>", "<Control-Return>", "<Control-s>", "<Control-q>")


class Keys:
    """Mix-in of a toplevel: binds a table of actions and shows it on F1."""

    actions: list[Action]
    mouse: list[tuple[str, str]]
    w: dict[str, Any]

    def bind_actions(self, actions: Sequence[Action], mouse: Sequence[tuple[str, str]] = ()) -> None:
        """Bind the keys of `actions`; a text field keeps those that mean something to it."""
        self.actions, self.mouse = list(actions), list(mouse)
        for action in self.actions:
            for keys in action.keys.split():
                self.bind(keys, lambda event, k=keys, a=action: self._key(event, k, a))  # type: ignore[attr-defined]
        self.bind("<F1>", lambda _: self.show_keys())  # type: ignore[attr-defined]

    def _key(self, event: "tk.Event[Any]", keys: str, action: Action) -> str | None:
        typing = isinstance(event.widget, (tk.Entry, tk.Text, ttk.Entry, ttk.Spinbox, ttk.Combobox))
        if typing and keys not in WHILE_TYPING:
            return None
        if event.widget.winfo_toplevel() is not self:
            return None
        action.run()
        return "break"

    def show_keys(self) -> None:
        """Show what every key and mouse button of this window does."""
        window: Any = self
        root_of(window).show_rows(window, "Keys and mouse", key_list("", self.actions, self.mouse))

    def action(self, name: str) -> Action:
        """Return the action `name`."""
        return next(a for a in self.actions if a.name == name)


class Window(Keys, ttk.Toplevel):
    """A window of its own; closing it loses nothing.

    Parameters
    ----------
    master : widget
    title : str
    size : (width, height)
        Pixels at 100 %, when it is opened for the first time.
    name : str
        Under which its size is remembered; empty for none.
    """

    _closed_at: ClassVar[float] = -1e9  # when the last window was closed

    def __init__(self, master: Parent, title: str, size: tuple[int, int], name: str = "") -> None:
        root = root_of(master)
        wide, high = root.winfo_screenwidth(), root.winfo_screenheight()
        remembered = root.settings.get(f"size {name}", []) if name else []
        chosen = remembered if len(remembered) == 2 and all(isinstance(v, int) for v in remembered) else size
        width, height = (theme.px(master.winfo_toplevel(), v) for v in chosen)
        super().__init__(
            title=title, size=(min(width, wide - 40), min(height, high - 80)), master=master.nametowidget(".")
        )
        self.app, self._name = root, name
        self.w: dict[str, Any] = {}
        self.actions, self.mouse = [], []
        self.protocol("WM_DELETE_WINDOW", self.close)
        self.bind("<Control-w>", lambda event: self.close() if event.widget.winfo_toplevel() is self else None)
        self.bind("<F1>", lambda _: self.show_keys())
        self.raising = RaisingClick()
        self.bind("<Map>", self._mapped, add="+")
        self.bind("<Enter>", self._entered, add="+")
        self.bind("<Visibility>", self._seen, add="+")

    def work(
        self,
        work: Callable[[Task], Any],
        done: Callable[[Any], object],
        failed: Callable[[str], object] | None = None,
    ) -> Task:
        """Do something in a thread, as :meth:`App.work`; a window that was closed meanwhile hears nothing of it."""

        def alive(call: Callable[[Any], object]) -> Callable[[Any], object]:
            """Return the call, which does nothing once the window is closed."""
            return lambda value: call(value) if self.winfo_exists() else None

        return self.app.work(work, alive(done), alive(failed or self.app.show_message))

    def only_raises(self) -> bool:
        """Return whether a press of the mouse only brings this window to the front; it is there afterwards."""
        if not self.raising.opened and not self._covering():
            self.raising.look(False)  # a new window is in front by now, whatever was noted while it opened
        if not self.raising.only_raises():
            return False
        self.lift()
        self.raising.look(False)
        self.raising.only_raises()
        return True

    def _others_above(self) -> list[tuple[bool, Box]]:
        """Return the windows of this program above this one: whether each passes by, as a tip does, and its place."""
        call = self.tk.call
        order = list(self.tk.splitlist(call("wm", "stackorder", ".")))
        above = order[order.index(str(self)) + 1 :] if str(self) in order else []
        found = []
        for name in above:
            x, y, wide, high = (int(call("winfo", what, name)) for what in ("rootx", "rooty", "width", "height"))
            passing = bool(call("wm", "overrideredirect", name)) or str(call("wm", "transient", name)) == str(self)
            found.append((passing, (x, y, wide, high)))
        return found

    def _covering(self) -> bool:
        """Return whether another window of this program covers this one; a tip does not."""
        mine = self.winfo_rootx(), self.winfo_rooty(), self.winfo_width(), self.winfo_height()
        return any(overlap(mine, box) for passing, box in self._others_above() if not passing)

    def _mapped(self, event: "tk.Event[Any]") -> None:
        """Bring a new window to the front: a window manager may put it below the one that has the focus."""
        if event.widget is self:
            self.lift()

    def _entered(self, event: "tk.Event[Any]") -> None:
        """See whether another window of this program covers this one."""
        if event.widget is self:
            self._note_cover(self._covering())

    def _seen(self, event: "tk.Event[Any]") -> None:
        """Where nothing composes the screen, X says it of windows of other programs too, but also of our tips."""
        if event.widget is self:
            tip_above = any(passing for passing, _ in self._others_above())
            self._note_cover(self._covering() if tip_above else str(event.state) != "VisibilityUnobscured")

    def _note_cover(self, covered: bool) -> None:
        self.raising.look(covered, closed=time.monotonic() - Window._closed_at < SAME_CLICK)

    def natural_size(self, factor: float) -> list[int]:
        """Return width and height in pixels at 100 %."""
        return [int(self.winfo_width() / factor), int(self.winfo_height() / factor)]

    def close(self) -> None:
        """Close the window."""
        if self._name:
            self.app.settings.put(f"size {self._name}", self.natural_size(self.app.factor))
        self.destroy()

    def destroy(self) -> None:
        """Take the window off the screen: no click raises what it uncovers."""
        Window._closed_at = time.monotonic()
        super().destroy()


class Flow(ttk.Frame):
    """A row of widgets, packed as in any frame, that goes on in the next row where there is no room."""

    def __init__(self, master: tk.Misc) -> None:
        super().__init__(master)
        self._wide = 0
        self._order: list[Any] = []
        self.bind("<Configure>", lambda event: self._arrange(event.width))

    def _arrange(self, wide: int) -> None:
        if wide == self._wide or wide < 20:
            return
        self._wide, gap = wide, theme.px(self, theme.GAP)
        self._order += self.pack_slaves()
        rows: list[list[tuple[Any, int, int]]] = [[]]
        for child in self._order:
            w, h = child.winfo_reqwidth(), child.winfo_reqheight()
            if rows[-1] and sum(one[1] + gap for one in rows[-1]) + w > wide:
                label = [rows[-1].pop()] if rows[-1][-1][0].winfo_class() == "TLabel" else []
                rows.append(label)  # a label stays with what it is of
            rows[-1].append((child, w, h))
        top = gap
        for row in rows:
            left, high = 0, max((h for _, _, h in row), default=0)
            for child, w, h in row:
                child.place(x=left, y=top + (high - h) // 2)
                left += w + gap
            top += high + gap
        self.configure(height=top)


class ActionBar(ttk.Frame):
    """Buttons for actions; those that do not fit go into a menu at the end."""

    def __init__(self, master: tk.Misc, actions: Sequence[Action], w: dict[str, Any]) -> None:
        super().__init__(master, padding=theme.px(master, theme.GAP))
        self._buttons: list[tuple[ttk.Button, Action]] = []
        for action in actions:
            if action.style == "hidden":
                continue
            button = ttk.Button(
                self,
                text=action.label,
                icon=action.icon,
                bootstyle=action.style or "secondary-outline",
                command=action.run,
            )
            keys = key_text(action.keys.split()[0] if action.keys else "")
            tip(button, "  ".join(p for p in (action.help or action.label, keys and f"({keys})") if p))
            self._buttons.append((button, action))
            w[action.name] = button
        self.menu = ttk.Menu(self, tearoff=False)
        self.more = ttk.Menubutton(self, text="More", menu=self.menu, bootstyle="secondary-outline")
        self._shown = -1
        self._refused: set[str] = set()
        self.bind("<Configure>", lambda _: self._arrange())

    def offer(self, applies: Callable[[str], bool]) -> None:
        """Let only those actions be pressed of whose names `applies` is true."""
        refused = {action.name for _, action in self._buttons if not applies(action.name)}
        if refused == self._refused:
            return
        self._refused = refused
        for button, action in self._buttons:
            button.configure(state="disabled" if action.name in refused else "normal")
        self._shown = -1  # the menu at the end is made anew
        self._arrange()

    def _arrange(self) -> None:
        room = self.winfo_width() - theme.px(self, 2 * theme.GAP)
        gap = theme.px(self, theme.GAP)
        widths = [button.winfo_reqwidth() + gap for button, _ in self._buttons]
        count = len(widths)
        if sum(widths) > room:
            room -= self.more.winfo_reqwidth() + gap
            while count and sum(widths[:count]) > room:
                count -= 1
        if count == self._shown:
            return
        self._shown = count
        for k, (button, _) in enumerate(self._buttons):
            button.grid(row=0, column=k, padx=(0, gap)) if k < count else button.grid_remove()
        self.menu.delete(0, "end")
        for _, action in self._buttons[count:]:
            refused = action.name in self._refused
            self.menu.add_command(label=action.label, command=action.run, state="disabled" if refused else "normal")
        if count < len(self._buttons):
            self.more.grid(row=0, column=len(self._buttons))
        else:
            self.more.grid_remove()


def only_raises(widget: tk.Misc) -> bool:
    """Return whether a press on a widget only brings its window to the front; see :meth:`Window.only_raises`."""
    window = widget.winfo_toplevel()
    return isinstance(window, Window) and window.only_raises()


def pack_buttons(
    row: tk.Misc, w: dict[str, Any], gap: int, buttons: Iterable[tuple[str, str, Callable[[], object], str]]
) -> None:
    """Put buttons side by side into a row, and each by its name into `w`: name, text, action and tip."""
    for name, text, call, message in buttons:
        button = ttk.Button(row, text=text, bootstyle="secondary-outline", command=call)
        button.pack(side="left", padx=(0, gap))
        tip(button, message)
        w[name] = button


def tip(widget: tk.Misc, text: str) -> None:
    """Explain a widget when the mouse rests on it."""
    ttk.ToolTip(widget, text=text, wraplength=theme.px(widget, 360))


def wrap(label: ttk.Label, margin: int = 0) -> None:
    """Let a label break its lines at the width that it has."""
    label.bind("<Configure>", lambda event: label.configure(wraplength=max(80, event.width - margin)))


def busy_label(master: tk.Misc, text: str) -> ttk.Label:
    """Return a label in the colour of what is less important."""
    label = ttk.Label(master, text=text, foreground=theme.faint())
    theme.follow(label, lambda: label.configure(foreground=theme.faint()))
    return label


def menu_of(master: tk.Misc, entries: Sequence[tuple[str, Callable[[], object] | None]]) -> ttk.Menu:
    """Return a menu; an entry without a call is a line between others."""
    menu = ttk.Menu(master, tearoff=False)
    for label, call in entries:
        if call is None:
            menu.add_separator()
        else:
            menu.add_command(label=label, command=call)
    return menu
