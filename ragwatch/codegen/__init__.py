"""Files that derive from the catalogue: one function a file; ``write`` writes them, ``stale`` says which differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ragwatch.codegen.metrics_page import metrics_page

FILES: dict[str, Callable[[], str]] = {"docs/metrics.md": metrics_page}
"""Path in the checkout → what it should hold."""


def write(root: Path) -> list[Path]:
    """Write every file whose content differs; the paths written."""
    paths = stale(root)
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILES[path.relative_to(root).as_posix()](), encoding="utf-8")
    return paths


def stale(root: Path) -> list[Path]:
    """The files that are missing or hold something else."""
    return [
        root / name
        for name, make in FILES.items()
        if not (root / name).is_file() or (root / name).read_text(encoding="utf-8") != make()
    ]
