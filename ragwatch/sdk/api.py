"""``query``, ``cache``, ``embed``, ``retrieve``, ``rerank``, ``generate``, ``guardrail``, ``tool``, ``ingest``.

Each marks a step: bare (``@ragwatch.retrieve``), with options (``@ragwatch.retrieve(top_k=5)``), as a ``with`` or
``async with`` block, on functions, coroutines, generators and async generators. While ragwatch is off they cost an
attribute look-up and do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from opentelemetry.context import Context, attach, detach, get_current

from ragwatch import semconv
from ragwatch.sdk.calls import wrap
from ragwatch.sdk.content import hashed
from ragwatch.sdk.guard import fault
from ragwatch.sdk.runtime import Active
from ragwatch.sdk.step import NULL_STEP

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = {
    "top_k": semconv.TOP_K,
    "source": semconv.DATA_SOURCE,
    "threshold": semconv.SCORE_THRESHOLD,
    "model": semconv.REQUEST_MODEL,
    "provider": semconv.PROVIDER,
    "session": semconv.SESSION_ID,
    "tenant": semconv.TENANT_ID,
    "prompt_version": semconv.PROMPT_VERSION,
}


class Use:
    """One use of a step: a context manager, sync or async, or a decorator.

    It may be kept and entered over and over, within itself and by several threads or tasks at once.
    """

    __slots__ = ("_before", "_more", "_open", "_step", "_token", "attributes", "kind", "name", "question", "within")

    def __init__(self, kind: str, name: str, attributes: dict[str, Any], question: str | None = None) -> None:
        self.kind = kind
        self.name = name
        self.attributes = attributes
        self.question = question
        self._open = False
        self._more: list[Use] | None = None
        self._step: Any = None
        self._before: Context | None = None
        self.within: Context | None = None
        self._token: Any = None

    def __enter__(self) -> Any:
        runtime = Active.runtime
        if runtime is None:
            return NULL_STEP
        if self._open:
            return self._enter_again()
        self._open = True
        try:
            self._before = before = get_current()
            self._step, within = runtime.begin(self.kind, self.name, dict(self.attributes), before)
            self.within = within
            self._token = attach(within)
            if self.question is not None:
                self._step.question(self.question)
        except Exception as error:  # noqa: BLE001  (guests behave)
            fault("begin", error)
            return NULL_STEP
        return self._step

    def __exit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        if self._more:
            other = self._innermost(self._more)
            if other is not None:
                other.__exit__(exc_type, exc, traceback)
                return
        step = self._step
        if step is not None:
            self._step = None
            try:
                if exc is not None:
                    step.fail(exc)
                self.leave()
                step.end()
            except Exception as error:  # noqa: BLE001
                fault("end", error)
        self._open = False

    async def __aenter__(self) -> Any:
        return self.__enter__()

    async def __aexit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        self.__exit__(exc_type, exc, traceback)

    def __call__(self, function: F) -> F:
        """Decorate a function, coroutine function, generator function or async generator function."""
        wrapped: F = wrap(function, self)
        return wrapped

    def again(self) -> Use:
        """A fresh use with the same options: a decorated function makes one for each call."""
        return Use(self.kind, self.name, self.attributes, self.question)

    def _enter_again(self) -> Any:
        """Enter while another entry is open: below it, or on another thread or task."""
        other = self.again()
        step = other.__enter__()
        if self._more is None:
            self._more = []
        self._more.append(other)
        return step

    def _innermost(self, others: list[Use]) -> Use | None:
        """Which of the further entries is left: the one that is current, else the last where the first has ended."""
        current = get_current()
        found = next((other for other in others if other.within is current), None)
        if found is None and self._step is None:
            found = others[-1]
        if found is not None:
            others.remove(found)
        return found

    def leave(self) -> None:
        """Make the context of before current again, also where this runs in another task than the beginning did.

        The token is the last resort: it fails, with a log line of OpenTelemetry's, in another task.
        """
        if self.within is None:
            return
        if get_current() is self.within:
            attach(self._before or Context())
        elif self._token is not None:
            detach(self._token)

    def resume(self) -> Context:
        """Make the step current while its stream runs; what was current is returned."""
        before = get_current()
        attach(before if self.within is None else self.within)
        return before


class StepKind:
    """One of the nine steps; what ``ragwatch.retrieve`` and its siblings are."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    @overload
    def __call__(self, function: F, /) -> F: ...

    @overload
    def __call__(
        self,
        text: str | None = None,
        /,
        *,
        name: str | None = None,
        top_k: int | None = None,
        source: str | None = None,
        threshold: float | None = None,
        model: str | None = None,
        provider: str | None = None,
        session: str | None = None,
        user: str | None = None,
        tenant: str | None = None,
        prompt_version: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Use: ...

    def __call__(
        self,
        text: Any = None,
        /,
        *,
        name: str | None = None,
        user: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Mark a step.

        ``text`` is the question of a query, or the name of any other step (of a cache, a tool, an ingestion pipeline).
        ``top_k``, ``source`` (the index that is asked), ``threshold`` (the least useful score), ``model``,
        ``provider``, ``session``, ``tenant``, ``prompt_version`` and all of ``attributes`` become attributes.
        """
        if callable(text):
            return wrap(text, Use(self.kind, self.kind, {}))
        found: dict[str, Any] = dict(attributes) if attributes else {}
        if options:
            for option, value in options.items():
                if option not in _OPTIONS:
                    raise TypeError(f"ragwatch.{self.kind}() has no option {option!r}; it has {', '.join(_OPTIONS)}")
                if value is not None:
                    found[_OPTIONS[option]] = value
        if user is not None:
            try:
                found[semconv.USER_HASH] = hashed(str(user))
            except Exception as error:  # noqa: BLE001  (the app's own method)
                fault("user", error)
        if self.kind == "query":
            return Use("query", name or "query", found, text)
        label = name or text
        if label and self.kind == "cache":
            found[semconv.CACHE_NAME] = label
        return Use(self.kind, label or self.kind, found)

    def __repr__(self) -> str:
        return f"ragwatch.{self.kind}"


query = StepKind("query")
cache = StepKind("cache")
embed = StepKind("embed")
retrieve = StepKind("retrieve")
rerank = StepKind("rerank")
generate = StepKind("generate")
guardrail = StepKind("guardrail")
tool = StepKind("tool")
ingest = StepKind("ingest")
