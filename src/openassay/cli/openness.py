"""Openness: what a release declares, and what its own files say."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from openassay.cli.arguments import AsJson, fetched_paths, fetched_roots, the_layout
from openassay.faults import BadInput, counted, printable
from openassay.layout import is_path

if TYPE_CHECKING:
    from openassay.checks.inspection import Inspection


OUTCOMES = {"fail": "[bold red]fail[/]", "noted": "[bold]noted[/]"}
"""Of checks that say something, as a terminal shows them."""
FORMS = ("table", "json", "sarif", "junit")
FAIL_ON = ("noted", "fail")
"""The lesser first."""
FILE = "A record of the Model Openness Tool, a target file, a target's name, or - for standard input"


def classify(file: Annotated[str, Argument(help=FILE)]) -> None:
    """Say how open a release is, by what its record or target file declares: the framework's class, and the definition."""
    from openassay import model_openness_tool
    from openassay.core import licences
    from openassay.core.openness import CONTENT, Part, openness
    from openassay.project import meant
    from openassay.records import parse, to_json, to_plain
    from openassay.target import Target
    from openassay.yaml_loader import MAX_BYTES, load_yaml, parse_bytes

    path, where = Path(file), "standard input" if file == "-" else file
    data: Any
    if file == "-":
        data = parse_bytes(sys.stdin.buffer.read(MAX_BYTES + 1), where)
    else:
        data = load_yaml(path if path.exists() or is_path(file) else meant([file])[0].target_file, where)
    if model_openness_tool.is_record(data):
        kind, record = "model openness tool", model_openness_tool.read(data, where)
        found = openness(record.parts, record=True)
    elif isinstance(data, dict) and "schema_version" in data:
        target: Target = parse(Target, data, where)
        parts = tuple(
            Part(component=of.component, published=of.published, licence=of.licence, where=of.where, note=of.note)
            for of in target.components
        )
        kind, record = "target", model_openness_tool.Record(name=target.name, parts=parts)
        found = openness(parts, target.data_information, target.reviews, told=target.release.article_53)
    else:
        known = "a record of the Model Openness Tool (framework, release) nor a target file (schema_version)"
        raise BadInput(f"{where}: neither {known}")
    components = [
        {
            "component": part.component, "published": part.published, "licence": part.licence,
            "licence_from": record.licence_from.get(part.component, "component"),
            "open": terms.open, "osi_approved": terms.osi, "type_appropriate": CONTENT[part.component] in terms.fits,
        }
        for part in record.parts for terms in [licences.terms_of(part.licence, exact=kind != "target")]
    ]  # fmt: skip
    plain = to_plain(found)
    answer = {
        "name": record.name, "kind": kind, "mof_class": found.mof.mof_class, "mof_label": found.mof.label,
        "mof_class_if_unknown_pass": found.mof.if_unknown_pass, "missing": plain["mof"]["missing"],
        "conditional": plain["mof"]["conditional"], "osaid": plain["osaid"], "earlier_editions": plain["earlier"],
        "freedoms": plain["freedoms"], "eu_exemption": plain["eu_exemption"], "to_release": plain["to_release"],
        "reviews": plain["reviews"],
        "components": components, "warnings": record.warnings,
    }  # fmt: skip
    print(to_json(answer, ascii_only=True))


def inspect_(
    what: Annotated[str, Argument(help="A folder, a file or an archive of any release; or a target that was fetched")],
    *,
    as_json: AsJson = False,
    links: Annotated[bool, Option("--links", help="Also ask the addresses that the READMEs name")] = False,
    every: Annotated[bool, Option("--all", help="Also show the checks that cannot be asked, and why")] = False,
    staged: Annotated[bool, Option("--staged", help="Only what git would commit of the folder")] = False,
    form: Annotated[str, Option("--format", help="table, json, sarif (code scanning) or junit (CI)")] = "table",
    fail_on: Annotated[
        str, Option(help="Exit with status 1 where a check found something: fail, or noted for less")
    ] = "",
) -> None:
    """Find what is wrong with a release, as far as its own files tell: components, and files that contradict each other.

    Exit status: 0, also with findings; 1 where --fail-on asks for it; 2 where there is nothing to inspect.
    """
    from openassay.records import to_json
    from openassay.report import exchange

    form = "json" if as_json else form
    if form not in FORMS:
        raise BadInput(f"inspect: --format: expected one of {', '.join(FORMS)}, found {form!r}")
    if fail_on not in {"", *FAIL_ON}:
        raise BadInput(f"inspect: --fail-on: expected one of {', '.join(FAIL_ON)}, found {fail_on!r}")
    seen, below = _inspected(what, links=links, staged=staged)
    if form == "json":
        print(to_json(seen))
    elif form == "sarif":
        print(exchange.to_sarif(seen, below), end="")
    elif form == "junit":
        print(exchange.to_junit(f"openassay inspect {seen.name}", exchange.cases_of(seen)), end="")
    else:
        _show(seen, every=every)
    if fail_on and {check.outcome for check in seen.checks} & set(FAIL_ON[FAIL_ON.index(fail_on) :]):
        raise typer.Exit(1)


def _from_here(path: Path, inside: str) -> str:
    """Where an inspection's places are, from the current folder: empty where they are below it, or below none of its own."""
    here = os.path.normpath(os.path.join(os.path.relpath(path.resolve(), Path.cwd().resolve()), inside))
    return "" if here == "." or here.startswith("..") else f"{here}/"


@contextmanager
def _staged(path: Path) -> Iterator[Path]:
    """What git would commit of a folder, for as long as it is looked at: nothing that it ignores or does not know."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["git", "-C", str(path), "checkout-index", "--all", f"--prefix={folder}/"]
        try:
            subprocess.run(command, check=True, capture_output=True, env=os.environ | {"GIT_LFS_SKIP_SMUDGE": "1"})
            top = subprocess.run(
                ["git", "-C", str(path), "rev-parse", "--show-prefix"], check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError) as problem:
            said = getattr(problem, "stderr", b"").decode(errors="replace").strip().partition("\n")[0] or problem
            raise BadInput(f"{path}: --staged: expected a folder of a git repository; git says: {said}") from None
        inside = Path(folder) / os.fsdecode(top.stdout.rstrip(b"\n"))
        if not (inside.is_dir() and any(inside.iterdir())):
            raise BadInput(f"{path}: --staged: expected files that git would commit, found none there")
        yield inside


def _show(seen: Inspection, *, every: bool) -> None:
    from openassay.checks.inspection import place
    from openassay.cli import terminal
    from openassay.cli.terminal import plain

    console = terminal.console(160)
    components = terminal.table("component", "declared", "found", "reachable", "evidence")
    for component in seen.detected:
        if component.found != "not seen" or component.declared not in {None, "no"} or every:
            evidence = "; ".join(f"{file.path} {file.why}" for file in component.files[:2])
            names = (component.component, component.declared or "–", component.found, component.reachable)
            components.add_row(*names, plain(evidence))
    checks = terminal.table("check", "outcome", "evidence")
    for check in seen.checks:
        if check.outcome in {"fail", "noted"}:
            for i, problem in enumerate(check.problems):
                places = "; ".join(dict.fromkeys(map(place, problem.evidence)))
                text = f"{problem.message}\n  {places}" if places else problem.message
                lines = "\n".join(map(plain, text.split("\n")))
                checks.add_row(*((check.check, OUTCOMES[check.outcome]) if i == 0 else ("", "")), lines)
        elif check.outcome == "pass" or every:
            shown = check.why or "; ".join(place(evidence) for evidence in check.looked_at[:3])
            checks.add_row(check.check, check.outcome, plain(shown))
    console.print(components)
    console.print(checks)
    for path, why in sorted(seen.unreadable.items())[:20]:
        console.print(f"not read: {plain(path)}: {plain(why)}", soft_wrap=True)
    if (more := len(seen.unreadable) - 20) > 0:
        console.print(f"and {more} more that were not read (--json lists them)")
    counts = Counter(check.outcome for check in seen.checks)
    console.print(
        f"{plain(seen.name)}: {counted(seen.num_files, 'file')}; {counted(counts['fail'], 'check')} found something, "
        f"{counts['noted']} noted something, {counts['pass']} pass, {counts['cannot be asked']} cannot be asked of these files",
        soft_wrap=True,
    )


def _inspected(what: str, *, links: bool, staged: bool) -> tuple[Inspection, str]:
    """What was seen, and the folder that its places are below, from the current one."""
    from openassay.checks.inspection import Inspection, inspect_folder, merge_checks, merge_detected, opened, top_of
    from openassay.target import read_target

    if not what.isprintable():
        raise BadInput(f"{what[:100]!r} is not a path")
    path = Path(what)
    if os.path.exists(path):  # not Path.exists, which raises where a name is too long
        if not (path.is_dir() or path.is_file()):
            raise BadInput(f"{what}: neither a regular file nor a folder")
        with _staged(path) if staged else opened(path) as folder:
            seen = inspect_folder(folder, name=path.resolve().name, links=links, say=_say)
            inside = top_of(folder).relative_to(folder).as_posix()
        return seen, _from_here(path if path.is_dir() else path.parent, inside)
    if staged:
        raise BadInput(f"{what}: --staged is for a folder of a git repository")
    if os.sep in what or "." in what:
        raise BadInput(f"{what}: there is no such file or folder")
    layout = the_layout(what)
    target = read_target(layout)
    declared: Any = {component.component: component.published for component in target.components}
    roots, listed = fetched_roots(layout), fetched_paths(layout, target)
    found = {
        artifact: inspect_folder(
            Path(folder),
            name=artifact,
            declared=declared,
            links=links,
            say=_say,
            is_part=target.artifacts[artifact].is_part(),
            listed=listed[artifact],
        )
        for artifact, folder in roots.items()
    }
    merged = Inspection(
        name=layout.target, num_files=sum(of.num_files for of in found.values()),
        detected=merge_detected({artifact: of.detected for artifact, of in found.items()}),
        checks=merge_checks({artifact: of.checks for artifact, of in found.items()}),
        unreadable={f"{artifact}: {file}": why for artifact, of in found.items() for file, why in of.unreadable.items()},
    )  # fmt: skip
    return merged, ""


def _say(line: str) -> None:
    print(f"  {printable(line)}", file=sys.stderr)
