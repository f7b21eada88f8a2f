"""Named values of a process, in layers: environment, ``*_FILE`` variables, secrets directory, ``.env`` file.

SDK, agent and ``ProductionConfig`` all read their variables here, so one order holds for all of them. Nothing but the
standard library is imported: the SDK loads this module in the app's process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from ragwatch.errors import ConfigError

SECRETS_DIR = "RAGWATCH_SECRETS_DIR"
ENV_FILE = "RAGWATCH_ENV_FILE"
MAX_SECRET_BYTES = 1 << 20
"""A file that stands for one value is never longer; a device or a log file by mistake is."""
FILE = "_FILE"
"""What the name of a variable ends in that names a file, and does not hold the value itself."""


class Text(NamedTuple):
    """A value as it was written, and where."""

    value: str
    source: str

    def __repr__(self) -> str:
        return f"Text(from {self.source})"


class Layer(Protocol):
    """One place where variables come from."""

    def names(self) -> Iterable[str]:
        """The names that it may hold, in capitals."""

    def get(self, name: str) -> Text | None:
        """The value of one name; None where it is unset or empty; ``ConfigError`` where it cannot be read."""


class Variables:
    """The layers of one process, the strongest first.

    >>> held = Variables({"LOG_LEVEL": "DEBUG", "REDIS_URL": ""})
    >>> held.get("LOG_LEVEL"), held.get("REDIS_URL"), held.faults
    ('DEBUG', None, [])
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        secrets_dir: str | os.PathLike[str] | None = None,
        env_file: str | os.PathLike[str] | None = None,
    ) -> None:
        found = os.environ if environ is None else environ
        self.faults: list[ConfigError] = []
        """What could not be read so far: each file is named once."""
        self.layers: list[Layer] = [Environment(found), Named(found)]
        self._failed: set[str] = set()
        directory, source = _chosen(secrets_dir, found, SECRETS_DIR)
        if directory:
            self.layers.append(Secrets(directory, source, self.faults))
        dotenv, source = _chosen(env_file, found, ENV_FILE)
        if dotenv:
            self.layers.append(DotEnv(dotenv, source, self.faults))

    def __repr__(self) -> str:
        return f"Variables({', '.join(type(layer).__name__ for layer in self.layers)})"

    def read(self, layer: Layer, name: str) -> Text | None:
        """One layer's value of a name; what cannot be read is a fault, and no value."""
        try:
            return layer.get(name)
        except ConfigError as error:
            if error.source not in self._failed:
                self._failed.add(error.source)
                self.faults.append(error)
            return None

    def texts(self, name: str) -> list[Text]:
        """Every value of a name, the strongest first."""
        return [text for layer in self.layers if (text := self.read(layer, name)) is not None]

    def texts_of(self, names: Iterable[str]) -> list[tuple[str, Text]]:
        """Every value of several names, of which the first is the strongest in any layer, as OpenTelemetry has it."""
        return [(name, text) for name in names for text in self.texts(name)]

    def get(self, name: str) -> str | None:
        """The strongest value of a name; None where no layer has it."""
        for layer in self.layers:
            text = self.read(layer, name)
            if text is not None:
                return text.value
        return None


class Environment:
    """Variables of the process. An empty one is unset, as OpenTelemetry and twelve-factor apps have it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def names(self) -> Iterable[str]:
        """Every variable that is set."""
        return list(self._environ)

    def get(self, name: str) -> Text | None:
        """The variable's value."""
        value = self._environ.get(name, "")
        return Text(value, name) if value.strip() else None


class Named:
    """``X_FILE`` names a file that holds the value of ``X``, as container secrets are handed over."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def names(self) -> Iterable[str]:
        """Every name for which there is a file."""
        return [name[: -len(FILE)] for name in self._environ if name.endswith(FILE)]

    def get(self, name: str) -> Text | None:
        """What the file holds."""
        path = self._environ.get(name + FILE, "").strip()
        if not path:
            return None
        return _content(name, path, f"{name}{FILE}={path}")


class Secrets:
    """A directory with one file a value, as Docker and Kubernetes mount secrets; the file's name in any case."""

    def __init__(self, directory: str, source: str, faults: list[ConfigError]) -> None:
        self._files: dict[str, str] = {}
        try:
            for entry in sorted(os.listdir(directory)):  # noqa: PTH208  (pathlib is not loaded for this)
                if not entry.startswith("."):  # Kubernetes' ..data
                    self._files[entry.upper()] = os.path.join(directory, entry)  # noqa: PTH118
        except OSError as error:
            faults.append(ConfigError("secrets_dir", f"cannot be read: {error.strerror}", source=source))

    def names(self) -> Iterable[str]:
        """The files' names."""
        return list(self._files)

    def get(self, name: str) -> Text | None:
        """What the file holds."""
        path = self._files.get(name)
        return None if path is None or os.path.isdir(path) else _content(name, path, path)  # noqa: PTH112


class DotEnv:
    """A ``.env`` file, which is read only where somebody asked for it."""

    def __init__(self, path: str, source: str, faults: list[ConfigError]) -> None:
        self._texts: dict[str, Text] = {}
        try:
            from dotenv.parser import parse_stream

            with open(path, encoding="utf-8-sig") as stream:  # noqa: PTH123  (pathlib is not loaded for this)
                for binding in parse_stream(stream):
                    where = f"{path}:{binding.original.line}"
                    if binding.error:
                        faults.append(ConfigError("env_file", "the line cannot be read: NAME=value", source=where))
                    elif binding.key and binding.value:
                        name = binding.key.upper()
                        self._texts[name] = Text(binding.value, f"{where}: {binding.key}")
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or "it is no UTF-8 text"
            faults.append(ConfigError("env_file", f"cannot be read: {problem}", source=source))

    def names(self) -> Iterable[str]:
        """The names in the file."""
        return list(self._texts)

    def get(self, name: str) -> Text | None:
        """The last value that the file gives the name."""
        return self._texts.get(name)


def _content(name: str, path: str, source: str) -> Text | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  (pathlib is not loaded for this)
            data = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            name, f"the file that should hold it cannot be read: {error.strerror}", source=source
        ) from None
    if len(data) > MAX_SECRET_BYTES:
        raise ConfigError(name, "the file that should hold it is longer than 1 MiB", source=source)
    value = data.decode("utf-8", "replace").strip()
    return Text(value, source) if value else None


def _chosen(given: str | os.PathLike[str] | None, environ: Mapping[str, str], variable: str) -> tuple[str | None, str]:
    path = environ.get(variable, "").strip()
    if given is not None:
        path, source = os.fspath(given), f"argument {variable.removeprefix('RAGWATCH_').lower()}"
    else:
        source = f"{variable}={path}"
    return os.path.expanduser(path) or None, source  # noqa: PTH111  (pathlib is not loaded for this)
