"""``ragwatch config``: check the settings, show them with their sources, explain one, print a schema for editors."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragwatch.errors import ConfigError

if TYPE_CHECKING:
    from ragwatch.config.production import ProductionConfig
    from ragwatch.config.report import Row

KINDS = ("production", "agent", "sdk")
_CODES = "exit codes: 0 all is well, 1 a setting cannot be used, 2 the command itself cannot be understood"
EPILOG = f"""examples:
  ragwatch config check                                  everything that is wrong, at once (for CI and entrypoints)
  ragwatch config show --settings agent                  what is in force, and where each value came from
  ragwatch config explain RAGWATCH_CONTENT               what it means, what sets it, what it is now
  ragwatch config check --config prod.yaml --model app.settings:Config
  ragwatch config schema > config.schema.json            for the editor
  ragwatch config show --json

{_CODES}"""


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of settings: its rows, what is wrong with them, what is good to know."""

    kind: str
    rows: list[Row]
    faults: list[ConfigError]
    notes: list[str]
    config_hash: str | None = None


def add_parser(subparsers: Any) -> None:
    """Declare the verb's actions and options."""
    parser = subparsers.add_parser(
        "config",
        help="check, show and explain settings",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Settings and where they come from.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="check|show|schema|explain")
    about = {
        "check": "every setting that cannot be used, at once",
        "show": "each value, where it came from, and what it overrode",
        "schema": "JSON Schema of the file, for editors",
        "explain": "one setting: what it means, what sets it, what it is now",
    }
    for action, meaning in about.items():
        found = actions.add_parser(action, help=meaning, description=meaning, epilog=_CODES)
        if action == "explain":
            found.add_argument("key", metavar="KEY", help="a setting (redis.pool) or a variable (LOG_LEVEL)")
        found.add_argument("--config", type=Path, metavar="FILE", help="JSON, YAML or TOML file of settings")
        found.add_argument("--model", metavar="PKG.MOD:CLASS", help="your subclass of ragwatch.ProductionConfig")
        found.add_argument("--settings", choices=KINDS, help="only these (schema: production unless given)")
        found.add_argument("--env-file", type=Path, metavar="FILE", help="a .env file to read too")
        found.add_argument("--secrets-dir", type=Path, metavar="DIR", help="a directory with one file a secret")
        found.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 where a setting cannot be used."""
    model = _model(args.model)
    if args.action == "schema":
        print(json.dumps(_schema(args.settings or "production", model), indent=2))
        return 0
    kinds = (args.settings,) if args.settings else KINDS
    sections = [_SECTIONS[kind](args, model) for kind in kinds]
    actions: dict[str, Callable[[argparse.Namespace, list[Section]], int]] = {
        "check": _check,
        "show": _show,
        "explain": _explain,
    }
    return actions[args.action](args, sections)


def _check(args: argparse.Namespace, sections: list[Section]) -> int:
    faults = [(section, fault) for section in sections for fault in section.faults]
    if args.json:
        print(json.dumps({section.kind: _to_json(section, rows=False) for section in sections}, indent=2))
        return 1 if faults else 0
    for section, fault in faults:
        print(f"{section.kind}: {fault}")
    for section in sections:
        for note in section.notes:
            print(f"{section.kind}: note: {note}")
    if not faults:
        amount = sum(len(section.rows) for section in sections)
        print(f"{amount} settings are in order ({', '.join(section.kind for section in sections)})")
        return 0
    print(f"{len(faults)} {'faults' if len(faults) > 1 else 'fault'}")
    return 1


def _show(args: argparse.Namespace, sections: list[Section]) -> int:
    if args.json:
        print(json.dumps({section.kind: _to_json(section, rows=True) for section in sections}, indent=2))
    else:
        for section in sections:
            _table(section)
    return 1 if any(section.faults for section in sections) else 0


def _table(section: Section) -> None:
    print(section.kind + (f"   config_hash {section.config_hash}" if section.config_hash else ""))
    names = max((len(row.name) for row in section.rows), default=0)
    values = min(40, max((len(row.value) for row in section.rows), default=0))
    for row in section.rows:
        print(f"  {row.name:<{names}}  {row.value:<{values}}  {row.source}")
        for source, value in row.overrode:
            print(f"  {'':<{names}}  {'':<{values}}    over {source} = {value}")
    for note in section.notes:
        print(f"  note: {note}")
    for fault in section.faults:
        print(f"  FAULT {fault}")
    print()


def _explain(args: argparse.Namespace, sections: list[Section]) -> int:
    wanted = args.key.lower().replace("__", ".")
    found = [
        (section, row)
        for section in sections
        for row in section.rows
        if wanted == row.name.lower() or args.key.upper() in row.names
    ]
    if not found:
        from ragwatch.config.shape import hint

        every = [name for section in sections for row in section.rows for name in (row.name, *row.names)]
        raise ConfigError(args.key, f"is no setting{hint(args.key, every)}", source="argument KEY")
    if args.json:
        print(json.dumps([{"settings": section.kind, **row.to_json()} for section, row in found], indent=2))
    else:
        for section, row in found:
            _explain_row(section, row)
    names = {name for _, row in found for name in (row.name, *row.names)}
    return 1 if any(fault.setting in names for section, _ in found for fault in section.faults) else 0


def _explain_row(section: Section, row: Row) -> None:
    print(f"{row.name} ({section.kind}{', secret' if row.secret else ''})")
    lines = [
        ("meaning", row.meaning),
        ("type", row.kind),
        ("value", row.value),
        ("from", row.source),
        *(("over", f"{source} = {value}") for source, value in row.overrode),
        ("default", row.default),
        ("variables", ", ".join(row.names)),
        *(("FAULT", str(fault)) for fault in section.faults if fault.setting in {row.name, *row.names}),
    ]
    for label, text in lines:
        if text:
            print(f"  {label:<9}  {text}")


def _to_json(section: Section, *, rows: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "faults": [
            {"setting": fault.setting, "problem": fault.problem, "source": fault.source} for fault in section.faults
        ],
        "notes": section.notes,
    }
    if section.config_hash:
        found["config_hash"] = section.config_hash
    if rows:
        found["settings"] = [row.to_json() for row in section.rows]
    return found


# -- the kinds of settings ---------------------------------------------------------------------------------------------


def _production(args: argparse.Namespace, model: type[ProductionConfig]) -> Section:
    from ragwatch.config.report import model_rows

    made, loaded = model.inspect_config(args.config, env_file=args.env_file, secrets_dir=args.secrets_dir)
    rows = model_rows(loaded, made)
    return Section("production", rows, loaded.faults, loaded.notes, None if made is None else made.config_hash)


def _agent(args: argparse.Namespace, _: object) -> Section:
    from ragwatch.config.agent import PREFIX, AgentSettings
    from ragwatch.config.loader import attempt
    from ragwatch.config.report import model_rows

    environ = _environ(args)
    own = args.config if args.settings == "agent" else None
    named = own or environ.get(f"{PREFIX}CONFIG") or None
    made, loaded = attempt(
        AgentSettings,
        {},
        prefix=PREFIX,
        file=Path(named) if named else None,
        file_source="" if own else f"{PREFIX}CONFIG",
        environ=environ,
    )
    return Section("agent", model_rows(loaded, made), loaded.faults, loaded.notes)


def _sdk(args: argparse.Namespace, _: object) -> Section:
    from ragwatch.config.sdk_settings import sdk_rows

    rows, faults = sdk_rows(_environ(args))
    return Section("sdk", rows, faults, [])


_SECTIONS: dict[str, Callable[[argparse.Namespace, type[ProductionConfig]], Section]] = {
    "production": _production,
    "agent": _agent,
    "sdk": _sdk,
}


def _environ(args: argparse.Namespace) -> dict[str, str]:
    from ragwatch.config.variables import ENV_FILE, SECRETS_DIR

    chosen = ((ENV_FILE, args.env_file), (SECRETS_DIR, args.secrets_dir))
    return {**os.environ, **{name: str(path) for name, path in chosen if path is not None}}


def _schema(kind: str, model: type[ProductionConfig]) -> dict[str, Any]:
    if kind == "sdk":
        from ragwatch.config.sdk_settings import sdk_schema

        return sdk_schema()
    from ragwatch.config.agent import AgentSettings
    from ragwatch.config.schema import file_schema

    return file_schema(AgentSettings if kind == "agent" else model)


def _model(named: str | None) -> type[ProductionConfig]:
    """The class that ``--model`` names, looked for from the working directory too."""
    from ragwatch.config.production import ProductionConfig

    if named is None:
        return ProductionConfig
    from importlib import import_module

    module, colon, name = named.partition(":")
    if not colon:
        raise ConfigError("--model", f"{named!r} should be PKG.MOD:CLASS", source="argument")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError("--model", f"{named} cannot be loaded: {error}", source="argument") from None
    if not (isinstance(found, type) and issubclass(found, ProductionConfig)):
        raise ConfigError("--model", f"{named} is no subclass of ragwatch.ProductionConfig", source="argument")
    return found
