"""Openness: what a release declares, and what its own files say."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openassay.faults import BadInput
from openassay.layout import cache_home, find_root, is_path

if TYPE_CHECKING:
    from openassay.checks.inspection import Inspection
    from openassay.core.openness import Part


def classify(
    file: Annotated[
        str,
        typer.Argument(
            help="A record of the Model Openness Tool, a target file, a target's name, or - for standard input"
        ),
    ],
) -> None:
    """Say how open a release is, by what its record or target file declares: the framework's class, and the definition."""
    from openassay import model_openness_tool
    from openassay.core import licences
    from openassay.core.openness import CONTENT, Part, openness
    from openassay.records import parse, to_plain
    from openassay.target import Target
    from openassay.yaml_loader import parse_yaml

    where, text = _read_declaration(file)
    data = parse_yaml(text, where)
    warnings: tuple[str, ...] = ()
    licence_from: dict[str, str] = {}
    if model_openness_tool.is_record(data):
        record = model_openness_tool.read(data, where)
        name, parts, kind = record.name, record.parts, "model openness tool"
        warnings, licence_from = record.warnings, record.licence_from
        found = openness(parts, record=True)
    elif isinstance(data, dict) and "schema_version" in data:
        target: Target = parse(Target, data, where)
        name, kind = target.name, "target"
        parts = tuple(
            Part(
                component=part.component,
                published=part.published,
                licence=part.licence,
                where=part.where,
                note=part.note,
            )
            for part in target.components
        )
        found = openness(parts, target.data_information, target.reviews)
    else:
        raise BadInput(
            f"{where}: neither a record of the Model Openness Tool (framework, release) nor a target file (schema_version)"
        )
    components = [
        {
            "component": part.component, "published": part.published, "licence": part.licence,
            "licence_from": licence_from.get(part.component, "component"),
            "open": terms.open, "osi_approved": terms.osi, "type_appropriate": CONTENT[part.component] in terms.fits,
        }
        for part in parts for terms in [licences.terms_of(part.licence, exact=kind != "target")]
    ]  # fmt: skip
    plain = to_plain(found)
    answer = {
        "name": name, "kind": kind, "mof_class": found.mof.mof_class, "mof_label": found.mof.label,
        "mof_class_if_unknown_pass": found.mof.if_unknown_pass, "missing": plain["mof"]["missing"],
        "conditional": plain["mof"]["conditional"], "osaid": plain["osaid"], "earlier_editions": plain["earlier"],
        "freedoms": plain["freedoms"], "to_release": plain["to_release"], "reviews": plain["reviews"],
        "components": components, "warnings": [*warnings, *_spelling(parts, kind)],
    }  # fmt: skip
    print(json.dumps(answer, indent=2))


def _spelling(parts: tuple[Part, ...], kind: str) -> list[str]:
    """Licences that the Model Openness Tool does not take for open, though by what they say they are."""
    from openassay.core import licences

    return [] if kind == "target" else [
        f"{part.component}: {part.licence!r} is open, but the Model Openness Tool reads only single SPDX identifiers, as SPDX "
        "spells them"
        for part in parts if licences.terms_of(part.licence).open == "passes" and part.licence not in licences.identifiers()
    ]  # fmt: skip


def _read_declaration(file: str) -> tuple[str, str]:
    """The text that `classify` was given, and how messages call it."""
    from openassay.project import meant
    from openassay.yaml_loader import MAX_BYTES

    if file == "-":
        where, data = "standard input", sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        path = Path(file)
        if not path.exists():
            if is_path(file):
                raise BadInput(f"{file}: there is no such file")
            path = meant([file])[0].target_file
        where = file
        try:
            with path.open("rb") as opened:
                data = opened.read(MAX_BYTES + 1)
        except OSError as error:
            raise BadInput(f"{where}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise BadInput(f"{where}: more than {MAX_BYTES} bytes; a record or a target file has at most so many")
    try:
        return where, data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{where}: byte {error.start} is not UTF-8; save the file as UTF-8") from None


def inspect_(
    what: Annotated[
        str, typer.Argument(help="A folder, a file or an archive of any release; or a target that was fetched")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON: components, checks, evidence")] = False,
    links: Annotated[bool, typer.Option("--links", help="Also ask the addresses that the READMEs name")] = False,
    every: Annotated[bool, typer.Option("--all", help="Also show the checks that cannot be asked, and why")] = False,
) -> None:
    """Find what is wrong with a release, as far as its own files tell: components, and files that contradict each other."""
    from openassay.checks.inspection import place
    from openassay.cli import terminal
    from openassay.cli.terminal import plain
    from openassay.records import to_plain

    seen = _inspected(what, links=links)
    if as_json:
        print(json.dumps(to_plain(seen), indent=2, ensure_ascii=False))
        return
    console = terminal.console(160)
    components = terminal.table("component", "declared", "found", "reachable", "evidence")
    for component in seen.detected:
        if component.found != "not seen" or component.declared not in {None, "no"} or every:
            evidence = "; ".join(f"{file.path} {file.why}" for file in component.files[:2])
            components.add_row(
                component.component, component.declared or "–", component.found, component.reachable, plain(evidence)
            )
    checks = terminal.table("check", "outcome", "evidence")
    for check in seen.checks:
        if check.outcome == "fail":
            for i, problem in enumerate(check.problems):
                places = "; ".join(dict.fromkeys(place(evidence) for evidence in problem.evidence))
                text = f"{problem.message}\n  {places}" if places else problem.message
                lines = "\n".join(plain(line) for line in text.split("\n"))
                checks.add_row(check.check if i == 0 else "", "[bold red]fail[/]" if i == 0 else "", lines)
        elif check.outcome == "pass" or every:
            shown = check.why or "; ".join(place(evidence) for evidence in check.looked_at[:3])
            checks.add_row(check.check, check.outcome, plain(shown))
    console.print(components)
    console.print(checks)
    for path, why in sorted(seen.unreadable.items())[:20]:
        console.print(f"not read: {plain(path)}: {plain(why)}", soft_wrap=True)
    if (more := len(seen.unreadable) - 20) > 0:
        console.print(f"and {more} more that were not read (--json lists them)")
    counts = {
        outcome: sum(check.outcome == outcome for check in seen.checks)
        for outcome in ("fail", "pass", "cannot be asked")
    }
    console.print(
        f"{plain(seen.name)}: {seen.num_files} files; {counts['fail']} checks found something, {counts['pass']} pass, "
        f"{counts['cannot be asked']} cannot be asked of these files",
        soft_wrap=True,
    )


def _inspected(what: str, *, links: bool) -> Inspection:
    from openassay.checks.inspection import Inspection, inspect_folder, merge_checks, merge_detected, opened
    from openassay.core.findings import FetchRecord
    from openassay.project import layouts
    from openassay.records import read_record
    from openassay.sources.roots import artifact_roots
    from openassay.store import Store
    from openassay.target import read_target

    try:
        path = Path(what)
        there = path.exists()
    except OSError:
        there = False
    if not what.isprintable():
        raise BadInput(f"{what[:100]!r} is no path")
    if there:
        if not (path.is_dir() or path.is_file()):
            raise BadInput(f"{what}: neither a regular file nor a folder")
        with opened(path) as folder:
            return inspect_folder(folder, name=path.resolve().name, links=links)
    if os.sep in what or "." in what:
        raise BadInput(f"{what}: there is no such file or folder")
    layout = layouts(find_root(), [what])[0]
    name = layout.target
    if not layout.record("fetch").is_file():
        raise BadInput(f"{name}: not fetched yet; run `openassay audit {name}` first")
    roots = artifact_roots(Store(cache_home()), read_record(layout.record("fetch"), FetchRecord))
    declared: Any = {component.component: component.published for component in read_target(layout).components}
    seen = {
        artifact: inspect_folder(Path(folder), name=artifact, declared=declared, links=links)
        for artifact, folder in roots.items()
    }
    return Inspection(
        name=name, num_files=sum(of.num_files for of in seen.values()),
        detected=merge_detected({artifact: of.detected for artifact, of in seen.items()}),
        checks=merge_checks({artifact: of.checks for artifact, of in seen.items()}),
        unreadable={f"{artifact}: {file}": why for artifact, of in seen.items() for file, why in of.unreadable.items()},
    )  # fmt: skip
