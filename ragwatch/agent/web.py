"""Port 9464: ``/metrics``, ``/healthz``, ``/readyz``, ``/api/kpis``, ``/api/queries``; read from the files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ragwatch import __version__
from ragwatch.agent.token import authorised
from ragwatch.agent.view import View
from ragwatch.kpi.exposition import negotiate, render
from ragwatch.kpi.metrics import RAGMetrics
from ragwatch.semconv import OUTCOMES

MAX_LIMIT = 1000
_PAGE = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>ragwatch agent</title>
<style>body{{font:16px/1.6 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em;color:#222}}
code{{background:#f2f2f2;padding:.1em .3em}}</style>
<h1>ragwatch agent {__version__}</h1>
<ul>
<li><a href="/metrics"><code>/metrics</code></a> every KPI, for Prometheus</li>
<li><a href="/api/kpis"><code>/api/kpis</code></a> the KPIs as JSON, each with its n</li>
<li><a href="/api/queries?limit=20"><code>/api/queries</code></a> the last queries;
 <a href="/api/queries?outcome=error"><code>?outcome=error</code></a></li>
<li><a href="/readyz"><code>/readyz</code></a> does every part work;
 <a href="/healthz"><code>/healthz</code></a></li>
</ul></html>
"""
Handler = Callable[[Request], Awaitable[Response]]


def web_app(view: View, *, token: str | None, problems: Callable[[], dict[str, str]]) -> Starlette:
    """The ASGI application. ``problems`` says which of the agent's processes do not run."""

    async def metrics(request: Request) -> Response:
        openmetrics, content_type = negotiate(request.headers.get("accept", ""))
        body = await run_in_threadpool(lambda: render(view.shown(), with_openmetrics=openmetrics))
        return Response(body, media_type=None, headers={"Content-Type": content_type})

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        found = {**await run_in_threadpool(view.readiness), **await run_in_threadpool(problems)}
        return JSONResponse({"ready": not found, "problems": found}, 503 if found else 200)

    async def kpis(request: Request) -> Response:
        service = request.query_params.get("service")
        state = await run_in_threadpool(view.kpis)
        return JSONResponse(RAGMetrics.of(state, service=service).to_dict())

    async def queries(request: Request) -> Response:
        outcome = request.query_params.get("outcome")
        if outcome is not None and outcome not in OUTCOMES:
            return _bad(f"outcome={outcome!r}: one of {', '.join(OUTCOMES)}")
        text = request.query_params.get("limit", "50")
        if not text.isdigit() or not 1 <= int(text) <= MAX_LIMIT:
            return _bad(f"limit={text!r}: a whole number from 1 to {MAX_LIMIT}")
        found = await run_in_threadpool(view.queries, int(text), outcome, request.query_params.get("service"))
        return JSONResponse({"queries": found})

    async def query(request: Request) -> Response:
        trace_id = request.path_params["trace_id"]
        found = await run_in_threadpool(view.query, trace_id)
        if not found:
            return JSONResponse({"error": f"no query of trace {trace_id} is kept"}, 404)
        return JSONResponse({"queries": found})

    async def page(_: Request) -> Response:
        return HTMLResponse(_PAGE)

    def guarded(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            if not authorised(request.headers.get("authorization"), token):
                return JSONResponse({"error": "a bearer token is needed"}, 401, {"WWW-Authenticate": "Bearer"})
            return await handler(request)

        return checked

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *(
                Route(path, guarded(handler))
                for path, handler in (
                    ("/", page),
                    ("/metrics", metrics),
                    ("/api/kpis", kpis),
                    ("/api/queries", queries),
                    ("/api/queries/{trace_id}", query),
                )
            ),
        ]
    )


def _bad(message: str) -> Response:
    answer: dict[str, Any] = {"error": message}
    return JSONResponse(answer, 400)
