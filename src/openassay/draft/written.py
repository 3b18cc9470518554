"""The draft of a target file: what was seen as data, what is guessed by its key, and the text of the file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from openassay.checks.components import detect
from openassay.checks.licences import declarations
from openassay.checks.release import Code
from openassay.core.openness import CONTENT
from openassay.draft import commands, needs
from openassay.draft.brought import BroughtRelease
from openassay.draft.commands import RunCandidate
from openassay.draft.numbers import METRICS, NUMBER, PrintedNumber, printed_numbers, printing_line
from openassay.faults import BadInput, Fault, counted, printable
from openassay.layout import checked_name
from openassay.records import parse
from openassay.sources.fetched import Unavailable
from openassay.sources.folders import COMMIT
from openassay.sources.git import GitSource
from openassay.sources.http import HttpSource
from openassay.sources.pins import pinned
from openassay.store import RefusedArchive, Store
from openassay.yaml_loader import parse_yaml

MOST_OTHERS = 12
"""Other commands, and other numbers, that the file shows."""
MOST_DOWNLOADS = 5
_RAW = re.compile(
    r"https://(?:raw\.githubusercontent\.com/([^/]+/[^/]+)|github\.com/([^/]+/[^/]+)/raw)/(?:refs/heads/)?([^/]+)/([^?#]+)"
)
_LENGTHS = re.compile(
    r"(?im)^[ \t]*((?:num_|n_|max_|training_)?(?:epochs?|iters|iterations|steps|updates) *= *([1-9]\d{0,8}))\b"
)
_GLOB = set("*?[]")
_SHARES = {"accuracy", "f1", "auc", "error", "map", "iou"}
"""Metrics that are printed as fractions or in per cent."""
_ORDER = (
    "schema_version",
    "name",
    "guesses",
    "release",
    "components",
    "artifacts",
    "environment",
    "rerun",
    "controls",
    "claims",
)


@dataclass(kw_only=True)
class DraftedTarget:
    """A target file in the making."""

    data: dict[str, Any]
    guesses: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    """What was found, a line each with its place."""
    others: dict[str, list[str]] = field(default_factory=dict)
    """Comments of the file, by the key before which they stand."""

    def text(self) -> str:
        """The file: comments and YAML, which reads as the data and as nothing else."""
        guesses = {key: printable(reason)[:300] for key, reason in self.guesses.items()}
        data = {"schema_version": 1, "guesses": guesses} | self.data
        data = {key: data[key] for key in _ORDER if key in data}
        parts = [
            "# Drafted by `openassay new` from the release's own files: read every line. docs/target.md explains each key.\n"
        ]
        for key, value in data.items():
            parts += [f"# {printable(line)[:300]}\n" for line in self.others.get(key, ())]
            # YAML takes these for ends of lines: where one occurs, all that is not ASCII is escaped.
            readable = not set("\x85\u2028\u2029") & set(json.dumps(value, ensure_ascii=False))
            written = yaml.dump({key: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=readable, width=120)
            parts.append(written + ("\n" if isinstance(value, (dict, list)) else ""))
        text = "".join(parts).rstrip("\n") + "\n"
        if parse_yaml(text, "the draft") != data:
            raise BadInput("the release's texts cannot be written as YAML; write the target by hand (docs/target.md)")
        return text


class _Dumper(yaml.SafeDumper):
    """Short lists and mappings of plain values in one line; quotes around words that YAML 1.2 takes for numbers."""

    def represent(self, data: Any) -> None:
        node: Any = self.represent_data(data)
        node.flow_style = False
        self.serialize(node)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style=flow_style)
        flat = all(isinstance(value, yaml.ScalarNode) for _, value in node.value)
        node.flow_style = flat and sum(len(key.value) + len(value.value) for key, value in node.value) < 90
        return node

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        node = super().represent_sequence(tag, sequence, flow_style=flow_style)
        node.flow_style = all(isinstance(item, yaml.ScalarNode) for item in node.value)
        return node


def _word(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    quoted = "?" in text or re.fullmatch(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if quoted else None)


_Dumper.add_representer(str, _word)


def draft(brought: BroughtRelease, name: str, store: Store) -> DraftedTarget:
    """The draft of a release's target; `BadInput` where none of its files can be run."""
    found, numbers = commands.candidates(brought.files, brought.top), printed_numbers(brought.files)
    if not any(of.score > 0 for of in found):
        found = commands.python_blocks(brought.readme) + found
    best = max(found, key=lambda of: of.score + _beside(of, numbers), default=None)
    if best is None or best.score <= 0:
        looked = f"{brought.readme.path if brought.readme else 'no README'}, Makefile, scripts, CI files, notebooks"
        raise BadInput(
            f"{brought.name}: no command that trains was found ({looked}); write the target by hand (docs/target.md)"
        )
    release = {"title": brought.title, "version": brought.version, "homepage": brought.homepage}
    of = DraftedTarget(data={"name": checked_name(name, "--name"), "release": release})
    steps = [*commands.preparations(best, found), best]
    of.data["components"] = _components(brought, [one.script.path for one in reversed(steps) if one.script], of)
    of.data |= {"artifacts": {"code": brought.artifact}, "environment": {}}
    of.data["rerun"] = _rerun(brought, steps, found, of, store)
    if control := _control(brought, best, of):
        of.data["controls"] = [control]
    _claims(brought, best, numbers, of)
    if brought.homepage == "unknown":
        of.guesses["release.homepage"] = "a folder has none; say where the release is published, and its version"
    if brought.notes:
        of.guesses["artifacts.code"] = "; ".join(brought.notes)
    return of


def _beside(of: RunCandidate, numbers: list[PrintedNumber]) -> int:
    """3 where a number stands in the few lines after a command, 1 where it stands elsewhere in the document, else 0."""
    after = [number.line - of.line for number in numbers if number.path == of.path]
    return 3 if any(0 <= lines <= 12 for lines in after) else bool(after)


def _components(brought: BroughtRelease, used: list[str], of: DraftedTarget) -> list[dict[str, Any]]:
    """The components that files show. used: the scripts of the steps, that of the training first."""
    files = brought.files
    stated = [declared for declared in declarations(files) if declared.what == "licence file"]
    sure = {licence for declared in stated for licence in declared.licences}
    licence = next(iter(sure)) if len(sure) == 1 else "unknown"
    of.seen += [
        f"{one.evidence.path}:{one.evidence.line}: licence: {' or '.join(sorted(one.licences))}" for one in stated
    ]
    shown = {
        one.component: [file.path for file in one.files]
        for one in detect(files, {}, lambda _: None)
        if one.found == "found"
    }
    shown.setdefault("training_code", used[:1])
    components: list[dict[str, Any]] = []
    for name, paths in shown.items():
        if named := [path for path in sorted(paths, key=lambda path: path not in used) if _GLOB.isdisjoint(path)][:3]:
            terms = licence if CONTENT[name] == "code" else "unknown"
            components.append(
                {"component": name, "published": "yes", "licence": terms, "artifact": "code", "paths": named}
            )
            of.seen.append(f"{named[0]}: {name}")
    of.guesses["components"] = "recognised by names and contents; say what else is published, and under which terms"
    if "params_final" not in shown:
        components.append({"component": "params_final", "published": "unknown"})
        of.guesses["components"] += "; no weights were seen: are they published?"
    return components


def _rerun(
    brought: BroughtRelease, steps: list[RunCandidate], found: list[RunCandidate], of: DraftedTarget, store: Store
) -> dict[str, Any]:
    """The driver: the steps, what they download, their seeds; and the environment."""
    files, best = brought.files, steps[-1]
    words, length = commands.filled(best, files) if isinstance(best.step, list) else (best.step, {})
    of.seen += [f"{one.path}:{one.line}: command: {one.shown}" for one in steps]
    of.guesses["rerun.run.steps"] = f"the likeliest of {counted(len(found), 'command')} ({best.path}:{best.line})"
    others = [one for one in found if one not in steps and isinstance(one.step, list)][:MOST_OTHERS]
    lines = [f"  {one.path}:{one.line}: {one.shown}" for one in others]
    of.others["rerun"] = ["Other commands that were found:", *lines] if lines else []
    run: dict[str, Any] = {"artifact": "code", "steps": [*(one.step for one in steps[:-1]), words]}
    run |= {"folder": best.folder} if best.folder != "." else {}
    run |= {"environment": best.environment} if best.environment else {}
    codes = list({code.path: code for one in steps for code in commands.reached(one, files)}.values())
    if provides := _provides(steps, codes, of, store):
        run["provides"] = provides
    if own := needs.own_downloads(codes):
        of.guesses["rerun.run.provides"] = f"{own[0]} may download data: declare what it asks for, or remove this line"
    seeds = needs.seeds_set(codes)
    if seeds and "{seed}" not in " ".join(words):
        place, what = seeds[0]
        of.seen.append(f"{place}: seed: {what}")
        said = f"{place} calls {what}: true gives each rerun a seed of its own, false keeps the code's"
        if what == "random_state":
            said = f"{place} passes a fixed seed, which reruns cannot vary: vary it by an option"
        else:
            run["reseed"] = True
        of.guesses["rerun.run.reseed"] = said
    packages, place = needs.requirements(files, brought.top, best, brought.readme)
    packages += ["nbclient", "ipykernel"] if isinstance(best.step, dict) and "notebook" in best.step else []
    of.data["environment"] = {"requirements": packages}
    of.others["environment"] = [f"From {place}."]
    of.seen.append(f"{place}: requirements: {', '.join(packages) or 'none'}")
    loose = ", ".join([line for line in packages if "==" not in line][:5])
    said = f"no exact version stands there ({loose}): pin them, or say as_of" if loose else "these, and no others?"
    of.guesses["environment.requirements"] = f"from {place}: {said}"
    return {"driver": "command", "run": run} | ({"parameters": length} if length else {})


def _provides(steps: list[RunCandidate], codes: list[Code], of: DraftedTarget, store: Store) -> dict[str, Any]:
    """The addresses that the steps download, with an artifact for each, pinned where it can be had."""
    asked = needs.downloads(codes)
    asked |= {
        word: f"{one.path}:{one.line}"
        for one in steps for word in one.step if not one.script and word.startswith(("http://", "https://"))
    }  # fmt: skip
    provides: dict[str, Any] = {}
    for address, place in list(asked.items())[:MOST_DOWNLOADS]:
        of.seen.append(f"{place}: download: {address}")
        called = re.sub(r"[^a-z0-9]+", "_", unquote(urlsplit(address).path).rpartition("/")[2].lower()).strip("_")[:40]
        called = f"{called or 'file'}{'_2' if called in of.data['artifacts'] else ''}"
        raw, path = _RAW.fullmatch(address), {}
        try:
            if raw:
                path = {"path": unquote(raw[4])}
                entry = {"kind": "git", "url": f"https://github.com/{raw[1] or raw[2]}", "commit": raw[3]}
                if not COMMIT.match(raw[3]):
                    named = parse(GitSource, entry | {"ref": raw[3], "commit": "0" * 40}, address)
                    entry["commit"] = named.commit_now()
                entries: Any = [entry | {"paths": [path["path"]]}]
                parse(GitSource, entries[0], address).fetch(store, address)
            else:
                entries = pinned(urlsplit(address).scheme, "", address, store)
        except (Unavailable, RefusedArchive, Fault) as problem:
            path, entries = {}, [{"kind": "http", "url": address, "sha256": "0" * 64}]
            of.guesses[f"artifacts.{called}"] = f"{place} downloads it, and it could not be pinned: {problem}"
            try:
                parse(HttpSource, entries[0], address)
            except BadInput:
                of.guesses[f"rerun.run.provides.{address}"] = of.guesses.pop(f"artifacts.{called}")
                continue
        of.data["artifacts"][called] = {"sources": entries}
        provides[address] = {"artifact": called} | path
    return provides


def _control(brought: BroughtRelease, best: RunCandidate, of: DraftedTarget) -> dict[str, Any]:
    """A training of next to no length, by the option that sets it or by an edit of the line that does; empty where none does."""
    of.others["controls"] = [
        "A stronger control gives the training labels, or text, in random order, where the script reads them:",
        "  - arm: shuffled_labels",
        "    edit: [{path: SCRIPT, find: a line that stands once in it, replace: that line and one that shuffles}]",
    ]
    change: dict[str, Any] = {}
    for name, length in of.data["rerun"].get("parameters", {}).items():
        change = {"parameters": {name: max(1, length // 100)}}
    path = best.script.path if best.script else ""
    if not change and path in brought.files.by_path:
        text = commands.read_text(brought.top / path)
        text = re.sub(r'\\n|"', "\n", text) if path.endswith(".ipynb") else text
        for found in _LENGTHS.finditer(text):
            if text.count(found[1]) == 1 and int(found[2]) > 1:
                short = found[1].removesuffix(found[2]) + str(max(1, int(found[2]) // 100))
                change = {"edit": [{"path": path, "find": found[1], "replace": short}]}
                break
    if not change:
        return {}
    of.guesses["controls.0"] = (
        "a short training must miss the claimed number by far; else shuffle the labels by an edit"
    )
    return {"arm": "untrained", **change, "rationale": "Next to nothing is learned in so short a training."}


def _claims(brought: BroughtRelease, best: RunCandidate, numbers: list[PrintedNumber], of: DraftedTarget) -> None:
    """The claims of one line with numbers, and how they are measured.

    The line that has words of the command, of a metric that the code prints; of several the nearest to the command.
    """
    codes = commands.reached(best, brought.files)
    words = (
        {word.lower() for word in best.step if len(word) > 2 and word.isalpha()}
        if isinstance(best.step, list)
        else set()
    )
    words -= {"python", "python3", "train", "bash"}

    def distance(number: PrintedNumber) -> tuple[bool, bool, bool, int]:
        after, said = number.line - best.line, set(re.findall(r"[a-z]+", number.quote.lower()))
        near = after if after >= 0 else 1000 - after
        return number.path != best.path, not words & said, printing_line(number, codes) is None, near

    folders = {"", best.folder, best.path.rpartition("/")[0]}  # what another folder says is of another training
    nearest = min((of for of in numbers if of.path.rpartition("/")[0] in folders), key=distance, default=None)
    chosen: dict[str, PrintedNumber] = {}
    for number in numbers:
        if nearest is not None and (number.path, number.line) == (nearest.path, nearest.line) and len(chosen) < 3:
            chosen.setdefault(number.metric, number)
    rest = [number for number in sorted(numbers, key=distance) if number not in chosen.values()][:MOST_OTHERS]
    lines = [f"  {of.path}:{of.line}: {of.metric} {of.value:g}{' %' * of.percent}: {of.quote[-120:]}" for of in rest]
    of.others["claims"] = ["Other numbers that look like results:", *lines] if lines else []
    made = [_claim(number, codes, i, of) for i, number in enumerate(chosen.values())]
    of.data["claims"], of.data["rerun"]["measure"] = [claim for claim, _ in made], [measure for _, measure in made]
    if not made:
        of.data.pop("controls", None)
        of.guesses.pop("controls.0", None)
        of.guesses["claims"] = (
            "no number that looks like a result stands in a README: without a claim nothing is tested"
        )


def _claim(
    number: PrintedNumber, codes: list[Code], i: int, of: DraftedTarget
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A claim and its measure. i: their place in the lists."""
    percent = number.percent or (number.base in _SHARES and number.value > 1)
    of.seen.append(f"{number.path}:{number.line}: number: {number.metric} {number.value:g}{' %' * number.percent}")
    measure: dict[str, Any] = {"read_from": "stdout", "metric": number.metric}
    if printing := printing_line(number, codes):
        measure["pattern"] = printing.pattern
        of.seen.append(f"{printing.place}: prints {number.metric}: {printing.pattern}")
        of.guesses[f"rerun.measure.{i}"] = f"read from {printing.place}; the last match counts"
        if percent != printing.percent and number.base in _SHARES:
            measure["scale"] = 100 if percent else 0.01
            of.guesses[f"rerun.measure.{i}"] += "; the scale too is a guess"
    else:
        measure["pattern"] = rf"(?i)\b{METRICS[number.base]}\b[^\d\n]*{NUMBER}"
        of.guesses[f"rerun.measure.{i}"] = f"no line of the code was seen to print {number.base}: say how it is read"
    claim: dict[str, Any] = {
        "id": number.metric, "metric": number.metric, **({"unit": "percent"} if percent else {}),
        "published": {"value": number.value, "rounding": number.rounding},
        "cited_at": {"artifact": "code", "path": number.path, "quote": number.quote},
        "tolerance": {
            "margin": float(f"{5 * number.rounding:.6g}"), "rationale": "A guess: five units of the last printed digit.",
        },
    }  # fmt: skip
    said = "; read as per cent" if percent and not number.percent else ""
    place = f"{number.path}:{number.line}"
    of.guesses[f"claims.{i}.published"] = f"{place} may speak of another run; of how many trainings?{said}"
    of.guesses[f"claims.{i}.tolerance"] = "no tolerance stands in the release; choose one by how the number is used"
    if "controls" not in of.data:
        claim["uncontrolled"] = "A guess: nothing was seen that sets how long the training is."
        of.guesses[f"claims.{i}.uncontrolled"] = (
            "a rerun needs a broken recipe that must not pass: write a control instead"
        )
    return claim, measure
