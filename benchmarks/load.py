"""A load generator in a process of its own: gRPC clients send unique requests at a rate and say what was acked."""

from __future__ import annotations

import argparse
import json
import threading
from itertools import count
from time import monotonic, sleep

import grpc

from benchmarks.workload import CapturedRequests, Requests

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--spans", type=int, default=512)
    parser.add_argument("--rate", type=float, default=60_000, help="spans a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--counted", action="store_true")
    parser.add_argument("--captured", action="store_true", help="other instrumentors' spans")
    args = parser.parse_args()
    numbers, lock = count(), threading.Lock()
    acked, failed, latencies = [0], [0], []
    began = monotonic()

    def client() -> None:
        requests = (
            CapturedRequests(args.spans, rate=args.rate)
            if args.captured
            else Requests(args.spans, counted=args.counted)
        )
        channel = grpc.insecure_channel(f"127.0.0.1:{args.port}")
        export = channel.unary_unary(EXPORT, lambda body: body, lambda reply: reply)
        while True:
            with lock:
                number = next(numbers)
            due = began + number * args.spans / args.rate
            if due - began > args.seconds:
                return
            wait = due - monotonic()
            if wait > 0:
                sleep(wait)
            body = requests.make(number)
            while True:
                started = monotonic()
                try:
                    export(body, timeout=30)
                except grpc.RpcError:
                    failed[0] += 1
                    sleep(0.05)
                    continue
                break
            with lock:
                acked[0] += 1
                latencies.append(monotonic() - started)

    threads = [threading.Thread(target=client) for _ in range(args.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = monotonic() - began
    latencies.sort()
    queries = 0 if args.captured else Requests(args.spans).whole_queries
    print(
        json.dumps(
            {
                "requests": acked[0],
                "spans": acked[0] * args.spans,
                "queries": acked[0] * queries,
                "retries": failed[0],
                "seconds": seconds,
                "spans_per_s": acked[0] * args.spans / seconds,
                "p50_ms": latencies[len(latencies) // 2] * 1e3,
                "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
            }
        )
    )


if __name__ == "__main__":
    main()
