"""What does a project hold? Its index, its targets and its settings, without looking into a target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openassay.faults import BadInput
from openassay.layout import checked_name
from openassay.yaml_loader import load_yaml

SETTINGS = ("profile", "judge", "tracking", "execution")
"""Keys of conf/pipeline.yaml that name a file in a folder of conf/ of the same name."""


def index(root: Path) -> list[str]:
    """The targets of conf/pipeline.yaml. `BadInput` when a name or a setting is odd, or a file is missing."""
    where = "conf/pipeline.yaml"
    data = load_yaml(root / where, where)
    if not isinstance(data, dict):
        raise BadInput(f"{where}: expected the keys targets, {', '.join(SETTINGS)}")
    for group in SETTINGS:  # dvc puts them into a shell's line
        _setting(root, group, str(data.get(group, "")), f"{where}: {group}")
    names = data.get("targets")
    if not isinstance(names, list) or not names:
        raise BadInput(f"{where}: targets: a list of target names is needed")
    checked = [checked_name(str(name), f"{where}: targets.{i}") for i, name in enumerate(names)]
    for i, name in enumerate(checked):
        if checked.index(name) != i:
            raise BadInput(f"{where}: targets.{i}: {name!r} stands twice; remove one")
        if not (root / "conf" / "target" / f"{name}.yaml").is_file():
            raise BadInput(f"{where}: targets.{i}: conf/target/{name}.yaml does not exist")
    return checked


def _setting(root: Path, group: str, name: str, where: str) -> str:
    """The name of a file in conf/GROUP/; `BadInput` when there is none of that name."""
    if not (root / "conf" / group / f"{checked_name(name, where)}.yaml").is_file():
        known = ", ".join(sorted(path.stem for path in (root / "conf" / group).glob("*.yaml")))
        raise BadInput(f"{where}: conf/{group}/{name}.yaml does not exist; there are: {known}")
    return name


def chosen(root: Path, names: list[str] | None) -> list[str]:
    """The targets of these names, or of the whole index; `BadInput` for one that is not in it."""
    known = index(root)
    for name in names or []:
        checked_name(name, "target")
        if name not in known:
            file = root / "conf" / "target" / f"{name}.yaml"
            todo = "add it to targets in conf/pipeline.yaml" if file.is_file() else f"there are: {', '.join(known)}"
            raise BadInput(f"no target {name!r} in the index; {todo}")
    return names or known


def settings_of(root: Path, profile: str | None) -> list[str]:
    """Our part of the configuration as conf/pipeline.yaml has it, with another profile if one is given."""
    data: Any = load_yaml(root / "conf" / "pipeline.yaml", "conf/pipeline.yaml")
    chosen = {group: str(data[group]) for group in SETTINGS}
    if profile is not None:
        chosen["profile"] = _setting(root, "profile", profile, "--profile")
    return [f"{group}={name}" for group, name in chosen.items()]
