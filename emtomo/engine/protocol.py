"""What every emtomo protocol shares: options, steps, honest resume, progress, provenance."""

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pyworkflow.object import RELATION_SOURCE, Integer, Object, Pointer, PointerList, Set, String
from pyworkflow.protocol import STEPS_PARALLEL, Protocol
from pyworkflow.protocol.constants import MODE_RESTART, STATUS_NEW
from pyworkflow.protocol.executor import ThreadStepExecutor
from pyworkflow.protocol.params import Form, IntParam, MultiPointerParam, PointerParam

import emtomo.engine  # noqa: F401  the environment must be prepared before pyworkflow is imported
from emtomo.compute.map_reduce import MapReduce, in_threads
from emtomo.engine.cluster import DASK, ClusterOptions, count_workers, open_cluster, problem_of
from emtomo.engine.code_version import code_remarks, codes_after
from emtomo.engine.dask_map import DaskMapReduce
from emtomo.engine.executor import EventStepExecutor
from emtomo.engine.form import INPUT, add_options, option_errors, read_options
from emtomo.engine.identity import content_digest, files_in, name_time_size, note
from emtomo.engine.output_checks import input_errors, remarks_on
from emtomo.engine.pixel_sizes import size_remarks
from emtomo.engine.provenance import PROVENANCE, parameters_of, write_provenance
from emtomo.engine.remote_steps import PULSE, RemoteSteps, beating
from emtomo.engine.run_folder import check_run_folder, path_in_run
from emtomo.engine.state import read_json, write_json
from emtomo.errors import EmtomoError
from emtomo.options import option_fields

T = TypeVar("T")
log = logging.getLogger(__name__)

# parameters that change how a run is carried out, never what comes out of it
HOW_NOT_WHAT = {"runName", "runMode", "hostName", "numberOfThreads", "numberOfMpi", "threads", "device"}
HOW_NOT_WHAT |= {field.name for field in option_fields(ClusterOptions)}
_progress_lock = threading.Lock()
FINGERPRINT = "fingerprint.json"
PROGRESS = "progress.json"
REMARKS = "input_remarks.json", "remarks.json"  # said of the inputs when a run starts, and by its steps
PROGRESS_SECONDS = 0.2  # between two notes of the same stage


class EmtomoProtocol(Protocol):
    """A protocol whose parameters are options dataclasses and whose resume is never stale.

    A subclass declares ``OPTIONS``, ``INPUTS`` (in :meth:`_define_inputs`),
    ``_possibleOutputs``, its steps, and :meth:`_check` for what only the
    inputs can tell. ``INTERACTIVE`` says what is picked in a window before
    such a run is carried out: models, particles or references. ``OTHER_NAMES``
    are further names of inputs on the command line and in templates. ``READS``
    names parameters that are files (or folders of files) which users edit
    and give again under the same name. ``STEPS_APART`` names the steps that
    may be carried out on other machines, since each writes its own files
    alone; ``STEPS_PER`` says of what there is a step each (tomogram, micrograph,
    tilt series), which may run side by side; ``PIECES`` says that a step hands :attr:`map_reduce` to its computation;
    ``KEEPS_PARTS`` that a step which was interrupted goes on from iterations or tilt series that it has kept.
    """

    OPTIONS: ClassVar[tuple[type, ...]] = ()
    CITATIONS: ClassVar[tuple[str, ...]] = ()
    INTERACTIVE: ClassVar[str] = ""
    OTHER_NAMES: ClassVar[dict[str, str]] = {}
    READS: ClassVar[tuple[str, ...]] = ()
    STEPS_APART: ClassVar[tuple[str, ...]] = ()
    STEPS_PER: ClassVar[str] = ""
    PIECES: ClassVar[bool] = False
    KEEPS_PARTS: ClassVar[bool] = False
    THREADS = True
    _progress_written = 0.0
    _started = 0.0  # when the steps of this try began; 0 when the run has finished
    elsewhere = False  # this process carries out one step of a run that is in another
    stepsExecutionMode = STEPS_PARALLEL

    # --- form ---

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._define_inputs(form)
        for options in self.OPTIONS:
            add_options(form, options)
        if self.THREADS:
            form.addParam(
                "threads",
                IntParam,
                default=0,
                label="Threads",
                help="Threads for the computation; 0 takes all that this machine has.",
            )
        if self.THREADS and self.STEPS_PER:
            many = self.STEPS_PER if self.STEPS_PER.endswith("series") else f"{self.STEPS_PER}s"
            form.addParam(
                "numberOfThreads",
                IntParam,
                default=1,
                label=f"{many.capitalize()} at the same time",
                help="Steps that run side by side, each with its share of the threads; more than 1 pays for many "
                f"small {many}.",
            )
        if self.can_distribute():
            add_options(form, ClusterOptions)

    @classmethod
    def can_distribute(cls) -> bool:
        """Return whether a Dask cluster can take part in the work."""
        return bool(cls.STEPS_APART or cls.PIECES)

    @classmethod
    def option_classes(cls) -> tuple[type, ...]:
        """Return every options dataclass behind the form: the algorithms', and where the work is done."""
        return (*cls.OPTIONS, ClusterOptions) if cls.can_distribute() else cls.OPTIONS

    def _define_inputs(self, form: Form) -> None:
        """Add the pointers to the inputs and the parameters that no algorithm knows."""

    def _add_input(
        self, form: Form, name: str, kind: str, label: str, help: str, *, optional: bool = False, many: bool = False
    ) -> None:
        """Add an input that points at outputs of class `kind` (several classes with commas between)."""
        param = MultiPointerParam if many else PointerParam
        form.addParam(f"{INPUT}{name}", param, pointerClass=kind, label=label, help=help, allowsNull=optional)

    def _insert_per_tomogram(self, step: Callable[..., None], names: list[str], last: Callable[..., None]) -> None:
        """Insert `step` (id, number, total) for each tomogram, and `last` (names) after all of them."""
        done = [self._insertFunctionStep(step, name, k, len(names), prerequisites=[]) for k, name in enumerate(names)]
        self._insertFunctionStep(last, names, prerequisites=done)

    def options(self, options: type[T]) -> T:
        """Return the form's values as an instance of the options dataclass."""
        return read_options(self, options)

    def _validate(self) -> list[str]:
        errors = [sentence for options in self.OPTIONS for sentence in option_errors(self, options)]
        errors += self._cluster_errors()
        try:
            errors += input_errors(self)
            return errors or (self._check() if self._inputs_ready() else [])
        except EmtomoError as error:  # an input that cannot be read, or what a check has found
            return [*errors, str(error)]

    def _cluster_errors(self) -> list[str]:
        if not self.can_distribute():
            return []
        problems = option_errors(self, ClusterOptions)
        return problems or [s for s in [problem_of(self.options(ClusterOptions))] if s]

    def _inputs_ready(self) -> bool:
        """Return whether every input that is needed is there; the engine names those that are not."""
        for name, param in self.getDefinition().iterParams():
            if isinstance(param, PointerParam) and not param.allowsNull:
                value = getattr(self, name)
                pointers = value if isinstance(value, PointerList) else [value]
                if not len(pointers) or any(pointer.get() is None for pointer in pointers):
                    return False
        return True

    def _check(self) -> list[str]:
        """Return what is wrong that only inputs or several parameters show; an `EmtomoError` counts as its sentence."""
        return []

    def plan_outputs(self) -> dict[str, type]:
        """Return the kinds of the outputs that a run makes of the inputs which it has been given."""
        return dict(self._possibleOutputs)

    def outputs(self) -> dict[str, Object]:
        """Return the outputs that exist, by name."""
        return {name: getattr(self, name) for name in self._possibleOutputs if hasattr(self, name)}

    def _summary(self) -> list[str]:
        outputs = [f"{name}: {output}" for name, output in self.outputs().items()]
        return [*outputs, *self._remarks()] or ["Not run yet."]

    def _remarks(self) -> list[str]:
        """Return what the user should know about the result, in sentences with numbers."""
        return [str(one) for file in REMARKS for one in read_json(Path(self._getExtraPath(file)), [])]

    def _citations(self) -> list[str]:
        return list(self.CITATIONS)

    # --- files ---

    def _getPath(self, *paths: str) -> str:
        """Return a path in the run's folder; every name of what a run writes comes from here.

        Raises
        ------
        ProjectError
            If it would lie elsewhere: names in a set may be anybody's.
        """
        return path_in_run(self.workingDir.get(), Protocol._getPath(self, *paths))

    def cleanWorkingDir(self) -> None:
        """Remove the run's folder, which must be one of the project's own: a link in it would lead elsewhere."""
        if self.getProject() is not None:
            check_run_folder(self.getProject().path, self.getWorkingDir())
        Protocol.cleanWorkingDir(self)

    # --- steps ---

    def _insertFunctionStep(self, func: Any, *args: Any, **kwargs: Any) -> int:
        kwargs.setdefault("needsGPU", False)
        name = getattr(func, "__name__", "")
        if self._on_dask() and name in self.STEPS_APART:
            func = functools.wraps(func)(lambda *values: self._away(name, list(values)))
        return Protocol._insertFunctionStep(self, func, *args, **kwargs)

    def setStepsExecutor(self, executor: Any = None) -> None:
        """Replace the engine's polling thread executor; N step threads mean N steps at a time."""
        if type(executor) is ThreadStepExecutor or (self._on_dask() and self.STEPS_APART and executor is not None):
            count = getattr(executor, "numberOfProcs", 0) + 1
            executor = EventStepExecutor(executor.hostConfig, count, gpuList=executor.gpuList)
            executor.before_step = self._share_threads
        Protocol.setStepsExecutor(self, executor)

    def _run(self) -> None:
        self._share_threads()
        self._started = time.time()
        with ExitStack() as stack:
            self._open_cluster(stack)
            Protocol._run(self)

    def _store(self, *objs: Object) -> None:
        """Store attributes in the run's database; provenance stands before that says that the run has finished."""
        if self._started and self.isFinished():
            codes = read_json(Path(self._getExtraPath(FINGERPRINT)), {}).get("codes")
            write_provenance(self, self._started, time.time(), codes)
            self._started = 0.0
        Protocol._store(self, *objs)

    # --- a cluster ---

    def _on_dask(self) -> bool:
        return self.can_distribute() and self.executor.get() == DASK

    def _open_cluster(self, stack: ExitStack) -> None:
        """Open the cluster that the form asks for, until `stack` ends."""
        self.map_reduce: MapReduce = in_threads
        if not self._on_dask():
            return
        options = self.options(ClusterOptions)
        folder = Path(self._getExtraPath("dask")).absolute()
        client = stack.enter_context(open_cluster(options, self.threads.get(), folder))
        stack.enter_context(beating(Path(self._getLogsPath(PULSE))))
        self.map_reduce = DaskMapReduce(client)
        self._remote, self._done_away = RemoteSteps(client, self), 0
        if self.STEPS_APART:
            self._stepsExecutor.numberOfProcs = count_workers(options, client) * self._remote.together

    def _away(self, name: str, values: list[Any]) -> None:
        """Carry out a step on the cluster and tell how many are done."""
        self._remote(name, values)
        with _progress_lock:
            self._done_away += 1
        total = sum(step.funcName.get() in self.STEPS_APART for step in self._steps)
        self.progress(self._done_away, total)

    def _share_threads(self) -> None:
        """Give the computation of this (step's) thread its share of the processor."""
        from emtomo.compute.device import use_threads

        use_threads(self.threads.get() if self.THREADS else 0, self.numberOfThreads.get())

    def _Protocol__updateDoneSteps(self) -> int:
        """Keep a finished step only if nothing that it depends on has changed.

        The engine compares function name and arguments alone, so that a changed
        parameter, a changed input or a prerequisite that runs again would leave
        old results in place.
        """
        path = Path(self._getExtraPath(FINGERPRINT))
        before = {} if self.runMode == MODE_RESTART else read_json(path, {})
        now = self.fingerprint(before.get("noted"))
        unchanged = bool(before) and self._same(before, now)
        self._prevSteps: list[Any] = []
        done = self._keep_finished_steps() if unchanged else 0
        parts = self.KEEPS_PARTS and bool(before) and (unchanged or self._goes_on_from_a_part())
        codes = codes_after(before.get("codes"), kept=done > 0 or parts, complete=done == len(self._steps))
        write_json(path, {**now, "noted": note(self._read_files()), "codes": codes})
        self._remember(REMARKS[0], size_remarks(self.iterInputAttributes()) + code_remarks(codes), [])
        return done

    def _goes_on_from_a_part(self) -> bool:
        """Return whether the user chose an iteration of this run to go on from, with other parameters."""
        return bool(getattr(self, "continue_from", Integer(0)).get())

    def _keep_finished_steps(self) -> int:
        """Return the number of finished steps that stay: those that need none which runs again."""
        done: int = super()._Protocol__updateDoneSteps()
        for step in self._steps:  # in topological order
            needed = [int(i) for i in step.getPrerequisites()]
            if step.isFinished() and not all(self._steps[i - 1].isFinished() for i in needed):
                step.setStatus(STATUS_NEW)
                step.setPrerequisites(*needed)  # the database gives them back as strings
                done -= 1
        return done

    def getBinThreads(self) -> int:
        """Return the threads of one step; the engine asks every run, and logs an error where there is no answer."""
        return int(self.threads.get() or 1) if self.THREADS else 1

    def fingerprint(self, noted: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the result depends on: parameters, and content of the input files.

        Parameters
        ----------
        noted : dict, optional
            What :func:`~emtomo.engine.identity.note` said of the files: those that are as they were are not read again.
        """
        named = {k: v for k, v in parameters_of(self).items() if k not in HOW_NOT_WHAT}
        inputs = [[file, content_digest(file, noted)] for file in self._input_files()]
        files = {
            name: [[Path(file).name, content_digest(file, noted)] for file in files_in(getattr(self, name).get())]
            for name in self.READS
        }
        return {"parameters": named, "inputs": inputs, "files": files}

    def _input_files(self) -> list[str]:
        """Return the file of every input, empty for one that has none."""
        values = [pointer.get() for _, pointer in self.iterInputAttributes()]
        return [str(v.getFileName() if isinstance(v, Set) else getattr(v, "file", String()).get("")) for v in values]

    def _read_files(self) -> list[str]:
        """Return all files that the result depends on."""
        own = [file for name in self.READS for file in files_in(getattr(self, name).get())]
        return list(dict.fromkeys([*filter(None, self._input_files()), *own]))

    def out_of_date(self) -> bool:
        """Return whether a finished run's parameters or inputs are no longer those that its outputs were made from."""
        path = Path(self._getExtraPath(FINGERPRINT))
        before = read_json(path, {})
        if not self.isFinished() or not before:
            return False
        return not self._same(before, self.fingerprint(before.get("noted")))

    def _same(self, before: dict[str, Any], now: dict[str, Any]) -> bool:
        """Return whether two fingerprints mean the same result, also if one parameter is new and has its default."""
        if not isinstance(before.get("parameters", {}), dict):
            return False
        old = dict(before.get("parameters", {}))
        new = set(now["parameters"]) - set(old)
        if new:
            usual = parameters_of(type(self)())
            old |= {name: usual.get(name) for name in new}
        if old != now["parameters"]:
            return False
        if "noted" not in before:  # an older emtomo went by the files' times
            return bool(before.get("inputs") == [name_time_size(file) for file in self._input_files()])
        return bool(before.get("inputs") == now["inputs"] and before.get("files") == now["files"])

    # --- results ---

    def _register(self, source: Pointer | PointerList | None, **outputs: Object) -> None:
        """Register `outputs` by name and draw them as made from `source`."""
        for output in outputs.values():
            if isinstance(output, Set):
                output.write()
                output.close()
        for name, output in outputs.items():
            self.remark(*remarks_on(name, output))
        self._defineOutputs(**outputs)
        sources = source if isinstance(source, PointerList) else [source] if source is not None else []
        for output in outputs.values():
            for pointer in sources:
                if not pointer.pointsNone():
                    self._defineRelation(RELATION_SOURCE, pointer, output)

    def remark(self, *sentences: str) -> None:
        """Keep sentences for the summary and the report, and write them to the log."""
        if sentences:
            self._remember(REMARKS[1], sentences, read_json(Path(self._getExtraPath(REMARKS[1])), []))

    def _remember(self, file: str, sentences: Sequence[str], old: list[str]) -> None:
        for sentence in sentences:
            log.info(sentence)
        write_json(Path(self._getExtraPath(file)), [*old, *(s for s in sentences if s not in old)], sync=False)

    def forget_remarks(self) -> None:
        """Drop the sentences of an earlier try's steps."""
        Path(self._getExtraPath(REMARKS[1])).unlink(missing_ok=True)

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Tell those who watch how far the run is; not every call is written down."""
        now = time.time()
        if self.elsewhere or (done < total and now - self._progress_written < PROGRESS_SECONDS):
            return
        self._progress_written = now
        path = Path(self._getLogsPath(PROGRESS))
        state = {"done": done, "total": total, "what": what, "time": now, "pid": os.getpid()}
        with _progress_lock:  # steps may run side by side
            write_json(path, state, sync=False)


__all__ = ["PROVENANCE", "EmtomoProtocol"]
