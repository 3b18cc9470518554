"""What does a project hold? Its index, its targets and its settings, without looking into a target."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openassay.faults import BadInput, did_you_mean
from openassay.layout import CATALOGUE, Layout, checked_name, find_root, is_path
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


def settings_of(root: Path, profile: str | None) -> list[str]:
    """Our part of the configuration as conf/pipeline.yaml has it, with another profile if one is given."""
    data: Any = load_yaml(root / "conf" / "pipeline.yaml", "conf/pipeline.yaml")
    chosen = {group: str(data[group]) for group in SETTINGS}
    if profile is not None:
        chosen["profile"] = _setting(root, "profile", profile, "--profile")
    return [f"{group}={name}" for group, name in chosen.items()]


def layouts(root: Path, references: Iterable[str]) -> list[Layout]:
    """The targets that are meant by name, as `catalogue:NAME` or by the path of a file; `BadInput` for one that is not there."""
    found: dict[str, Layout] = {}
    for reference in references:
        layout = Layout.named(root, reference)
        if not layout.target_file.is_file():
            if is_path(reference):
                raise BadInput(f"{reference}: there is no such file")
            ours = reference.startswith(CATALOGUE)
            names = sorted(path.stem for path in layout.target_file.parent.glob("*.yaml"))
            there = did_you_mean(layout.target, names)
            where = "in the catalogue" if ours else "in conf/target/"
            raise BadInput(f"{reference}: there is no target of that name {where}; {there}")
        own = root / "conf" / "target" / f"{layout.target}.yaml"
        twice = found.get(layout.target, layout) != layout
        if twice or (layout.file and own.is_file() and own.resolve() != layout.file.resolve()):
            raise BadInput(
                f"{reference}: another target is called {layout.target} here; rename one, since records lie by name"
            )
        found[layout.target] = layout
    return list(found.values())


def target_names(root: Path) -> list[str]:
    """The names of all targets of a project: the files of conf/target/."""
    return sorted(checked_name(path.stem, path.name) for path in (root / "conf" / "target").glob("*.yaml"))


def meant(references: list[str] | None) -> list[Layout]:
    """The targets that are meant, all of the project's when none is named. Paths and the catalogue need no project."""
    nowhere = all(is_path(reference) or reference.startswith(CATALOGUE) for reference in references or [""])
    root = (nearest_root() or Path.cwd()) if nowhere else find_root()
    return [
        layout
        for reference in references or target_names(root)
        for layout in ([Layout.named(root, reference)] if is_path(reference) else layouts(root, [reference]))
    ]


def nearest_root() -> Path | None:
    """The project's root, or None outside of a project."""
    try:
        return find_root()
    except BadInput:
        return None
