"""What can be said of a step while it runs: its documents, hit, model, tokens, cost, and anything else.

The same methods stand on a ragwatch span, on a step under somebody else's tracer provider, and on the null step that is
handed out while ragwatch is off. None of them raises; a fault of ours is counted and logged once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, SupportsFloat

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from ragwatch import semconv
from ragwatch.sdk.documents import MAX_DOCUMENTS, items_of, to_documents
from ragwatch.sdk.guard import fault

if TYPE_CHECKING:
    from ragwatch.record import Document
    from ragwatch.sdk.content import ContentPolicy


class StepApi:
    """The methods of a step. Each returns the step, so that calls can be chained."""

    step: str | None = None
    document_list: tuple[Document, ...] | None = None
    query: Any = None
    foreign: Any = None
    """Of a query: spans of others that ended within it."""
    content: ContentPolicy

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute; the span's own method."""
        raise AttributeError(f"{key}={value!r}: a step without attributes")

    def set(self, name: str, value: Any) -> Any:
        """Set any attribute by name; OpenTelemetry's GenAI names are read into the KPIs as well."""
        self.set_attribute(name, value)
        return self

    def documents(self, hits: Iterable[Any] | None) -> Any:
        """The documents that this step found, best first: ids, scores or distances, ranks.

        Takes dicts, (document, score) tuples, strings, and objects with the usual fields of LangChain, LlamaIndex and
        Haystack. An empty list is an empty retrieval; ``None`` says nothing.
        """
        try:
            if hits is not None:
                items = items_of(hits)
                self.document_list = to_documents(items, keep_text=self.content.text)
                if len(items) > MAX_DOCUMENTS:
                    self.set_attribute(semconv.DOCUMENT_COUNT, len(items))
        except Exception as error:  # noqa: BLE001  (the app's own objects may raise from any attribute)
            fault("documents", error)
        return self

    def hit(self, is_hit: bool = True) -> Any:
        """Whether the cache had it."""
        try:
            self.set_attribute(semconv.CACHE_HIT, bool(is_hit))
        except Exception as error:  # noqa: BLE001  (an array has no one truth)
            fault("hit", error)
        return self

    def model(self, name: str, provider: str | None = None) -> Any:
        """The model that is asked, and who serves it."""
        self.set_attribute(semconv.REQUEST_MODEL, name)
        if provider:
            self.set_attribute(semconv.PROVIDER, provider)
        return self

    def tokens(
        self,
        input: int | None = None,  # noqa: A002  (the word that users of model APIs know)
        output: int | None = None,
        cached: int | None = None,
        reasoning: int | None = None,
    ) -> Any:
        """Tokens used. ``input`` includes ``cached``, ``output`` includes ``reasoning``; unknown is None, not 0."""
        for key, value in (
            (semconv.INPUT_TOKENS, input),
            (semconv.OUTPUT_TOKENS, output),
            (semconv.CACHED_TOKENS, cached),
            (semconv.REASONING_TOKENS, reasoning),
        ):
            if value is not None:
                self.set_attribute(key, value)
        return self

    def cost(self, usd: SupportsFloat | None) -> Any:
        """What the call cost, in US dollars (a float, a Decimal); unknown is None, not 0."""
        try:
            if usd is not None:
                self.set_attribute(semconv.COST_USD, float(usd))
        except Exception as error:  # noqa: BLE001
            fault("cost", error)
        return self

    def degraded(self, reason: str) -> Any:
        """A fallback answered: the step's outcome is ``degraded``."""
        self.set_attribute(semconv.OUTCOME, "degraded")
        self.set_attribute(semconv.DEGRADED_REASON, reason)
        return self

    def source(self, name: str) -> Any:
        """The index, collection or data source that is asked."""
        self.set_attribute(semconv.DATA_SOURCE, name)
        return self

    # -- of a query ---------------------------------------------------------------------------------------------------

    def question(self, text: str) -> Any:
        """The question. Its length is kept; its text only where ``RAGWATCH_CONTENT`` allows."""
        return self._text(semconv.QUESTION, semconv.QUESTION_LENGTH, text)

    def answer(self, text: str) -> Any:
        """The answer. Its length is kept; its text only where ``RAGWATCH_CONTENT`` allows."""
        return self._text(semconv.ANSWER, semconv.ANSWER_LENGTH, text)

    def session(self, session_id: str) -> Any:
        """The conversation that the query belongs to."""
        try:
            self.set_attribute(semconv.SESSION_ID, str(session_id))
        except Exception as error:  # noqa: BLE001
            fault("session", error)
        return self

    def user(self, user_id: str) -> Any:
        """Who asks: kept as a hash only."""
        from ragwatch.sdk.content import hashed

        try:
            self.set_attribute(semconv.USER_HASH, hashed(str(user_id)))
        except Exception as error:  # noqa: BLE001
            fault("user", error)
        return self

    def relevant(self, ids: Sequence[str], *, k: int = 5, source: str = "label") -> Any:
        """The ids of the documents that answer this query: recall and rank of what was retrieved become KPIs."""
        try:
            wanted = frozenset(map(str, ids))
            if wanted and self.query is not None:
                self.query.labelled = (wanted, k, source)
        except Exception as error:  # noqa: BLE001
            fault("relevant", error)
        return self

    def _text(self, key: str, length_key: str, text: str) -> Any:
        try:
            if isinstance(text, str):
                self.set_attribute(length_key, len(text))
                kept = self.content.text(text)
                if kept is not None:
                    self.set_attribute(key, kept)
        except Exception as error:  # noqa: BLE001
            fault("text", error)
        return self


class NullStep(StepApi):
    """The step of an app whose ragwatch is off: takes everything, does nothing."""

    __slots__ = ()

    def _nothing(self, *_args: Any, **_kwargs: Any) -> Any:
        return self

    set = documents = hit = model = tokens = cost = degraded = source = _nothing
    question = answer = session = user = relevant = end = fail = _nothing
    set_attributes = add_event = add_link = record_exception = set_status = update_name = _nothing
    start_ns = 0
    attribute_map: ClassVar[dict[str, Any]] = {}

    def set_attribute(self, key: str, value: Any) -> None:
        """Nothing."""

    def is_recording(self) -> bool:
        """False: nothing is kept."""
        return False

    def get_span_context(self) -> SpanContext:
        """No identity."""
        return INVALID_SPAN_CONTEXT


NULL_STEP = NullStep()
