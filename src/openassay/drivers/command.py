"""The command driver: the release's published commands, run as they are in a working copy of its files."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag

from openassay import hook
from openassay.core.claims import Claim
from openassay.core.findings import Finding
from openassay.core.rerun_records import CommandsRecord, NotedSeed, RerunStatus
from openassay.drivers.driver import Display, ScaledRerun, TargetFacts, beside_verdict
from openassay.drivers.job import (
    COPY,
    Arm,
    Inside,
    Job,
    LabelFile,
    RunResult,
    fill,
    inside,
    named_artifacts,
    open_written,
    placeholders,
)
from openassay.drivers.measures import PredictionsMeasure, measured
from openassay.drivers.published_code import PublishedCode
from openassay.drivers.run import (
    NO_GPU,
    Ended,
    asked_network,
    child_environment,
    look,
    placeholder_values,
    raise_for_missing,
    shown_named,
    start,
)
from openassay.drivers.served import serving
from openassay.faults import BadInput
from openassay.records import adapter, to_plain
from openassay.store import check_glob, copy_tree, files_below, remove_tree

if TYPE_CHECKING:
    from markdown_it.token import Token

_MOST_NOTES = 2**20
"""Bytes of a note that a run leaves."""
MOST_KEPT = 2**26
"""Bytes of the files that stay beside a rerun's record."""
MOST_NOTED = 100
"""Places that set a seed, of those that a record keeps."""
_USAGE = re.compile(r"^usage: ", re.MULTILINE)
PYTHON = {"python", "py", "python3"}
"""Languages of a code block in Python."""
_SHELLS = {"", "sh", "bash", "shell", "console", "zsh", "terminal", "text"}
"""Languages of a code block that is a shell's."""


@dataclass(frozen=True, kw_only=True)
class BlockStep:
    """A code block of a Markdown file, as it is published: a shell's words, or Python."""

    block: Annotated[int, Field(ge=1)]
    """Its number in the file, from 1."""
    of: Inside


@dataclass(frozen=True, kw_only=True)
class NotebookStep:
    """A notebook, run from the first cell to the last by nbclient, which the environment must hold, with ipykernel."""

    notebook: Inside


Words = Annotated[tuple[str, ...], Field(min_length=1)]


def _kind_of_step(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "words"
    named = set(value) if isinstance(value, dict) else set(vars(value))
    return "notebook" if "notebook" in named else "block"


Step = Annotated[
    Annotated[Words, Tag("words")] | Annotated[BlockStep, Tag("block")] | Annotated[NotebookStep, Tag("notebook")],
    Discriminator(_kind_of_step),
]


@dataclass(frozen=True, kw_only=True)
class Provision:
    """A file, or a folder, of an artifact that the release's code looks for."""

    artifact: str
    path: Inside | None = None
    """In the artifact; the whole of it when left out."""


@dataclass(frozen=True, kw_only=True)
class CommandRun:
    """Published commands, and what they need around them."""

    artifact: str
    """Whose files the working copy holds."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    """One after another; the first that fails ends the run."""
    folder: Literal["."] | Inside = "."
    """Where in the copy they run."""
    environment: dict[str, str] = field(default_factory=dict)
    """Further environment variables."""
    keep: tuple[Annotated[str, AfterValidator(check_glob)], ...] = ()
    """Globs of files in the copy that stay beside the rerun's record."""
    provides: dict[str, Provision] = field(default_factory=dict)
    """What the code would download or expects to lie there: by address, or by path in the copy."""
    reseed: bool | None = None
    """Whether a seed that stands in the code is replaced by one of the rerun's own."""

    @property
    def arguments(self) -> list[Any]:
        """All that may hold placeholders."""
        return [self.steps, self.environment]


@dataclass(frozen=True, kw_only=True)
class CommandDriver(PublishedCode):
    """Run published commands in a copy of the release, and read the measurements from what they print and write."""

    driver: Literal["command"]
    run: CommandRun
    as_published: Annotated[tuple[Step, ...], Field(min_length=1)] | None = None
    """The commands exactly as published, with their own seeds: run once, beside the reruns."""
    protocol: Literal["full"] = "full"

    edits_release = True
    permutes_prepared = False
    records: ClassVar[Mapping[str, type]] = {"commands": CommandsRecord}

    def check(self, target: TargetFacts) -> Iterator[str]:
        """Whether what it names is there."""
        yield from super().check(target)
        named = [("rerun.run.artifact", self.run.artifact)]
        named += [(f"rerun.run.provides.{key}.artifact", of.artifact) for key, of in self.run.provides.items()]
        for key, artifact in named:
            if artifact not in target.artifacts:
                yield f"{key}: there is no artifact {artifact!r}; there are: {', '.join(target.artifacts) or 'none'}"
        for key in self.run.provides:
            if not _is_address(key):
                try:
                    inside(key)
                except ValueError as problem:
                    yield f"rerun.run.provides: expected an address (https://...) or a path in the release: {problem}"
        if "seed" in placeholders(self.as_published):
            yield "rerun.as_published: expected the commands with their own seed, found {seed}"
        shown = {of.artifact for of in self.run.provides.values()} | named_artifacts(self.run.arguments)
        for measure in self.measure:
            withheld = isinstance(measure, PredictionsMeasure) and measure.withheld
            if withheld and self.run.artifact in shown:
                yield f"rerun.measure: labels of {measure.metric!r} are withheld, and the run is shown {self.run.artifact} whole"
            if measure.read_from == "return":
                yield f"rerun.measure: commands return nothing; read {measure.metric!r} from stdout or a file"
            if isinstance(measure, PredictionsMeasure) and {type(measure.predictions), type(measure.labels)} != {
                LabelFile
            }:
                yield f"rerun.measure: commands return no arrays; name the files of predictions and labels of {measure.metric!r}"

    def check_arm(self, arm: Arm, key: str) -> Iterator[str]:
        """Also arrays, of which commands know nothing."""
        yield from super().check_arm(arm, key)
        for name, places in (("permute", arm.permute), ("relabel", arm.relabel)):
            if not all(isinstance(of, LabelFile) for of in places):
                yield f"{key}.{name}: the command driver has no prepared arrays; name a file of the release with its labels"

    def scaled_down(
        self, claims: tuple[Claim, ...], steps: float, declared: tuple[ScaledRerun, ...]
    ) -> tuple[Self, tuple[Claim, ...]] | str:
        """As published code is, without the commands as published, which run to their end."""
        found = super().scaled_down(claims, steps, declared)
        return found if isinstance(found, str) else (replace(found[0], as_published=None), found[1])

    def dry_start(self, job: Job) -> str:
        """Why the scripts cannot start, as far as that shows without running them; empty where it does not.

        Only of the scripts with which the steps begin: what comes after another command, that command may have changed. What a
        script imports is looked for before the first step alone, and anywhere in the release: a script may extend its own path.
        """
        top = Path(job.artifacts[self.run.artifact])
        words = [step if isinstance(step, tuple) else () for step in self.run.steps]
        scripts = [top / self.run.folder / of[1] for of in itertools.takewhile(_is_script, words)]
        scripts = [path for path in scripts if path.is_file()]  # others may be made by the steps before
        if not scripts or job.python is None:
            return ""
        # -I: nothing of the release's is on the path of what looks at it
        asked, bare = [job.python, "-I", "-c", _LOOK, *map(str, scripts)], child_environment(job, job.out / "work")
        looked = look(asked, bare, job)
        found: list[dict[str, Any]] = json.loads(looked.stdout) if looked.returncode == 0 else []
        for path, of in zip(scripts, found, strict=False):
            if of["syntax"]:
                return f"{path.relative_to(top)} is not code that Python {of['python']} reads: {of['syntax']}"
        if not found or self.run.provides or scripts[0] != top / self.run.folder / words[0][1]:
            return ""
        own = {part for path in files_below(top) for part in path.relative_to(top).with_suffix("").parts}
        if missing := next((name for name in found[0]["missing"] if name not in own), ""):
            raise_for_missing(missing, job)
            name = scripts[0].relative_to(top)
            brought = f"neither the release, Python {found[0]['python']} nor the published requirements bring"
            return f"{name} imports {missing}, which {brought}"
        return ""

    def execute(self, job: Job) -> RunResult:
        """One rerun, in a copy of its own; with the first faithful one, also the commands as published."""
        seeds = job.out / "seeds.jsonl"
        result = self._once(job, self.run, seeds, "run.steps")
        passed, noted = "seed" in placeholders(self.run.arguments), noted_seeds(seeds, job.out / COPY)
        if result.status is RerunStatus.FINISHED and noted and not passed and self.run.reseed is None:
            of = noted[0]
            raise BadInput(
                f"{job.target_file}: rerun.run.reseed: missing; {of.place} calls {of.function}({of.seed}), so that every rerun "
                "would draw the same. Say true (each rerun gets seeds of its own) or false (the code's are kept)"
            )
        kept, not_kept = _keep(job.out, self.run.keep)
        record = CommandsRecord(
            seeds=noted,
            passed=passed,
            replaced=bool(self.run.reseed),
            installs=_noted_installs(job.out),
            not_kept=not_kept,
        )
        if self.as_published and job.arm == self.arms.get("faithful") and job.seed == 0:
            out = job.out / "as_published"
            out.mkdir()
            published = replace(self.run, steps=self.as_published, reseed=False)
            started = time.monotonic()
            once = self._once(replace(job, out=out, arm=Arm()), published, out / "seeds.jsonl", "as_published")
            result = replace(result, beside_s=time.monotonic() - started)
            record = replace(record, as_published=once.measurements, as_published_failed=once.reason)
        return self.with_weights(replace(result, records={"commands": record}, kept=kept), job)

    def _once(self, job: Job, run: CommandRun, seeds: Path, key: str) -> RunResult:
        """The steps, in a copy of the release in the job's folder. Of the artifacts themselves they see those that they name.

        seeds: takes the note of the seeds that the code sets. key: where the steps stand, below `rerun`.
        """
        key = f"{job.target_file}: rerun.{key}"
        copy = job.out / COPY
        _copy_to_write(Path(job.artifacts[run.artifact]), copy)
        files = self._provide(job, copy)
        self._edit(job, copy)
        job = self.handed(job, copy)
        values = placeholder_values(job, self.parameters)
        folder = copy / run.folder
        if not folder.is_dir():
            raise BadInput(f"{job.target_file}: rerun.run.folder: the artifact has no folder {run.folder!r}")
        steps = [self._words(step, f"{key}.{number}", values, job, copy) for number, step in enumerate(run.steps)]
        hooks, programs = job.out / "hook", job.out / "bin"
        (hooks / "pip").mkdir(parents=True)
        programs.mkdir()
        shutil.copy(hook.__file__, hooks / "sitecustomize.py")
        (hooks / "pip" / "__init__.py").touch()
        (hooks / "pip" / "__main__.py").write_text(_NO_INSTALLER, encoding="utf-8")
        for name in _INSTALLERS:
            (programs / name).write_text(
                f'#!/bin/sh\nOPENASSAY_INSTALLER={name} exec python -m pip "$@"\n', encoding="utf-8"
            )
            (programs / name).chmod(0o755)
        with serving(files, job.out, caged=job.isolation != "none") as served:
            declared = {name: str(fill(value, values)) for name, value in run.environment.items()}
            path = [str(hooks.absolute()), *([declared["PYTHONPATH"]] if "PYTHONPATH" in declared else [])]
            variables = served.variables | {"HF_HUB_OFFLINE": "", "PYTHONHASHSEED": str(job.seed % 2**32)} | declared | {
                "PYTHONPATH": os.pathsep.join(path), "OPENASSAY_SEEDS": str(seeds.absolute()),
                "PATH": os.pathsep.join([str(programs.absolute()), declared.get("PATH") or child_environment(job, copy)["PATH"]]),
                "OPENASSAY_INSTALLS": str((job.out / _INSTALLS).absolute()),
                **({"OPENASSAY_RESEED": str(job.seed)} if run.reseed else {}),
            }  # fmt: skip
            request: dict[str, Any] = {"kind": "steps", "steps": steps, "folder": str(folder.absolute())}
            if served.forward:
                request["forward"] = served.forward
            named = shown_named(job, run.arguments)
            ended = start(request, named, variables, [Path(served.forward[1]).parent] if served.forward else [])
        if not ended.ok and not ended.timed_out:
            ended = self._explained(ended, run.steps, key, served.not_provided, job)
        return measured(ended, self.measure, job)

    def _words(self, step: Any, key: str, values: dict[str, Any], job: Job, copy: Path) -> list[str]:
        """A step as the words of a command."""
        if isinstance(step, NotebookStep):
            if not (copy / self.run.folder / step.notebook).is_file():
                raise BadInput(f"{key}.notebook: {self.run.folder} has no file {step.notebook!r}")
            return ["python", "-c", _RUN_NOTEBOOK, step.notebook]
        if isinstance(step, BlockStep):
            text, language = block_of(copy / step.of, step, key)
            path = job.out / f"block{key.rpartition('.')[2]}"
            path.write_text(text, encoding="utf-8")
            return [
                "python" if language == "python" else "bash",
                *([] if language == "python" else ["-e"]),
                str(path.absolute()),
            ]
        words = [str(word) for word in fill(step, values)]
        if key.endswith(".0") and _is_script(words) and not (copy / self.run.folder / words[1]).is_file():
            raise BadInput(f"{key}: the artifact {self.run.artifact} has no {words[1]!r} in {self.run.folder!r}")
        return words

    def _provide(self, job: Job, copy: Path) -> dict[str, Path]:
        """Put what is provided by path into the copy; gives what is provided by address."""
        files = {}
        for name, of in self.run.provides.items():
            root = Path(job.artifacts[of.artifact])
            source = root / of.path if of.path else root
            key = f"{job.target_file}: rerun.run.provides.{name}"
            if not of.path and _is_address(name):
                inside = [path for path in root.rglob("*") if path.is_file()]
                if len(inside) != 1:
                    raise BadInput(
                        f"{key}.path: missing; the artifact {of.artifact} holds {len(inside)} files, say which"
                    )
                source = inside[0]
            if not source.exists():
                raise BadInput(f"{key}.path: the artifact {of.artifact} has no {of.path!r}")
            if _is_address(name):
                files[name] = source
                continue
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            _copy_to_write(source, copy / name)
        return files

    def _edit(self, job: Job, copy: Path) -> None:
        """Make the arm's changes of the release's files."""
        for edit in job.arm.edit:
            path, key = copy / edit.path, f"{job.target_file}: edit of {edit.path}"
            if not path.is_file():
                raise BadInput(f"{key}: the release has no such file")
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            if (found := text.count(edit.find)) != 1:
                raise BadInput(f"{key}: expected {edit.find[:60]!r} once, found {found} times")
            path.write_text(text.replace(edit.find, edit.replace), encoding="utf-8", errors="surrogateescape")

    def _explained(self, ended: Ended, steps: tuple[Step, ...], key: str, not_provided: list[str], job: Job) -> Ended:
        """A failure in words; `BadInput` where the target's own words, or what it does not provide, are the cause."""
        found = re.match(r"step (\d+): (.*)", ended.error)
        if not found:
            return ended
        number, why = int(found[1]), found[2]
        step, key = steps[number], f"{key}.{number}"
        what = _in_words(step)
        lines = [line.strip() for line in ended.log.splitlines() if line.strip()]
        last = lines[-1][:300] if lines else ""
        if asked := next(iter(not_provided), "") or asked_network(ended):
            todo = (
                "name the package in environment.requirements"
                if "pypi.org" in asked
                else "declare it under rerun.run.provides"
            )
            raise BadInput(f"{key}: {what} asked for {asked}; {todo} ({why}: {last})")
        if missing := re.search(r"^ModuleNotFoundError: No module named '([^'.]+)'$", ended.log[-4000:], re.MULTILINE):
            ours = isinstance(step, NotebookStep) and missing[1] in {"nbclient", "nbformat"}
            raise_for_missing(missing[1], job, "what runs notebooks" if ours else "")
        if job.device == "cpu" and (no_gpu := NO_GPU.search(ended.log[-4000:])):
            raise BadInput(
                f"{key}: {what} wants a GPU, and this audit runs on the CPU ({no_gpu[0]}): pass its option for the CPU, for "
                "example --device={device}, or use execution=cuda on a machine with a GPU"
            )
        if isinstance(step, tuple) and why == "status 2":
            if "can't open file" in last:
                raise BadInput(f"{key}: {last}")
            if _USAGE.search(ended.log[-4000:]):
                raise BadInput(f"{key}: the arguments are not those that it takes: {last}")
        if isinstance(step, tuple) and not why.startswith("status "):
            raise BadInput(f"{key}: {why}; a step begins with a command of the environment or the system")
        return replace(ended, error=f"{what[:200]} ended with {why}: {last}")

    def rerun_findings(self, records: Mapping[str, Any]) -> list[Finding]:
        """What was not done as the commands say, and how the seeds came about where no step takes them."""
        record: CommandsRecord | None = records.get("commands")
        if record is None:
            return []
        found = []
        if record.installs:
            asked = "; ".join(record.installs[:3])
            said = f"the commands ask to install ({asked}): nothing was installed, the target's environment stands in its place"
            found.append(Finding(stage="rerun", kind="install_left_out", message=said))
        if record.not_kept:
            said = f"not kept, since all of it is more than {MOST_KEPT // 2**20} MiB: {', '.join(record.not_kept[:3])}"
            found.append(Finding(stage="rerun", kind="files_not_kept", message=said))
        return found if record.passed else [*found, self._seeds_said(record)]

    def _seeds_said(self, record: CommandsRecord) -> Finding:
        set_by_code = ", ".join(
            f"{of.function}({of.seed}) at {of.place or 'an unknown place'}" for of in record.seeds[:3]
        )
        if not record.seeds:
            said = "no step takes a seed and the code sets none that is seen: where reruns differ, none of them can be repeated"
            return Finding(stage="rerun", kind="seed_not_controlled", message=said)
        if record.replaced:
            said = f"the code sets its own seed ({set_by_code}): each rerun got another in its place"
            return Finding(stage="rerun", kind="seed_replaced", message=said)
        said = f"the code sets its own seed ({set_by_code}), which was kept: the reruns do not vary by it"
        return Finding(stage="rerun", kind="seed_kept", message=said)

    def judge_findings(self, claims: tuple[Claim, ...], records: Mapping[str, Any]) -> list[Finding]:
        """What the commands gave exactly as published, beside the published numbers."""
        record: CommandsRecord | None = records.get("commands")
        if record is None or self.as_published is None:
            return []
        if record.as_published_failed:
            return [beside_verdict("as_published", f"the commands as published: {record.as_published_failed}")]
        given = {of.metric: of for of in record.as_published if of.value is not None}
        found = []
        for claim in claims:
            if claim.arm == "faithful" and (of := given.get(claim.metric)) and of.value is not None:
                published = claim.published
                same = abs(of.value - published.value) <= published.rounding / 2 * (1 + 1e-9)
                digit = "the published one to its last digit" if same else f"and not the published {published.value:g}"
                said = f"{claim.id}: run as published, with their own seed, the commands give {of.raw}, {digit}"
                found.append(beside_verdict("as_published", said))
        return found

    def display(self, records: Mapping[str, Any]) -> Display:  # noqa: ARG002
        """The commands, and what was put around them."""
        return Display(run=to_plain(self.run) | {"steps": [_in_words(step) for step in self.run.steps]})


def _copy_to_write(source: Path, copy: Path) -> None:
    """Copy a file or a folder, so that its owner may write to all of it."""
    copy_tree(source, copy)
    subprocess.run(["chmod", "-R", "u+w", "--", str(copy)], check=True)


def code_blocks(text: str) -> list[Token]:
    """The code blocks of a Markdown text, in the order by which `block` counts them."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - every stage imports this module, and few read Markdown

    return [token for token in MarkdownIt().parse(text) if token.type in {"fence", "code_block"}]


def block_of(path: Path, step: BlockStep, key: str) -> tuple[str, str]:
    """The text of a code block, without a shell's prompts, and its language: `python` or `shell`."""
    if not path.is_file():
        raise BadInput(f"{key}.of: the artifact has no file {step.of!r}")
    blocks = code_blocks(path.read_text(encoding="utf-8", errors="replace"))
    if step.block > len(blocks):
        raise BadInput(f"{key}.block: {step.of} has {len(blocks)} code blocks, found {step.block}")
    token = blocks[step.block - 1]
    language = token.info.split()[0].lower() if token.info.split() else ""
    if language in PYTHON:
        return token.content, "python"
    if language not in _SHELLS:
        raise BadInput(f"{key}.block: expected a shell's or Python, found {language!r}")
    lines = token.content.splitlines()
    prompts = [line for line in lines if line.startswith("$ ")]
    return "\n".join(line[2:] for line in prompts) if prompts else token.content, "shell"


def noted_seeds(path: Path, copy: Path) -> tuple[NotedSeed, ...]:
    """The calls that set a seed, as the run's Python noted them. copy: the folder that places are named in."""
    try:
        with open_written(path, _MOST_NOTES) as file:
            lines = file.read().decode("utf-8", "replace").splitlines()
        found = [adapter(NotedSeed).validate_json(line, strict=True) for line in lines[:MOST_NOTED]]
    except (OSError, ValueError):  # none, or something else stands there
        return ()
    tops = {f"{folder}{os.sep}" for folder in (copy.absolute(), copy.resolve())}
    return tuple(
        replace(of, place=next((of.place.removeprefix(top) for top in tops if top in of.place), of.place))
        for of in found
    )


def _noted_installs(out: Path) -> tuple[str, ...]:
    """What the commands would have installed, as they ask for it."""
    try:
        with open_written(out / _INSTALLS, _MOST_NOTES) as file:
            lines = file.read().decode("utf-8", "replace").splitlines()
    except (OSError, ValueError):  # nothing, or something else stands there
        return ()
    return tuple(dict.fromkeys(line[:300] for line in lines))[:MOST_NOTED]


def _keep(out: Path, globs: Sequence[str]) -> tuple[Path | None, tuple[str, ...]]:
    """A folder with the files of the copy that are kept, None for no file; and those that were too large, by name."""
    copy, kept, left = out / COPY, out / "kept", MOST_KEPT
    wanted = {path for glob in globs for path in copy.glob(glob) if path.is_file() and not path.is_symlink()}
    inside_it = sorted(path for path in wanted if path.resolve().is_relative_to(copy.resolve()))
    remove_tree(kept)  # the release's code can write here too
    not_kept = []
    for path in inside_it:
        name = path.relative_to(copy)
        left -= path.stat().st_size
        if left < 0:
            not_kept.append(name.as_posix())
            continue
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept / name)
    return kept if kept.exists() else None, tuple(not_kept)


def _in_words(step: Any) -> str:
    """A step as a reader knows it."""
    if isinstance(step, BlockStep):
        return f"block {step.block} of {step.of}"
    return step.notebook if isinstance(step, NotebookStep) else " ".join(step)


def _is_script(words: Sequence[str]) -> bool:
    """Whether a step runs a file by Python."""
    return len(words) > 1 and words[0] in {"python", "python3"} and words[1].endswith(".py")


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


_INSTALLERS = ("pip", "pip3", "conda", "mamba")
_INSTALLS = "installs.txt"
_NO_INSTALLER = """
import os, sys
words = [os.environ.get("OPENASSAY_INSTALLER", "pip")] + sys.argv[1:]
with open(os.environ["OPENASSAY_INSTALLS"], "a") as file:
    file.write(" ".join(words) + "\\n")
sys.stderr.write("left out: " + " ".join(words) + " (the environment is the target's)\\n")
"""
"""Stands in the place of programs that install: what a rerun's environment holds, the target says, and no run changes it."""
_LOOK = """
import ast, importlib.util, json, os, platform, sys
looked = []
for path in sys.argv[1:]:
    of = {"syntax": "", "missing": [], "python": platform.python_version()}
    looked.append(of)
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (SyntaxError, ValueError) as error:
        of["syntax"] = "line %s: %s" % (getattr(error, "lineno", "?"), getattr(error, "msg", error))
        continue
    sys.path.insert(0, os.path.dirname(path))
    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        for name in [name.partition(".")[0] for name in names]:
            if name not in sys.modules and importlib.util.find_spec(name) is None:
                of["missing"].append(name)
    sys.path.pop(0)
print(json.dumps(looked))
"""
"""Looks at scripts, run by the environment's Python: whether it can read them, and whether it finds what they import."""
_RUN_NOTEBOOK = """
import sys
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=None, kernel_name="python3")
def shown(cell, cell_index, **_):
    for output in cell.get("outputs", []):
        text = output.get("text") or output.get("data", {}).get("text/plain") or ""
        print("".join(text), flush=True)
client.on_cell_executed = shown
try:
    client.execute()
except CellExecutionError as error:
    failed = [i for i, cell in enumerate(notebook.cells, 1) if any(of.output_type == "error" for of in cell.get("outputs", []))]
    at = failed[0] if failed else 0
    sys.exit("cell %d: %s: %s" % (at, error.ename, error.evalue))
"""
