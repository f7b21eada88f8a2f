"""``docker-compose.yml`` as compose's own library reads it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.support.golang import built
from tests.support.paths import ROOT

COMPOSE, DOCKERFILE = ROOT / "docker-compose.yml", ROOT / "Dockerfile"
SECRETS = {"RAGWATCH_AGENT_TOKEN": "a-token", "GRAFANA_ADMIN_PASSWORD": "a-password"}


def load(*profiles: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What ``deploy/compose-check`` says of it."""
    lines = "".join(f"{name}={value}\n" for name, value in environment.items())
    return subprocess.run(
        [built("compose-check"), COMPOSE, DOCKERFILE, *profiles],
        input=lines, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def report(*profiles: str, **environment: str) -> Any:
    """The project, its variables, and the Dockerfile's stages; it must load."""
    found = load(*profiles, **SECRETS, **environment)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)
