"""The installed standard library, parsed: its modules, and under which public module each name is known.

Nothing is imported. A name is filed where people look for it: what a package's ``__init__`` takes from its own
submodules, and what a private module keeps for a public one, is known under the public name (``asyncio.gather``).
"""

from __future__ import annotations

import ast
import gc
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

# Tests, bundled tools and data; ``ntpath`` is the twin of ``posixpath`` and would answer everything twice.
SKIPPED = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "idle_test", "turtledemo", "_bundled", "this", "antigravity", "ntpath"}
    | {"site-packages", "dist-packages", "lib-dynload", "pydoc_data", "__phello__", "__hello__", "__pycache__"}
)
# Where a module's names are known under another one's.
KNOWN_AS = {
    "posixpath": "os.path",
    "genericpath": "os.path",
    "_collections_abc": "collections.abc",
    "_pydecimal": "decimal",
    "_pydatetime": "datetime",
    "_pyio": "io",
    "sre_constants": "re",
}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Module(NamedTuple):
    """A parsed source file: ``name`` dotted, ``path`` relative to the library, ``imports`` those of all its scopes.

    Function bodies are cut down to their docstrings: they are most of a tree, and nobody reads them here.
    """

    name: str
    path: str
    tree: ast.Module
    lines: list[str]
    is_package: bool
    imports: list[ast.ImportFrom]


class Library(NamedTuple):
    """The modules by name, and (defining module, name) → the public module under which the name is known."""

    modules: dict[str, Module]
    homes: dict[tuple[str, str], str]


def library() -> Path:
    """The directory of the installed standard library."""
    return Path(sysconfig.get_path("stdlib"))


def sources(root: Path) -> list[Path]:
    """The source files to read below ``root``, in a stable order."""
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if not SKIPPED.intersection(parts) and not parts[0].startswith("config-"):
            found.append(path)
    return found


def parse_library(root: Path | None = None) -> Library:
    """Parse the installed library, or the one below ``root``; a damaged file is left out."""
    root = root or library()
    collecting = gc.isenabled()
    gc.disable()  # millions of objects live for a moment and hold no cycle: 3.5 s with the collector, 1.6 without
    try:
        modules = {module.name: module for path in sources(root) if (module := _parse(path, root))}
    finally:
        if collecting:
            gc.enable()
    _lend_docstrings(modules)
    return Library(modules, _homes(modules))


def _parse(path: Path, root: Path) -> Module | None:
    relative = path.relative_to(root)
    parts = list(relative.with_suffix("").parts)
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    try:
        with tokenize.open(path) as file:
            text = file.read()
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return None  # a damaged file of the installation is no reason to have no demo
    imports = _imports_of(tree.body)
    return Module(name, relative.as_posix(), tree, text.splitlines(), is_package, imports)


def _imports_of(body: Iterable[ast.AST]) -> list[ast.ImportFrom]:
    """The ``from … import`` statements in a body and below; the bodies of functions are cut on the way."""
    found: list[ast.ImportFrom] = []
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom):
            found.append(node)
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, name, None)
            if isinstance(inner, list):  # the body of a lambda is an expression
                waiting.extend(inner)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = node.body[:1]
    return sorted(found, key=lambda node: node.lineno)


def _homes(modules: dict[str, Module]) -> dict[tuple[str, str], str]:
    """(defining module, name) → the public module under which the name is known."""
    homes: dict[tuple[str, str], str] = {}
    for module in modules.values():
        if is_private(module.name):
            continue
        for node in module.imports:
            source = absolute(node, module)
            own_part = module.is_package and source.startswith(module.name + ".")
            if source not in modules or not (own_part or is_private(source)):
                continue
            wanted = [alias.name for alias in node.names]
            names = _public_names(modules[source]) if wanted == ["*"] else wanted
            for name in names:
                homes.setdefault((source, name), module.name)
    return homes


def _lend_docstrings(modules: dict[str, Module]) -> None:
    """Give a function the docstring that its module assigns: ``splitext.__doc__ = genericpath._splitext.__doc__``."""
    for module in modules.values():
        for node in module.tree.body:
            if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute)):
                continue
            borrower, _, attribute = ast.unparse(node.targets[0]).rpartition(".")
            lender_path, _, lent = ast.unparse(node.value).rpartition(".")
            if attribute != "__doc__" or lent != "__doc__":
                continue
            owner, _, lender = lender_path.rpartition(".")
            source = modules.get(_imported_as(module, owner))
            text = _docstring_of(source, lender) if source else ""
            for target in definitions(module.tree.body):
                if target.name == borrower and text and not ast.get_docstring(target):
                    target.body.insert(0, ast.Expr(ast.Constant(text)))


def _imported_as(module: Module, alias: str) -> str:
    for node in module.tree.body:
        if isinstance(node, ast.Import):
            for name in node.names:
                if (name.asname or name.name) == alias:
                    return name.name
    return alias


def _docstring_of(module: Module, name: str) -> str:
    found = next((node for node in definitions(module.tree.body) if node.name == name), None)
    return ast.get_docstring(found) or "" if found else ""


def absolute(node: ast.ImportFrom, module: Module) -> str:
    """The full name of the module that an import takes from."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    base = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def _public_names(module: Module) -> list[str]:
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            try:
                return list(ast.literal_eval(node.value))
            except ValueError:
                break
    return [node.name for node in module.tree.body if isinstance(node, Definition) and not node.name.startswith("_")]


def is_private(name: str) -> bool:
    """Whether a part of a dotted name begins with an underscore.

    >>> is_private("concurrent.futures._base"), is_private("os.path"), is_private("__future__")
    (True, False, False)
    """
    return any(part.startswith("_") and not part.endswith("__") for part in name.split("."))


def definitions(body: list[ast.stmt]) -> Iterator[Definition]:
    """Functions and classes of a body."""
    return (node for node in statements(body) if isinstance(node, Definition))


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, those under ``if`` and ``try`` too."""
    for node in body:
        if isinstance(node, ast.If):
            yield from statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from statements([*node.body, *(s for handler in node.handlers for s in handler.body)])
            yield from statements([*node.orelse, *node.finalbody])
        else:
            yield node
