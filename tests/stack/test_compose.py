"""``docker-compose.yml`` and ``Dockerfile``, read by the libraries that define both: no Docker engine is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from ragwatch import __version__
from tests.support.compose import DOCKERFILE, SECRETS, load, report
from tests.support.golang import BUILD_TIMEOUT_S
from tests.support.grafana import SOURCES, exemplar_links, sources
from tests.support.paths import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(BUILD_TIMEOUT_S)]
EXAMPLE, PAGE = ROOT / "deploy" / "env.example", ROOT / "docs" / "deploy.md"
PROFILES = {
    "core": {"agent", "demo", "prometheus", "alertmanager", "grafana"},
    "full": {
        "agent-forwarding", "volumes", "collector", "tempo", "loki", "probe",
        "demo", "prometheus", "alertmanager", "grafana",
    },
}  # fmt: skip
ENDS = "volumes"
ASKED_FROM_OUTSIDE = {"collector": 13133, "tempo": 3200, "loki": 3100}
"""Images without a shell: a health check of their own cannot run in them."""


@pytest.fixture(scope="module")
def whole() -> Any:
    return report("core", "full")


@pytest.fixture(scope="module")
def services(whole: Any) -> dict[str, Any]:
    found: dict[str, Any] = whole["project"]["services"]
    return found


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_each_profile_loads_with_what_belongs_to_it(profile: str) -> None:
    assert set(report(profile)["project"]["services"]) == PROFILES[profile]


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_there_is_no_default_password(missing: str) -> None:
    found = load("core", **{name: value for name, value in SECRETS.items() if name != missing})
    assert found.returncode != 0
    assert missing in found.stderr
    assert "make env" in found.stderr


def test_images_are_pinned_by_tag(services: dict[str, Any], whole: Any) -> None:
    images = {held["image"] for held in services.values()}
    bases = {stage["base"] for stage in whole["stages"]} - {stage["name"] for stage in whole["stages"]}
    for image in images | bases:
        _, colon, tag = image.rpartition(":")
        assert colon, f"{image} has no tag"
        assert re.search(r"\d+\.\d+\.\d+", tag), f"{image} is no release"
    own = {held["image"] for held in services.values() if "build" in held}
    assert own == {f"ragwatch-agent:{__version__}", f"ragwatch-demo:{__version__}"}


def test_every_file_that_is_mounted_exists_and_cannot_be_written(services: dict[str, Any]) -> None:
    mounted = [mount for held in services.values() for mount in held.get("volumes", ()) if mount["type"] == "bind"]
    assert len(mounted) >= 8
    for mount in mounted:
        assert Path(mount["source"]).exists(), mount
        assert Path(mount["source"]).is_relative_to(ROOT)
        assert mount.get("read_only"), mount


def test_every_volume_network_and_secret_is_used(whole: Any, services: dict[str, Any]) -> None:
    used = {
        mount["source"] for held in services.values() for mount in held.get("volumes", ()) if mount["type"] == "volume"
    }
    assert used == set(whole["project"]["volumes"])
    assert {name for held in services.values() for name in held.get("networks") or ()} == set(
        whole["project"]["networks"]
    )
    assert {item["source"] for held in services.values() for item in held.get("secrets", ())} == set(
        whole["project"]["secrets"]
    )


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    ports = [port for held in services.values() for port in held.get("ports") or ()]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    for name in ("collector", "tempo", "loki", "demo", "probe"):
        assert not services[name].get("ports")


def test_no_service_has_more_rights_than_it_needs(services: dict[str, Any], whole: Any) -> None:
    for name, held in services.items():
        assert held["cap_drop"] == ["ALL"], name
        assert held["security_opt"] == ["no-new-privileges:true"], name
        assert not held.get("privileged"), name
        assert (held.get("cap_add"), held.get("user")) == (
            (["CHOWN"], "0:0") if name == ENDS else (None, held.get("user"))
        )
        assert name == ENDS or held["restart"] == "unless-stopped"
        # compose cannot copy a secret from the environment into a read-only container (docker/compose#12031)
        assert not (held.get("read_only") and held.get("secrets")), name
    (base,) = [stage for stage in whole["stages"] if stage["name"] == "base"]
    assert any(command[0] == "USER" and "10001:10001" in command[1] for command in base["commands"])


def test_every_service_has_a_health_check_or_is_asked_from_outside(services: dict[str, Any], whole: Any) -> None:
    (agent,) = [stage for stage in whole["stages"] if stage["name"] == "agent"]
    assert "/readyz" in next(command[1] for command in agent["commands"] if command[0] == "HEALTHCHECK")
    asked = " ".join(services["probe"]["healthcheck"]["test"])
    for name, held in services.items():
        if name in ASKED_FROM_OUTSIDE:
            assert held["healthcheck"]["disable"]
            assert f"http://{name}:{ASKED_FROM_OUTSIDE[name]}/" in asked
        elif name not in {"agent", "agent-forwarding", "demo", ENDS}:
            assert held["healthcheck"]["test"], name


def test_builds_are_stages_that_the_dockerfile_has(services: dict[str, Any], whole: Any) -> None:
    stages = {stage["name"] for stage in whole["stages"]}
    assert {held["build"]["target"] for held in services.values() if "build" in held} == {"agent", "demo"} <= stages


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_in_each_profile_one_service_builds_an_image_and_no_registry_is_asked_for_it(profile: str) -> None:
    """Two builds of one tag at once race for it; a name that we do not own must not be pulled."""
    found = report(profile)["project"]["services"].values()
    building = [held["image"] for held in found if "build" in held]
    assert len(building) == len(set(building))
    for held in found:
        if held["image"].startswith("ragwatch-"):
            assert held["image"] in building
            assert held["pull_policy"] == ("build" if "build" in held else "never")


def test_what_ends_is_waited_for_by_something_that_stays(services: dict[str, Any]) -> None:
    """Else ``up --wait`` takes its end for a failure (docker/compose#10596)."""
    waiting = [name for name, held in services.items() if ENDS in held.get("depends_on", {})]
    assert waiting
    for name in waiting:
        assert services[name]["depends_on"][ENDS]["condition"] == "service_completed_successfully"
        assert services[name]["restart"] == "unless-stopped"


def test_what_the_dockerfile_copies_is_let_in_and_is_enough_to_build_the_package(whole: Any, tmp_path: Path) -> None:
    """The wheel is built of the very files that the image gets."""
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == {
        "pyproject.toml",
        "hatch_build.py",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "ragwatch",
        "dashboards/grafana",
        "deploy/probe.py",
    }
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert names == allowed
    source = tmp_path / "source"
    shutil.copytree(ROOT / "ragwatch", source / "ragwatch", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "dashboards" / "grafana", source / "dashboards" / "grafana")
    for name in names - {"ragwatch", "dashboards/grafana", "deploy/probe.py"}:
        shutil.copy(ROOT / name, source / name)
    wheel_of = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "wheel", "--no-deps", source]
    done = subprocess.run(wheel_of, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        files = wheel.namelist()
        metadata = wheel.read(next(name for name in files if name.endswith("METADATA"))).decode()
        wheel.extractall(tmp_path / "installed")
    assert {"ragwatch/agent/app.py", "ragwatch/demo/golden.jsonl"} <= set(files)
    installed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "installed")}
    written = subprocess.run(
        [sys.executable, "-m", "ragwatch.cli", "dashboards", "boards"],
        cwd=tmp_path, env=installed, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert written.returncode == 0, written.stderr
    shipped = {path.name: path.read_text() for path in (ROOT / "dashboards" / "grafana").glob("*.json")}
    assert {path.name: path.read_text() for path in (tmp_path / "boards").iterdir()} == shipped, "of the wheel alone"
    asked = {extra for found in re.findall(r"'\.\[([\w,]+)\]'", DOCKERFILE.read_text()) for extra in found.split(",")}
    assert asked == {"agent", "redis", "demo"}
    assert asked <= set(re.findall(r"^Provides-Extra: (\w+)$", metadata, re.MULTILINE))


def test_the_agents_image_is_compiled_where_a_compiler_is_and_ships_without_it(whole: Any) -> None:
    """The stage that compiles and the one that runs have one Python: an extension fits no other."""
    stages = {stage["name"]: stage for stage in whole["stages"]}
    compiling = [
        name for name, stage in stages.items() if "HATCH_BUILD_HOOKS_ENABLE=1" in json.dumps(stage["commands"])
    ]
    assert compiling == ["build"]
    assert "COPY --from=build /opt/ragwatch /opt/ragwatch" in DOCKERFILE.read_text()
    assert stages["build"]["base"] == "libraries"
    assert stages["agent"]["base"] == "base"
    assert stages["base"]["base"] == stages["libraries"]["base"].replace("-bookworm", "-slim-bookworm")


def test_every_variable_is_used_and_documented_with_its_default(whole: Any) -> None:
    found = {item["name"]: item["default"] for item in whole["variables"]}
    assert {item["name"] for item in whole["variables"] if item["required"]} == set(SECRETS)
    example = dict(re.findall(r"^(?:# )?(\w+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))
    assert example == found
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.read_text(), re.MULTILINE))
    for name, default in found.items():
        assert rows.get(name) == (f"`{default}`" if default else "required"), name


def test_a_port_that_is_set_is_taken() -> None:
    ports = report("core", GRAFANA_PORT="3333")["project"]["services"]["grafana"]["ports"]
    assert [port["published"] for port in ports] == ["3333"]


def test_names_that_prometheus_looks_up_are_those_of_the_containers(services: dict[str, Any]) -> None:
    names = set(services) | {
        alias for held in services.values() for network in (held.get("networks") or {}).values() if network
        for alias in network["aliases"]
    }  # fmt: skip
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        for found in job.get("dns_sd_configs", ()):
            assert set(found["names"]) <= names
    assert services["agent"]["networks"]["stack"]["aliases"] == ["agent-direct"]
    assert services["agent-forwarding"]["networks"]["stack"]["aliases"] == ["agent"]


def test_the_collectors_variables_are_those_of_its_configuration(services: dict[str, Any]) -> None:
    from tests.support.production import variables

    assert set(services["collector"]["environment"]) - {"GOMEMLIMIT"} <= set(variables())


def test_make_env_writes_secrets_that_nobody_else_has_and_reads(tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        target = tmp_path / name
        subprocess.run(
            ["make", "-s", "env", f"ENV_FILE={target}"], cwd=ROOT, check=True, capture_output=True, timeout=60
        )
        assert target.stat().st_mode & 0o077 == 0
        written.append(dict(re.findall(r"^(\w+)=(.+)$", target.read_text(), re.MULTILINE)))
        subprocess.run(
            ["make", "-s", "env", f"ENV_FILE={target}"], cwd=ROOT, check=True, capture_output=True, timeout=60
        )
        assert dict(re.findall(r"^(\w+)=(.+)$", target.read_text(), re.MULTILINE)) == written[-1], "left as it was"
    one, two = written
    assert set(one) == set(SECRETS)
    assert all(one[name] != two[name] and len(one[name]) == 48 for name in SECRETS)
    assert load("core", **one).returncode == 0


def test_grafanas_sources_are_containers_and_their_links_lead_somewhere(services: dict[str, Any]) -> None:
    folder = ROOT / "dashboards" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "ragwatch.yaml").read_text())["datasources"]
    ports = {"prometheus": 9090, "tempo": 3200, "loki": 3100, "alertmanager": 9093}
    assert {item["uid"]: item["url"] for item in sources} == {
        name: f"http://{name}:{port}" for name, port in ports.items()
    }
    assert set(ports) <= set(services)
    uids = re.findall(r"datasourceUid: (\w+)", (folder / "datasources" / "ragwatch.yaml").read_text())
    assert sorted(uids) == ["loki", "tempo", "tempo"]
    (provider,) = yaml.safe_load((folder / "dashboards" / "ragwatch.yaml").read_text())["providers"]
    mounts = {mount["target"]: Path(mount["source"]) for mount in services["grafana"]["volumes"]}
    boards = mounts[provider["options"]["path"]]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (boards / Path(home).name).is_file()
    assert Path(home).parent == Path(provider["options"]["path"])


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize("port", [None, "9999"])
def test_an_exemplar_leads_to_the_agents_published_port_in_each_profile(profile: str, port: str | None) -> None:
    """The browser follows it: what Grafana's container can reach is of no use."""
    found = report(profile, **({"AGENT_WEB_PORT": port} if port else {}))["project"]["services"]
    agent = found["agent" if profile == "core" else "agent-forwarding"]
    (web,) = [item for item in agent["ports"] if item["target"] == 9464]
    links = exemplar_links(found["grafana"]["environment"], "abc123")
    assert links[0] == (
        "Open the query (agent)",
        f"http://{web['host_ip']}:{web['published']}/api/queries/abc123",
    )
    assert web["published"] == (port or "9464")
    assert [target for _, target in links[1:]] == ["tempo"]
    assert ("tempo" in found) == (profile == "full"), "and its label says so"
    assert "profile full" in links[1][0]


def test_what_grafana_puts_in_for_itself_is_left_to_it() -> None:
    held = sources({"RAGWATCH_AGENT_URL": "http://a"})
    assert held["loki"]["jsonData"]["derivedFields"][0]["url"] == "${__value.raw}"
    assert set(re.findall(r"(?<!\$)\$\{?(\w+)", json.dumps(yaml.safe_load(SOURCES.read_text())))) == {
        "RAGWATCH_AGENT_URL"
    }


def test_tempo_and_loki_listen_where_the_others_look_for_them(services: dict[str, Any]) -> None:
    tempo = yaml.safe_load((ROOT / "deploy" / "tempo" / "tempo.yaml").read_text())
    loki = yaml.safe_load((ROOT / "deploy" / "loki" / "loki.yaml").read_text())
    asked = services["collector"]["environment"]
    assert tempo["server"]["http_listen_port"] == ASKED_FROM_OUTSIDE["tempo"]
    receiver = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert receiver.replace("0.0.0.0", "tempo") == asked["TEMPO_ENDPOINT"]
    assert loki["server"]["http_listen_port"] == ASKED_FROM_OUTSIDE["loki"]
    assert asked["LOKI_ENDPOINT"] == f"http://loki:{ASKED_FROM_OUTSIDE['loki']}/otlp"
    for name, held in {
        "tempo": tempo["storage"]["trace"]["local"]["path"],
        "loki": loki["common"]["path_prefix"],
    }.items():
        volumes = [mount["target"] for mount in services[name]["volumes"] if mount["type"] == "volume"]
        assert any(Path(held).is_relative_to(volume) for volume in volumes), "what is kept is in a volume"
