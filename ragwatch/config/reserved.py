"""Names under ``RAGWATCH_`` that are somebody's: a variable that nobody knows is a misspelling, and is said."""

from __future__ import annotations

import re
from collections.abc import Mapping

PREFIX = "RAGWATCH_"
AGENT_PREFIX = "RAGWATCH_AGENT_"
SDK_NAMES = (
    "RAGWATCH_CONTENT",
    "RAGWATCH_ENVIRONMENT",
    "RAGWATCH_LOG_FILE",
    "RAGWATCH_LOG_QUERIES",
    "RAGWATCH_SHUTDOWN_TIMEOUT",
)
"""The SDK's own variables; OpenTelemetry's it has besides."""
COMMON_NAMES = ("RAGWATCH_CONFIG_PATH", "RAGWATCH_ENV_FILE", "RAGWATCH_RAISE", "RAGWATCH_SECRETS_DIR")
AGENT_NAMES = ("RAGWATCH_AGENT_CONFIG", "RAGWATCH_AGENT_VALUES")
_SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$")


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes set the variable, for a Service that is called ``ragwatch`` or ``ragwatch-agent``.

    >>> is_service_link("RAGWATCH_AGENT_PORT", "tcp://10.0.0.7:4318"), is_service_link("RAGWATCH_AGENT_PORT", "4318")
    (True, False)
    >>> is_service_link("RAGWATCH_SERVICE_HOST", "10.0.0.7")
    True
    """
    if name.endswith("_PORT") and value.startswith(("tcp://", "udp://", "sctp://")):
        return True
    return _SERVICE_LINK.search(name) is not None


def misspelled_sdk_names(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Variables that look like one of the SDK's and are none, each with the one that was meant.

    >>> misspelled_sdk_names({"RAGWATCH_CONTNET": "off", "RAGWATCH_MY_FIELD": "1", "RAGWATCH_CONTENT": "off"})
    [('RAGWATCH_CONTNET', 'RAGWATCH_CONTENT')]
    """
    known = {*SDK_NAMES, *COMMON_NAMES}
    unknown = [
        name
        for name in environ
        if name.startswith(PREFIX)
        and not name.startswith(AGENT_PREFIX)
        and name not in known
        and name.removesuffix("_FILE") not in known
    ]
    if not unknown:
        return []
    from difflib import get_close_matches

    found = ((name, get_close_matches(name, SDK_NAMES, n=1, cutoff=0.92)) for name in sorted(unknown))
    return [(name, near[0]) for name, near in found if near]
