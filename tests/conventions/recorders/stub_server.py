"""An OpenAI-compatible server on loopback for recordings: answers at once, with usage, and fails for some models.

Runs in the recorded program's own process, so it takes nothing but the standard library.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = "Paris is the capital of France [doc-1]."
USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 17,
    "total_tokens": 137,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
FAILURES = {"429": "Rate limit reached", "500": "The server had an error", "401": "Incorrect API key provided"}
"""By what a model's name ends with."""


class Stub(ThreadingHTTPServer):
    """``url`` is the base URL. ``tool_calls`` are handed out one a chat call, before plain answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls = 0
        self.tool_calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[str] = []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Stub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = asked["model"]
        with self.server.lock:
            self.server.calls += 1
            number = self.server.calls
        time.sleep(0.01)
        failure = model.rpartition("-")[2]
        if failure in FAILURES:
            self._json({"error": {"message": FAILURES[failure], "type": "stub", "code": None}}, int(failure))
        elif self.path.endswith("/embeddings"):
            texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
            data = [{"object": "embedding", "index": at, "embedding": [0.1] * 8} for at in range(len(texts))]
            usage = {"prompt_tokens": 7 * len(texts), "total_tokens": 7 * len(texts)}
            self._json({"id": f"embd-{number}", "object": "list", "model": model, "data": data, "usage": usage})
        elif asked.get("stream"):
            self._stream(asked, number)
        else:
            message: dict[str, Any] = {"role": "assistant", "content": self._text()}
            reason = "stop"
            if asked.get("tools") and self.server.tool_calls:
                name, arguments = self.server.tool_calls.pop(0)
                call = {"name": name, "arguments": json.dumps(arguments)}
                message = {"role": "assistant", "content": None}
                message["tool_calls"] = [{"id": f"call_{number}", "type": "function", "function": call}]
                reason = "tool_calls"
            choice = {"index": 0, "message": message, "finish_reason": reason}
            self._json({**self._head(model, number, "chat.completion"), "choices": [choice], "usage": USAGE})

    def _text(self) -> str:
        return self.server.answers.pop(0) if self.server.answers else ANSWER

    def _head(self, model: str, number: int, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-stub-{number:04}", "object": kind, "created": 1, "model": f"{model}-2026-01-01"}

    def _stream(self, asked: dict[str, Any], number: int) -> None:
        head = self._head(asked["model"], number, "chat.completion.chunk")
        time.sleep(0.05)
        chunks: list[dict[str, Any]] = [
            {
                **head,
                "choices": [{"index": 0, "delta": {"role": "assistant", "content": word + " "}, "finish_reason": None}],
            }
            for word in ANSWER.split()
        ]
        reason = "stop"
        if asked.get("tools") and self.server.tool_calls:
            name, arguments = self.server.tool_calls.pop(0)
            call = {"index": 0, "id": f"call_{number}", "type": "function"}
            delta: dict[str, Any] = {"role": "assistant", "content": None}
            delta["tool_calls"] = [{**call, "function": {"name": name, "arguments": json.dumps(arguments)}}]
            chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}]
            reason = "tool_calls"
        chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append({**head, "choices": [], "usage": USAGE})
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        self._send(200, "text/event-stream", body.encode())

    def _json(self, body: dict[str, Any], status: int = 200) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""
