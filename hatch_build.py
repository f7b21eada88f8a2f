"""The compiled build: a wheel whose hot modules of the agent are C extensions, made by mypyc. It is opted into.

HATCH_BUILD_HOOKS_ENABLE=1 pip wheel .     # without the variable: the pure wheel, as everywhere

hatch-mypyc, the usual plugin, builds in the checkout and renames ``pyproject.toml`` meanwhile: what others run there
at that moment sees half a build. Here everything is written in a temporary directory.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HOT = ("ragwatch/conventions/*.py", "ragwatch/assembly/*.py", "ragwatch/kpi/*.py")
"""What a span passes on its way into the KPIs. ``COMPILED_SOURCES`` in the Makefile has these too.

Not ``ragwatch.record``: mypyc keeps no annotation that is a union, and the agent's OpenAPI document is made of them.
"""
GROUP = "ragwatch"
"""Names the library that all extensions share, ``ragwatch__mypyc``; by default its name is a hash."""
OPTIONS = ("--config-file=", "--follow-imports=silent", "--ignore-missing-imports")
"""Of mypy. ``make check`` is where types are checked strictly; a build stops only at what mypyc cannot compile."""


class CompiledBuild(BuildHookInterface[Any]):
    """Adds the extensions to a wheel; hatchling loads it because this file has the name that it looks for."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say where in the wheel each extension belongs. The sources stay beside them, for tracebacks."""
        if version == "editable":  # an extension would hide the source that is being edited
            return
        self._require_compiler()
        # finalize removes it, or the end of the process
        self._scratch = TemporaryDirectory(prefix="ragwatch-compiled-")
        scratch = Path(self._scratch.name)
        with chdir(self.root):
            built = self._compile(scratch)
        build_data["force_include"] |= {str(path): path.relative_to(scratch / "lib").as_posix() for path in built}
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 (hatchling's)
        """The wheel is written: its parts go."""
        if version != "editable":
            self._scratch.cleanup()

    def _compile(self, scratch: Path) -> list[Path]:
        from mypyc.build import mypycify  # setuptools is patched by importing it: not where nothing is compiled
        from setuptools import Distribution
        from setuptools.errors import BaseError

        sources = [str(path) for pattern in HOT for path in sorted(Path().glob(pattern)) if path.name != "__init__.py"]
        try:
            extensions = mypycify(
                [*OPTIONS, f"--cache-dir={scratch / 'mypy'}", *sources],
                opt_level="3",
                multi_file=True,  # as it was measured
                target_dir=str(scratch / "c"),
                group_name=GROUP,
            )
        except SystemExit:  # it has printed what is wrong
            self.app.abort("ragwatch was not compiled: mypyc refuses the sources, for the reasons above")
        command = Distribution({"name": "ragwatch", "ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(scratch / "lib"), str(scratch / "o")
        try:
            command.ensure_finalized()
            command.run()
        except BaseError as error:
            self.app.abort(f"ragwatch was not compiled: {error}")
        return sorted((scratch / "lib").rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"))

    def _require_compiler(self) -> None:
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
        header = Path(sysconfig.get_path("include"), "Python.h")
        missing = (
            f"a C compiler ({compiler!r} is not here)" if not shutil.which(compiler)
            else f"Python's headers ({header} is not here)" if not header.exists() else ""
        )  # fmt: skip
        if missing:
            self.app.abort(
                f"the compiled build of ragwatch needs {missing}: install gcc and python3-dev (Debian's names), "
                "or unset HATCH_BUILD_HOOKS_ENABLE for the interpreted build"
            )
