"""A protocol's form without a window: fields in tabs, conditions, live checks, inputs that fit, the command line."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pyworkflow.object import String
from pyworkflow.protocol import Protocol
from pyworkflow.protocol.params import ElementGroup
from pyworkflow.protocol.params import Param as EngineParam

from emtomo.engine.cluster import ClusterOptions
from emtomo.engine.form import INPUT
from emtomo.engine.parameters import INTERNAL, public_name
from emtomo.gui.core.fields import FormField, field_of
from emtomo.gui.core.prefill import ancestors, choose_before_denoising, choose_output, other_picks
from emtomo.gui.core.run_actions import FormValues
from emtomo.gui.core.runs import Run, RunOutput, descendants
from emtomo.options import OptionField, option_fields

SKIPPED = ("General", "Parallelization")
COMPUTATION = "Computation"
_HOW = ("device", "threads", "steps_at_once", *(f.name for f in option_fields(ClusterOptions)))
LONGEST_TITLE = 60
ALTERNATIVES = ("tilt_series", "tomograms", "micrographs")  # where a protocol offers several, a run takes one of them


@dataclass
class Tab:
    """A tab of the form: names of fields under headings."""

    title: str
    names: list[str] = field(default_factory=list)


class FormModel:
    """The values of a protocol's parameters as a user edits them.

    Made from the protocol's definition alone, so it fits any protocol of any plugin.

    Parameters
    ----------
    protocol_class : type
    label : str
        The run's.
    values : dict, optional
        Texts by public name, of an earlier run.
    run : int, optional
        The run that is edited; None for a new one.
    queue : (str, dict), optional
        Queue that the run goes to, and its parameters; None for this machine.
    """

    def __init__(
        self,
        protocol_class: type[Protocol],
        label: str,
        values: dict[str, str] | None = None,
        run: int | None = None,
        queue: tuple[str, dict[str, str]] | None = None,
    ) -> None:
        self.protocol_class = protocol_class
        self.protocol = protocol_class()
        self.label, self.comment, self.run = label, "", run
        self.queue = queue
        self.expert = False
        self.fields: dict[str, FormField] = {}
        self.tabs: list[Tab] = []
        self.listeners: list[Callable[[set[str]], object]] = []
        self._build()
        for name, text in (values or {}).items():
            if name in self.fields:
                self.fields[name].text = text
                self._set_attribute(self.fields[name])
        self.refresh()
        self.mark_saved()

    def _build(self) -> None:
        options = self._options()
        inputs, rest, how = Tab("Input"), Tab("Parameters"), Tab(COMPUTATION)
        others: list[Tab] = []
        for section in self.protocol.iterDefinitionSections():
            if section.getLabel() in SKIPPED:
                continue
            own = self.protocol_class
            ours = hasattr(own, "OPTIONS")
            tab = inputs if ours else Tab(section.getLabel())
            if not ours:
                others.append(tab)
            for attribute, param, group in _flat(section, ""):
                if attribute in INTERNAL:
                    continue
                name = public_name(attribute)
                option, heading = options.get(name, (None, group))
                made = field_of(name, attribute, param, option, heading)
                made.text = made.default
                self.fields[name] = made
                (how if name in _HOW else rest if option is not None else tab).names.append(name)
        self.tabs = [t for t in (inputs, rest, *others, how) if t.names]

    def _options(self) -> dict[str, tuple[OptionField | None, str]]:
        """Return the declaration and the heading of every parameter that emtomo's options declare."""
        found: dict[str, tuple[OptionField | None, str]] = {}
        groups = getattr(self.protocol_class, "OPTIONS", ())
        for options in getattr(self.protocol_class, "option_classes", tuple)():
            message = " ".join((options.__doc__ or "").split(".")[0].split(";")[0].split())
            heading = message if len(groups) > 1 and options in groups and len(message) <= LONGEST_TITLE else ""
            found |= {f.name: (f, heading) for f in option_fields(options)}
        return found

    # --- values ---

    def put(self, name: str, text: str) -> None:
        """Give a field another text; listeners hear which fields look different now."""
        one = self.fields[name]
        before = (one.text, one.error)
        one.text = text
        one.check()
        self._set_attribute(one)
        changed = self._conditions()
        if (one.text, one.error) != before:
            changed.add(name)
        self._notify(changed)

    def reset(self, name: str) -> None:
        """Give a field its default again."""
        self.put(name, self.fields[name].default)

    def set_expert(self, on: bool) -> None:
        """Show or hide the fields for experts."""
        self.expert = on
        self._notify(set(self.fields))

    def visible(self, name: str) -> bool:
        """Return whether a field is shown."""
        one = self.fields[name]
        return one.condition and one.kind != "hidden" and (self.expert or not one.expert or one.changed)

    def texts(self) -> dict[str, str]:
        """Return all values as text."""
        return {name: one.text for name, one in self.fields.items()}

    @property
    def dirty(self) -> bool:
        """Whether something was edited."""
        now = (self.label, self.comment, self.queue)
        return self.texts() != self.original or now != self._original_rest

    def mark_saved(self) -> None:
        """Note that all is stored as it is now, or was filled in by the program alone."""
        self.original = self.texts()
        self._original_rest = (self.label, self.comment, self.queue)

    def form_values(self) -> FormValues:
        """Return what the form says, for the project."""
        name = getattr(self.protocol_class, "NAME", self.protocol_class.__name__)
        values = {n: f.text.strip() if f.kind in ("int", "float") else f.text for n, f in self.fields.items()}
        values = {n: t for n, t in values.items() if self.fields[n].kind != "label"}
        return FormValues(name, self.label.strip(), values, self.comment, self.run, self.queue)

    # --- checks ---

    def refresh(self) -> None:
        """Check everything."""
        for one in self.fields.values():
            one.check()
        self._conditions()
        self._notify(set(self.fields))

    def errors(self) -> dict[str, str]:
        """Return what is wrong, by field; fields that are hidden by a condition count as right."""
        return {name: one.error for name, one in self.fields.items() if one.error and one.condition}

    def count(self, tab: Tab) -> int:
        """Return how many fields of a tab are wrong."""
        wrong = self.errors()
        return sum(name in wrong for name in tab.names)

    # --- inputs ---

    def candidates(self, name: str, runs: dict[int, Run]) -> list[RunOutput]:
        """Return the outputs that fit an input, newest first; none of this run or of those below it."""
        own = {self.run, *descendants(runs, [self.run])} if self.run is not None else set()
        wanted = set(self.fields[name].wanted)
        found = [
            output
            for run in runs.values()
            if run.id not in own
            for output in run.outputs
            if wanted & set(output.kinds) and (not output.pending or run.status not in ("failed", "aborted"))
        ]
        return sorted(found, key=lambda o: (not o.pending, o.run), reverse=True)

    def preset(self, runs: dict[int, Run], selected: Iterable[int], output: RunOutput | None = None) -> None:
        """Fill empty inputs that are needed: the first that fits with `output`, the others as the selection means."""
        if output is not None:
            fit = [n for n, f in self.fields.items() if f.wanted and self.fits(n, output)]
            first = next((n for n in fit if not self.fields[n].optional), next(iter(fit), None))
            if first is not None:
                self.put(first, output.target)
        chosen, protocol = set(selected), str(getattr(self.protocol_class, "NAME", ""))
        for name, one in self.fields.items():
            if not one.wanted or one.text or one.optional:
                continue
            found = choose_output(protocol, self.candidates(name, runs), runs, chosen)
            if found is not None:
                self.put(name, found.target)
        self._preset_alternative(protocol, runs, chosen)
        if protocol == "consensus-picks":
            self._add_other_picks(runs)
        if protocol == "extract-subtomograms" and not self.fields["tomograms"].text:
            particles = self.output_named(self.fields["coordinates"].text, runs)
            if particles is not None:
                found = choose_before_denoising(protocol, self.candidates("tomograms", runs), runs, particles.run)
                self.put("tomograms", found.target if found is not None else "")

    def alternatives(self) -> list[str]:
        """Return the inputs of which a run takes one, and leaves the others empty."""
        found = [n for n in ALTERNATIVES if n in self.fields and self.fields[n].wanted and self.fields[n].optional]
        return found if len(found) > 1 else []

    def _preset_alternative(self, protocol: str, runs: dict[int, Run], chosen: set[int]) -> None:
        """Fill one of the inputs of which one is needed: the one that has to do with the selection, else the first."""
        names = self.alternatives()
        if any(self.fields[name].text for name in names):
            return
        found = {name: choose_output(protocol, self.candidates(name, runs), runs, chosen) for name in names}
        near = chosen | descendants(runs, chosen) | ancestors(runs, chosen)
        there = [(name, output) for name, output in found.items() if output is not None]
        for name, output in sorted(there, key=lambda pair: pair[1].run not in near)[:1]:
            self.put(name, output.target)

    def _add_other_picks(self, runs: dict[int, Run]) -> None:
        """Let a consensus start with what all pickers have found that were used on the same tomograms."""
        first = self.output_named(self.fields["coordinates"].text, runs)
        if first is not None:
            others = other_picks(self.candidates("coordinates", runs), runs, first)
            self.put("coordinates", ",".join(o.target for o in (first, *others)))

    def output_named(self, target: str, runs: dict[int, Run]) -> RunOutput | None:
        """Return the output that ``RUN.output`` means."""
        number, _, name = target.partition(".")
        run = next((r for r in runs.values() if number in (str(r.id), r.label)), None)
        return next((o for o in run.outputs if o.name == name), None) if run is not None else None

    def fits(self, name: str, output: RunOutput) -> bool:
        """Return whether an output may be the input `name`."""
        return bool(set(self.fields[name].wanted) & set(output.kinds))

    # --- the command line ---

    def command(self, project: str) -> str:
        """Return the command that does the same."""
        name = getattr(self.protocol_class, "NAME", self.protocol_class.__name__)
        words = ["emtomo", "run", project, name]
        words += [f"{n}={f.text}" for n, f in self.fields.items() if f.changed and f.condition]
        if self.label:
            words += ["--label", self.label]
        if self.queue is not None:
            words += ["--executor", "queue", "--queue", self.queue[0]]
            words += [word for key, text in self.queue[1].items() for word in ("--queue-set", f"{key}={text}")]
        return shlex.join(words)

    # --- inside ---

    def _set_attribute(self, one: FormField) -> None:
        """Set the attribute that conditions look at."""
        if one.kind in ("pointers", "label"):
            return
        if one.kind == "pointer":  # conditions ask only whether there is an input
            getattr(self.protocol, one.attribute).set(String(one.text) if one.text else None)
            return
        try:
            getattr(self.protocol, one.attribute).set(one.value())
        except (ValueError, TypeError):
            return

    def _conditions(self) -> set[str]:
        changed = set()
        for name, one in self.fields.items():
            shown = bool(self.protocol.evalParamCondition(one.attribute))
            if shown != one.condition:
                one.condition = shown
                changed.add(name)
        return changed

    def _notify(self, changed: set[str]) -> None:
        for listener in list(self.listeners):
            listener(changed)


def _flat(group: ElementGroup, heading: str) -> Iterator[tuple[str, EngineParam, str]]:
    """Yield attribute, parameter and heading of all that a section holds, lines and groups opened."""
    for name, param in group.iterParams():
        if isinstance(param, ElementGroup):
            yield from _flat(param, str(param.label.get() or heading))
        else:
            yield name, param, heading


__all__ = ["INPUT", "FormModel", "Tab"]
