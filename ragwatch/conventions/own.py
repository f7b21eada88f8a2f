"""ragwatch's own convention: a span with ``rag.step`` is that step; one table says which attribute is which field.

The SDK's worker and the agent read spans through the same table, so a number is the same wherever it is made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from ragwatch import semconv
from ragwatch.conventions.read_json import read_json
from ragwatch.error_class import error_class
from ragwatch.record import Document, Label, Step
from ragwatch.semconv import CACHE_RESULTS, ERROR_CLASSES, OUTCOMES, STEPS

STATUS_ERROR: Final = 2
MAX_BREAKERS: Final = 8
"""That a step remembers: a call asks one, with a fallback behind it two."""
UNSET: Final = (0, "")
"""The status of a span that says nothing of how it ended."""
Attributes = Mapping[str, Any]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, float) and 0 <= value < 2**63:
        return int(value)
    return None


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:  # not NaN, not infinite
        return float(value)
    return None


def _positive(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and number >= 0 else None


def _hit(value: object) -> str | None:
    return ("hit" if value else "miss") if isinstance(value, bool) else None


def _texts(value: object) -> tuple[str, ...] | None:
    """One text or several: of a hostile span no more than a few."""
    if isinstance(value, str):
        return (value,) if value else None
    if isinstance(value, tuple | list) and value and all(isinstance(text, str) for text in value):
        return tuple(value[:MAX_BREAKERS])
    return None


def _one_of(*allowed: str) -> Callable[[object], str | None]:
    return lambda value: value if isinstance(value, str) and value in allowed else None


SLOTS: Final = {name: index for index, name in enumerate(Step._fields)}
_FAST: Final[dict[Any, type]] = {_text: str, _whole: int}
FIELDS: Final[dict[str, tuple[int, type | None, Callable[[Any], Any]]]] = {
    key: (SLOTS[slot], _FAST.get(check), check)
    for key, slot, check in (
        (semconv.OUTCOME, "outcome", _one_of(*OUTCOMES)),
        (semconv.ERROR_TYPE, "error_type", _text),
        (semconv.ERROR_CLASS, "error_class", _one_of(*ERROR_CLASSES)),
        (semconv.DEGRADED_REASON, "degraded_reason", _text),
        (semconv.OPERATION, "operation", _text),
        (semconv.REQUEST_MODEL, "model", _text),
        (semconv.RESPONSE_MODEL, "response_model", _text),
        (semconv.RESPONSE_ID, "response_id", _text),
        (semconv.PROVIDER, "provider", _text),
        (semconv.INPUT_TOKENS, "input_tokens", _whole),
        (semconv.OUTPUT_TOKENS, "output_tokens", _whole),
        (semconv.CACHED_TOKENS, "cached_tokens", _whole),
        (semconv.REASONING_TOKENS, "reasoning_tokens", _whole),
        (semconv.COST_USD, "cost_usd", _positive),
        (semconv.FIRST_CHUNK_S, "first_chunk_s", _positive),
        (semconv.ATTEMPTS, "attempts", _whole),
        (semconv.BREAKER_NAME, "breaker", _texts),
        (semconv.BREAKER_STATE, "breaker_state", _texts),
        (semconv.CACHE_NAME, "cache", _text),
        (semconv.CACHE_RESULT, "cache_result", _one_of(*CACHE_RESULTS)),
        (semconv.CACHE_HIT, "cache_result", _hit),
        (semconv.DATA_SOURCE, "data_source", _text),
        (semconv.TOP_K, "top_k", _whole),
        (semconv.TOP_K_ALIAS, "top_k", _whole),
        (semconv.SCORE_THRESHOLD, "score_threshold", _number),
        (semconv.DOCUMENT_COUNT, "document_count", _whole),
        (semconv.DOCUMENT_COUNT_ALIAS, "document_count", _whole),
    )
}
STRUCTURE: Final = frozenset({semconv.STEP, semconv.STEP_ALIAS, semconv.COUNTED, semconv.DOCUMENTS})
_ERROR_TYPE: Final = SLOTS["error_type"]
_ERROR_CLASS: Final = SLOTS["error_class"]
_OUTCOME: Final = SLOTS["outcome"]
_EXTRA: Final = SLOTS["extra"]
_DOCUMENTS: Final = SLOTS["documents"]
_COUNT: Final = SLOTS["document_count"]
STEP_KINDS: Final = frozenset(STEPS)
_EMPTY: Final[list[Any]] = [None] * len(Step._fields)
_new_step: Final = tuple.__new__


def step_name(attributes: Attributes) -> str | None:
    """Which step these attributes say, or None where they say none.

    >>> step_name({"rag.step": "retrieve"}), step_name({"http.method": "GET"}), step_name({"rag.step": "dance"})
    ('retrieve', None, None)
    """
    name = attributes.get(semconv.STEP) or attributes.get(semconv.STEP_ALIAS)
    return name if isinstance(name, str) and name in STEP_KINDS else None


def to_step(
    kind: str,
    name: str,
    ids: tuple[str, str, str | None],
    times_ns: tuple[int, int],
    status: tuple[int, str],
    attributes: Mapping[str, Any],
    events: Any = None,
    documents: tuple[Document, ...] | None = None,
) -> Step:
    """The step that a span is.

    ``ids`` are (trace, span, parent) in hex, ``status`` is (0 unset, 1 ok, 2 error; message); ``events`` is a list of
    (name, time_ns, attributes, …). ``documents`` stand in for the attribute where the caller has them as values.
    A value of the wrong type is the field's absence.
    """
    row = _EMPTY.copy()
    row[0], row[1], row[2], row[3], row[4], row[5], row[6] = (
        kind,
        name,
        ids[1],
        ids[2],
        times_ns[0],
        times_ns[1],
        ids[0],
    )
    row[_DOCUMENTS] = documents
    extra: dict[str, Any] | None = None
    for key, value in attributes.items():
        field = FIELDS.get(key)
        if field is not None:
            slot, fast, check = field
            given: Any = value
            if row[slot] is None:
                # the usual types are taken as they are: a call for each costs 1 µs a step
                plain = type(value) is fast and (given >= 0 if fast is int else given != "")
                row[slot] = value if plain else check(value)
        elif key not in STRUCTURE:
            if extra is None:
                extra = {}
            extra[key] = value
    row[_EXTRA] = extra
    return finished(row, attributes.get(semconv.DOCUMENTS) if documents is None else None, status, events)


def finished(row: list[Any], packed: object, status: tuple[int, str], events: Any) -> Step:
    """The step whose fields are ``row``, with what follows from them: documents, their count, outcome, failure.

    ``packed`` is the attribute that holds the documents where the row has none; ``status`` and ``events`` are those of
    ``to_step``.
    """
    documents = row[_DOCUMENTS]
    if packed is not None:
        row[_DOCUMENTS] = documents = documents_from(packed)
    if documents is not None and row[_COUNT] is None:
        row[_COUNT] = len(documents)
    outcome = row[_OUTCOME]
    if outcome is None:
        outcome = row[_OUTCOME] = "error" if status[0] == STATUS_ERROR else "ok"
    if outcome != "ok":
        _failure(row, status[1], events)
    return _new_step(Step, row)


def _failure(row: list[Any], message: str, events: Any) -> None:
    """Fill in what is known of a failure: type, class and message."""
    exception = next((event[2] for event in reversed(events or ()) if event[0] == semconv.EVENT_EXCEPTION), None) or {}
    if row[_ERROR_TYPE] is None:
        row[_ERROR_TYPE] = _text(exception.get(semconv.EXCEPTION_TYPE)) or _text(message.split(":", 1)[0])
    text = _text(exception.get(semconv.EXCEPTION_MESSAGE)) or _text(message)
    if row[_OUTCOME] == "error":
        row[_ERROR_CLASS] = row[_ERROR_CLASS] or error_class(row[_ERROR_TYPE], text)
    row[SLOTS["error_message"]] = text


def documents_from(packed: object) -> tuple[Document, ...] | None:
    """The documents of ``gen_ai.retrieval.documents``: a JSON string (as seen in the field) or a list of mappings.

    >>> documents_from('[{"id": "a", "score": 0.5}]')
    (Document(id='a', rank=1, score=0.5, distance=None, id_from='id', content_hash=None, date=None, text=None),)
    >>> documents_from("not json") is None
    True
    """
    if isinstance(packed, str):
        try:
            packed = read_json(packed)
        except (ValueError, RecursionError):
            return None
    if not isinstance(packed, list | tuple):
        return None
    return tuple(_document(item, rank) for rank, item in enumerate(packed, 1))


def _document(item: object, rank: int) -> Document:
    if not isinstance(item, Mapping):
        return Document(str(item), rank, id_from="id")
    given = item.get("id")
    identity = None if given is None or given == "" else str(given)
    return Document(
        identity,
        _whole(item.get("rank")) or rank,
        _number(item.get("score")),
        _number(item.get("distance")),
        _text(item.get("id_from")) or ("id" if identity is not None else None),
        _text(item.get("content_hash")),
        _number(item.get("date")),
        _text(item.get("text")) or _text(item.get("content")),
    )


def pack_documents(documents: tuple[Document, ...]) -> str:
    """The documents as the JSON string of ``gen_ai.retrieval.documents``: what is unknown is left out.

    >>> pack_documents((Document("a", 1, 0.5), Document("b", 2, None)))
    '[{"id":"a","score":0.5},{"id":"b","score":null}]'
    """
    return json.dumps([_pack(document) for document in documents], separators=(",", ":"), ensure_ascii=False)


def _pack(document: Document) -> dict[str, Any]:
    out: dict[str, Any] = {"id": document.id, "score": document.score}
    if document.distance is not None:
        out["distance"] = document.distance
    if document.id_from not in {None, "id"}:
        out["id_from"] = document.id_from
    if document.content_hash is not None:
        out["content_hash"] = document.content_hash
    if document.date is not None:
        out["date"] = document.date
    if document.text is not None:
        out["text"] = document.text
    return out


_QUERY_FIELDS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    semconv.SESSION_ID: ("session", _text),
    semconv.USER_HASH: ("user", _text),
    semconv.TENANT_ID: ("tenant", _text),
    semconv.PROMPT_VERSION: ("prompt_version", _text),
    semconv.APP_VERSION: ("version", _text),
    semconv.APP_CONFIG_HASH: ("config_hash", _text),
    semconv.APP_INDEX_VERSION: ("index_version", _text),
    semconv.APP_EMBEDDING_MODEL: ("embedding_model", _text),
    semconv.QUESTION: ("question", _text),
    semconv.QUESTION_LENGTH: ("question_length", _whole),
    semconv.ANSWER: ("answer", _text),
    semconv.ANSWER_LENGTH: ("answer_length", _whole),
}
_LABEL_KEYS: Final = frozenset(
    {semconv.LABEL_K, semconv.LABEL_HIT, semconv.LABEL_RECALL, semconv.LABEL_RECIPROCAL_RANK, semconv.LABEL_SOURCE}
)


def hashed(value: str) -> str:
    """A stable stand-in for a user's id: 16 hex digits of SHA-256, as OpenTelemetry's ``user.hash``.

    >>> hashed("ann@example.com")
    '71d4f55f72fa128d'
    """
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()[:16]


def query_fields(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a query that its root's attributes hold, beyond those of any step; ``extra`` is what is left."""
    fields: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    label: dict[str, Any] | None = None
    for key, value in (extra or {}).items():
        known = _QUERY_FIELDS.get(key)
        if known is not None:
            fields[known[0]] = known[1](value)
        elif key == semconv.COUNTED_SPANS:
            continue
        elif key in _LABEL_KEYS:
            label = label or {}
            label[key] = value
        else:
            rest[key] = value
    if label is not None:
        fields["label"] = _label(label)
    fields["extra"] = rest or None
    return fields


def _label(found: Mapping[str, Any]) -> Label | None:
    k = _whole(found.get(semconv.LABEL_K))
    recall = _positive(found.get(semconv.LABEL_RECALL))
    rank = _positive(found.get(semconv.LABEL_RECIPROCAL_RANK))
    hit = found.get(semconv.LABEL_HIT)
    if k is None or recall is None or rank is None or not isinstance(hit, bool) or recall > 1 or rank > 1:
        return None
    source = found.get(semconv.LABEL_SOURCE)
    return Label(source if source in {"label", "probe", "judge", "feedback"} else "label", k, hit, recall, rank)
