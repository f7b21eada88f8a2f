"""``/api/openapi.json``: what the web port answers, derived from the tables that it is served from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, get_args, get_type_hints

from ragwatch import __version__
from ragwatch.agent.parameters import SEARCH, SERVICE, Parameter
from ragwatch.kpi.metrics import RAGMetrics
from ragwatch.record import Document, Label, QueryRecord, Step

JSON, TEXT = "application/json", "text/plain"


@dataclass(frozen=True, slots=True)
class Page:
    """One path of the web port: what it says, which parameters it takes, the schema of its answer."""

    path: str
    name: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    schema: str = ""
    content_type: str = JSON
    problems: tuple[tuple[int, str], ...] = ()
    open: bool = False
    """Whether it is answered without a token."""


PAGES = (
    Page("/", "page", "Where everything is, for people", content_type="text/html"),
    Page("/metrics", "metrics", "Every KPI for Prometheus; OpenMetrics when it is accepted", content_type=TEXT),
    Page("/api/kpis", "kpis", "The KPIs since the agent's first day, each with its n", (SERVICE,), "RAGMetrics"),
    Page("/api/state", "state", "Every series behind the KPIs, for programs that look at a window", (), "State"),
    Page(
        "/api/queries", "queries", "Stored queries by what is asked for, a page at a time", SEARCH, "Queries",
        problems=((503, "the search was broken off after 3 s"),),
    ),
    Page(
        "/api/queries/{trace_id}", "query", "The queries of one trace; a beginning of its id of 4 digits is enough", (),
        "Queries",
        problems=(
            (404, "no query of that trace is kept"), (409, "several traces begin so"),
            (503, "the files cannot be read"),
        ),
    ),
    Page(
        "/api/agent", "about", "What this agent is: versions, settings in force with sources; no secrets", (), "Agent",
        problems=((503, "its files do not say"),),
    ),
    Page("/api/openapi.json", "openapi", "This document", (), "Any"),
    Page("/healthz", "healthz", "The agent runs", content_type=TEXT, open=True),
    Page("/readyz", "readyz", "Whether every part works, and what does not", (), "Readiness",
         problems=((503, "a part does not work"),), open=True),
)  # fmt: skip


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "ragwatch agent", "version": __version__, "license": {"name": "Apache-2.0"}},
        "security": [{"token": []}, {"password": []}, {}],
        "paths": {page.path: {"get": _operation(page)} for page in PAGES},
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The token as password, for a browser.",
                },
            },
            "schemas": _schemas(),
        },
    }


def _operation(page: Page) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.meaning,
            "schema": dict(parameter.schema),
            **({"example": parameter.example} if parameter.example and parameter.schema["type"] == "string" else {}),
        }
        for parameter in page.parameters
    ]
    if "{trace_id}" in page.path:
        shape = {"type": "string", "pattern": "^[0-9a-fA-F]{4,32}$"}
        parameters.append({"name": "trace_id", "in": "path", "required": True, "schema": shape})
    body: dict[str, Any] = {"$ref": f"#/components/schemas/{page.schema}"} if page.schema else {"type": "string"}
    answers: dict[str, Any] = {"200": {"description": page.summary, "content": {page.content_type: {"schema": body}}}}
    problems = dict(page.problems)
    if page.parameters or "{" in page.path:
        problems[400] = "a parameter cannot be read"
    if not page.open:
        problems[401] = "a bearer token is needed"
    for status, meaning in sorted(problems.items()):
        ref = page.schema if page.name == "readyz" else "Error"
        answers[str(status)] = {
            "description": meaning,
            "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{ref}"}}},
        }
    found: dict[str, Any] = {"operationId": page.name, "summary": page.summary, "responses": answers}
    if parameters:
        found["parameters"] = parameters
    if page.open:
        found["security"] = []
    return found


def _schemas() -> dict[str, Any]:
    def ref(name: str) -> dict[str, str]:
        return {"$ref": f"#/components/schemas/{name}"}

    text = {"type": "string"}
    breakers = {"type": "object", "additionalProperties": text, "description": "the state of each when it was asked"}
    query = _of_tuple(QueryRecord, required=("trace_id", "span_id", "service", "environment", "start_ns", "end_ns"))
    query["properties"] |= {
        "steps": {"type": "array", "items": ref("Step")},
        "label": ref("Label"),
        "judgements": {"type": "array", "items": ref("Judgement"), "description": "what was said of it afterwards"},
        "breakers": breakers,
    }
    step = _of_tuple(Step, required=("step", "name", "span_id", "start_ns", "end_ns"))
    step["properties"] |= {"documents": {"type": "array", "items": ref("Document")}, "breakers": breakers}
    for schema in (query, step):  # as plain values they are ``breakers``
        for name in ("breaker", "breaker_state"):
            del schema["properties"][name]
    return {
        "Any": {"type": "object"},
        "Error": {"type": "object", "required": ["error"], "properties": {"error": text, "traces": _array(text)}},
        "Readiness": {
            "type": "object",
            "properties": {
                "ready": {"type": "boolean"},
                "problems": {"type": "object", "additionalProperties": text},
            },
        },
        "RAGMetrics": {"type": "object", "properties": {name: {} for name in get_type_hints(RAGMetrics)}},
        "Agent": {
            "type": "object",
            "required": ["ragwatch", "python", "config_hash", "settings"],
            "properties": {
                **dict.fromkeys(("ragwatch", "python", "platform", "config_hash"), text),
                "dependencies": {"type": "object", "additionalProperties": text},
                "settings": _array({"type": "object", "properties": {"name": text, "value": {}, "source": text}}),
                "started_s": {"type": "number", "description": "seconds since the epoch"},
                "upstream_problem": {
                    "type": "string",
                    "description": "what the upstream answered, if it takes nothing",
                },
            },
        },
        "State": {"type": "object", "description": "by metric, its series"},
        "Queries": {
            "type": "object",
            "required": ["queries"],
            "properties": {
                "queries": _array(ref("Query")),
                "next": {"type": ["string", "null"], "description": "`cursor` of the next page; null on the last"},
            },
        },
        "Query": query,
        "Step": step,
        "Document": _of_tuple(Document, required=("rank",)),
        "Label": _of_tuple(Label, required=Label._fields),
        "Judgement": {
            "type": "object",
            "required": ["target", "source", "verdict", "at"],
            "properties": {
                **dict.fromkeys(("target", "source", "verdict", "name", "judge"), text),
                "score": {"type": "number"},
                "at": {"type": "number", "description": "seconds since the epoch"},
            },
        },
    }


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _of_tuple(kind: type[NamedTuple], required: tuple[str, ...]) -> dict[str, Any]:
    """The schema of a value whose unknown fields are left out."""
    properties: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        options = [option for option in (get_args(hint) or (hint,)) if option in _PLAIN]
        if hint in _PLAIN:
            options = [hint]
        properties[name] = {"type": _PLAIN[options[0]]} if len(options) == 1 else {}
    return {"type": "object", "required": list(required), "properties": properties}
