"""A project's index and its targets, without looking into a target."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from openassay.faults import BadInput, did_you_mean
from openassay.layout import CATALOGUE, GROUPS, Layout, checked_name, find_root, is_path
from openassay.yaml_loader import load_yaml

LONGEST_NAME = 200
SCHEMA_VERSION = 1
"""Of a project's layout: conf/pipeline.yaml says by which a project was made."""


def check_settings(root: Path) -> None:
    """Raise `BadInput` where conf/pipeline.yaml is not of a project of this version, or has an unknown key."""
    where = "conf/pipeline.yaml"
    data = load_yaml(root / where, where)
    if not isinstance(data, dict):
        raise BadInput(f"{where}: expected the keys schema_version, {', '.join(GROUPS)}")
    version = data.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise BadInput(
            f"{where}: schema_version: expected {SCHEMA_VERSION}, found {version}: another version made this project. Run "
            "`openassay init` in an empty folder and take dvc.yaml, conf/pipeline.yaml and conf/index.yaml over; targets stay"
        )
    known = ["schema_version", "auditor", *GROUPS]
    for key in sorted(set(data) - set(known)):
        raise BadInput(f"{where}: {key}: unknown key; {did_you_mean(key, known)}")
    auditor(root)


def auditor(root: Path) -> str | None:
    """Who audits and how to reach them, as conf/pipeline.yaml says; None where it does not."""
    where = "conf/pipeline.yaml"
    data = load_yaml(root / where, where)
    told = data.get("auditor") if isinstance(data, dict) else None
    if told is not None and not (
        isinstance(told, str) and told.strip() and len(told) <= LONGEST_NAME and told.isprintable()
    ):
        raise BadInput(
            f"{where}: auditor: expected a name and how to reach it in one line of {LONGEST_NAME} characters at most"
        )
    return told


def index(root: Path) -> list[str]:
    """The targets of conf/index.yaml, which plain `dvc repro` audits. `BadInput` where the project's files are wrong."""
    check_settings(root)
    where = "conf/index.yaml"
    data = load_yaml(root / where, where)
    names = data.get("targets") if isinstance(data, dict) else None
    if not isinstance(names, list) or set(data) != {"targets"}:  # type: ignore[arg-type]
        raise BadInput(f"{where}: targets: a list of target names is needed, and nothing else; it may be empty")
    checked = [checked_name(str(name), f"{where}: targets.{i}") for i, name in enumerate(names)]
    for i, name in enumerate(checked):
        if name in checked[:i]:
            raise BadInput(f"{where}: targets.{i}: {name!r} stands twice; remove one")
        if not (root / "conf" / "target" / f"{name}.yaml").is_file():
            raise BadInput(f"{where}: targets.{i}: conf/target/{name}.yaml does not exist")
    return checked


def layouts(root: Path, references: Iterable[str]) -> list[Layout]:
    """The layouts of targets given as `NAME`, `catalogue:NAME` or the path of a file; `BadInput` for one that is missing."""
    found: dict[str, Layout] = {}
    for reference in references:
        layout = Layout.named(root, reference)
        if not layout.target_file.is_file():
            if is_path(reference):
                raise BadInput(f"{reference}: there is no such file")
            ours = reference.startswith(CATALOGUE)
            names = sorted(path.stem for path in layout.target_file.parent.glob("*.yaml"))
            there = did_you_mean(layout.target, names)
            if not ours and Layout.named(root, f"{CATALOGUE}{layout.target}").target_file.is_file():
                there = f"did you mean {CATALOGUE}{layout.target}?"
            where = "in the catalogue" if ours else "in conf/target/"
            raise BadInput(f"{reference}: there is no target of that name {where}; {there}")
        own = root / "conf" / "target" / f"{layout.target}.yaml"
        twice = found.get(layout.target, layout) != layout
        if twice or (layout.file and own.is_file() and own.resolve() != layout.file.resolve()):
            raise BadInput(
                f"{reference}: another target is called {layout.target} here; rename one, because records are stored by name"
            )
        found[layout.target] = layout
    return list(found.values())


def target_names(root: Path) -> list[str]:
    """The names of all targets of a project: the files of conf/target/. `BadInput` when there is none."""
    names = sorted(checked_name(path.stem, path.name) for path in (root / "conf" / "target").glob("*.yaml"))
    if not names:
        raise BadInput(
            "conf/target/: no target yet; put one there (docs/target.md), or name one that comes with OpenAssay: "
            "catalogue:mnist1d_logistic"
        )
    return names


def meant(references: list[str] | None) -> list[Layout]:
    """The layouts of targets, of all of the project's when none is given. Paths and the catalogue need no project."""
    nowhere = all(is_path(reference) or reference.startswith(CATALOGUE) for reference in references or [""])
    root = (nearest_root() or Path.cwd()) if nowhere else find_root()
    return [
        layout
        for reference in references or target_names(root)
        for layout in ([Layout.named(root, reference)] if is_path(reference) else layouts(root, [reference]))
    ]


def nearest_root(start: Path | None = None) -> Path | None:
    """The project's root, or None outside of a project."""
    try:
        return find_root(start)
    except BadInput:
        return None
