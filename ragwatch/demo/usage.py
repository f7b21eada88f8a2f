"""How likely a name is to be asked about: often used by the library itself, and near the top of its module.

Reference documentation gives ``os.makedirs`` and ``distutils.dir_util.create_tree`` equal room; people do not.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections import Counter
from collections.abc import Sequence
from math import log1p

from ragwatch.demo.library import KNOWN_AS, Library, Module, absolute, statements

PER_MODULE = 20  # uses by one module that count: one module does not decide
# Chosen on the dev questions (recall@5 of BM25 alone 0.51 → 0.55); 0.03 to 0.1 and 0.15 to 0.45 do about as well.
USE_WEIGHT = 0.05
DEPTH_WEIGHT = 0.3
_DOTTED = re.compile(r"(?<![\w.])([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(\s*\()?")
_EVERYWHERE = frozenset({"str", "list", "dict", "set"})  # whose methods most method calls are


def priors(ids: Sequence[str], parsed: Library) -> dict[str, float]:
    """The prior (see ``Document``) of each id: 0.05 · ln(1 + uses) − 0.3 for each level below a module's own names."""
    dotted, methods = _count(parsed)
    types = {name for name, value in vars(builtins).items() if isinstance(value, type)}
    sharing = Counter(key.rpartition(".")[2] for key in ids)

    def uses(key: str) -> float:
        head, _, rest = key.partition(".")
        name = key.rpartition(".")[2]
        if head in types and rest:
            return dotted[key] + methods[name] / (1 if head in _EVERYWHERE else 4)
        return dotted[key] + (methods[name] / sharing[name] if key.count(".") > 1 else 0)

    return {key: USE_WEIGHT * log1p(uses(key)) - DEPTH_WEIGHT * max(0, key.count(".") - 1) for key in ids}


def _count(parsed: Library) -> tuple[Counter[str], Counter[str]]:
    """Uses of full names (``os.path.join``), and of method names (``append``) on anything."""
    dotted: Counter[str] = Counter()
    methods: Counter[str] = Counter()
    for module in parsed.modules.values():
        imported = _imported(module, parsed)
        for (name, called), n in Counter(_DOTTED.findall("\n".join(module.lines))).items():
            head, _, rest = name.partition(".")
            if rest or called or head in imported:
                full = imported.get(head, head) + (f".{rest}" if rest else "")
                dotted[full] += min(n, PER_MODULE)
            if called and rest:
                methods[name.rpartition(".")[2]] += min(n, PER_MODULE)
    return dotted, methods


def _imported(module: Module, parsed: Library) -> dict[str, str]:
    """The module's own names for what it imports → their full names."""
    found: dict[str, str] = {}
    for node in statements(module.tree.body):
        if isinstance(node, ast.ImportFrom):
            source = absolute(node, module)
            for alias in node.names:
                home = parsed.homes.get((source, alias.name), KNOWN_AS.get(source, source))
                found[alias.asname or alias.name] = f"{home}.{alias.name}"
        elif isinstance(node, ast.Import):
            found.update({alias.asname: alias.name for alias in node.names if alias.asname})
    return found
