"""An agent as the source of pictures, without a Prometheus: its ``/metrics`` sampled for a while."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep, time
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

from ragwatch.errors import RagwatchError
from ragwatch.monitoring.pictures import Series, filled, named
from ragwatch.monitoring.promql import budget_left
from ragwatch.monitoring.promql_eval import Samples, Shown, evaluate
from ragwatch.monitoring.promql_tree import parse
from ragwatch.monitoring.slo import BUNDLED, Slos, slos_of
from ragwatch.monitoring.slo_rules import budget_left as computed
from ragwatch.monitoring.slo_rules import events

PERIOD_S = 1.0
POINTS = 240


def unrecorded(slos: Slos) -> dict[str, str]:
    """What Prometheus' rules record, by the query that reads it: over the time watched, by the general objectives."""
    return {
        budget_left(slo.name): f"min({computed(slo, *events(slo, '$__range', scoped=True))})"
        for slo in slos.slos
        if slo.service is None
    }


BUNDLED_SLOS = slos_of(BUNDLED, "the bundled objectives")
UNRECORDED = unrecorded(BUNDLED_SLOS)


class AgentSource:
    """Answers the panels' queries from what an agent showed between ``start`` and ``end``: nothing from before."""

    def __init__(self, samples: Samples, *, service: str = ".*", slos: Slos = BUNDLED_SLOS) -> None:
        self.start, self.end = samples.times[0], samples.times[-1]
        self._samples = samples
        self._service = service
        self._unrecorded = unrecorded(slos)
        self._step = max(PERIOD_S, (self.end - self.start) / POINTS)

    def series(self, expression: str, legend: str) -> list[Series]:
        """The series of one query over the time; ``RagwatchError`` for what needs a Prometheus."""
        node = parse(
            filled(self._unrecorded.get(expression, expression), self._service, self.end - self.start, self._step)
        )
        lines: dict[tuple[tuple[str, str], ...], tuple[list[float], list[float]]] = {}
        for number in range(int((self.end - self.start) / self._step) + 1):
            at = self.start + number * self._step
            found = evaluate(node, self._samples, at)
            for labels, value in ({(): found} if isinstance(found, float) else found).items():
                times, values = lines.setdefault(labels, ([], []))
                times.append(at)
                values.append(value)
        return [Series(named(legend, dict(labels)), *line) for labels, line in lines.items()]


def sample(url: str, seconds: float, *, token: str | None = None, wait: Callable[[float], object] = sleep) -> Samples:
    """What an agent shows each second for so long; ``wait`` waits between two samples, KeyboardInterrupt ends it.

    Raises ``RagwatchError`` where no agent answers.
    """
    found = Samples()
    began = time()
    try:
        while not found.times or found.times[-1] - began < seconds:
            found.add(time(), _shown(url, token))
            wait(max(0.0, began + len(found.times) * PERIOD_S - time()))
    except KeyboardInterrupt:
        if len(found.times) < 2:
            raise
    return found


def _shown(url: str, token: str | None) -> list[Shown]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = Request(f"{url.rstrip('/')}/metrics", headers=headers)  # noqa: S310  (the user's own address)
    try:
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            text = answer.read().decode()
    except HTTPError as error:
        raise RagwatchError(
            f"{url} answers {error.code}: {'a token is needed' if error.code == 401 else error}"
        ) from None
    except (URLError, OSError) as error:
        raise RagwatchError(f"no agent answers at {url}: {error}") from None
    families = text_string_to_metric_families(text)
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]
