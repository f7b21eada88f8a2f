"""Writes the environment file of docker-compose.yml: deploy/env.example, its empty secrets filled with random ones.

make_env.py FILE    a file that exists is left as it is
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

EXAMPLE = Path(__file__).with_name("env.example")


def filled(text: str) -> str:
    r"""The text with a secret behind each name that has no value.

    >>> re.sub("[0-9a-f]{48}", "…", filled("A=\n# B=\nC=1\n"))
    'A=…\n# B=\nC=1\n'
    """
    return re.sub(r"^(\w+=)$", lambda found: found[1] + secrets.token_hex(24), text, flags=re.MULTILINE)


def main(target: Path) -> int:
    """Write it, readable by its owner alone."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{target}: is there, and left as it is")
        return 0
    with os.fdopen(descriptor, "w") as file:
        file.write(filled(EXAMPLE.read_text()))
    print(f"{target}: written. GRAFANA_ADMIN_PASSWORD in it opens http://127.0.0.1:3000")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
