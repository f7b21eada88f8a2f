"""Port 9464: ``/metrics``, ``/healthz``, ``/readyz`` and ``/api`` (see ``openapi.PAGES``); read from the files."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from time import time

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ragwatch import __version__
from ragwatch.agent.openapi import JSON, PAGES, Page, document
from ragwatch.agent.parameters import SERVICE, ParameterError, read, search_of
from ragwatch.agent.search import page_json
from ragwatch.agent.token import authorised
from ragwatch.agent.view import View
from ragwatch.errors import NoAnswer
from ragwatch.kpi.exposition import negotiate, render
from ragwatch.kpi.metrics import RAGMetrics

TRACE_ID = re.compile("[0-9a-f]{4,32}")
_PAGE = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>ragwatch agent</title>
<style>body{{font:16px/1.6 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em;color:#222}}
code{{background:#f2f2f2;padding:.1em .3em}}</style>
<h1>ragwatch agent {__version__}</h1>
<ul>
<li><a href="/metrics"><code>/metrics</code></a> every KPI, for Prometheus</li>
<li><a href="/api/kpis"><code>/api/kpis</code></a> the KPIs as JSON, each with its n</li>
<li><a href="/api/queries?limit=20"><code>/api/queries</code></a> the last queries;
 <a href="/api/queries?outcome=error"><code>?outcome=error</code></a>,
 <a href="/api/queries?order=slowest"><code>?order=slowest</code></a></li>
<li><a href="/api/agent"><code>/api/agent</code></a> what this agent is: versions, settings in force</li>
<li><a href="/api/openapi.json"><code>/api/openapi.json</code></a> everything that can be asked for</li>
<li><a href="/readyz"><code>/readyz</code></a> does every part work;
 <a href="/healthz"><code>/healthz</code></a></li>
</ul></html>
"""
Handler = Callable[[Request], Awaitable[Response]]


def web_app(view: View, *, token: str | None, problems: Callable[[], dict[str, str]]) -> Starlette:
    """The ASGI application of ``PAGES``. ``problems`` says which of the agent's processes do not run."""
    answers = Answers(view, problems)

    def guarded(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            if not authorised(request.headers.get("authorization"), token, password=True):
                return _stranger()
            try:
                return await handler(request)
            except ParameterError as error:
                return _problem(str(error), 400)
            except NoAnswer as error:
                return _problem(str(error), 503)

        return checked

    def handler_of(page: Page) -> Handler:
        handler: Handler = getattr(answers, page.name)
        return handler if page.open else guarded(handler)

    return Starlette(routes=[Route(page.path, handler_of(page)) for page in PAGES])


class Answers:
    """What each page of ``PAGES`` answers: a method of its name."""

    def __init__(self, view: View, problems: Callable[[], dict[str, str]]) -> None:
        self._view = view
        self._problems = problems

    async def page(self, _: Request) -> Response:
        """For people: where everything is."""
        return HTMLResponse(_PAGE)

    async def metrics(self, request: Request) -> Response:
        """Every metric in Prometheus' text or OpenMetrics, as is accepted."""
        openmetrics, content_type = negotiate(request.headers.get("accept", ""))
        body = await run_in_threadpool(lambda: render(self._view.shown(), with_openmetrics=openmetrics))
        return Response(body, media_type=None, headers={"Content-Type": content_type})

    async def healthz(self, _: Request) -> Response:
        """The agent runs."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request) -> Response:
        """Whether every part works."""
        found = {**await run_in_threadpool(self._view.readiness), **await run_in_threadpool(self._problems)}
        return JSONResponse({"ready": not found, "problems": found}, 503 if found else 200)

    async def kpis(self, request: Request) -> Response:
        """The KPIs, of one service or of all."""
        service = read(request.query_params.multi_items(), (SERVICE,)).get("service")
        state = await run_in_threadpool(self._view.kpis)
        return JSONResponse(RAGMetrics.of(state, service=service).to_dict())

    async def state(self, _: Request) -> Response:
        """Every series behind the KPIs."""
        found = await run_in_threadpool(self._view.kpis)
        return JSONResponse({"at": time(), "state": found.to_json()})

    async def queries(self, request: Request) -> Response:
        """A page of stored queries."""
        wanted = search_of(request.query_params.multi_items())
        return _json(await run_in_threadpool(lambda: page_json(self._view.queries(wanted))))

    async def query(self, request: Request) -> Response:
        """The queries of one trace."""
        wanted = request.path_params["trace_id"].lower()
        if not TRACE_ID.fullmatch(wanted):
            return _problem(f"trace_id={wanted!r}: 4 to 32 hex digits", 400)
        found = await run_in_threadpool(self._view.query, wanted)
        traces = list(dict.fromkeys(json.loads(text)["trace_id"] for text in found.texts))
        if not traces:
            return _problem(f"no query of trace {wanted} is kept", 404)
        if len(traces) > 1:
            return JSONResponse({"error": f"{len(traces)} traces begin with {wanted}", "traces": traces}, 409)
        return _json(page_json(found))

    async def about(self, _: Request) -> Response:
        """What this agent is."""
        return JSONResponse(await run_in_threadpool(self._view.about))

    async def openapi(self, _: Request) -> Response:
        """What there is."""
        return JSONResponse(document())


def _json(text: str) -> Response:
    return Response(text, media_type=JSON)


def _stranger() -> Response:
    """A program is asked for a bearer token, a browser asks its user for the same as a password."""
    answer = JSONResponse({"error": "a bearer token is needed"}, 401, {"WWW-Authenticate": "Bearer"})
    answer.headers.append("WWW-Authenticate", 'Basic realm="ragwatch agent: any user, the token as password"')
    return answer


def _problem(message: str, status: int) -> Response:
    return JSONResponse({"error": message}, status)
