"""Pages of the documentation: in the browser where the site was built, else as text in a window."""

import webbrowser
from pathlib import Path
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.help_pages import Page, start_page, tutorials
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import Parent, root_of
from emtomo.gui.tk.window import Window

MISSING = "The documentation is not on this machine: it comes with the source of emtomo, in its folder docs."


class ReaderWindow(Window):
    """Shows a page that is Markdown: headings large, commands in their own font."""

    def __init__(self, master: Parent, title: str, file: Path) -> None:
        super().__init__(master, f"{title} – emtomo", (820, 720), "reader")
        text = ttk.Text(self, wrap="word", relief="flat", highlightthickness=0, padx=theme.px(self, 18))
        bar = ttk.Scrollbar(self, command=text.yview)
        text.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        text.pack(side="left", fill="both", expand=True)
        text.tag_configure("heading", font=("TkDefaultFont", 14, "bold"), spacing1=theme.px(self, 14))
        text.tag_configure("code", font="TkFixedFont", lmargin1=theme.px(self, 18), lmargin2=theme.px(self, 18))
        code = False
        for line in file.read_text(encoding="utf8").splitlines():
            if line.startswith("```"):
                code = not code
                continue
            heading = line.startswith("#") and not code
            tag = "code" if code else "heading" if heading else ""
            text.insert("end", (line.lstrip("# ") if heading else line) + "\n", tag)
        text.configure(state="disabled")
        self.w["text"] = text
        self.bind("<Escape>", lambda _: self.close())


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
    pages = [*tutorials(), Page("Documentation", start_page())]
    return [(page.title, lambda p=page: open_page(master, p.title, p.file)) for page in pages]
