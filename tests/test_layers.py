"""The import direction of docs/design.md: a module imports only from rows above its own."""

from __future__ import annotations

import ast
from pathlib import Path

import ragwatch

PACKAGE = Path(__file__).parent.parent / "ragwatch"
ROWS = (
    ("__init__",),
    ("errors",),
    ("semconv",),
    ("error_class",),
    ("catalogue",),
    ("catalogue_kpis",),
    ("record",),
    ("config",),
    ("resilience",),
    ("adapters",),
    ("kpi",),
    ("conventions",),
    ("assembly",),
    ("sdk", "agent"),
    ("processing",),
    ("patterns",),
    ("monitoring",),
    ("codegen",),
    ("demo",),
    ("target",),
    ("bench", "explore"),
    ("cli",),
)
ROW_OF = {name: index for index, row in enumerate(ROWS) for name in row}
MAX_LINES = 400


def imports_of(path: Path) -> set[str]:
    """The parts of ragwatch that a file imports, wherever in it the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
            if node.module == "ragwatch":
                names = [f"ragwatch.{alias.name}" for alias in node.names]
        for name in names:
            head, _, rest = name.partition(".")
            if head == "ragwatch":
                part = rest.split(".")[0]
                found.add(part if part in ROW_OF else "__init__")
    return found


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def violations(files: dict[Path, set[str]]) -> list[str]:
    """Imports that go up the page, or between the SDK and the agent."""
    found = []
    for path, targets in files.items():
        part = part_of(path)
        for target in sorted(targets - {part}):
            if part == "__init__" or target == "__init__":
                continue  # the front door: lazy names and the version
            if ROW_OF[target] >= ROW_OF[part]:
                found.append(f"{path.relative_to(PACKAGE)} imports ragwatch.{target}")
    return found


def all_files() -> dict[Path, set[str]]:
    return {path: imports_of(path) for path in sorted(PACKAGE.rglob("*.py"))}


def test_every_part_has_a_row() -> None:
    parts = {part_of(path) for path in PACKAGE.rglob("*.py")}
    assert parts <= set(ROW_OF), f"give {parts - set(ROW_OF)} a row in docs/design.md and here"


def test_imports_go_down_the_page_only() -> None:
    assert violations(all_files()) == []


def test_the_rule_catches_an_import_that_goes_up() -> None:
    planted = {PACKAGE / "record.py": {"kpi"}, PACKAGE / "agent" / "app.py": {"sdk"}}
    assert len(violations(planted)) == 2


def test_files_stay_small() -> None:
    long = [
        f"{path.relative_to(PACKAGE)}: {lines}"
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    ]
    assert long == []


def test_no_package_hides_a_public_name() -> None:
    parts = {part_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert parts & set(ragwatch.__all__) == set(), "importing the package would replace the name in ragwatch"
