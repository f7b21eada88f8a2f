"""``pkg.mod:function`` on the command line: the user's own function, loaded with errors that say what to do."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from ragwatch.errors import ConfigError

MAX_NAMED = 6


def load_function(name: str, source: str = "--function") -> Callable[..., Any]:
    """The function of that name; the working directory is searched first. ``ConfigError`` where there is none.

    >>> load_function("os.path:join")("a", "b")
    'a/b'
    >>> load_function("os.path:jion")
    Traceback (most recent call last):
    ragwatch.errors.ConfigError: os.path:jion (from --function): os.path has no 'jion'; did you mean 'join'?
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigError(name, "should read pkg.mod:function", source=source)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ConfigError(name, f"there is no module {error.name!r} here or installed", source=source) from None
        raise ConfigError(name, f"{module_name} cannot be imported: {error}", source=source) from error
    except SyntaxError as error:
        said = f"{type(error).__name__}: {error}"
        raise ConfigError(name, f"{module_name} fails as it is imported: {said}", source=source) from error
    except SystemExit as error:
        said = f"{module_name} ends the process as it is imported: {error.code}"
        raise ConfigError(name, said, source=source) from error
    except Exception as error:
        raise ConfigError(name, f"{module_name} fails as it is imported: {error!r}", source=source) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, dir(found), n=1)
            own = [] if near else _own_functions(found)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(own)}" if own else ""
            raise ConfigError(name, f"{module_name} has no {part!r}{hint}", source=source)
        found = getattr(found, part)
    if not callable(found):
        methods = [part for part in dir(found) if not part.startswith("_") and inspect.isroutine(getattr(found, part))]
        hint = f"; name a method of it: {', '.join(f'{name}.{part}' for part in methods[:3])}" if methods else ""
        raise ConfigError(name, f"is {type(found).__name__}, not a function{hint}", source=source)
    function: Callable[..., Any] = found
    return function


def _own_functions(found: Any) -> list[str]:
    """The first functions that a module defines itself, in their order there."""
    named = getattr(found, "__name__", None)
    own = (name for name, value in vars(found).items() if getattr(value, "__module__", None) == named) if named else ()
    return [name for name in own if not name.startswith("_") and callable(getattr(found, name))][:MAX_NAMED]
