"""OTLP over HTTP: protobuf and JSON, identity and gzip, with the specification's answers."""

from __future__ import annotations

import asyncio
import zlib

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ragwatch.agent.inbox import JSON, PROTOBUF, SIGNALS, Inbox
from ragwatch.agent.receiver.status import plain_status
from ragwatch.agent.token import authorised
from ragwatch.errors import InboxFull

PROTOBUF_TYPE = "application/x-protobuf"
JSON_TYPE = "application/json"
_FORMATS = {PROTOBUF_TYPE: PROTOBUF, "application/protobuf": PROTOBUF, JSON_TYPE: JSON}
COMMIT_TIMEOUT_S = 30.0


class _Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, reason: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


def http_app(inbox: Inbox, *, max_body_bytes: int, token: str | None) -> Starlette:
    """The ASGI application of ``/v1/traces``, ``/v1/metrics`` and ``/v1/logs``."""

    async def export(request: Request) -> Response:
        media = request.headers.get("content-type", "").split(";")[0].strip().lower()
        as_json = media == JSON_TYPE
        answer_type = JSON_TYPE if as_json else PROTOBUF_TYPE
        try:
            _check(request, media, token)
            body = await _read(request, max_body_bytes)
            if body and body != b"{}":
                signal = SIGNALS.index(request.path_params["signal"])
                await _store(inbox, signal, _FORMATS[media], body)
        except _Refusal as refusal:
            inbox.refused("http", refusal.reason)
            headers = (
                {} if refusal.retry_after_s is None else {"Retry-After": str(max(1, round(refusal.retry_after_s)))}
            )
            content = plain_status(str(refusal), as_json=as_json)
            return Response(content, refusal.status, headers, media_type=answer_type)
        except InboxFull as full:
            headers = {"Retry-After": str(max(1, round(full.retry_after_s)))}
            return Response(plain_status(str(full), as_json=as_json), 503, headers, media_type=answer_type)
        except ClientDisconnect:
            inbox.refused("http", "disconnected")
            return Response(status_code=400)
        return Response(b"{}" if as_json else b"", media_type=answer_type)

    names = "|".join(SIGNALS)
    routes = [Route(f"/v1/{signal}", _bind(export, signal), methods=["POST"]) for signal in names.split("|")]
    return Starlette(routes=routes)


def _check(request: Request, media: str, token: str | None) -> None:
    if not authorised(request.headers.get("authorization"), token):
        raise _Refusal(401, "unauthorised", "a bearer token is needed")
    if media not in _FORMATS:
        raise _Refusal(415, "media_type", f"content type {media or 'missing'}: send {PROTOBUF_TYPE} or {JSON_TYPE}")


def _bind(export, signal: str):  # type: ignore[no-untyped-def]
    async def endpoint(request: Request) -> Response:
        request.path_params["signal"] = signal
        response: Response = await export(request)
        return response

    return endpoint


async def _store(inbox: Inbox, signal: int, format_: int, body: bytes) -> None:
    done = asyncio.wrap_future(inbox.put(signal, format_, "http", body))
    try:
        await asyncio.wait_for(asyncio.shield(done), COMMIT_TIMEOUT_S)
    except TimeoutError:
        raise _Refusal(503, "disk", "the disk is too slow", retry_after_s=5.0) from None


async def _read(request: Request, limit: int) -> bytes:
    """The body, decompressed; both sizes are bounded, so that a small bomb cannot become a large one."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", ""}:
        raise _Refusal(415, "encoding", f"content encoding {encoding}: send gzip or identity")
    inflate = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    parts: list[bytes] = []
    received = size = 0
    async for chunk in request.stream():
        received += len(chunk)
        piece = chunk
        if inflate is not None and chunk:
            try:
                piece = inflate.decompress(chunk, limit - size + 1)
            except zlib.error as error:
                raise _Refusal(400, "bad_gzip", f"the body is no gzip: {error}") from None
        size += len(piece)
        if size > limit or received > limit:
            raise _Refusal(413, "too_large", f"more than {limit} bytes; send smaller batches")
        parts.append(piece)
    if inflate is not None and received and not inflate.eof:
        raise _Refusal(400, "bad_gzip", "the gzip stream ends too early")
    return b"".join(parts)
