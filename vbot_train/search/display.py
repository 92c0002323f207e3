"""Progress display of a search: a live line per trial, the best value, trials done of all, time left."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as EtaColumn

from vbot_train.analysis.ranking import format_params
from vbot_train.search.space.space import Candidate
from vbot_train.training.result import TrialResult

DAY_S = 86_400.0
TRIAL = "trial"


class Display:
    """Progress display of a search. Without a terminal, it prints one line per finished trial.

    Args:
        metric: Metric that the search optimizes.
        total: Number of trials at which the search ends.
        budget_hours: Wall-clock budget of the study [h], None without a limit.
        stage: Shown in each line: ``trial`` during the search, ``confirm`` or ``test`` in a later stage.
    """

    def __init__(
        self,
        metric: str,
        total: int,
        budget_hours: float | None,
        stage: str = TRIAL,
    ) -> None:
        self._stage = stage
        self._metric = metric
        self._budget_hours = budget_hours
        self._total = total
        self._console = Console()
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
        self._progress = Progress(
            *columns,
            *(TimeElapsedColumn(), EtaColumn(elapsed_when_finished=False)),
            console=self._console,
            speed_estimate_period=DAY_S,  # trials end minutes apart, so average over all of them
            disable=not self._console.is_terminal,
        )
        self._all = self._progress.add_task(stage, total=total)
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def start(self, number: int, candidate: Candidate) -> None:
        """Show a trial that has begun."""
        self._tasks[number] = self._progress.add_task(
            f"{self._stage} {number}  {format_params(candidate.params)}",
            total=candidate.validate().training.env_steps,
            start=True,
        )

    def update(self, number: int, env_steps: int) -> None:
        """Update the env steps of a running trial."""
        self._progress.update(self._tasks[number], completed=env_steps)

    def put_back(self, number: int, env_steps: int, state_env_steps: int) -> None:
        """Report that a trial was interrupted at ``env_steps`` env steps, and the step from which it will go on."""
        self._progress.remove_task(self._tasks.pop(number))
        text = f"interrupted at {env_steps:,} env steps, to be continued from {state_env_steps:,}"
        self._console.print(f"{self._stage} {number:>3}  {text}", highlight=False)

    def pause(self, number: int, env_steps: int) -> None:
        """Report that a trial waits at a rung, which it has reached after ``env_steps`` env steps."""
        self._progress.remove_task(self._tasks.pop(number))
        self._console.print(f"{self._stage} {number:>3}  paused at {env_steps:,} env steps", highlight=False)

    def forecast(self, fit: int | None) -> None:
        """Print how many trials will fit into the budget; nothing if ``fit`` is None."""
        if fit is not None:
            fitting = f"{fit} of {self._total} trials will fit into {self._budget_hours:g} h"
            self._console.print(fitting, highlight=False)

    def report_stopping(self, running: int) -> None:
        """Report that a stop was requested while ``running`` trials run."""
        trials = f"{running} running trial" + ("s" if running > 1 else "")
        self._console.print(f"stopping {trials}; Ctrl-C again ends at once", highlight=False)

    def finish(self, number: int, candidate: Candidate, result: TrialResult, value: float | None) -> None:
        """Report an ended trial; ``value`` is None if it cannot be ranked."""
        self._progress.remove_task(self._tasks.pop(number))
        score = result.cause if value is None else f"{self._metric} {value:.4g}"
        success = result.metrics.get("success_rate")
        outcome = f"{result.status}  {score}" + ("" if success is None else f", success {success:.1%}")
        self._console.print(
            f"{self._stage} {number:>3}  {outcome}  {result.wall_time_s:.0f} s  {format_params(candidate.params)}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )

    def show_total(self, done: int, best: tuple[float, int] | None) -> None:
        """Show how many trials have ended, and the best configuration: its value and its first trial's number."""
        text = f", best {best[0]:.4g} (trial {best[1]})" if best is not None and self._stage == TRIAL else ""
        self._progress.update(self._all, completed=done, description=f"{self._stage}{text}")
