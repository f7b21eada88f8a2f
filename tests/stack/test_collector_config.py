"""``otel-collector.yaml`` and what stands around it hold together: versions, variables, order of processors."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.support.collector import BUILD_TIMEOUT_S, collector_binary
from tests.support.paths import ROOT
from tests.support.production import CONFIG, load_config, variables

MANIFEST = ROOT / "deploy" / "collector" / "manifest.yaml"
MODULES = ROOT / "deploy" / "collector" / "go.mod"
PAGE = ROOT / "docs" / "deploy.md"


@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_the_real_collector_finds_it_valid() -> None:
    found = subprocess.run(
        [collector_binary(), "validate", "--config", CONFIG], capture_output=True, text=True, timeout=60
    )
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.timeout(BUILD_TIMEOUT_S)
@pytest.mark.parametrize("fence", re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL))
def test_every_second_file_that_the_page_shows_is_valid_with_it(fence: tuple[str, str], tmp_path: Any) -> None:
    name, text = fence
    (tmp_path / name).write_text(text)
    for certificate in ("cert.pem", "key.pem", "ca.pem"):
        text = text.replace(f"/tls/{certificate}", str(tmp_path / certificate))
    found = subprocess.run(
        [collector_binary(), "validate", "--config", CONFIG, "--config", tmp_path / name],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_a_wrong_variable_is_an_error_and_no_default() -> None:
    found = subprocess.run(
        [collector_binary(), "validate", "--config", CONFIG],
        capture_output=True,
        text=True,
        timeout=60,
        env={"COLLECTOR_MEMORY_LIMIT_MIB": "much"},
    )
    assert found.returncode != 0
    assert "limit_mib" in found.stderr


def test_the_memory_limit_comes_first_and_content_goes_next_in_every_pipeline() -> None:
    pipelines: Any = load_config()["service"]["pipelines"]
    assert set(pipelines) == {"metrics", "traces", "logs"}
    for held in pipelines.values():
        assert held["processors"][:2] == ["memory_limiter", "transform/content"]


def test_nothing_is_declared_and_not_used() -> None:
    config = load_config()
    service: Any = config["service"]
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in service["pipelines"].values() for name in pipeline[kind]}
        assert used == set(config[kind])
    assert set(service["extensions"]) == set(config["extensions"])


def test_what_goes_to_a_backend_waits_on_disk() -> None:
    for name, held in load_config()["exporters"].items():
        if name != "prometheus":
            queue: Any = held["sending_queue"]
            assert queue["storage"] == "file_storage/queue"
            assert "retry_on_failure" in held


def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    endpoints = {name: value for name, value in variables().items() if name.startswith("COLLECTOR_") and ":" in value}
    assert len(endpoints) == 5
    assert all(value.startswith("127.0.0.1:") for value in endpoints.values())
    assert variables()["COLLECTOR_TELEMETRY_HOST"] == "127.0.0.1"


def test_every_value_that_somebody_may_want_to_set_is_a_variable_and_every_variable_is_documented() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.read_text(), re.MULTILINE))
    for name, default in variables().items():
        assert name in rows, f"docs/deploy.md has no row for {name}"
        assert rows[name] == (f"`{default}`" if default != "null" else "none"), name
    text = CONFIG.read_text()
    assert text.count("${env:") == len(re.findall(r"\$\{env:\w+:-[^}]+\}", text)), "each has a default"


def test_the_tests_collector_the_image_and_the_page_are_of_one_version() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    version = manifest["dist"]["version"]
    for section in ("receivers", "processors", "exporters", "extensions", "connectors"):
        for item in manifest[section]:
            assert item["gomod"].endswith(f" v{version}")
            assert item["gomod"] in MODULES.read_text()
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services["collector"]["image"] == f"otel/opentelemetry-collector-contrib:{version}"
    assert version in CONFIG.read_text()
    assert version in PAGE.read_text()
