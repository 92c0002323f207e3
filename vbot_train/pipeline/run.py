"""Run a chain, step after step, or go on with it."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import Timeout
from rich.console import Console

from vbot_train.analysis.verdict import Verdict
from vbot_train.config.composition import ConfigError
from vbot_train.pipeline.begin import LOCK, Planned, check_searches, compose_steps, open_state
from vbot_train.pipeline.candidates import locate_best, write_candidates
from vbot_train.pipeline.chain import Chain
from vbot_train.pipeline.command import Commands
from vbot_train.pipeline.lines import (
    SPEED,
    build_comparison_line,
    build_probe_line,
    build_search_line,
    build_training_line,
    format_line,
)
from vbot_train.pipeline.outcome import Outcome, describe_best, find_outcome
from vbot_train.pipeline.plan import COMMAND_S, Need, build_need, describe_plan, divide, refuse_too_little
from vbot_train.pipeline.report import list_difference_rows, write_chain_report
from vbot_train.pipeline.schema import Compare, Search, Train
from vbot_train.pipeline.speed import estimate_training_s, measure_speed
from vbot_train.pipeline.state import StepState
from vbot_train.pipeline.steps import DEFAULT, Step
from vbot_train.pipeline.take_away import find_final, list_commands, list_missing
from vbot_train.search.spec import AROUND_TOP
from vbot_train.status.observer import Observer, Progress
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STUDY_YAML
from vbot_train.study.loading import load_study
from vbot_train.study.timing import HOUR_S, compute_spent_s
from vbot_train.study.timing import estimate_training_s as measure_training_s
from vbot_train.training.locks import create_file_lock, take
from vbot_train.training.result import FILE_NAME

ONLY_DEFAULT = "no search found anything but the default"
SAVE_S = 10.0  # the state is written at least so often: what a kill loses of the hours used


class ChainRun:
    """A run of a chain.

    Args:
        chain: The chain.
        command: The line that goes on with it.
        commands: Runs the steps' lines.
    """

    def __init__(self, chain: Chain, command: str, commands: Commands) -> None:
        self.chain = chain
        self.commands = commands
        self.console = Console(highlight=False, soft_wrap=True, markup=False)
        self.planned = compose_steps(chain)
        self.state = open_state(chain, self.planned, command)
        self._observers: dict[Path, Observer] = {}  # kept, as each keeps its database open
        self._hours_before = self.state.hours_used
        self._started = self._saved = time.monotonic()

    def run(self) -> None:
        """Run what is left of the chain.

        Raises:
            ConfigError: The budget is too small, or another command runs this chain.
            SystemExit: The chain was stopped, or a step failed.
        """
        lock = create_file_lock(self.chain.directory / LOCK)
        self.chain.directory.mkdir(parents=True, exist_ok=True)
        try:
            take(lock, 0)
        except Timeout:
            raise ConfigError(f"name={self.chain.name}: another command runs this chain") from None
        with lock:
            self.state = open_state(self.chain, self.planned, self.state.command)  # as the last command has left it
            self._hours_before = self.state.hours_used
            self._prepare()
            for planned in self.planned:
                if self.state.find(planned.step.name).status in ("waiting", "running"):
                    self._run_step(planned)
            self._take_away()
            self.state.status, self.state.stage = "done", None
            self._save()
            self._conclude()

    # The plan

    def _prepare(self) -> None:
        """Measure the speed, once for the chain, and say how the hours are divided."""
        self._save()
        if self.state.speed is None:
            check_searches(self.chain, self.commands)
            self._show(f"measuring the speed with {self.chain.workers} at a time")
            self._run_line(build_probe_line(self.chain), self._save_now_and_then)
            self.state.speed = measure_speed(self.chain.directory / SPEED)
            if self.state.speed is None:
                raise ConfigError(
                    f"name={self.chain.name}: the trainings that measure the speed have failed; see above"
                )
        needs = self._list_needs()
        if not self.state.has_begun:
            refuse_too_little(needs, self._compute_left_s(), self.state.budget_hours)
        self._save()
        self._show(*self._describe_plan(needs))

    def _list_needs(self) -> list[Need]:
        """List what the steps to come need."""
        waiting = [each for each in self.planned if self.state.find(each.step.name).status in ("waiting", "running")]
        return [self._build_need(each) for each in waiting]

    def _build_need(self, planned: Planned) -> Need:
        assert self.state.speed is not None
        step, config = planned.step, planned.composed.config
        training_s = estimate_training_s(self.state.speed, config, config.training.env_steps)
        searches = [each for each in self.chain.steps[: step.number - 1] if isinstance(each.stage, Search)]
        trials = step.stage.trials if isinstance(step.stage, Search) else 1 + len(searches)
        return build_need(step, config, training_s, self.chain.workers, trials)

    def _describe_plan(self, needs: Sequence[Need]) -> list[str]:
        hours, left = self.state.budget_hours, self._compute_left_s() / HOUR_S
        return [f"{left:.2f} h of {hours:g} h are left", *describe_plan(needs, divide(needs, self._compute_left_s()))]

    # The steps

    def _run_step(self, planned: Planned) -> None:
        step, state = planned.step, self.state.find(planned.step.name)
        self.state.stage, self.state.generation, self.state.trial = step.name, state.generation, None
        if isinstance(step.stage, Train):
            self._train(step, state)
        else:
            self._search(planned, state)
        self._save()

    def _train(self, step: Step, state: StepState) -> None:
        before = [each for each in self.chain.steps[: step.number - 1] if isinstance(each.stage, Train)]
        assert isinstance(step.stage, Train)
        start = self.chain.locate(before[-1]) if step.stage.goes_on and before else None
        line = build_training_line(self.chain, step, self._find_base(step), start)
        if not (self.chain.locate(step) / FILE_NAME).exists():
            self._begin(step, state, line)
            self._run_line(line, self._save_now_and_then, state)
        state.status = "done"

    def _search(self, planned: Planned, state: StepState) -> None:
        step, seconds = planned.step, divide(self._list_needs(), self._compute_left_s())[planned.step.name]
        if state.status == "waiting" and seconds < self._build_need(planned).first_s:
            state.status, state.note = "skipped", "no time was left"
            return
        hours = self._allot_hours(step, seconds)
        if isinstance(step.stage, Compare):
            recipes = write_candidates(self.chain, self.chain.steps[: step.number - 1])
            if recipes == [DEFAULT]:
                state.status, state.note = "skipped", ONLY_DEFAULT
                return
            line = build_comparison_line(self.chain, step, recipes, hours)
        else:
            line = build_search_line(self.chain, step, self._find_base(step), hours, self._count_taken_over(step))
        self._begin(step, state, line)
        state.budget_hours = hours
        self._run_line(line, lambda: self._watch(step, state), state)
        state.status = "done"
        self._learn_speed(planned)

    def _allot_hours(self, step: Step, seconds: float) -> float:
        """Return the hours that a search may train, over all its resumes, for it to take so many seconds from now."""
        progress = self._look(step)
        spent_s = 0.0 if progress is None else compute_spent_s(progress.trials, progress.now)
        return (spent_s + max(seconds - COMMAND_S, 1.0)) / HOUR_S

    def _find_base(self, step: Step) -> Path | None:
        """Return the folder with the best recipe so far; None: the default is the best so far."""
        earlier = reversed(self.chain.steps[: step.number - 1])
        return next((found for each in earlier if (found := locate_best(self.chain, each)) is not None), None)

    def _count_taken_over(self, step: Step) -> int:
        """Count the configurations that a search takes over from the one around which it searches."""
        if step.around is None:
            return 0
        study = load_study(self.chain.locate(self.chain.find(step.around)))
        return len(Verdict(study, study.record.metric).best_first[:AROUND_TOP])

    def _begin(self, step: Step, state: StepState, line: Sequence[str]) -> None:
        state.status, state.command = "running", format_line(line)
        self._save()
        self._show("", f"step {step.number} of {len(self.chain.steps)}, {step.name}", state.command)

    def _run_line(self, line: Sequence[str], watch: Callable[[], None], state: StepState | None = None) -> None:
        """Run a line.

        Raises:
            SystemExit: It was stopped, or it failed.
        """
        began, before = time.monotonic(), 0.0 if state is None else state.hours

        def tick() -> None:
            if state is not None:
                state.hours = round(before + (time.monotonic() - began) / HOUR_S, 5)
            watch()

        code = self.commands.run(line, tick)
        if code != 0:
            asked = self.commands.stopped_by is not None
            self._stop(code, "stopped" if asked else f"{self.state.stage or SPEED} ended with code {code}")

    def _stop(self, code: int, what: str) -> None:
        self.state.status = "stopped"
        self._save()
        self._show(f"{what}; to go on with the chain: {self.state.command}")
        raise SystemExit(code)

    # The end

    def _take_away(self) -> None:
        """Measure, export and film the final policy. A file that is missing is a note in the report, no failure."""
        self.state.stage = None
        for name, arguments, path in list_commands(self.chain):
            if not path.exists():
                self._show("", format_line(arguments, name))
                self.commands.run(arguments, self._save_now_and_then, name)
            if self.commands.stopped_by is not None:
                self._stop(128 + self.commands.stopped_by, "stopped")

    def _conclude(self) -> None:
        """Write the report, and print the answer."""
        outcome = self._find_outcome()
        notes = list(list_missing(self.chain))
        report = write_chain_report(self.chain, self.state, outcome, notes)
        answer = [] if outcome is None else [outcome.sentence]
        rows = [] if outcome is None else list(list_difference_rows(outcome))
        table = [f"  {row['metric']:<22} {row['default']} -> {row['ours']}, {row['difference']}" for row in rows]
        self._show("", *answer, *table, *notes, f"report: {report}")
        if (final := find_final(self.chain)) is not None:
            self._show(f"the policy: {final}")

    def _find_outcome(self) -> Outcome | None:
        """Return the outcome of the chain's last comparison; None without one."""
        compared = [step for step in self.chain.steps if isinstance(step.stage, Compare)]
        if not compared:
            return None
        state = self.state.find(compared[-1].name)
        if state.note == ONLY_DEFAULT:
            return Outcome(DEFAULT, True, [], None)
        if state.status == "skipped":
            return None
        study = load_study(self.chain.locate(compared[-1]), self.chain.config.storage)
        return find_outcome(Verdict(study, study.record.metric), DEFAULT)

    # What a step has found so far

    def _watch(self, step: Step, state: StepState) -> None:
        """Record the progress of a search if a trial has begun or ended since the last look."""
        progress = self._look(step)
        if progress is not None:
            ended, total = (sum(getattr(stage, key) for stage in progress.stages) for key in ("ended", "total"))
            if (ended, total) != (state.ended, state.total):
                state.ended, state.total = ended, total
                state.best = describe_best(progress.verdict, step.name)
                self.state.trial = f"{ended} of {total} have ended"
                self.state.best = state.best or self.state.best
                self._save()
        self._save_now_and_then()

    def _look(self, step: Step) -> Progress | None:
        """Return a study's progress; None where it has not begun, or cannot be read now."""
        directory = self.chain.locate(step)
        if not (directory / STUDY_YAML).exists():
            return None
        with suppress(StudyError, ConfigError):  # the search writes it at this moment
            return self._observers.setdefault(directory, Observer(directory, self.chain.config.storage)).look()
        return None

    def _learn_speed(self, planned: Planned) -> None:
        """Correct the expected duration of a training by those of a study."""
        progress, speed = self._look(planned.step), self.state.speed
        assert speed is not None
        config = planned.composed.config
        if progress is not None:
            measured_s = measure_training_s(progress.search.trials, config.training.env_steps)
            if measured_s is not None:
                speed.factor *= measured_s / estimate_training_s(speed, config, config.training.env_steps)

    # The state

    def _compute_left_s(self) -> float:
        return self.state.budget_hours * HOUR_S - self._compute_used_s()

    def _compute_used_s(self) -> float:
        return self._hours_before * HOUR_S + time.monotonic() - self._started

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved >= SAVE_S:
            self._save()

    def _save(self) -> None:
        used_s = self._compute_used_s()
        self.state.hours_used = round(used_s / HOUR_S, 5)
        self.state.hours_left = round(max(self.state.budget_hours - used_s / HOUR_S, 0.0), 5)
        self.state.write(self.chain.directory)
        self._saved = time.monotonic()

    def _show(self, *lines: str) -> None:
        for line in lines:
            self.console.print(line)
