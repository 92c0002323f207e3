"""Run a chain, step after step, or go on with it."""

import time
from collections.abc import Callable, Sequence

from filelock import Timeout
from rich.console import Console

from vbot_train.config.composition import ConfigError
from vbot_train.pipeline.begin import LOCK, Planned, build_example, check_searches, compose_steps, open_state
from vbot_train.pipeline.candidates import keep_default, take_over_best
from vbot_train.pipeline.chain import Chain
from vbot_train.pipeline.command import POLL_S, Commands
from vbot_train.pipeline.conclusion import ONLY_DEFAULT, conclude
from vbot_train.pipeline.lines import build_probe_line, build_training_line, format_line
from vbot_train.pipeline.outcome import describe_best, describe_default, find_outcome, has_reached_goal
from vbot_train.pipeline.plan import TAKE_AWAY_S, Need, build_need, describe_plan, divide, refuse_too_little
from vbot_train.pipeline.schema import Compare, Search, Train
from vbot_train.pipeline.speed import SPEED, estimate_run_s, measure_speed
from vbot_train.pipeline.state import NO_GOAL, NO_TIME, ChainState, StepState
from vbot_train.pipeline.state_writer import StateWriter
from vbot_train.pipeline.step_lines import StepLines
from vbot_train.pipeline.steps import DEFAULT, Step
from vbot_train.pipeline.studies import Studies, has_run_out
from vbot_train.pipeline.take_away import list_commands
from vbot_train.search.naming import find_free_directory
from vbot_train.study.errors import StudyError
from vbot_train.study.timing import HOUR_S, estimate_training_s
from vbot_train.training.locks import create_file_lock, take
from vbot_train.training.result import FILE_NAME, TrialResult


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
        self.studies = Studies(chain)
        self._use(open_state(chain, self.planned, command))

    def run(self) -> None:
        """Run what is left of the chain.

        Raises:
            ConfigError: The budget is too small, or another command runs this chain.
            StudyError: The study of a step cannot be read.
            SystemExit: The chain was stopped, or a step failed.
        """
        lock = create_file_lock(self.chain.directory / LOCK)
        self.chain.directory.mkdir(parents=True, exist_ok=True)
        try:
            take(lock, 0)
        except Timeout:
            raise ConfigError(f"name={self.chain.name}: another command runs this chain") from None
        with lock:
            self._use(open_state(self.chain, self.planned, self.state.command))  # as the last command has left it
            try:
                self._run_steps()
            except (ConfigError, StudyError, OSError):
                self.state.status = "stopped"
                self.writer.save()
                raise

    def show_lines(self) -> None:
        """Check the searches, and show each step's line as far as it is known before the chain begins.

        Raises:
            ConfigError: A line is invalid.
        """
        check_searches(self.chain, self.commands)
        for step in self.chain.steps:
            line = [each for each in build_example(self.chain, step) if not each.startswith("search.dry_run=")]
            self._show("", f"step {step.number} of {len(self.chain.steps)}, {step.name}", format_line(line))

    def _use(self, state: ChainState) -> None:
        self.state, self.writer = state, StateWriter(state, self.chain.directory)
        self.lines = StepLines(self.chain, state, self.studies)

    def _run_steps(self) -> None:
        self._prepare()
        for planned in self.planned:
            if self.state.find(planned.step.name).status in ("waiting", "running"):
                self._run_step(planned)
        self._take_away()
        self._show("", *conclude(self.chain, self.state, self.studies))
        self.state.status = "done"
        self.writer.save()

    # The plan

    def _prepare(self) -> None:
        """Measure the speed with this number of workers, and say how the hours are divided."""
        self.writer.save()
        if self.state.speed is None or self.state.speed.workers != self.chain.workers:
            if not self.state.has_begun:
                check_searches(self.chain, self.commands)
            self._measure_speed()
        if not self.state.has_begun:
            refuse_too_little(self._list_needs(), self._compute_left_s(), self.state.budget_hours)
        self.writer.save()
        self._show_plan()

    def _measure_speed(self) -> None:
        self._show(f"measuring the speed with {self.chain.workers} at a time")
        directory = find_free_directory(
            self.chain.directory / SPEED
        )  # an earlier one had other settings, or was stopped
        self._run_line(build_probe_line(self.chain, directory), self.writer.save_now_and_then)
        self.state.speed = measure_speed(directory, self.chain.workers)
        if self.state.speed is None:
            raise ConfigError(f"name={self.chain.name}: the trainings that measure the speed have failed; see above")

    def _list_needs(self) -> list[Need]:
        """List what the steps to come need."""
        waiting = [each for each in self.planned if self.state.find(each.step.name).status in ("waiting", "running")]
        return [self._build_need(each) for each in waiting]

    def _build_need(self, planned: Planned) -> Need:
        assert self.state.speed is not None
        step, config = planned.step, planned.composed.config
        training_s = estimate_run_s(self.state.speed, config)
        searches = [each for each in self.chain.steps[: step.number - 1] if isinstance(each.stage, Search)]
        trials = step.stage.trials if isinstance(step.stage, Search) else 1 + len(searches)
        return build_need(step, config, training_s, self.chain.workers, trials)

    def _compute_left_s(self) -> float:
        """Compute what is left for the steps to come [s]."""
        return self.writer.compute_left_s() - TAKE_AWAY_S

    def _show_plan(self) -> None:
        needs, left_s = self._list_needs(), self._compute_left_s()
        if needs:
            left_h = max(left_s, 0.0) / HOUR_S
            self._show(
                f"{left_h:.2f} h of {self.state.budget_hours:g} h are left",
                *describe_plan(needs, divide(needs, left_s)),
            )

    # The steps

    def _run_step(self, planned: Planned) -> None:
        step, state = planned.step, self.state.find(planned.step.name)
        self.state.stage, self.state.generation, self.state.trial = step.name, state.generation, None
        if isinstance(step.stage, Train):
            self._train(step, state)
        else:
            self._search(planned, state)
            self._show_plan()
        self.writer.save()

    def _train(self, step: Step, state: StepState) -> None:
        assert isinstance(step.stage, Train)
        directory = self.chain.locate(step)
        before = [each for each in self.chain.steps[: step.number - 1] if isinstance(each.stage, Train)]
        start = self.chain.locate(before[-1]) if step.stage.goes_on else None
        line = build_training_line(self.chain, step, self.lines.find_base(step), start)
        if not (directory / FILE_NAME).exists():
            self._begin(step, state, line)
            self._run_line(line, self.writer.save_now_and_then, state)
        status = TrialResult.load(directory).status
        if status != "completed":
            raise ConfigError(
                f"{directory}: this training is {status}; its result.yaml says why. Remove the folder to repeat it"
            )
        state.status = "done"

    def _search(self, planned: Planned, state: StepState) -> None:
        step, need = planned.step, self._build_need(planned)
        seconds = divide(self._list_needs(), self._compute_left_s())[step.name]
        if state.status == "waiting" and seconds < need.first_s:
            state.status, state.note = "skipped", NO_TIME
            return
        line = self.lines.build(step, state, need, seconds)
        if line is None:
            state.status, state.note = "skipped", ONLY_DEFAULT
            return
        self._wait_for_others(step, state)
        self._begin(step, state, line)
        self._run_line(line, lambda: self._watch(step, state), state, lambda: self._has_run_out(planned))
        self._wait_for_others(step, state)  # the last one to end writes the analysis
        self._end(planned, state)

    def _end(self, planned: Planned, state: StepState) -> None:
        verdict = self.studies.judge(planned.step)
        if verdict.winner is None:
            state.status, state.note = "skipped", f"no trial was completed in {state.budget_hours:.2f} h"
            return
        self._learn_speed(planned)
        if isinstance(planned.step.stage, Search) and not has_reached_goal(verdict):
            state.status, state.note = "skipped", NO_GOAL
            return
        take_over_best(self.chain, planned.step)
        outcome = find_outcome(verdict, DEFAULT) if isinstance(planned.step.stage, Compare) else None
        if outcome is not None and not outcome.takes_over:
            keep_default(self.chain, planned.step)
            self.state.best = state.best = describe_default(verdict, planned.step.name)
        state.status = "done"

    def _begin(self, step: Step, state: StepState, line: Sequence[str]) -> None:
        state.status, state.command = "running", format_line(line)
        self.writer.save()
        self._show("", f"step {step.number} of {len(self.chain.steps)}, {step.name}", state.command)

    def _run_line(
        self,
        line: Sequence[str],
        watch: Callable[[], None],
        state: StepState | None = None,
        may_fail: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run a line.

        Args:
            line: The line's arguments.
            watch: Called now and then while it runs.
            state: State of its step, which counts its hours.
            may_fail: Whether the chain goes on although it has failed.

        Raises:
            SystemExit: It was stopped, or it failed.
        """
        began, before = time.monotonic(), 0.0 if state is None else state.hours

        def tick() -> None:
            if state is not None:
                state.hours = round(before + (time.monotonic() - began) / HOUR_S, 5)
            watch()

        code = self.commands.run(line, tick)
        asked = self.commands.stopped_by is not None
        if asked or (code != 0 and not may_fail()):
            self._stop(code, "stopped" if asked else f"{self.state.stage or SPEED} ended with code {code}")

    def _has_run_out(self, planned: Planned) -> bool:
        assert self.state.speed is not None
        progress, expected_s = (
            self.studies.look(planned.step),
            estimate_run_s(self.state.speed, planned.composed.config),
        )
        return progress is not None and has_run_out(progress, expected_s)

    def _wait_for_others(self, step: Step, state: StepState) -> None:
        """Wait while other processes work on a step's study: two would share the cores, and no one is stopped."""
        if not self.studies.is_worked_on(step):
            return
        self._show(f"{self.chain.name_study(step)}: another process works on this study; waiting for its end")
        while self.studies.is_worked_on(step):
            self._watch(step, state)
            time.sleep(POLL_S)

    def _stop(self, code: int, what: str) -> None:
        self.state.status = "stopped"
        self.writer.save()
        self._show(f"{what}; to go on with the chain: {self.state.command}")
        raise SystemExit(code)

    def _take_away(self) -> None:
        """Measure, export and film the final policy. A file that is missing is a note in the report, no failure."""
        self.state.stage = None
        for name, arguments, path in list_commands(self.chain):
            if not path.exists():
                self._show("", format_line(arguments, name))
                self.commands.run(arguments, self.writer.save_now_and_then, name)
            if self.commands.stopped_by is not None:
                self._stop(128 + self.commands.stopped_by, "stopped")

    # What a step has found so far

    def _watch(self, step: Step, state: StepState) -> None:
        """Record the progress of a search if a trial has begun or ended since the last look."""
        progress = self.studies.look(step)
        if progress is not None:
            ended, total = (sum(getattr(stage, key) for stage in progress.stages) for key in ("ended", "total"))
            if (ended, total) != (state.ended, state.total):
                state.ended, state.total = ended, total
                state.best = describe_best(progress.verdict, step.name)
                self.state.trial = f"{ended} of {total} have ended"
                self.state.best = state.best or self.state.best
                self.writer.save()
        self.writer.save_now_and_then()

    def _learn_speed(self, planned: Planned) -> None:
        """Correct the expected duration of a training by those of a study."""
        progress, speed = self.studies.look(planned.step), self.state.speed
        assert speed is not None
        config = planned.composed.config
        if progress is not None:
            measured_s = estimate_training_s(progress.search.trials, config.training.env_steps)
            if measured_s is not None:
                speed.factor *= measured_s / estimate_run_s(speed, config)

    def _show(self, *lines: str) -> None:
        for line in lines:
            self.console.print(line)
