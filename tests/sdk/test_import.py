"""``import ragwatch`` is light, and stays light."""

from __future__ import annotations

from tests.support.procs import Process

HEAVY = (
    "opentelemetry.sdk", "opentelemetry.exporter", "grpc", "google.protobuf", "pydantic", "structlog",
    "prometheus_client", "starlette", "sqlite3", "asyncio", "yaml", "urllib3",
)  # fmt: skip
DECORATED = """
import ragwatch

@ragwatch.query
def answer(question):
    return search(question)

@ragwatch.retrieve(top_k=5)
def search(question):
    return ["a"]

assert answer("q") == ["a"]
"""


def loaded(code: str) -> list[str]:
    report = f"{code}\nimport sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    with Process.python("-c", report) as process:
        assert process.wait(30) == 0, process.output
        return " ".join(process.stdout).split()


def test_import_loads_nothing_heavy() -> None:
    assert loaded("import ragwatch") == []


def test_decorators_without_init_load_nothing_heavy() -> None:
    assert loaded(DECORATED) == []


def test_breaker_and_retry_load_nothing_heavy() -> None:
    code = "import ragwatch\nragwatch.retry(ragwatch.CircuitBreaker('b')(int))()\nragwatch.Bulkhead('x').call(int)"
    assert loaded(code) == []


def test_every_public_name_is_there() -> None:
    code = "import ragwatch\nassert all(getattr(ragwatch, name) is not None for name in ragwatch.__all__)"
    with Process.python("-c", code) as process:
        assert process.wait(30) == 0, process.output
