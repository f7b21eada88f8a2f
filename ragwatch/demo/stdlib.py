"""The installed standard library as documents: modules, classes, functions and methods that say something."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

from ragwatch.demo.document import Document, merged
from ragwatch.demo.library import KNOWN_AS, Definition, Library, Module, definitions, is_private, statements


def stdlib_documents(parsed: Library) -> list[Document]:
    """Every public module, class, function and method that says something about itself."""
    found: list[Document] = []
    for module in parsed.modules.values():
        found.extend(_module_documents(module, parsed.homes))
    return merged(found)


def _module_documents(module: Module, homes: dict[tuple[str, str], str]) -> Iterator[Document]:
    name = KNOWN_AS.get(module.name, module.name)
    text = ast.get_docstring(module.tree)
    if text and not is_private(name) and not name.endswith("__main__"):
        yield Document(name, name, f"module {name}\n\n{text}", f"{module.path}:1")
    for node in definitions(module.tree.body):
        home = homes.get((module.name, node.name), name)
        if not is_private(home) and not node.name.startswith("_"):
            yield from _definition_documents(node, home, module)
    if not is_private(name):
        yield from _aliases(module, name)


def _aliases(module: Module, name: str) -> Iterator[Document]:
    """Second names: ``insort = insort_right``, and ``shuffle = _inst.shuffle`` where ``_inst = Random()``."""
    top = {node.name: node for node in definitions(module.tree.body)}
    instances: dict[str, Definition] = {}
    for node in statements(module.tree.body):
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
            continue
        alias, value = node.targets[0].id, node.value
        target: Definition | None = None
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in top:
            instances[alias] = top[value.func.id]
        elif isinstance(value, ast.Name):
            target = top.get(value.id)
        elif isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id in instances:
            members = definitions(instances[value.value.id].body)
            target = next((member for member in members if member.name == value.attr), None)
        if target is not None and not alias.startswith("_") and (text := _docstring(target, module)):
            full = f"{name}.{alias}"
            yield Document(full, full, f"{_signature(target, full)}\n\n{text}", f"{module.path}:{node.lineno}")


def _definition_documents(node: Definition, owner: str, module: Module) -> Iterator[Document]:
    name = f"{owner}.{node.name}"
    text = _docstring(node, module)
    if isinstance(node, ast.ClassDef):
        text = "\n\n".join(filter(None, [text, _constructor_docstring(node)]))
    if text:
        yield Document(name, name, f"{_signature(node, name)}\n\n{text}", f"{module.path}:{node.lineno}")
    if isinstance(node, ast.ClassDef):
        for member in definitions(node.body):
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
