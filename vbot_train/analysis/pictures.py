"""Write matplotlib figures atomically."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from vbot_train.training.files import write_atomically

DPI = 120


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    content = io.BytesIO()
    figure.savefig(content, dpi=DPI, format="png")
    write_atomically(path, content.getvalue())
