"""The stub model server in the words of other vendors: Anthropic, Cohere, Google, Mistral, Ollama, Bedrock.

Like ``stub_server``: it answers at once, with usage, and fails for models that are named for a failure.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from stub_server import ANSWER, FAILURES, Stub, _Handler


class Vendors(Stub):
    """``root`` is the URL without a version. The path says whose words are spoken."""

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = _VendorHandler

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")


class _VendorHandler(_Handler):
    def do_POST(self) -> None:
        path = re.split(r"[?#]", self.path)[0]
        if path.endswith(("/chat/completions", "/embeddings")) and "/v1/" in path:
            super().do_POST()
            return
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        with self.server.lock:
            self.server.calls += 1
            number = self.server.calls
        time.sleep(0.01)
        named = re.search(r"/models?/([^/:]+)", path)
        model = str(asked.get("model") or (named.group(1) if named else ""))
        failure = model.rpartition("-")[2]
        if failure in FAILURES:
            status, message = int(failure), FAILURES[failure]
            error = {"type": "rate_limit_error" if status == 429 else "api_error", "message": message}
            body: dict[str, Any] = {"type": "error", "message": message, "error": error}
            if "generateContent" in path:
                body = {"error": {"code": status, "message": message, "status": "RESOURCE_EXHAUSTED"}}
            self._json(body, status)
        elif path.endswith("/v1/messages"):
            self._anthropic(asked, number)
        elif "rerank" in path:
            count = min(int(asked.get("top_n") or 2), len(asked["documents"]))
            results = [{"index": at, "relevance_score": 0.9 - at / 10} for at in range(count)]
            meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
            self._json({"id": f"rerank-{number}", "results": results, "meta": meta})
        elif path.endswith("/embed") and "/api/" not in path:
            vectors = [[0.1] * 8 for _ in asked["texts"]]
            count = len(vectors)
            body = {"id": f"embed-{number}", "texts": asked["texts"], "response_type": "embeddings_by_type"}
            units = {"billed_units": {"input_tokens": 7 * count}}
            self._json({**body, "embeddings": {"float": vectors}, "meta": units})
        elif path.endswith("/v2/chat"):
            self._cohere(asked, number)
        elif "generatecontent" in path.lower():
            self._google(model, number, stream="stream" in path.lower())
        elif "embedcontents" in path.lower():
            vectors = [{"values": [0.1] * 8} for _ in asked.get("requests", [asked])]
            self._json({"embeddings": vectors})
        elif path.endswith("/api/embeddings"):
            self._json({"embedding": [0.1] * 8})
        elif path.endswith("/api/embed"):
            texts = asked.get("input") or asked.get("prompt")
            count = len(texts) if isinstance(texts, list) else 1
            vectors = [[0.1] * 8 for _ in range(count)]
            self._json({"model": model, "embeddings": vectors, "prompt_eval_count": 7 * count})
        elif path.endswith(("/api/chat", "/api/generate")):
            self._ollama(asked)
        elif path.endswith("/converse"):
            usage = {"inputTokens": 120, "outputTokens": 17, "totalTokens": 137}
            message = {"role": "assistant", "content": [{"text": ANSWER}]}
            self._json(
                {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 10}}
            )
        elif path.endswith("/responses"):
            self._responses(asked, number)
        else:
            self._json({"message": f"no such path: {path}"}, 404)

    def _anthropic(self, asked: dict[str, Any], number: int) -> None:
        usage = {"input_tokens": 56, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 0}
        head = {"id": f"msg_stub{number:04}", "type": "message", "role": "assistant", "model": asked["model"]}
        content: list[dict[str, Any]] = [{"type": "text", "text": self._text()}]
        reason = "end_turn"
        if asked.get("tools") and self.server.tool_calls:
            name, arguments = self.server.tool_calls.pop(0)
            content = [{"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments}]
            reason = "tool_use"
        ends = {"stop_reason": reason, "stop_sequence": None}
        if not asked.get("stream"):
            self._json({**head, **ends, "content": content, "usage": {**usage, "output_tokens": 17}})
            return
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": {**head, "content": [], "stop_reason": None, "stop_sequence": None,
                                                  "usage": {**usage, "output_tokens": 0}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word + " "}}
                for word in ANSWER.split()
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ends, "usage": {"output_tokens": 17}},
            {"type": "message_stop"},
        ]  # fmt: skip
        self._events(events)

    def _cohere(self, asked: dict[str, Any], number: int) -> None:
        usage = {"billed_units": {"input_tokens": 120, "output_tokens": 17},
                 "tokens": {"input_tokens": 120, "output_tokens": 17}}  # fmt: skip
        if not asked.get("stream"):
            message = {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]}
            self._json({"id": f"chat-{number}", "finish_reason": "COMPLETE", "message": message, "usage": usage})
            return
        started = {"type": "message-start", "id": f"chat-{number}", "delta": {"message": {"role": "assistant"}}}
        block = {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}
        events: list[dict[str, Any]] = [started, block]
        events += [
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": word + " "}}}}
            for word in ANSWER.split()
        ]
        events.append({"type": "content-end", "index": 0})
        events.append({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}})
        self._events(events)

    def _google(self, model: str, number: int, *, stream: bool) -> None:
        usage = {"promptTokenCount": 120, "candidatesTokenCount": 12, "thoughtsTokenCount": 5, "totalTokenCount": 137,
                 "cachedContentTokenCount": 64}  # fmt: skip
        tail = {"modelVersion": f"{model}-001", "responseId": f"resp-{number:04}"}

        def part(text: str, **more: Any) -> dict[str, Any]:
            content = {"role": "model", "parts": [{"text": text}]}
            return {"candidates": [{"content": content, "index": 0, **more}], **tail}

        if not stream:
            self._json({**part(ANSWER, finishReason="STOP"), "usageMetadata": usage})
            return
        words = ANSWER.split()
        chunks = [part(word + " ") for word in words[:-1]]
        self._events([*chunks, {**part(words[-1], finishReason="STOP"), "usageMetadata": usage}])

    def _ollama(self, asked: dict[str, Any]) -> None:
        head = {"model": asked["model"], "created_at": "2026-01-01T00:00:00Z"}
        tail = {"done": True, "done_reason": "stop", "prompt_eval_count": 120, "eval_count": 17, "total_duration": 9}

        def said(text: str) -> dict[str, Any]:
            return {"message": {"role": "assistant", "content": text}} if "messages" in asked else {"response": text}

        if asked.get("stream"):
            parts = [{**head, **said(word + " "), "done": False} for word in ANSWER.split()]
            lines = [*parts, {**head, **said(""), **tail}]
            self._send(200, "application/x-ndjson", "".join(json.dumps(line) + "\n" for line in lines).encode())
        else:
            self._json({**head, **said(ANSWER), **tail})

    def _responses(self, asked: dict[str, Any], number: int) -> None:
        usage = {"input_tokens": 120, "input_tokens_details": {"cached_tokens": 64}, "output_tokens": 17,
                 "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 137}  # fmt: skip
        said = {"type": "output_text", "text": ANSWER, "annotations": []}
        output: list[dict[str, Any]] = [
            {"type": "message", "id": f"msg_{number}", "status": "completed", "role": "assistant", "content": [said]}
        ]
        if asked.get("tools") and self.server.tool_calls:
            name, arguments = self.server.tool_calls.pop(0)
            output = [{"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": name,
                       "arguments": json.dumps(arguments), "status": "completed"}]  # fmt: skip
        whole = {
            "id": f"resp_stub{number:04}", "object": "response", "created_at": 1, "status": "completed", "error": None,
            "incomplete_details": None, "instructions": None, "metadata": {}, "model": f"{asked['model']}-2026-01-01",
            "output": output, "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [],
            "top_p": 1.0, "usage": usage,
        }  # fmt: skip
        if not asked.get("stream"):
            self._json(whole)
            return
        item = {"item_id": f"msg_{number}", "output_index": 0, "content_index": 0}
        begun = {**whole, "status": "in_progress", "output": [], "usage": None}
        events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
        events += [{"type": "response.output_text.delta", **item, "delta": word + " "} for word in ANSWER.split()]
        events.append({"type": "response.completed", "response": whole})
        self._events([{**event, "sequence_number": at} for at, event in enumerate(events)])

    def _events(self, events: list[dict[str, Any]]) -> None:
        time.sleep(0.03)
        lines = []
        for event in events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            lines.append(f"{name}data: {json.dumps(event)}\n\n")
        self._send(200, "text/event-stream", "".join(lines).encode())
