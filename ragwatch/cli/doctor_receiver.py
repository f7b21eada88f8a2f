"""The doctor's look at the receivers: is each signal taken where the SDK sends it, and where does the agent take it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ragwatch.cli.doctor_app import Check
from ragwatch.cli.source import RunningAgent
from ragwatch.config.otel_env import SIGNALS, Endpoint, SdkSettings, Signal
from ragwatch.config.urls import mask_url
from ragwatch.config.variables import Variables
from ragwatch.errors import NoAnswer, RagwatchError

START = "ragwatch agent"
GRPC_PORT, HTTP_PORT, WEB_PORT = 4317, 4318, 9464
TOKEN = "OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer TOKEN'"  # noqa: S105
PROBE_S = 5.0
_SERVICES: dict[Signal, str] = {"traces": "trace", "metrics": "metrics", "logs": "logs"}


class Place(NamedTuple):
    """Where an agent takes telemetry; ``known``: it says so itself, else these are the default ports."""

    host: str
    http_port: int
    grpc_port: int
    known: bool

    def url(self, protocol: str) -> str:
        """What to set as the endpoint."""
        return f"http://{self.host}:{self.grpc_port if protocol == 'grpc' else self.http_port}"


def place_of(agent: RunningAgent) -> Place:
    """Where the agent that was named listens."""
    host = urlsplit(agent.name if "://" in agent.name else f"http://{agent.name}").hostname or "127.0.0.1"
    try:
        said = {one["name"]: one["value"] for one in agent.about()["settings"]}
        return Place(host, int(said["http_port"]), int(said["grpc_port"]), known=True)
    except (NoAnswer, RagwatchError, KeyError, TypeError, ValueError):
        return Place(host, HTTP_PORT, GRPC_PORT, known=False)


def start(endpoint: Endpoint | None = None, web: RunningAgent | None = None) -> str:
    """The command that starts an agent there, where it is this host that it should listen on."""
    options = []
    if endpoint is not None:
        options.append(("grpc" if endpoint.protocol == "grpc" else "http", _port(endpoint.url, endpoint.protocol)))
    if web is not None:
        options.append(("web", urlsplit(web.name).port or WEB_PORT))
    usual = {"grpc": GRPC_PORT, "http": HTTP_PORT, "web": WEB_PORT}
    return " ".join((START, *(f"--{name}-port {port}" for name, port in options if port != usual[name])))


def receiver_checks(settings: SdkSettings, agent: RunningAgent) -> Iterator[Check]:
    """Each signal at its own endpoint; where one is not taken, those that go the same way are not tried."""
    faulty: set[tuple[str, str]] = set()
    taken: dict[tuple[str, str], list[Signal]] = {}
    if settings.endpoints.get("traces") is None:
        yield Check("receiver", "unknown", "traces are not sent")
    for signal in SIGNALS:
        endpoint = settings.endpoints.get(signal)
        if endpoint is None:
            continue
        way = (endpoint.url.removesuffix(f"/v1/{signal}"), endpoint.protocol)
        if way in faulty:
            continue
        found = Probe(signal, endpoint, agent).check()
        if found is None:
            taken.setdefault(way, []).append(signal)
        else:
            faulty.add(way)
            yield found
    for (url, protocol), signals in taken.items():
        yield Check("receiver", "ok", f"{mask_url(url)} ({protocol}) takes {', '.join(signals)}")


class Probe:
    """An empty request of one signal."""

    def __init__(self, signal: Signal, endpoint: Endpoint, agent: RunningAgent) -> None:
        self._signal = signal
        self._endpoint = endpoint
        self._agent = agent
        self._timeout_s = min(PROBE_S, endpoint.timeout_s or PROBE_S)

    def check(self) -> Check | None:
        """What is wrong; None where it is taken."""
        return self._grpc() if self._endpoint.protocol == "grpc" else self._http()

    def _wrong(self, said: str, do: str) -> Check:
        about = "" if self._signal == "traces" else f"{self._signal}: "
        return Check("receiver", "wrong", f"{about}{said}", do)

    def _variable(self, word: str) -> str:
        """The variable that says it: the signal's own, where it is set."""
        own = f"OTEL_EXPORTER_OTLP_{self._signal.upper()}_{word}"
        return own if Variables().get(own) else f"OTEL_EXPORTER_OTLP_{word}"

    def _to_agent(self, protocol: str) -> str:
        """The setting by which it would go to the agent."""
        name, place = self._variable("ENDPOINT"), place_of(self._agent)
        path = f"/v1/{self._signal}" if protocol != "grpc" and name != "OTEL_EXPORTER_OTLP_ENDPOINT" else ""
        return f"{name}={place.url(protocol)}{path}"

    def _nobody(self, said: str) -> Check:
        """Nobody listens there; perhaps the agent does elsewhere."""
        if place_of(self._agent).known:
            return self._wrong(said, f"{self._to_agent(self._endpoint.protocol)}, where the agent takes it")
        return self._wrong(said, f"{start(self._endpoint)}, or {self._variable('ENDPOINT')}=URL of one that runs")

    def _nothing_taken(self, said: str) -> Check:
        do = self._to_agent(self._endpoint.protocol)
        if self._signal != "traces":
            do += f", or OTEL_{self._signal.upper()}_EXPORTER=none"
        return self._wrong(said, do)

    def _http(self) -> Check | None:
        import urllib3

        endpoint = self._endpoint
        name = f"{mask_url(endpoint.url)} ({endpoint.protocol})"
        headers = {**dict(endpoint.headers), "Content-Type": "application/x-protobuf"}
        pool = urllib3.PoolManager(retries=False, timeout=self._timeout_s)
        try:
            answer = pool.request("POST", endpoint.url, body=b"", headers=headers)
        except urllib3.exceptions.NewConnectionError as error:
            return self._nobody(f"nobody listens at {name}: {str(error).rpartition('] ')[2]}")
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            if _port(endpoint.url, "") == GRPC_PORT or self._speaks_grpc():
                do = f"{self._variable('PROTOCOL')}=grpc, or {self._to_agent('http/protobuf')}"
                return self._wrong(f"{name} speaks gRPC, not HTTP", do)
            said = f"{name} does not answer as an OTLP receiver: {type(error).__name__}"
            return self._wrong(said, f"check {self._variable('ENDPOINT')}")
        kind = (answer.headers.get("Content-Type") or "nothing").split(";")[0]
        if answer.status in {401, 403}:
            return self._wrong(f"{name} wants a token and answers {answer.status}", TOKEN)
        if answer.status != 200 or "protobuf" not in kind:
            what = "is no OTLP receiver: it" if self._signal == "traces" else f"takes no {self._signal}: it"
            return self._nothing_taken(f"{name} {what} answers {answer.status} with {kind}")
        return None

    def _speaks_grpc(self) -> bool:
        parts = urlsplit(self._endpoint.url)
        as_grpc = Endpoint(f"http://{parts.hostname}:{parts.port or 80}", "grpc", self._endpoint.headers, 3.0)
        found = Probe(self._signal, as_grpc, self._agent).check()
        return found is None or "nobody" not in found.said

    def _grpc(self) -> Check | None:
        import grpc

        url = self._endpoint.url if "://" in self._endpoint.url else f"http://{self._endpoint.url}"
        parts = urlsplit(url)
        host = f"{parts.hostname}:{_port(url, 'grpc')}"
        name = f"{host} (grpc)"
        make: Callable[[], Any] = (
            (lambda: grpc.secure_channel(host, grpc.ssl_channel_credentials()))
            if parts.scheme == "https"
            else (lambda: grpc.insecure_channel(host))
        )
        service = _SERVICES[self._signal]
        path = f"/opentelemetry.proto.collector.{service}.v1.{service.capitalize()}Service/Export"
        with make() as channel:
            try:
                channel.unary_unary(path)(b"", timeout=self._timeout_s, metadata=self._endpoint.headers)
            except grpc.RpcError as error:
                code = error.code().name
            else:
                return None
        if code in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
            return self._wrong(f"{name} wants a token and answers {code}", TOKEN)
        if code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:
            if self._answers_http(parts.hostname or "", _port(url, "grpc")):
                do = f"{self._variable('PROTOCOL')}=http/protobuf, or {self._to_agent('grpc')}"
                return self._wrong(f"{name} speaks HTTP, not gRPC", do)
            return self._nobody(f"nobody speaks gRPC at {name}: {code}")
        if code == "UNIMPLEMENTED":
            return self._nothing_taken(f"{name} takes no {self._signal}: it answers {code}")
        return self._wrong(f"{name} answers {code}", f"check {self._variable('ENDPOINT')}")

    def _answers_http(self, host: str, port: int) -> bool:
        from http.client import HTTPConnection, HTTPException

        connection = HTTPConnection(host, port, timeout=self._timeout_s)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status > 0
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


def _port(url: str, protocol: str) -> int:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if protocol == "grpc":
        return parts.port or GRPC_PORT
    return parts.port or (443 if parts.scheme == "https" else 80)


def goes_elsewhere(settings: SdkSettings) -> str | None:
    """Where metrics are sent, when it is another place than that of the traces."""
    traces, metrics = settings.endpoints.get("traces"), settings.endpoints.get("metrics")
    if traces is None or metrics is None:
        return None
    places = [
        (urlsplit(one.url if "://" in one.url else f"http://{one.url}").hostname, _port(one.url, one.protocol))
        for one in (traces, metrics)
    ]
    one_port = traces.protocol == metrics.protocol
    return mask_url(metrics.url) if places[0] != places[1] and one_port else None
