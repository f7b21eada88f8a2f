"""A server of known latency, stalls and capacity in a process of its own: ``python -m tests.support.known_server``.

``--median S`` draws log-normal service times, ``--fixed S`` makes them equal, ``--places N`` serves so many at a time,
``--stall FROM TO`` holds all up between these seconds after the first question. A GET gives the times that all
answers took, as the server's own clock has it: on a busy machine a sleep lasts longer than it was told to.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from tests.support.known_app import KnownApp, lognormal, served


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--median", type=float)
    parser.add_argument("--fixed", type=float, default=0.0)
    parser.add_argument("--places", type=int)
    parser.add_argument("--stall", type=float, nargs=2)
    args = parser.parse_args()
    taken: list[float] = []
    draw = lognormal(1, args.median) if args.median else lambda: args.fixed
    app = KnownApp(draw, places=args.places, stall=tuple(args.stall) if args.stall else None)

    def answer(body: dict[str, Any]) -> tuple[int, str, bytes]:
        if "question" not in body:
            return 200, "application/json", json.dumps(taken).encode()
        begun = time.perf_counter()
        found = {"answer": app.answer(body["question"])}
        taken.append(time.perf_counter() - begun)
        return 200, "application/json", json.dumps(found).encode()

    with served(answer) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
