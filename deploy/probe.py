"""Asks URLs whether what is behind them is ready: the health check of images that have no shell to ask themselves.

probe.py --once URL…            exit code 0 when every one answers 2xx, else 1 and a line for each that does not
probe.py --every SECONDS URL…   go on asking, and say what changes
"""

from __future__ import annotations

import argparse
import sys
import time
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import urlopen

TIMEOUT_S = 4.0


def problem(url: str) -> str | None:
    """What is wrong with a URL; None when it answers 2xx."""
    try:
        with urlopen(url, timeout=TIMEOUT_S):
            return None
    except HTTPError as error:
        return f"HTTP {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def main(arguments: list[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description="are these URLs ready?")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--once", action="store_true", help="ask once; 1 where one is not ready")
    how.add_argument("--every", type=float, metavar="SECONDS", help="go on asking, and say what changes")
    parser.add_argument("url", nargs="+")
    options = parser.parse_args(arguments)
    known: dict[str, str | None] = {}
    while True:
        for url in options.url:
            found = problem(url)
            if (url not in known and options.every) or found != known.get(url):
                print(f"{url}: {found or 'ready'}", flush=True)
            known[url] = found
        if options.once:
            return 1 if any(known.values()) else 0
        time.sleep(options.every)


if __name__ == "__main__":
    sys.exit(main())
