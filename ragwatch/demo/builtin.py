"""The built-in and C modules as documents: they have no Python source, so they are looked at.

Importing a C module runs no Python; a private one (``_socket``) is filed under the public module that shows its names.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.machinery
import inspect
import re
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

from ragwatch.demo.document import Document, merged
from ragwatch.demo.library import is_private, library

# A private C module whose public face is not its name without the underscore.
PUBLIC_NAMES = {
    "posix": "os",
    "_io": "io",
    "_sre": "re",
    "_thread": "_thread",  # documented under this name
    "_elementtree": "xml.etree.ElementTree",
    "_posixsubprocess": "",
    "_posixshmem": "",
    "_multiprocessing": "multiprocessing",
    "_imp": "",
    "_string": "",
    "_stat": "stat",
    "_statistics": "statistics",
    "_symtable": "",
    "_tokenize": "",
    "_warnings": "warnings",
    "_weakref": "weakref",
    "_locale": "locale",
    "_operator": "operator",
    "_interpreters": "",
    "_xxsubinterpreters": "",
    "_xxinterpchannels": "",
    **dict.fromkeys(("_md5", "_sha1", "_sha2", "_sha256", "_sha512", "_sha3", "_blake2"), "hashlib"),
    "xxsubtype": "",
    "xxlimited": "",
    "xxlimited_35": "",
}
# Types that no module shows by name, and where their methods are documented.
UNNAMED_TYPES: dict[str, type] = {
    "re.Pattern": re.Pattern,
    "re.Match": re.Match,
    "types.GeneratorType": types.GeneratorType,
    "types.CoroutineType": types.CoroutineType,
    "types.AsyncGeneratorType": types.AsyncGeneratorType,
    "types.MappingProxyType": types.MappingProxyType,
    "types.SimpleNamespace": types.SimpleNamespace,
}
# What a public module imports under another name.
RENAMED = {"hmac.compare_digest": ("_operator", "_compare_digest")}
# Documented, though the public module does not name it: what ``hashlib.sha256()`` returns.
KEPT = frozenset({"hashlib.HASH"})
NOISE = frozenset({"license", "credits", "copyright", "exit", "quit"})


def builtin_documents() -> list[Document]:
    """Built-in functions and types under their bare names (``str.split``), C modules under their public ones."""
    found = list(_members(builtins, ""))
    for name in c_modules():
        public = PUBLIC_NAMES.get(name, name.removeprefix("_"))
        if not public or (is_private(public) and name not in PUBLIC_NAMES) or public == "builtins":
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # a module on its way out is still documented
                module = importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112  (a C module whose library is not installed)
            continue
        if inspect.getdoc(module) and name == public:
            found.append(Document(public, public, f"module {public}\n\n{inspect.getdoc(module)}", "C module"))
        shown = None if name == public else _names_in_source(public, name)
        found.extend(_members(module, public, shown))
    for name, cls in UNNAMED_TYPES.items():
        found.extend(_class_documents(cls, name))
    for name, (home, private) in RENAMED.items():
        value = getattr(importlib.import_module(home), private, None)
        if text := inspect.getdoc(value):
            found.append(Document(name, name, f"{_signature(value, name)}\n\n{text}", "C module"))
    return merged(found)


def c_modules() -> list[str]:
    """Names of the modules written in C: compiled in, and beside the library."""
    names = set(sys.builtin_module_names)
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    folder = library() / "lib-dynload"
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.endswith(suffixes) and "test" not in path.name:
            names.add(Path(path.name).name.split(".", 1)[0])
    return sorted(names)


def _names_in_source(public: str, private: str) -> frozenset[str] | None:
    """The words of the public module's source; None where it has none or takes everything of the private one."""
    path = library().joinpath(*public.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    try:
        text = path.read_text("utf-8")
    except OSError:
        return None
    return None if f"from {private} import *" in text else frozenset(re.findall(r"\w+", text))


def _members(module: types.ModuleType, public: str, shown: frozenset[str] | None = None) -> Iterator[Document]:
    for name, value in sorted(vars(module).items()):
        full = f"{public}.{name}" if public else name
        if name.startswith("_") or name in NOISE or (shown is not None and name not in shown and full not in KEPT):
            continue
        if isinstance(value, type):
            if _belongs(value, public):
                yield from _class_documents(value, full)
        elif inspect.isroutine(value) and (text := inspect.getdoc(value)):
            yield Document(full, full, f"{_signature(value, full)}\n\n{text}", "C module" if public else "built-in")


def _belongs(cls: type, public: str) -> bool:
    """Whether a class is documented here; an alias of a built-in exception (``select.error``) is not."""
    return not public or cls.__module__ != "builtins"


def _class_documents(cls: type, full: str) -> Iterator[Document]:
    text = inspect.getdoc(cls) if "__doc__" in vars(cls) else None
    source = "built-in" if cls.__module__ == "builtins" else "C module"
    if text:
        yield Document(full, full, f"class {_signature(cls, full)}\n\n{text}", source)
    for name, member in sorted(vars(cls).items()):
        if name.startswith("_") or isinstance(member, type):
            continue
        if text := inspect.getdoc(member) if not isinstance(member, int | str | float) else None:
            method = f"{full}.{name}"
            yield Document(method, method, f"{_signature(member, method)}\n\n{text}", source)


def _signature(value: object, name: str) -> str:
    """The signature as the value tells it; the bare name where it tells none."""
    if not callable(value) and not isinstance(value, classmethod | staticmethod):
        return name
    function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    try:
        text = str(inspect.signature(function))
    except Exception:  # noqa: BLE001  (inspect evaluates the default values that a C module names)
        return name
    text = re.sub(r"\((?:\$?(?:self|cls|type|module)(?:, /)?)(?:, )?", "(", text)
    return name + text.replace(", /", "")
