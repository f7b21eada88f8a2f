"""``make bench``: every benchmark, one after the other; the agent's on the compiled build, where there is one."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

OF_THE_AGENT = frozenset({"engine", "conventions", "queries", "agent"})
"""The others measure what runs in an app, and there the interpreted build is what `pip install` gives."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", default="60", help="length of each load on the agent")
    parser.add_argument("--compiled", metavar="SITE", type=Path, help="where the compiled package is")
    args = parser.parse_args()
    compiled = {"PYTHONPATH": f"{args.compiled.resolve()}:{Path.cwd()}", "PYTHONSAFEPATH": "1"} if args.compiled else {}
    for name, options in (
        ("engine", []),
        ("conventions", []),
        ("sdk", []),
        ("resilience", []),
        ("queries", []),
        ("load_tool", []),
        ("agent", ["--seconds", args.seconds]),
    ):
        environ = os.environ | (compiled if name in OF_THE_AGENT else {})
        said = subprocess.run(
            [sys.executable, "-m", "ragwatch.cli", "--version"],
            check=True,
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        build = "compiled" if "(compiled)" in said.stdout else "interpreted"
        print(f"benchmarks.{name}: {build} build of ragwatch", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=True, env=environ)


if __name__ == "__main__":
    main()
