"""``make bench``: every benchmark, one after the other."""

from __future__ import annotations

import argparse
import subprocess
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", default="60", help="length of each load on the agent")
    args = parser.parse_args()
    for name, options in (
        ("engine", []),
        ("conventions", []),
        ("sdk", []),
        ("resilience", []),
        ("queries", []),
        ("load_tool", []),
        ("agent", ["--seconds", args.seconds]),
    ):
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=True)


if __name__ == "__main__":
    main()
