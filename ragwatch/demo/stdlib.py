"""The installed standard library as documents, read from its sources with ``ast``: no module is imported.

A name is filed where people look for it: what a package's ``__init__`` takes from its own submodules, and what a
private module keeps for a public one, is known under the public name (``asyncio.gather``, ``concurrent.futures.wait``).
"""

from __future__ import annotations

import ast
import inspect
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ragwatch.demo.document import Document, merged

# Tests, bundled tools and data; ``ntpath`` is the twin of ``posixpath`` and would answer everything twice.
SKIPPED = frozenset(
    "test tests idlelib lib2to3 idle_test site-packages dist-packages pydoc_data turtledemo lib-dynload __pycache__ "
    "ntpath this antigravity __phello__ __hello__ _bundled".split()
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
    """A parsed source file: ``name`` dotted, ``path`` relative to the library."""

    name: str
    path: str
    tree: ast.Module
    lines: list[str]
    is_package: bool


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


def stdlib_documents(root: Path | None = None) -> list[Document]:
    """Every public module, class, function and method that says something about itself."""
    root = root or library()
    modules = {module.name: module for path in sources(root) if (module := _parse(path, root))}
    _lend_docstrings(modules)
    homes = _homes(modules)
    found: list[Document] = []
    for module in modules.values():
        found.extend(_module_documents(module, homes))
    return merged(found)


def _parse(path: Path, root: Path) -> Module | None:
    relative = path.relative_to(root)
    parts = list(relative.with_suffix("").parts)
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    try:
        with tokenize.open(path) as file:
            text = file.read()
        return Module(name, relative.as_posix(), ast.parse(text), text.splitlines(), is_package)
    except (OSError, SyntaxError, ValueError):
        return None  # a damaged file of the installation is no reason to have no demo


def _homes(modules: dict[str, Module]) -> dict[tuple[str, str], str]:
    """(defining module, name) → the public module under which the name is known."""
    homes: dict[tuple[str, str], str] = {}
    for module in modules.values():
        if is_private(module.name):
            continue
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            source = _absolute(node, module)
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
            for target in _definitions(module.tree.body):
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
    found = next((node for node in _definitions(module.tree.body) if node.name == name), None)
    return ast.get_docstring(found) or "" if found else ""


def _absolute(node: ast.ImportFrom, module: Module) -> str:
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


def _module_documents(module: Module, homes: dict[tuple[str, str], str]) -> Iterator[Document]:
    name = KNOWN_AS.get(module.name, module.name)
    text = ast.get_docstring(module.tree)
    if text and not is_private(name) and not name.endswith("__main__"):
        yield Document(name, name, f"module {name}\n\n{text}", f"{module.path}:1")
    for node in _definitions(module.tree.body):
        home = homes.get((module.name, node.name), name)
        if not is_private(home) and not node.name.startswith("_"):
            yield from _definition_documents(node, home, module)
    if not is_private(name):
        yield from _aliases(module, name)


def _aliases(module: Module, name: str) -> Iterator[Document]:
    """Second names: ``insort = insort_right``, and ``shuffle = _inst.shuffle`` where ``_inst = Random()``."""
    top = {node.name: node for node in _definitions(module.tree.body)}
    instances: dict[str, Definition] = {}
    for node in _statements(module.tree.body):
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
            continue
        alias, value = node.targets[0].id, node.value
        target: Definition | None = None
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in top:
            instances[alias] = top[value.func.id]
        elif isinstance(value, ast.Name):
            target = top.get(value.id)
        elif isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id in instances:
            members = _definitions(instances[value.value.id].body)
            target = next((member for member in members if member.name == value.attr), None)
        if target is not None and not alias.startswith("_") and (text := _docstring(target, module)):
            full = f"{name}.{alias}"
            yield Document(full, full, f"{_signature(target, full)}\n\n{text}", f"{module.path}:{node.lineno}")


def _definitions(body: list[ast.stmt]) -> Iterator[Definition]:
    """Functions and classes of a body."""
    return (node for node in _statements(body) if isinstance(node, Definition))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, those under ``if`` and ``try`` too."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _statements([*node.body, *(s for handler in node.handlers for s in handler.body)])
            yield from _statements([*node.orelse, *node.finalbody])
        else:
            yield node


def _definition_documents(node: Definition, owner: str, module: Module) -> Iterator[Document]:
    name = f"{owner}.{node.name}"
    text = _docstring(node, module)
    if isinstance(node, ast.ClassDef):
        text = "\n\n".join(filter(None, [text, _constructor_docstring(node)]))
    if text:
        yield Document(name, name, f"{_signature(node, name)}\n\n{text}", f"{module.path}:{node.lineno}")
    if isinstance(node, ast.ClassDef):
        for member in _definitions(node.body):
            if not member.name.startswith("_"):
                yield from _definition_documents(member, name, module)


def _docstring(node: Definition, module: Module) -> str:
    """The docstring, or else the comment above, as ``pydoc`` does."""
    if text := ast.get_docstring(node):
        return text
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    comment: list[str] = []
    while first > 0 and module.lines[first - 1].lstrip().startswith("#"):
        first -= 1
        comment.append(module.lines[first].strip().lstrip("#").strip())
    text = "\n".join(reversed(comment)).strip()
    return text if any(letter.isalpha() for letter in text) else ""


def _constructor_docstring(node: ast.ClassDef) -> str:
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return ast.get_docstring(member) or ""
    return ""


def _signature(node: Definition, name: str) -> str:
    if isinstance(node, ast.ClassDef):
        constructor = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        return f"class {name}({_arguments(constructor.args)})" if constructor else f"class {name}"
    kind = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{kind}{name}({_arguments(node.args)}){returns}"


def _arguments(arguments: ast.arguments) -> str:
    text = inspect.cleandoc(ast.unparse(arguments)).replace("\n", " ")
    first, _, rest = text.partition(", ")
    return rest if first in {"self", "cls"} else "" if text in {"self", "cls"} else text
