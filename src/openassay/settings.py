"""What Hydra composes around a target: how many reruns, which error rates, where and how fast, at which scale."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from openassay.core.boundaries import MOST_RUNS
from openassay.core.claims import Estimand
from openassay.core.types import IsolationKind
from openassay.faults import BadInput, did_you_mean
from openassay.layout import GROUPS, OUR_CONF, checked_name
from openassay.limits import Limits
from openassay.records import parse
from openassay.yaml_loader import load_yaml

LEAST_ALPHA, LARGEST_ALPHA = 0.001, 0.1
KINDS = ("sqlite", "server", "none")
"""Of tracking."""
_RENAMED = {("tracking", "mlflow"): "sqlite (or server, where runs are sent to an MLflow server)"}
"""Options that had another name."""
_OVERRIDE = re.compile(r"[A-Za-z0-9_.,:+/=\[\]-]{1,200}\Z")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How many reruns an arm gets: a largest number, and a budget of time that the first two are measured by."""

    name: str
    runs: Annotated[int, Field(ge=2, le=MOST_RUNS)]
    """Most reruns of each faithful arm: the sequential test stops earlier where it can."""
    budget_s: Annotated[float, Field(gt=0)]
    """Time for the reruns of one arm, one after another: `runs` is cut to what it allows, by the time that the first two took."""
    expensive_s: Annotated[float, Field(ge=0)]
    """Where a rerun takes this long or longer, an arm stops when the chance of a decision within its runs falls below 1 %."""
    control_runs: Annotated[int, Field(ge=2, le=100)]
    """Reruns of each control arm."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where and how fast: no part of what is tested."""

    workers: Annotated[int, Field(ge=0)]
    """Reruns at the same time; 0 for one a core."""
    threads: Annotated[int, Field(ge=1)]
    """Threads of one rerun."""
    device: Literal["auto", "cpu", "cuda"]
    together: Annotated[int, Field(ge=1)] = 1
    """Most reruns of a small native recipe that are trained in one computation; 1 trains each by itself."""


@dataclass(frozen=True, kw_only=True)
class Isolation(Limits):
    """How a release's code is kept from the machine that runs it, and what it may use in a cage. No part of what is tested."""

    kind: IsolationKind


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How far each training is scaled down; its driver says what it is then compared with."""

    name: str = "full"
    steps: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the published updates."""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """The error rates that the verdict promises."""

    name: str
    alpha: Annotated[float, Field(ge=LEAST_ALPHA, le=LARGEST_ALPHA)]
    """Each wrong verdict at the tolerance's edge, at most."""
    rationale: str
    estimand: Estimand = "number"
    """The question that REPRODUCED answers, of claims that name none."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What Hydra composes around a target."""

    profile: Profile
    execution: Execution
    judge: JudgeConfig
    isolation: Isolation
    scale: Scale
    tracking: dict[str, Any]


def compose(root: Path | None, asked: Sequence[str] = ()) -> Settings:
    """Our own part of the configuration, composed by Hydra: a project's choices, then what is asked for, in Hydra's grammar.

    root: the project whose conf/pipeline.yaml chooses, and whose conf/ may hold options of its own beside ours; None outside of
    one. asked: `judge=strict` chooses an option, `profile.runs=50` sets one of its values; such a value is named in the option's
    name, and no longer has the option's rationale. Raises `BadInput` for an unknown group, option, key or type.
    """
    root = root if root and (root / "conf" / "pipeline.yaml").is_file() else None
    settings = _compose(root, tuple(choices(root).items()), tuple(asked))
    tracking = settings.tracking
    if tracking.get("kind") not in KINDS:
        raise BadInput(f"settings: tracking.kind: expected {', '.join(KINDS)}, found {tracking.get('kind')!r}")
    if tracking["kind"] == "server" and not (tracking.get("uri") or os.environ.get("MLFLOW_TRACKING_URI")):
        todo = "set MLFLOW_TRACKING_URI, or ask for tracking.uri=http://..."
        raise BadInput(f"settings: tracking: a server needs its address; {todo}")
    return settings


@functools.cache
def _compose(root: Path | None, choice: tuple[tuple[str, str], ...], asked: tuple[str, ...]) -> Settings:
    """As `compose`, once for a round of audits."""
    from hydra import compose as hydra_compose  # noqa: PLC0415 - only the plan stage needs Hydra
    from hydra import initialize_config_dir  # noqa: PLC0415
    from hydra.core.override_parser.overrides_parser import OverridesParser  # noqa: PLC0415
    from hydra.errors import HydraException  # noqa: PLC0415
    from omegaconf import OmegaConf  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    chosen = dict(choice)
    where = f"settings ({' '.join(asked)})" if asked else "conf/pipeline.yaml"
    try:
        parsed = [_parsed_override(word, OverridesParser.create(), where) for word in asked]
        keys = [str(of.key_or_group) for of in parsed]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise BadInput(f"{where}: {twice[0]} is asked for twice; give one value")
        given = {str(of.key_or_group): str(of.get_value_element_as_str()) for of in parsed}
        chosen |= {group: given[group] for group in chosen if group in given}
        values = {key: value for key, value in given.items() if key not in chosen}
        for group, name in chosen.items():
            _check_option(root, group, name, {key for key in values if key.startswith(f"{group}.")}, where)
        overrides = [f"{key}={value}" for key, value in (chosen | values).items()]
        if root and (root / "conf").resolve() != OUR_CONF.resolve():
            # within quotes Hydra reads a backslash as itself, unless it stands before a quote
            quoted = re.sub(r"(\\+)(?='|\Z)", r"\1\1", str((root / "conf").resolve())).replace("'", "\\'")
            overrides.append(f"hydra.searchpath=['file://{quoted}']")
        with initialize_config_dir(config_dir=str(OUR_CONF.resolve()), version_base="1.3"):
            composed = hydra_compose("plan", overrides=overrides)
        plain: Any = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise BadInput(f"{where}: {str(error).strip().splitlines()[0].rstrip('.')}") from None
    for group in ("profile", "judge", "scale"):
        own = {key.removeprefix(f"{group}."): value for key, value in values.items() if key.startswith(f"{group}.")}
        plain[group]["name"] = ", ".join([chosen[group], *(f"{key} {value}" for key, value in own.items())])
        if group == "judge" and own and "rationale" not in own:
            plain[group]["rationale"] = f"Asked for: {', '.join(f'{key} {value}' for key, value in own.items())}."
    try:
        settings: Settings = parse(Settings, plain, where)
    except ValueError:  # of numbers that JSON has no words for
        raise BadInput(f"{where}: finite numbers are needed") from None
    return settings


def choices(root: Path | None) -> dict[str, str]:
    """The option of each group that a project's conf/pipeline.yaml chooses; of those that it does not name, ours."""
    ours: Any = load_yaml(OUR_CONF / "pipeline.yaml", "conf/pipeline.yaml")
    theirs: Any = load_yaml(root / "conf" / "pipeline.yaml", "conf/pipeline.yaml") if root else {}
    if not isinstance(theirs, dict):
        raise BadInput(f"conf/pipeline.yaml: expected the keys schema_version, {', '.join(GROUPS)}")
    return {group: str(theirs.get(group, ours[group])) for group in GROUPS}


def option_file(root: Path | None, group: str, name: str) -> Path | None:
    """The file of an option of a group, the project's own or ours; None where there is none, `BadInput` where there are two."""
    files = [conf / group / f"{name}.yaml" for conf in _folders(root)]
    found = [path for path in files if path.is_file()]
    if len(found) > 1:
        raise BadInput(f"conf/{group}/{name}.yaml: OpenAssay has an option of that name; give yours another one")
    return found[0] if found else None


def _folders(root: Path | None) -> list[Path]:
    """Where options lie: in a project's conf/, if it is not ours, and in ours."""
    own = [root / "conf"] if root else []
    return own if own and own[0].resolve() == OUR_CONF.resolve() else [*own, OUR_CONF]


def _check_option(root: Path | None, group: str, name: str, keys: set[str], where: str) -> None:
    """Raises `BadInput` unless there is an option of that name with these keys."""
    path = option_file(root, group, checked_name(name, f"{where}: {group}"))
    if path is None:
        if renamed := _RENAMED.get((group, name)):
            raise BadInput(f"{where}: {group}: {name} is called {renamed} now; write that")
        known = sorted({path.stem for conf in _folders(root) for path in (conf / group).glob("*.yaml")})
        raise BadInput(f"{where}: {group}: there is no option {name!r}; {did_you_mean(name, known)}")
    file = f"conf/{group}/{name}.yaml"
    data = load_yaml(path, file)
    if not isinstance(data, dict):
        raise BadInput(f"{file}: expected keys with values, as in OpenAssay's own options")
    if "defaults" in data or "${" in json.dumps(data):
        raise BadInput(f"{file}: defaults and ${{...}} are not taken; write the values out")
    there = {f"{group}.{key}" for key in data}
    if unknown := sorted(keys - there):
        raise BadInput(f"{where}: there is no {unknown[0]}; {did_you_mean(unknown[0], sorted(there))}")


def _parsed_override(word: str, parser: Any, where: str) -> Any:
    """A plain `group=option` or `group.key=value`, as Hydra reads it. Sweeps, additions and deletions are not taken here."""
    from hydra.errors import HydraException  # noqa: PLC0415 - only the plan stage needs Hydra

    grammar = "group=option or group.key=value, of letters, digits and _ . , : + - / = [ ]"
    problem = BadInput(f"{where}: {word!r}: expected {grammar}")
    if not _OVERRIDE.match(word):
        raise problem
    try:
        override = parser.parse_override(word)
    except HydraException:
        raise problem from None
    if override.type is None or override.type.name != "CHANGE" or override.is_sweep_override() or override.package:
        raise problem
    group = str(override.key_or_group).partition(".")[0]
    if group not in GROUPS:
        raise BadInput(f"{where}: there is no group {group!r}; {did_you_mean(group, GROUPS)}")
    return override
