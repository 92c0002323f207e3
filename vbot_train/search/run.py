"""One search, from the composed config to the finished study."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial

from vbot_train.config.checks import check_values
from vbot_train.config.composition import ConfigError, to_plain, with_absolute_paths, with_values
from vbot_train.search.begin_stage import begin_stage, check_unused_seeds, read_other_stages
from vbot_train.search.display import TRIAL, Display
from vbot_train.search.dry_run import announce, describe_dry_run, show
from vbot_train.search.execution.shutdown import ShutdownRequest
from vbot_train.search.execution.trial_process import TrialProcess
from vbot_train.search.execution.trial_queue import TrialQueue
from vbot_train.search.execution.trial_record import record_trial
from vbot_train.search.execution.trial_reporter import QueuedTrial
from vbot_train.search.execution.worker_lock import WorkerLock
from vbot_train.search.execution.worker_pool import HopelessError, WorkerPool
from vbot_train.search.launched import read_typed_arguments
from vbot_train.search.naming import (
    drop_name,
    find_free_directory,
    format_as_argument,
    format_as_override,
    reserve,
    set_name,
)
from vbot_train.search.resume import refuse_other
from vbot_train.search.spec import SearchSpec
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STAGES, TRIALS
from vbot_train.study.opening import begin_study, continue_study, look_into
from vbot_train.study.provenance import read_revision
from vbot_train.study.record import StudyRecord
from vbot_train.study.storage import STORAGE_ERRORS, extract_database_message, quiet_optuna
from vbot_train.study.storage_url import check_storage, hide_password_in_argument
from vbot_train.terminal import detach_from_terminal, name_command

FREE_KEYS = ("max_trials", "confirm", "test", "default")  # of a study's record; continuing the study may change them


def run_search(
    arguments: list[str],
    config: DictConfig,
    context: HydraContext,
    launch: Callable[[Path, int], None] | None = None,
    *,
    trial_module: str,
) -> None:
    """Run a search to its end.

    Args:
        arguments: Overrides of the command line.
        config: The composed config.
        context: Hydra's context.
        launch: Launches a number of workers on the study in a directory; None: one worker in this process.
        trial_module: Module that the process of a trial runs.

    Raises:
        ConfigError: The config is invalid; nothing was trained.
        SystemExit: The search was stopped: 130 by Ctrl-C, 143 by SIGTERM, 1 if no trial was completed.
    """
    quiet_optuna()
    detach_from_terminal()
    stop = ShutdownRequest() if launch is None else None  # launched workers receive signals themselves
    is_default = set_name(config, arguments)
    job = with_absolute_paths(to_plain(config))
    checked = check_values(job)
    storage = check_storage(checked.storage)
    job = with_values(job, {"storage": storage})
    named = Path(config.hydra.sweep.dir)
    is_new = is_default and named.name == checked.study  # hydra.sweep.dir= may name an existing study
    work_out = partial(build_spec, named, arguments, config, job, context, is_new=is_new)
    directory, spec = work_out()
    if checked.search.dry_run:
        record = StudyRecord.read(directory)
        trials = look_into(directory, storage, record)[TRIALS] if record else []
        show([f"study {spec.config.study}, a dry run", *describe_dry_run(spec, trials, directory.parent)])
        return
    with print_errors_in_one_line():
        while (is_new or directory != named) and not reserve(directory):  # another search just took the name
            directory, spec = work_out()
        search = Search(spec, directory, config.hydra, trial_module)
        if stop is not None:
            search.run(stop)
        elif launch is not None:
            search.open()
            launch(directory, spec.workers)


def build_spec(
    named: Path, arguments: list[str], config: DictConfig, job: dict[str, Any], context: HydraContext, *, is_new: bool
) -> tuple[Path, SearchSpec]:
    """Build the search's specification and choose the directory, a free one for a new study. Writes nothing.

    Raises:
        ConfigError: The specification is invalid, or that of the existing study differs.
    """
    directory = find_free_directory(named) if is_new else named
    study = directory.name if is_new else config.study
    job = with_values(job, {"study": study})
    earlier = StudyRecord.read(directory)
    arguments = [*drop_name(arguments), format_as_override(study)]
    spec = SearchSpec(arguments, config, job, context, earlier)
    if earlier is not None:
        refuse_other(directory, earlier, spec.record())
    return directory, spec


class Search:
    """One worker of a search.

    Args:
        spec: The search's specification.
        directory: The study's directory.
        hydra_node: Hydra's own config, for the record of each trial.
        trial_module: Module that the process of a trial runs.
    """

    def __init__(self, spec: SearchSpec, directory: Path, hydra_node: DictConfig, trial_module: str) -> None:
        self.trial_module = trial_module
        self.spec = spec
        self.directory = directory
        self.hydra_record = OmegaConf.create({"hydra": OmegaConf.to_container(hydra_node, resolve=False)})
        self.worker_lock = WorkerLock(directory)
        self.worked: list[tuple[str, TrialQueue, int]] = []  # stages begun: name, queue, total trainings

    def run(self, stop: ShutdownRequest) -> None:
        """Open the study, run its trials and its later stages, and release it.

        Args:
            stop: Tells whether the search was asked to stop.

        Raises:
            ConfigError: No feasible point was found, or the study differs from the specification.
            StudyError: The study cannot be opened.
            SystemExit: As in ``run_search``.
        """
        early_end: HopelessError | ConfigError | StudyError | None = None
        with self.worker_lock:
            study = self.open()
            queue = self._build_queue(study, read_other_stages(self.spec, self.directory, self.worker_lock))
            try:
                with stop.stop_gently():
                    self._run_trials(queue, stop, self.spec.trials)
                    for stage in STAGES:
                        self._run_stage(stage, stop)
            except (HopelessError, ConfigError, StudyError) as error:  # finished trials are analysed all the same
                early_end = error
            self._finish(stop, hopeless=early_end is not None)
        if isinstance(early_end, HopelessError):
            raise SystemExit(str(early_end))
        if early_end is not None:
            raise early_end
        if stop.number is not None:
            raise SystemExit(128 + stop.number)
        if not queue.has_completed():
            what = f"no trial was completed with a value of {self.spec.metric}"
            raise SystemExit(f"study={study.study_name}: {what}; each trial's result.yaml says why")

    def open(self) -> optuna.Study:
        """Begin the study, or continue it if it exists; the first of several workers begins it."""
        spec, storage, now = self.spec, self.spec.config.storage, self.spec.record()
        with self.worker_lock.hold():
            record = StudyRecord.read(self.directory)
            if record is not None:
                refuse_other(self.directory, record, now)
                free = {"search.enqueue": spec.config.search.enqueue, "search.within": spec.config.search.within}
                config = with_values(record.config, free)
                record = replace(record, config=config, **{key: getattr(now, key) for key in FREE_KEYS})
                check_unused_seeds(spec, self.directory)
                study = continue_study(self.directory, storage, record, self._enqueue)
            else:
                infeasible = spec.survey.broken if spec.grid else {}
                study = begin_study(self.directory, storage, now, infeasible, self._enqueue)
        begun = "goes on" if record else "begins"
        if record and record.revision != read_revision():
            then = record.revision
            show([f"  warning: begun with other code ({then}, now {read_revision()}); trials may not compare"])
        workers = f"{spec.workers} worker" + ("s" if spec.workers > 1 else "")
        show([f"study {study.study_name} {begun} in {self.directory}: {spec.how_many}, {workers}"])
        show(announce(spec))
        return study

    def _enqueue(self, study: optuna.Study) -> None:
        self._build_queue(study).enqueue(self.spec.points)

    def _build_queue(self, study: optuna.Study, elsewhere: Sequence[FrozenTrial] = ()) -> TrialQueue:
        spec = self.spec
        return TrialQueue(
            study,
            self.directory / TRIALS,
            self.worker_lock,
            spec.space,
            spec.build_proposals(),
            config=spec.config,
            total=spec.trials,
            workers=spec.workers,
            stages=spec.plan,
            elsewhere=elsewhere,
        )

    def _run_stage(self, stage: str, stop: ShutdownRequest) -> None:
        """Run a later stage, unless the search was asked to stop."""
        if stop.number is not None:
            return
        begun = begin_stage(stage, self.spec, self.directory, self.worker_lock)
        if begun is not None:
            queue, trainings = begun
            done = f", {there} are done" if (there := queue.count_done()) else ""
            show([f"{stage}: {trainings} trainings{done}"])
            self._run_trials(queue, stop, trainings, stage)

    def _run_trials(self, queue: TrialQueue, stop: ShutdownRequest, total: int, stage: str = TRIAL) -> None:
        spec = self.spec
        self.worked.append((stage, queue, total))
        hours = spec.config.budget_hours
        with Display(spec.metric, total, hours, stage) as display:
            display.show_total(queue.count_done(), queue.find_best())
            pool = WorkerPool(
                queue,
                metric=spec.metric,
                workers=spec.workers,
                stop=stop,
                record=self._record_trial,
                display=display,
                start_process=partial(TrialProcess, module=self.trial_module),
            )
            pool.run()

    def _record_trial(self, queued: QueuedTrial) -> None:
        record_trial(queued.directory, queued.trial.number, queued.candidate, self.hydra_record)

    def _finish(self, stop: ShutdownRequest, *, hopeless: bool) -> None:
        """Let the callback write the analysis if this is the last worker, and print how to continue."""
        spec, callback = self.spec, self.spec.callback
        if others := self.worker_lock.leave():
            callback.closing_message = (
                f"{len(others)} more at work on this study; the last to finish writes the analysis"
            )
            if stop.number is not None:
                callback.closing_message += f"; to go on here: {self._format_resume_line()}"
            return
        for stage, queue, _ in self.worked:
            for number in queue.list_given_up():
                show([f"{stage} {number} was killed twice without a new state in between, and is given up"])
        callback.study_dir, callback.storage = self.directory, spec.config.storage
        ended = ", ".join(self._describe_progress())
        queue = self.worked[0][1]
        if stop.number is not None:
            callback.closing_message = f"stopped, {ended}; to go on: {self._format_resume_line()}"
        elif any(queue.out_of_time for _, queue, _ in self.worked):
            hours, line = spec.config.budget_hours, self._format_resume_line()
            callback.closing_message = f"budget_hours={hours} is spent, {ended}; with a larger one this goes on: {line}"
        elif queue.count_done() < spec.trials and not hopeless:
            callback.closing_message = f"{ended}: nothing else is left to try in this space"

    def _describe_progress(self) -> Iterator[str]:
        """Yield how many trials of each stage have ended."""
        for stage, queue, total in self.worked:
            what = "trials have ended" if stage == TRIAL else f"trainings to {stage}"
            counts = queue.count()
            held = f", {len(counts.paused)} are paused" if counts.paused else ""
            yield f"{counts.ended} of {total} {what}{held}"

    def _format_resume_line(self) -> str:
        """Return the command line that continues this search."""
        kept = drop_name(map(hide_password_in_argument, read_typed_arguments()))
        return f"{name_command()} {shlex.join([*kept, format_as_argument(self.spec.config.study)])}"


@contextmanager
def print_errors_in_one_line() -> Iterator[None]:
    """Report a full disk or a lost database in one line. The study keeps what was written."""
    try:
        yield
    except ConfigError:
        raise
    except STORAGE_ERRORS as error:
        raise SystemExit(f"storage: {extract_database_message(error)}; what was written before is kept") from error
    except OSError as error:
        raise SystemExit(f"{error}; what was written before is kept") from error
