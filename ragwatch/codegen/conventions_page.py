"""``docs/conventions.md``: how each convention is recognised and where each field stands, as the tables declare it."""

from __future__ import annotations

from collections.abc import Iterable

from ragwatch.conventions import openlit, own, vector_store
from ragwatch.conventions.registry import GROUP, builtin
from ragwatch.conventions.table import CHAIN, EVALUATION, OTHER, SERVER, STORE_READ, TASK, WORKFLOW, Convention, Field
from ragwatch.record import Step

_HEAD = f"""# Conventions

This page is generated from the tables in `ragwatch/conventions/` by `ragwatch codegen`; change them there.

An app that is already instrumented needs no change: point its OTLP exporter at the agent. What the agent makes of
your own spans, and what is missing in them, says `ragwatch inspect FILE`.

## How a span becomes a step

1. Conventions are asked in the order of this page; the first that knows the span decides what it is.
2. A field is looked for in the places of every convention, since one span often carries the names of two; the
   places of the earlier convention win, and of one convention the earlier name.
3. What is not there is unknown, never 0. A value of the wrong type, malformed JSON, `none` and `__REDACTED__` count as
   not there; `ragwatch_agent_unreadable_total` counts the packed values that could not be read.
4. Texts are read for their lengths and hashes alone, a user's name for its hash; neither is kept.

Besides the steps a span may be structure: `{WORKFLOW}` (a whole run), `{CHAIN}` (a run or a part of one), `{TASK}`
(a part), `{SERVER}` (the request that the app serves), `{STORE_READ}` (a read that is no search), `{EVALUATION}`,
`{OTHER}`.

## How steps become queries

- A **query** is the span of a run that is on top of its trace and below which something was retrieved or generated;
  else the request that the app served, or the topmost span of the app's own. A run inside a run is no second query.
- A span that goes through many questions, with parts of one name that each answer one, is many queries. A name that
  asks something itself (`rag.query`, `POST /ask`) is one.
- Queries are counted, not traces: several in one trace are several, one over several services is one.
- A run whose own span never came is one **incomplete** query: no success, and no failure. Parts of one name below what
  never came that each retrieve and generate are runs themselves. A service whose callers
  report elsewhere has queries of its own; one whose habits are not known yet is given ten lingers for its caller.
- A run that failed before it could retrieve is a failed query. A root that only embeds and writes is an `ingest`.
- A trace may go on for hours: where its root has not come, each query in it is handed on by itself.
- A run that begins after the run it hangs below has ended is no part of it (the instrumentor's context leaked): it is a
  query of its own, also when it comes after its trace was handed on. What comes late for a query that was handed on is
  a step alone, `ragwatch_agent_late_total`.
- Below a query of ragwatch's SDK the spans of others are steps of it: recognised by the SDK's worker, under ragwatch's
  tracer provider or the app's own, and marked `ragwatch.counted` so that the agent does not count them again. Where the
  app's provider has an exporter of its own, the query's span names them (`ragwatch.counted.spans`).
- A judge of answers (an `EVALUATOR` span) makes no query; the model calls below it are counted as calls.
- The deepest failing step is the cause of an error; those above it only carry it.

## What is one step

- A step right inside a step of its kind is the same one (`retrieve` and `_retrieve`, a framework's call and its
  client's, a framework's retrieval and its vector store's): the outer one's time, whatever any of them knows, and
  failed inner calls as attempts.
- A client's span in a trace of its own is the framework's call around it in time, of the same service and model:
  the one with the same response id, else the tightest.
- An answer with the response id of an earlier one, or faster than any server from a model that once took 20 ms, is
  a replay of a cache: its usage is not counted, and it is marked `cache_suspected`.
- A span that says no status but an error's type, or whose last event is an exception, failed.
- Requests of a client that failed before the last one, to the same place, are `attempts` of the call around them: with
  no answer, 408, 409, 425, 429 or 500 and above. What is not found or not allowed is not tried again.
- What lost its parent within the one run of its trace is a part of that run: some instrumentors never end a span that
  failed.
- An `embed` inside a `retrieve` is a step of its own.

## Cost

A cost that a span gives stands; 0 is what instrumentors without a price list fill in, and is unknown. With
`ragwatch agent --prices FILE` it is worked out from your own table, US dollars for a million tokens:

```yaml
gpt-4o-mini: {{input: 0.15, output: 0.60, cached: 0.075}}
text-embedding-3-small: {{input: 0.02}}
```

A model is looked up by its name, without its provider before it (`openai/…`) and its version behind it
(`…-2024-07-18`).

## A convention of your own

A package with an entry point in the group `{GROUP}` that names a `ragwatch.conventions.table.Convention` adds one.
It is asked after the ones that tell by an attribute, and before names are guessed.
"""


def conventions_page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD, _own()]
    parts += [_convention(convention) for convention in builtin()]
    return "\n".join(parts)


def _own() -> str:
    lines = [
        "## ragwatch's own\n",
        "Spans with `rag.step` (or `ragwatch.step`): that step. They come before all others.\n",
        "| field | where |",
        "|---|---|",
    ]
    places: dict[str, list[str]] = {}
    for key, (slot, _, _) in own.FIELDS.items():
        places.setdefault(Step._fields[slot], []).append(f"`{key}`")
    lines += [f"| {name} | {', '.join(keys)} |" for name, keys in places.items()]
    return "\n".join(lines) + "\n"


def _convention(convention: Convention) -> str:
    lines = [f"## {convention.title}\n"]
    for rule in convention.rules:
        lines += [f"By `{rule.key}`:\n", "| value | is |", "|---|---|"]
        by_role: dict[str, list[str]] = {}
        for value, role in rule.values.items():
            by_role.setdefault(role or "looked at further", []).append(f"`{value}`")
        lines += [f"| {', '.join(values)} | {role} |" for role, values in by_role.items()]
        if rule.otherwise is not None:
            lines.append(f"| anything else | {rule.otherwise} |")
        lines.append("")
    for asked in (convention.refine, convention.look):
        if asked is not None and asked.__doc__:
            lines.append("- " + " ".join(asked.__doc__.split()))
    if convention.name == vector_store.CONVENTION.name:
        lines.append(f"- Vector stores: {', '.join(sorted(vector_store.SYSTEMS))}.")
        lines.append(
            f"- Databases with vectors, where the statement searches some: {', '.join(sorted(vector_store.MIXED))}."
        )
    if convention.name == openlit.CONVENTION.name:
        lines.append("- Its model calls are OpenTelemetry GenAI's, its vector stores database spans.")
    lines.append("")
    if convention.fields or convention.packed:
        lines += ["| field | where | on |", "|---|---|---|"]
        lines += [_field(field) for field in convention.fields if field.name not in _INTERNAL]
        lines += [f"| {name} | {where} | |" for name, where in convention.packed]
        lines.append("")
    if convention.lacks:
        lines += ["| missing | what gives it |", "|---|---|"]
        lines += [f"| {name} | {how} |" for name, how in convention.lacks]
        lines.append("")
    return "\n".join(lines)


_INTERNAL = frozenset({"named_model", "server_first_token_s"})
"""Read to be weighed against others, and named among what is packed."""


def _field(field: Field) -> str:
    steps = ", ".join(sorted(field.steps))
    return f"| {field.name} | {_codes(field.keys)} | {steps} |"


def _codes(keys: Iterable[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)
