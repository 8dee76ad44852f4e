"""Pages of the documentation: in the browser where the site was built, else in a window."""

import webbrowser
from pathlib import Path
from typing import Any

import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.gui.core.help_pages import Page, follow_link, guide, tutorials
from emtomo.gui.core.markdown import PagePiece, read_pieces
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import Parent, root_of
from emtomo.gui.tk.window import Window

MISSING = "The documentation is not on this machine: it comes with the source of emtomo, in its folder docs."
WIDEST = 700  # pixels of a picture at 100 %
_FONTS: dict[str, Any] = {
    "title": ("TkDefaultFont", 18, "bold"),
    "heading": ("TkDefaultFont", 14, "bold"),
    "bold": ("TkDefaultFont", 10, "bold"),
    "italic": ("TkDefaultFont", 10, "italic"),
    "code": "TkFixedFont",
    "block": "TkFixedFont",
}


class ReaderWindow(Window):
    """Shows pages in Markdown: the list of all on the left, links lead from one to another.

    Parameters
    ----------
    master : widget
    title : str
    file : Path
    """

    def __init__(self, master: Parent, title: str, file: Path) -> None:
        super().__init__(master, f"{title} – emtomo", (1060, 760), "reader")
        pad = theme.px(self, theme.PAD)
        self.file, self._before, self._photos = file, [], []  # type: ignore[var-annotated]
        side = ttk.Frame(self, padding=pad)
        side.pack(side="left", fill="y")
        self.back = ttk.Button(
            side, text="Back", icon="arrow-left", bootstyle="secondary-outline", command=self.go_back
        )
        self.back.pack(anchor="w", pady=(0, pad))
        self.pages = ttk.Treeview(side, show="tree", selectmode="browse")
        self.pages.column("#0", width=theme.px(self, 320))
        self.pages.pack(fill="both", expand=True)
        for heading, pages in (("Tutorials", tutorials()), ("Guide", guide())):
            self.pages.insert("", "end", iid=heading, text=heading, open=True)
            for page in pages:
                if page.file is not None and page.file.suffix == ".md":
                    self.pages.insert(heading, "end", iid=str(page.file), text=page.title)
        self.pages.bind("<<TreeviewSelect>>", lambda _: self._selected())
        self.text = ttk.Text(self, wrap="word", relief="flat", highlightthickness=0, padx=2 * pad, pady=pad)
        bar = ttk.Scrollbar(self, command=self.text.yview)
        self.text.configure(yscrollcommand=bar.set, font="TkDefaultFont")
        bar.pack(side="right", fill="y")
        self.text.pack(side="left", fill="both", expand=True)
        for kind, font in _FONTS.items():
            self.text.tag_configure(kind, font=font)
        self.text.tag_configure("heading", spacing1=theme.px(self, 10), spacing3=theme.px(self, 4))
        self.text.tag_configure("block", lmargin1=2 * pad, lmargin2=2 * pad)
        theme.follow(self.text, self._colour)
        self._colour()
        self.w |= {"text": self.text, "pages": self.pages, "back": self.back}
        self.bind("<Escape>", lambda _: self.close())
        self.bind("<Alt-Left>", lambda _: self.go_back())
        self._show(file)

    def _colour(self) -> None:
        self.text.tag_configure("link", foreground=theme.colour("primary"), underline=True)

    def open(self, file: Path) -> None:
        """Show another page."""
        if file != self.file:
            self._before.append(self.file)
            self._show(file)

    def go_back(self) -> None:
        """Show the page before."""
        if self._before:
            self._show(self._before.pop())

    def _selected(self) -> None:
        for name in self.pages.selection():
            if Path(name).suffix == ".md":
                self.open(Path(name))

    def _show(self, file: Path) -> None:
        self.file = file
        self.text.configure(state="normal")
        self.text.delete("1.0", "end")
        self._photos = []
        for k, piece in enumerate(read_pieces(file.read_text(encoding="utf8"))):
            if piece.kind == "picture":
                self._insert_picture(piece)
            elif piece.kind == "link":
                self._insert_link(piece, f"link {k}")
            else:
                self.text.insert("end", piece.text, piece.kind)
        self.text.configure(state="disabled")
        self.text.yview_moveto(0)
        self.title(f"{self.text.get('1.0', '1.end') or file.stem} – emtomo")
        self.back.configure(state="normal" if self._before else "disabled")
        if self.pages.exists(str(file)):
            self.pages.selection_set(str(file))
        else:
            self.pages.selection_set()

    def _insert_link(self, piece: PagePiece, tag: str) -> None:
        page = follow_link(self.file, piece.target)
        if page is None and "://" not in piece.target:
            self.text.insert("end", piece.text)  # to something that is not a page, as a file of the source
            return
        self.text.insert("end", piece.text, ("link", tag))
        call = (lambda: self.open(page)) if page is not None else (lambda: webbrowser.open(piece.target))
        self.text.tag_bind(tag, "<Button-1>", lambda _: call())
        self.text.tag_bind(tag, "<Enter>", lambda _: self.text.configure(cursor="hand2"))
        self.text.tag_bind(tag, "<Leave>", lambda _: self.text.configure(cursor=""))

    def _insert_picture(self, piece: PagePiece) -> None:
        try:
            with Image.open(self.file.parent / piece.target) as found:
                picture = found.convert("RGB")
        except (OSError, ValueError):
            self.text.insert("end", f"({piece.text})", "italic")
            return
        picture.thumbnail((theme.px(self, WIDEST),) * 2, Image.Resampling.BICUBIC)
        self._photos.append(ImageTk.PhotoImage(picture, master=self))
        self.text.image_create("end", image=self._photos[-1])


def open_page(master: Parent, title: str, file: Path | None) -> Any:
    """Show a page; return its window, None if the browser shows it or it is not there."""
    if file is None:
        root_of(master).say(MISSING)
        return None
    if file.suffix == ".html":
        webbrowser.open(file.as_uri())
        return None
    return ReaderWindow(master, title, file)


def help_entries(master: Parent) -> list[tuple[str, Any]]:
    """Return the entries of a Help menu: the tutorials, then the documentation."""
    pages = [*tutorials(), Page("Documentation", guide()[0].file)]
    return [(page.title, lambda p=page: open_page(master, p.title, p.file)) for page in pages]
