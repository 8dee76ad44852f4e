"""The form of a protocol: one page, live checks with reasons, wizards, the same as a command, Run."""

from collections.abc import Callable
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core import run_actions
from emtomo.gui.core.actions import Action
from emtomo.gui.core.form import FormModel
from emtomo.gui.core.preview import Preview
from emtomo.gui.core.previews import preview
from emtomo.gui.core.runs import Run
from emtomo.gui.core.wizards import Proposal, wizard_for
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import ask, show_message
from emtomo.gui.tk.fieldrow import FieldRow
from emtomo.gui.tk.formpage import FormPage
from emtomo.gui.tk.host import ProjectHost
from emtomo.gui.tk.window import Window, busy_label, tip, wrap
from emtomo.wording import count_text

SETTLE = 350  # ms after the last key before the project is asked


class FormWindow(Window):
    """Shows a :class:`FormModel`; works for any protocol of any plugin."""

    def __init__(self, project: ProjectHost, model: FormModel) -> None:
        cls = model.protocol_class
        super().__init__(project, f"{cls._label} – emtomo", (820, 760), "form")
        self.transient(project.winfo_toplevel())  # it stays above the project, so that outputs can be dragged onto it
        self.project, self.model = project, model
        self._validating: str | None = None
        self.refusals: list[str] = []
        self._note = ""
        self._header(cls)
        self._footer()
        self.page = FormPage(self, self)
        self.page.pack(fill="both", expand=True, padx=theme.px(self, theme.PAD))
        model.listeners.append(self._changed)
        self.bind_actions(
            [
                Action("run", "Run", self.run, "<Control-Return>"),
                Action("save", "Save", self.save, "<Control-s>"),
                Action("expert", "Expert parameters", lambda: self.w["expert"].invoke(), "<Control-e>"),
                Action("close", "Close", self.close, "<Escape>"),
            ]
        )
        self._changed(set(model.fields))
        names = [n for tab in model.tabs for n in tab.names]
        first = next((n for n in names if n in model.errors()), next(iter(names), None))
        if first is not None and self.page.shows(first):
            self.page.rows[first].input.main.focus_set()
        self._propose_box()

    @property
    def rows(self) -> dict[str, FieldRow]:
        """The fields that were shown so far."""
        return self.page.rows

    def shows(self, name: str) -> bool:
        """Return whether a field is shown."""
        return self.page.shows(name)

    def _header(self, cls: Any) -> None:
        pad, gap = theme.px(self, theme.PAD), theme.px(self, theme.GAP)
        head = ttk.Frame(self, padding=pad)
        head.pack(fill="x")
        head.columnconfigure((1, 3), weight=1, minsize=theme.px(self, 70))
        note = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
        help_label = busy_label(head, note)
        help_label.configure(justify="left")
        help_label.grid(row=0, column=0, columnspan=5, sticky="ew", pady=(0, pad))
        wrap(help_label)
        ttk.Label(head, text="Label").grid(row=1, column=0, sticky="w", padx=(0, pad))
        self.label = ttk.StringVar(self, self.model.label)
        entry = ttk.Entry(head, textvariable=self.label, width=12)
        entry.grid(row=1, column=1, sticky="ew")
        ttk.Label(head, text="Comment").grid(row=1, column=2, padx=(pad, gap))
        self.comment = ttk.StringVar(self, self.model.comment)
        comment = ttk.Entry(head, textvariable=self.comment, width=12)
        comment.grid(row=1, column=3, sticky="ew")
        self.expert = ttk.BooleanVar(self, False)
        switch = ttk.Checkbutton(
            head,
            text="Expert",
            variable=self.expert,
            bootstyle="round-toggle",
            command=lambda: self.model.set_expert(self.expert.get()),
        )
        switch.grid(row=1, column=4, padx=(2 * pad, 0))
        tip(switch, "Show the parameters that are seldom changed (Ctrl+E)")
        self.label.trace_add("write", lambda *_: self._relabel())
        self.comment.trace_add("write", lambda *_: setattr(self.model, "comment", self.comment.get()))
        self.w |= {"label": entry, "comment": comment, "expert": switch}

    def _footer(self) -> None:
        pad, gap = theme.px(self, theme.PAD), theme.px(self, theme.GAP)
        foot = ttk.Frame(self, padding=pad)
        foot.pack(side="bottom", fill="x")
        self.message = ttk.Label(foot, text="", bootstyle="danger", justify="left")
        wrap(self.message)
        interactive = getattr(self.model.protocol_class, "INTERACTIVE", "")
        buttons = [("run", "Run", "success", self.run)]
        if interactive:
            buttons.insert(0, ("pick", "Pick …", "primary", self.pick))
        buttons += [
            ("save", "Save", "secondary-outline", self.save),
            ("close", "Close", "secondary-outline", self.close),
        ]
        for name, text, style, call in reversed(buttons):
            button = ttk.Button(foot, text=text, bootstyle=style, command=call)
            button.pack(side="right", padx=(gap, 0))
            self.w[name] = button
        copy = ttk.Button(foot, icon="terminal", bootstyle="link", command=self.copy_command)
        copy.pack(side="right")
        tip(copy, "The command line that does the same, to the clipboard")
        self.message.pack(side="left", fill="x", expand=True)
        self.w |= {"copy command": copy, "message": self.message}

    # --- state ---

    def _changed(self, names: set[str]) -> None:
        self.page.show(names)
        self._validate_later()
        self._show_state()

    def _show_state(self) -> None:
        """Show what is wrong, and let Run and Save follow."""
        errors = self.model.errors()
        note = ""
        if errors:
            note = (
                next(iter(errors.values()))
                if len(errors) == 1
                else f"{count_text(len(errors), 'field needs', 'fields need')} a look."
            )
        elif self.refusals:
            note = " ".join(self.refusals)
        self.message.configure(text=note or self._note, bootstyle="danger" if note else "default")
        pending = self._pending()
        run = self.project.runs.get(self.model.run) if self.model.run is not None else None
        active = run is not None and run.active
        text = (
            "Running"
            if active
            else "Schedule"
            if pending
            else "Resume"
            if run is not None and run.outputs and run.status in ("finished", "failed", "aborted")
            else "Run"
        )
        bad = bool(errors) or bool(self.refusals) or active
        self.w["run"].configure(state="disabled" if bad else "normal", text=text)
        if "pick" in self.w:
            inputs = {n for n, f in self.model.fields.items() if f.wanted}
            either = self.model.alternatives()
            nowhere = bool(either) and not any(self.model.fields[name].text for name in either)
            wrong = bool(set(errors) & (inputs | {"box_size"}))
            self.w["pick"].configure(state="disabled" if active or pending or nowhere or wrong else "normal")

    def _pending(self) -> bool:
        """Return whether an input is still to be made."""
        for one in self.model.fields.values():
            for target in one.text.split(",") if one.wanted and one.text else []:
                output = self.model.output_named(target, self.project.runs)
                if output is not None and output.pending:
                    return True
        return False

    def runs_changed(self, runs: dict[int, Run]) -> None:
        """Show inputs as they are now."""
        for row in self.rows.values():
            if row.field.wanted:
                row.input.show()
        self._validate_later()
        self._show_state()

    def _relabel(self) -> None:
        self.model.label = self.label.get()
        self._validate_later()

    def queue_changed(self) -> None:
        """Check again, with another queue or other parameters of it."""
        self._validate_later()

    def _validate_later(self) -> None:
        """Validate against the project once nobody has typed for a moment."""
        if self._validating is not None:
            self.after_cancel(self._validating)
        self._validating = self.after(SETTLE, self._validate)

    def _validate(self) -> None:
        self._validating = None
        if self.model.errors():
            self._show_refusals([])
            return
        form_values, folder = self.model.form_values(), self.project.start_folder

        def work(project: Any) -> list[str]:
            """Return the sentences of validation; a run that is active is not checked."""
            run = project.find(str(form_values.run)) if form_values.run is not None else None
            return [] if run is not None and run.isActive() else run_actions.validate_form(project, form_values, folder)

        self.project.service.ask(work, self._show_refusals, lambda note: self._show_refusals([note]))

    def _show_refusals(self, refusals: list[str]) -> None:
        if self.winfo_exists():
            self.refusals = refusals
            self._show_state()

    # --- wizards ---

    def wizard(self, name: str) -> None:
        """Let the wizard of a field propose a value, or show what it does; what is missing is said."""
        protocol, texts = getattr(self.model.protocol_class, "NAME", ""), self.model.texts()
        folder, found = self.project.start_folder, wizard_for(protocol, name)
        if found is not None:
            self.project.service.ask(lambda project: found[1](project, texts, folder), self._proposed, self._refused)
        else:
            self.project.service.ask(
                lambda project: preview(project, protocol, name, texts, folder),
                lambda made: self._preview(name, made),
                self._refused,
            )

    def _propose_box(self) -> None:
        """Fill the box size of a new form as its wizard does, where an input gives it."""
        found = wizard_for(getattr(self.model.protocol_class, "NAME", ""), "box_size")
        if found is None or self.model.run is not None:
            return
        texts, folder = self.model.texts(), self.project.start_folder

        def take(proposals: list[Proposal]) -> None:
            """Take the only proposal for the box size unless the user has set one."""
            if self.winfo_exists() and len(proposals) == 1 and not self.model.fields["box_size"].changed:
                edited = self.model.dirty
                self._take(proposals[0])
                if not edited:
                    self.model.mark_saved()

        self.project.service.ask(lambda project: found[1](project, texts, folder), take, lambda _: None)

    def _refused(self, sentence: str) -> None:
        if self.winfo_exists():
            self.w["refused"] = show_message(self, "Not yet", sentence)

    def _proposed(self, proposals: list[Proposal]) -> None:
        if not self.winfo_exists():
            return
        if len(proposals) == 1:
            self._take(proposals[0])
            return
        ask(
            self,
            "Choose",
            "\n".join(f"{k}. {p.message}" for k, p in enumerate(proposals, 1)),
            [
                *((f"{k}", "primary-outline", lambda p=p: self._take(p)) for k, p in enumerate(proposals, 1)),
                ("Cancel", "secondary-outline", lambda: None),
            ],
        )

    def _take(self, proposal: Proposal) -> None:
        for name, text in proposal.values.items():
            if name in self.model.fields:
                self.model.put(name, text)
        self.say(proposal.message)

    def _preview(self, name: str, made: Preview) -> None:
        from emtomo.gui.tk.preview import PreviewWindow

        if self.winfo_exists():
            self.w["preview"] = PreviewWindow(self, made, lambda text: self.model.put(name, text))

    def say(self, sentence: str) -> None:
        """Show a sentence at the bottom of the form, until something is wrong."""
        self._note = sentence
        self._show_state()

    # --- buttons ---

    def copy_command(self) -> None:
        """Put the command line that does the same on the clipboard."""
        self.clipboard_clear()
        self.clipboard_append(self.model.command(str(self.project.folder)))
        self.say("Command copied.")

    def save(self, then: Callable[[], object] = lambda: None) -> None:
        """Store the run without starting it, then call `then`; a form that is not right yet can be saved too."""
        unread = [e for e in self.model.errors().values() if "whole number" in e or "a number" in e]
        if unread:
            self.message.configure(text=unread[0])
            return
        form_values, folder = self.model.form_values(), self.project.start_folder

        def finish(i: int) -> None:
            """Note the run's number and continue."""
            self._saved(i)
            then()

        self.project.service.ask(
            lambda project: run_actions.save_form(project, form_values, folder),
            finish,
            lambda s: self._show_refusals([s]),
        )

    def _saved(self, i: int) -> None:
        self.model.run = i
        self.model.mark_saved()
        self.project.say("Saved.")
        self.project.refresh_details()
        self.project.select_later([i])

    def run(self) -> None:
        """Start the run and close the form."""
        if self.model.errors() or str(self.w["run"].cget("state")) == "disabled":
            self._to_first_error()
            return
        form_values, folder, pending = self.model.form_values(), self.project.start_folder, self._pending()

        def finish(i: int) -> None:
            """Note the run's number, report the start and close the form."""
            self._saved(i)
            self.project.say(f"{form_values.label} {'is scheduled' if pending else 'started'}.")
            self.destroy_form()

        self.project.service.ask(
            lambda project: run_actions.start_form(project, form_values, folder),
            finish,
            lambda s: self._show_refusals([s]),
        )

    def _to_first_error(self) -> None:
        first = next(iter(self.model.errors()), None)
        if first is not None:
            self.page.go_to(first)

    def pick(self) -> None:
        """Store the run and open its tomograms for picking."""
        form_values, folder = self.model.form_values(), self.project.start_folder

        def open_picking(i: int) -> None:
            """Note the run's number, close the form and open the picker."""
            self._saved(i)
            self.destroy_form()
            self.project.open_picking(i)

        self.project.service.ask(
            lambda project: run_actions.save_form(project, form_values, folder),
            open_picking,
            lambda s: self._show_refusals([s]),
        )

    def close(self) -> None:
        """Close; edits are asked about."""
        if self.model.dirty:
            self.w["question"] = ask(
                self,
                "Close the form?",
                "The changes are not saved.",
                [
                    ("Save", "primary", lambda: self.save(self.destroy_form)),
                    ("Drop changes", "danger-outline", self.destroy_form),
                    ("Stay", "secondary-outline", lambda: None),
                ],
            )
        else:
            self.destroy_form()

    def destroy_form(self) -> None:
        """Close without a question."""
        self.project.form_closed(self)
        if self._validating is not None:
            self.after_cancel(self._validating)
        self.model.listeners.clear()
        super().close()
