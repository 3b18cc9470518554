"""The draft of a target file: what was seen as data, what is guessed by its key, and the text of the file; and its trial."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from openassay.draft import commands, needs, numbers
from openassay.draft.brought import BroughtRelease, read_text, shortened
from openassay.draft.commands import RunCandidate
from openassay.draft.numbers import PrintedNumber
from openassay.drivers.job import Arm
from openassay.faults import BadInput, Fault, counted, printable
from openassay.layout import Layout, checked_name
from openassay.plan import make_plan
from openassay.published.licences import declarations
from openassay.records import parse
from openassay.sandbox import NotPossible, make_room
from openassay.sources.fetched import Unavailable
from openassay.sources.folders import COMMIT
from openassay.sources.git import GitSource
from openassay.sources.http import HttpSource
from openassay.sources.pins import pinned
from openassay.stages import fetch
from openassay.store import RefusedArchive, Store
from openassay.target import Target
from openassay.yaml_loader import parse_yaml

MOST_OTHERS = 12
"""Other commands, and other numbers, that the file shows."""
MOST_DOWNLOADS = 5
_RAW = re.compile(
    r"https://(?:raw\.githubusercontent\.com/([^/]+/[^/]+)|github\.com/([^/]+/[^/]+)/raw)/(?:refs/heads/)?([^/]+)/([^?#]+)"
)
_LENGTHS = re.compile(
    r"(?im)(?:^[ \t]*|--)((?:num_|n_|max_|training_)?(?:epochs?|iters|iterations|steps|updates)(?: *= *| +)([1-9]\d{0,8}))\b"
)
_SHARES = {"accuracy", "f1", "auc", "error", "map", "iou", "precision", "recall", "exact_match"}
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
        text = "# Drafted by `openassay new` from the release's own files: read every line. docs/target.md explains each key.\n"
        for key, value in data.items():
            text += "".join(f"# {printable(line)[:300]}\n" for line in self.others.get(key, ()))
            # Where a letter ends lines, or reorders them for the eye, all that is not ASCII is escaped.
            readable = json.dumps(value, ensure_ascii=False).isprintable()
            text += yaml.dump({key: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=readable, width=120)
            text += "\n" * isinstance(value, (dict, list))
        if parse_yaml(text, "the draft") != data:
            raise BadInput("the release's texts cannot be written as YAML; write the target by hand (docs/target.md)")
        return text.rstrip("\n") + "\n"


class _Dumper(yaml.SafeDumper):
    """Lists of words in one line; quotes around words that YAML 1.2 takes for numbers."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True

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
    return _Drafter(brought, name, store).of


class _Drafter:
    """Fills a draft, key by key, from one release's files."""

    def __init__(self, brought: BroughtRelease, name: str, store: Store) -> None:
        self.brought, self.files, self.store = brought, brought.files, store
        self.found, self.printed = commands.candidates(brought), numbers.printed_numbers(brought.files)
        self._choose()
        self.codes = commands.reached(self.steps, self.files)
        release = {"title": brought.title, "version": brought.version, "homepage": brought.homepage}
        self.of = of = DraftedTarget(data={"name": checked_name(name, "--name"), "release": release})
        of.data["components"] = self._components()
        of.data |= {"artifacts": {"code": brought.artifact}, "environment": self._environment()}
        of.data["rerun"] = self._rerun()
        if self.chosen and (control := self._control()):
            of.data["controls"] = [control]
        self._claims()
        others = [f"  {one.path}:{one.line}: {one.shown}" for one in self.found if one not in self.steps][:MOST_OTHERS]
        of.others["rerun"] = ["Other commands that were found:", *others] if others else []
        if brought.homepage == "unknown":
            of.guesses["release.homepage"] = "a folder has none; say where the release is published, and its version"
        if brought.notes:
            of.guesses["artifacts.code"] = "; ".join(brought.notes)

    def _choose(self) -> None:
        """The command that trains, with what comes before and after it, and the numbers that are its own."""
        likely = [one for one in self.found if one.kind == "train" and one.score > 0][:MOST_OTHERS]
        if not likely:
            readme = self.brought.readme.path if self.brought.readme else "no README"
            raise BadInput(
                f"{self.brought.name}: no command that trains was found ({readme}, Makefile, scripts, CI files, notebooks); "
                "write the target by hand (docs/target.md)"
            )
        for one in (one for one in likely if one.path.endswith(".ipynb")):
            self.printed += numbers.shown_numbers(one.path, one.output)
        claimed = [self._numbers_of(one, [one]) for one in likely]
        self.best, self.chosen = max(zip(likely, claimed, strict=True), key=lambda of: of[0].score + 3 * bool(of[1]))
        self.steps = [*commands.preparations(self.best, self.found), self.best]
        after = (one for one in self.found if one.kind == "evaluate" and one.path == self.best.path and not one.to_fill)
        for one in sorted(after, key=lambda one: one.line) if not self.chosen else ():
            if one.line > self.best.line and one.folder == self.best.folder:
                self.chosen = self._numbers_of(one, [self.best, one])
                self.steps += [one] if self.chosen else []
                break

    def _numbers_of(self, one: RunCandidate, steps: list[RunCandidate]) -> list[PrintedNumber]:
        text = next((shortened(text) for text in self.files.texts if text.path == one.path), None)
        folders = {"", one.folder.replace(".", ""), one.path.rpartition("/")[0]}  # others speak of other trainings
        there = [
            of for of in self.printed
            if of.path == one.path or (of.path.rpartition("/")[0] in folders and not of.path.endswith(".ipynb"))
        ]  # fmt: skip
        return numbers.own_numbers(there, one, self.found, text, commands.reached(steps, self.files))

    def _components(self) -> list[dict[str, Any]]:
        """The code that trains, under the licence that stands beside it, and what is not known: `inspect` lists the rest."""
        stated = [declared for declared in declarations(self.files) if declared.what == "licence file"]
        sure = {licence for declared in stated for licence in declared.licences}
        for one in stated:
            self.of.seen.append(
                f"{one.evidence.path}:{one.evidence.line}: licence: {' or '.join(sorted(one.licences))}"
            )
        used = dict.fromkeys(
            path for one in (self.best, *self.steps) for path in (*one.runs, *([one.path] if one.code else []))
        )
        paths = [path for path in used if not set(path) & set("*?[]")][:5]
        terms = next(iter(sure)) if len(sure) == 1 else "unknown"
        trains = {
            "component": "training_code",
            "published": "yes",
            "licence": terms,
            "artifact": "code",
            "paths": paths,
        }
        self.of.guesses["components"] = "say what else is published, and under which terms; are weights?"
        return [*([trains] if paths else []), {"component": "params_final", "published": "unknown"}]

    def _environment(self) -> dict[str, Any]:
        """What the release says must be installed, and what its code imports beyond that."""
        folder = (self.best.runs[0] if self.best.runs else self.best.path).rpartition("/")[0]
        inner = [folder, *map(str, PurePosixPath(folder).parents), self.best.folder]
        stated = needs.published(self.files, self.brought.top, [of.replace(".", "") for of in inner])
        listed, found = needs.stated_by_setup(self.files), dict[str, Any]()
        held = {needs.canonical(line): line for line in listed}
        from_ = f"the imports of {self.best.shown[:60]}"
        if stated:
            path, lists = stated
            found["published"] = {"artifact": "code", "path": path}
            asked = [line.requirement for line in lists.lines if line.requirement]
            held = dict.fromkeys(map(needs.canonical, asked), "") | (held if lists.folders else {})
            loose = [of for of in asked if "==" not in of]
            said = [f"{path} lists {counted(len(lists.lines), 'package')}"]
            said += [f"{len(loose)} without an exact version ({', '.join(loose[:3])}): say as_of"] if loose else []
            said += [f"not as published: {line.problem}" for line in lists.lines if line.problem][:1]
            said += ["or_else may say what stands for what cannot be built"]
            self.of.guesses["environment.published"] = "; ".join(said)
        elif listed:
            from_ = f"setup.py and {from_}"
        more = [*([] if stated else listed), *needs.imported(self.files, self.codes, {*held})]
        more += ["nbclient", "ipykernel"] if "notebook" in self.best.step else []
        if more or not stated:
            found["requirements"] = more
            said = [f"from {from_}: are these the packages, in which versions? Pin them, or say as_of"]
            self.of.guesses["environment.requirements"] = said[0]
        self.of.seen.append(f"{stated[0] if stated else from_}: requirements; further: {', '.join(more) or 'none'}")
        return found

    def _rerun(self) -> dict[str, Any]:
        """The driver: the steps, what they download, their seeds."""
        best, guesses = self.best, self.of.guesses
        words, length = commands.filled(best, self.files) if isinstance(best.step, list) else (best.step, {})
        self.of.seen += [f"{one.path}:{one.line}: command: {one.shown}" for one in self.steps]
        guesses["rerun.run.steps"] = f"the likeliest of {counted(len(self.found), 'command')} ({best.path}:{best.line})"
        for path in [path for path in best.runs if path.endswith(".py") and path not in self.files.code_by_path][:1]:
            guesses["rerun.run.steps"] += f"; {path} is not code that today's Python reads"
        if best.to_fill:
            guesses["rerun.run.steps"] += f"; fill in {', '.join(best.to_fill[:5])}"
        run: dict[str, Any] = {"artifact": "code", "steps": [words if one is best else one.step for one in self.steps]}
        run |= {"folder": best.folder} if best.folder != "." else {}
        if path := commands.python_path(best, self.files, self.codes):
            guesses["rerun.run.environment"] = "PYTHONPATH stands for an installation of the release's own package"
        variables = best.environment | ({"PYTHONPATH": path} if path else {})
        run |= {"environment": variables} if variables else {}
        shells = [path for one in self.steps for path in one.runs[:1] if path.endswith(".sh")]
        asked = {at: path for path in shells for at in needs.ADDRESS.findall(read_text(self.brought.top / path))}
        if provides := self._provides(needs.downloads(self.codes) | asked):
            run["provides"] = provides
        if own := needs.own_downloads(self.codes) + commands.downloads_by_hand(self.brought, best):
            guesses["rerun.run.provides"] = f"{own[0]} may download data: declare what it asks for, or remove this line"
        seeds = needs.seeds_set(self.codes)
        if seeds and "{seed}" not in " ".join(words):
            place, what = seeds[0]
            guesses["rerun.run.reseed"] = f"{place} passes a fixed seed, which reruns cannot vary: vary it by an option"
            if what != "random_state":
                run["reseed"] = True
                said = f"{place} calls {what}: true gives each rerun a seed of its own, false keeps the code's"
                guesses["rerun.run.reseed"] = said
        return {"driver": "command", "run": run} | ({"parameters": length} if length else {})

    def _provides(self, asked: dict[str, str]) -> dict[str, Any]:
        """The addresses that the steps download, with an artifact for each, pinned where it can be had."""
        provides: dict[str, Any] = {}
        for address, place in list(asked.items())[:MOST_DOWNLOADS]:
            self.of.seen.append(f"{place}: download: {address}")
            name = unquote(urlsplit(address).path).rpartition("/")[2].lower()
            called = re.sub(r"[^a-z0-9]+", "_", name).strip("_")[:40] or "file"
            called += "_2" * (called in self.of.data["artifacts"])
            entries: Any = [{"kind": "http", "url": address, "sha256": "0" * 64}]
            try:
                parse(HttpSource, entries[0], address)
            except BadInput as problem:
                self.of.guesses[f"rerun.run.provides.{address}"] = f"{place} downloads it: {problem}"
                continue
            path: dict[str, str] = {}
            try:
                entries, path = self._pinned(address)
            except (Unavailable, RefusedArchive, Fault) as problem:
                said = f"{place} downloads it, and it could not be pinned: {problem}"
                self.of.guesses[f"artifacts.{called}"] = said
            self.of.data["artifacts"][called] = {"sources": entries}
            provides[address] = {"artifact": called} | path
        return provides

    def _pinned(self, address: str) -> tuple[Any, dict[str, str]]:
        """Sources of an address, and where in them it lies: a file of a repository is pinned by its commit."""
        if not (raw := _RAW.fullmatch(address)):
            return pinned(urlsplit(address).scheme, "", address, self.store), {}
        url, path = f"https://github.com/{raw[1] or raw[2]}", unquote(raw[4])
        ref = raw[3] if not COMMIT.match(raw[3]) else None
        commit = pinned("git", f"{url}@{ref}", address, self.store)[0]["commit"] if ref else raw[3]
        entry = {"kind": "git", "url": url, "commit": commit, "paths": [path]}
        parse(GitSource, entry, address).fetch(self.store, address)
        return [entry], {"path": path}

    def _control(self) -> dict[str, Any]:
        """A training of next to no length, by the option that sets it or by an edit of its line; empty where none does."""
        lengths = self.of.data["rerun"].get("parameters", {})
        change: dict[str, Any] = {"parameters": {name: max(1, of // 100) for name, of in lengths.items()}}
        for path in (*self.best.runs, self.best.path) if not lengths else ():
            text = read_text(self.brought.top / path)
            lines = re.sub(r'\\n|"', "\n", text) if path.endswith(".ipynb") else text
            fit = (of for of in _LENGTHS.finditer(lines) if text.count(of[1]) == 1 and int(of[2]) > 1)
            if (found := next(fit, None)) and not path.endswith((".md", ".rst")):
                short = found[1].removesuffix(found[2]) + str(max(1, int(found[2]) // 100))
                change = {"edit": [{"path": path, "find": found[1], "replace": short}]}
                break
        else:
            if not lengths:
                return {}
        said = "a short training must miss the claimed number by far; stronger: an edit that puts the labels in random order"
        self.of.guesses["controls.0"] = said
        return {"arm": "untrained", **change, "rationale": "Next to nothing is learned in so short a training."}

    def _claims(self) -> None:
        """The claims of one line with numbers, and how they are measured; the other numbers as comments."""
        rest = [of for of in self.printed if of not in self.chosen][:MOST_OTHERS]
        lines = [
            f"  {of.path}:{of.line}: {of.metric} {of.value:g}{' %' * of.percent}: {of.quote[-120:]}" for of in rest
        ]
        self.of.others["claims"] = ["Other numbers that look like results:", *lines] if lines else []
        measures = [self._measure(number, i) for i, number in enumerate(self.chosen)]
        self.of.data["claims"] = [self._claim(number, i) for i, number in enumerate(self.chosen)]
        self.of.data["rerun"]["measure"] = measures
        if not measures:
            said = "no number was found that is plainly this command's: without a claim nothing is tested"
            self.of.guesses["claims"] = said + "; see the others below" * bool(lines)

    def _measure(self, number: PrintedNumber, i: int) -> dict[str, Any]:
        """How the `i`th claim is measured."""
        measure: dict[str, Any] = {"read_from": "stdout", "metric": number.metric}
        if printing := numbers.printing_line(number, self.codes):
            measure["pattern"], said = printing.pattern, f"read from {printing.place}; the last match counts"
            self.of.seen.append(f"{printing.place}: prints {number.metric}: {printing.pattern}")
            if _percent(number) != printing.percent and number.base in _SHARES:
                measure["scale"] = 100 if _percent(number) else 0.01
                said += "; the scale too is a guess"
        elif number.printed:
            measure["pattern"] = numbers.shown_pattern(number)
            said = f"as {number.path} shows it, perhaps of the middle of a run; the last match counts"
        else:
            measure["pattern"] = rf"(?i)\b(?:{numbers.METRICS[number.base]})\b[^\d\n]*{numbers.NUMBER}"
            said = f"no line of the code was seen to print {number.base}: say how it is read"
        self.of.guesses[f"rerun.measure.{i}"] = said
        return measure

    def _claim(self, number: PrintedNumber, i: int) -> dict[str, Any]:
        """The `i`th claim."""
        place, guesses = f"{number.path}:{number.line}", self.of.guesses
        self.of.seen.append(f"{place}: number: {number.metric} {number.value:g}{' %' * number.percent}")
        read = "; read as per cent" if _percent(number) and not number.percent else ""
        guesses[f"claims.{i}.published"] = f"{place} may speak of another run; of how many trainings?{read}"
        guesses[f"claims.{i}.tolerance"] = "no tolerance stands in the release; choose one by how the number is used"
        more = {}
        if "controls" not in self.of.data:
            more["uncontrolled"] = "A guess: nothing was seen that sets how long the training is."
            said = "a rerun needs a broken recipe that must not pass: write a control instead"
            guesses[f"claims.{i}.uncontrolled"] = said
        rationale = "A guess: five units of the last printed digit."
        return {
            "id": number.metric, "metric": number.metric, **({"unit": "percent"} if _percent(number) else {}),
            "published": {"value": number.value, "rounding": number.rounding},
            "cited_at": {"artifact": "code", "path": number.path, "quote": number.quote},
            "tolerance": {"margin": float(f"{5 * number.rounding:.6g}"), "rationale": rationale}, **more,
        }  # fmt: skip


def _percent(number: PrintedNumber) -> bool:
    return number.percent or (number.base in _SHARES and number.value > 1)


def try_out(target: Target, layout: Layout, store: Store) -> Iterator[str]:
    """Build the environment and rerun the faithful arm on seed 0; gives what came of it, a line each."""
    plan = make_plan(layout, ["tracking=none"], replace(target, guesses={}))
    driver = plan.rerun
    if driver is None:
        return
    try:
        room = make_room(plan, fetch.run(plan, store, layout), store, layout, needs_environment=True)
    except NotPossible as problem:
        yield f"it cannot be run: {problem}"
        return
    with tempfile.TemporaryDirectory() as folder:
        job = room.job(
            out=Path(folder), data=None, arm=Arm(), seed=0, device="cpu", threads=1, timeout_s=driver.timeout_s
        )
        if why := driver.dry_start(job):
            yield f"it cannot start: {why}"
            return
        result = driver.execute(job)
    yield f"seed 0: {result.status.value} after {result.cpu_s:.0f} s of CPU" + (
        f": {result.reason}" * bool(result.reason)
    )
    measured = {of.metric: of.value for of in result.measurements}
    for claim in plan.claims:
        yield f"{claim.metric}: measured {measured.get(claim.metric)}, published {claim.published.value:g} {claim.unit}"
    if not result.measurements:
        yield from (f"  {line}" for line in result.log.splitlines()[-5:])
