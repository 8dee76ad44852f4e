"""Pictures in the cards of the project window: read where they were kept, else drawn, one after the other."""

from typing import Any

from PIL import Image

from emtomo.gui.core.card_pictures import choose_output, draw_picture, keep_picture, picture_path, read_picture
from emtomo.gui.core.runs import Run
from emtomo.gui.core.shown import Shown, load

PAUSE = 60  # ms between two pictures: what the user does comes first


class ProjectPictures:
    """Mix-in of the project window."""

    def want_pictures(self: Any) -> None:
        """Find the pictures of runs that have made something else since they were drawn; those that are seen first."""
        shown = self.w.setdefault("pictures", {})
        for i in [i for i in shown if i not in self.runs]:
            del shown[i]
        waiting = {}
        for i, run in self.runs.items():
            output = choose_output(run) if run.status in ("finished", "interactive", "failed", "aborted") else None
            if output is not None and shown.get(i) != picture_path(self.folder, run).name:
                waiting[i] = run
        self.w["pictures waiting"] = waiting
        if waiting and not self.w.get("drawing picture"):
            self.w["drawing picture"] = True
            self.after(PAUSE, self._next_picture)

    def _next_picture(self: Any) -> None:
        waiting: dict[int, Run] = self.w["pictures waiting"]
        if not waiting:
            self.w["drawing picture"] = False
            return
        seen = [i for i in waiting if self.graph.is_seen(i)]
        run = waiting.pop(seen[0] if seen else next(iter(waiting)))
        self.w["pictures"][run.id] = picture_path(self.folder, run).name
        self.work(
            lambda _: read_picture(self.folder, run),
            lambda found: self._picture_read(run, found),
            lambda _: self._picture_done(run, None),
        )

    def _picture_read(self, run: Run, found: Image.Image | None) -> None:
        host: Any = self
        if found is not None:
            host._picture_done(run, found)
            return
        output = choose_output(run)
        assert output is not None

        def start(shown: Shown) -> None:
            """Draw the picture outside of the window's thread."""
            host.work(lambda _: draw(shown), lambda made: host._picture_done(run, made), skip)

        def draw(shown: Shown) -> Image.Image | None:
            """Draw the card's picture and keep it for the next time."""
            picture = draw_picture(shown)
            if picture is not None:
                keep_picture(host.folder, run, picture)
            return picture

        def skip(_: str) -> None:  # a card without a picture is complete
            """Complete the card without a picture."""
            host._picture_done(run, None)

        host.service.ask(lambda project: load(project, output.target), start, skip)

    def _picture_done(self: Any, run: Run, picture: Image.Image | None) -> None:
        if picture is not None and run.id in self.runs:
            self.graph.take_picture(run.id, picture)
        self.after(PAUSE, self._next_picture)
