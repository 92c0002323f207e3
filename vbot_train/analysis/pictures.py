"""Write a matplotlib figure, whole or not at all."""

import os
from pathlib import Path

from matplotlib.figure import Figure

DPI = 120


def save(figure: Figure, path: Path) -> None:
    """Write a figure by way of a temporary file, so that no reader ever sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        figure.savefig(temporary, dpi=DPI, format="png")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
