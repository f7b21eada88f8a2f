"""TARGET on the command line, for every verb that asks an app: a function, a URL with its mapping, or the demo."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragwatch.cli.target import load_function
from ragwatch.errors import ConfigError, RagwatchError

if TYPE_CHECKING:
    from ragwatch.target.target import Target

HELP = "pkg.mod:function (sync, async, streaming), a URL, or demo"
MAY_PASS = frozenset({"rate_limited", "server_error", "timeout"})
"""Classes of errors that an app which works may answer now and then."""
_BODY = "--body JSON says what it wants"
_LET_IN = "--header 'Authorization: Bearer …' lets it in"
_HINTS = {
    400: _BODY,
    401: _LET_IN,
    403: _LET_IN,
    404: "is this the address of the app's API?",
    405: "--method names another",
    415: _BODY,
    422: _BODY,
}
"""What to do about a status of HTTP."""


def add_target_options(parser: Any) -> None:
    """Declare what goes with a target."""
    group = parser.add_argument_group("the target")
    group.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the function (top_k=10)"
    )
    group.add_argument(
        "--no-cache", action="store_true", help="pass by the app's cache, where it has a parameter for it"
    )
    group.add_argument("--cache-dir", type=Path, help="demo: where the index is kept (default ~/.cache/ragwatch/demo)")
    add_url_options(parser)


def add_url_options(parser: Any) -> None:
    """Declare how a question becomes a request, and where the answer is."""
    group = parser.add_argument_group("a URL")
    group.add_argument("--body", metavar="JSON", help='the request (default {"question": "{question}"})')
    group.add_argument("--method", help="the HTTP method (default POST; GET where {question} stands in the URL)")
    group.add_argument(
        "--header", action="append", default=[], metavar="NAME:VALUE", help="a header, as often as needed"
    )
    group.add_argument("--answer", metavar="PATH", help="where the answer is in the JSON, as data.0.text")
    group.add_argument("--documents", metavar="PATH", help="where the documents are in the JSON")


def open_target(name: str, args: argparse.Namespace, *, timeout_s: float = 30.0, connections: int = 64) -> Target:
    """The target of that name; ``RagwatchError`` that says what to do where it cannot be had."""
    if name == "demo":
        return open_demo(args.cache_dir)
    if "://" in name:
        return open_url(name, args, timeout_s=timeout_s, connections=connections)
    if ":" not in name:
        raise ConfigError(name, "is no target: write pkg.mod:function, http://…, or demo", source="TARGET")
    from ragwatch.target.asking import send_to_nobody
    from ragwatch.target.target import function_target

    send_to_nobody()
    function = load_function(name, "TARGET")
    return function_target(name, function, given=[assignment(text, "--set")[0] for text in args.set])


def open_url(name: str, args: argparse.Namespace, *, timeout_s: float = 30.0, connections: int = 64) -> Target:
    """The target behind a URL; ``ConfigError`` for a mapping that cannot be used."""
    from ragwatch.target.url import Mapped, url_target

    if not name.startswith(("http://", "https://")):
        raise ConfigError(name, "should begin with http:// or https://", source="TARGET")
    headers = dict(_header(text) for text in args.header)
    return url_target(
        Mapped(name, args.method, args.body, args.answer, args.documents, headers, timeout_s), connections
    )


def options_of(target: Target, args: argparse.Namespace) -> dict[str, Any]:
    """The parameters of ``--set`` and ``--no-cache``; ``ConfigError`` for one that the function lacks."""
    options = target.checked(dict(assignment(text, "--set") for text in args.set))
    return {**options, **(target.without_cache() if args.no_cache else {})}


def assignment(text: str, source: str) -> tuple[str, Any]:
    """``top_k=10`` as a name and a value: JSON where it is some, else the text.

    >>> assignment("top_k=10", "--set"), assignment("model=small", "--set")
    (('top_k', 10), ('model', 'small'))
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise ConfigError(text, "should read name=value", source=source)
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value.strip()


def checked_by_asking(target: Target, question: str, options: Mapping[str, Any]) -> str | None:
    """Ask a URL once, so that what is no RAG app is said in one line before any load; ``ConfigError``.

    What may pass (busy, an error of the server, slow) is what a load is there to find: it is handed back in words.
    """
    if target.in_process:
        return None
    from urllib3.exceptions import ConnectTimeoutError

    from ragwatch.sdk.failure import class_of
    from ragwatch.target.asking import ask

    error = ask(target, question, options).error
    if error is None:
        return None
    if class_of(error) in MAY_PASS and not isinstance(error, ConnectTimeoutError):
        return in_words(error)
    raise ConfigError(target.name, in_words(error), source="TARGET")


def in_words(error: BaseException) -> str:
    """What an error of asking means to the user.

    >>> in_words(ValueError("no database"))
    'ValueError: no database'
    """
    from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

    from ragwatch.target.url import UrlError

    if isinstance(error, NameResolutionError):
        return "there is no host of that name"
    if isinstance(error, NewConnectionError):
        return "nothing answers there: is the app running, and is this its port?"
    if isinstance(error, HTTPError):
        return f"cannot be asked: {error}"
    if isinstance(error, UrlError):
        hint = _HINTS.get(error.status or 0)
        return f"{error}; {hint}" if hint else str(error)
    return f"{type(error).__name__}: {error}"


def open_demo(cache_dir: Path | None) -> Target:
    """The bundled demo; ``RagwatchError`` without its extra, or where its index cannot be kept."""
    try:
        from ragwatch.demo.errors import DemoInputError
        from ragwatch.target.demo import demo_target
    except ImportError as error:
        raise RagwatchError(f"the demo needs its extra: pip install 'ragwatch[demo]' ({error})") from None
    try:
        return demo_target(cache_dir)
    except DemoInputError as error:
        raise RagwatchError(str(error)) from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ConfigError(text, "should read Name: value", source="--header")
    return name.strip(), value.strip()
