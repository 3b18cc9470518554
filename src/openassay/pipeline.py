"""Runs a target's audit by DVC, by a pipeline of its own, `experiments/TARGET/dvc.yaml`, one stage after another.

Every target has its own `dvc.yaml` and `dvc.lock`, so that what one audit costs does not grow with the number of targets. What is
asked for on the command line stands in the plan's command, and so in the lock: what ran is what is recorded.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from openassay import stage_code
from openassay.faults import STATUS_VARIABLE, BadInput, Fault, printable
from openassay.layout import GROUPS, OUR_CONF, Layout, cache_home
from openassay.records import write_text
from openassay.settings import choices, option_file
from openassay.target import Target
from openassay.yaml_loader import QUICK, load_yaml

INDEX_STAGE = "audit"
"""Stage of the project's own dvc.yaml, one for each target of the index."""
CODE_STAGE = "code"
"""Stage of a project that holds our source: it writes the digests of the code."""
FEW = 3
"""Stages of one dvc.yaml up to which it is cheaper to read each by its name than all of them."""
LOCK_WAIT_S = 120.0
"""How long another DVC process in the project is waited for."""

_QUICK_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_UP = "../.."
"""The project's root, from a target's folder."""
_HEAD = """\
# Written by OpenAssay from its pipelines/stages.yaml for this target; edit conf/target/ instead.
#
#   dvc repro -s dvc.yaml      audits it, from this folder
"""


def write_pipeline(layout: Layout, target: Target, asked: tuple[str, ...] = ()) -> bool:
    """Write a target's dvc.yaml, unless it is there as it should be; returns whether. `asked`: overrides of the settings."""
    driver = target.rerun.driver if target.rerun else "none"
    inside = layout.file is not None and layout.file.is_relative_to(layout.root)
    reference = _from_folder(layout.target_file, layout.root) if inside else layout.reference  # as seen from its folder
    words = {
        "target": _word(reference), "asked": " ".join(map(_word, asked)), "code": f"{_UP}/.openassay/code/{driver}",
    }  # fmt: skip
    template = (stage_code.PACKAGE / "pipelines" / "stages.yaml").read_text(encoding="utf-8")
    data = _filled(yaml.load(template, Loader=QUICK), words)  # noqa: S506 - it is a safe one
    plan = data["stages"]["plan"]
    files = [layout.target_file, *([layout.glue_folder / target.glue] if target.glue else [])]
    plan["deps"] += [_from_folder(path, layout.root) for path in files]
    settings: Any = load_yaml(layout.root / "conf" / "pipeline.yaml", "conf/pipeline.yaml")
    named = [group for group in GROUPS if group in settings]
    chosen = choices(layout.root) | {of.partition("=")[0]: of.partition("=")[2] for of in asked if "." not in of}
    for group in GROUPS:
        path = option_file(layout.root, group, chosen[group])
        if path is None:
            continue
        dependency, own = _from_folder(path, layout.root), layout.root / "conf" / group
        in_one_place = not own.is_dir() or own.resolve() == (OUR_CONF / group).resolve()
        if (
            group in named and chosen[group] == settings[group] and in_one_place
        ):  # it may be the one that is chosen there
            dependency = dependency.replace(f"/{group}/{chosen[group]}.yaml", f"/{group}/${{{group}}}.yaml")
        plan["deps"].append(dependency)
    whole = data
    if named:
        plan["params"] = [{f"{_UP}/conf/pipeline.yaml": named}]
        whole = {"vars": [f"{_UP}/conf/pipeline.yaml:{','.join(named)}"]} | data
    text = _HEAD + yaml.dump(whole, Dumper=_QUICK_DUMPER, sort_keys=False, width=130, allow_unicode=True)
    if layout.pipeline.is_file() and layout.pipeline.read_bytes() == text.encode():
        return False
    write_text(layout.pipeline, text)
    return True


def without_target(root: Path) -> list[str]:
    """Folders of experiments/ with a pipeline whose target is no longer there."""
    called = re.compile(rf"-m {re.escape(stage_code.script('fetch'))} (.*)")
    found = []
    for path in sorted((root / "experiments").glob("*/dvc.yaml")):
        words = called.search(path.read_text(encoding="utf-8", errors="replace"))
        reference = shlex.split(words[1])[0] if words else path.parent.name
        own = path.parent / reference if reference.startswith(_UP) else Layout.named(root, reference).target_file
        if not own.is_file():
            found.append(f"experiments/{path.parent.name}")
    return found


def _filled(template: Any, words: dict[str, str]) -> Any:
    """The stages with these words in them."""
    if isinstance(template, dict):
        return {key: _filled(value, words) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(item, words) for item in template]
    if not isinstance(template, str):
        return template
    for name, word in words.items():
        template = template.replace(f"${{{name}}}", word)
    return template.strip()


def _word(text: str) -> str:
    """A word of a command line, as DVC puts it into a shell's; `BadInput` where DVC or the shell would read more into it."""
    if "${" in text or not text.isprintable():
        raise BadInput(f"{printable(text)!r}: a name without ${{ is needed; rename the file")
    return shlex.quote(text)


def _from_folder(path: Path, root: Path) -> str:
    """A file as a target's dvc.yaml names it: from the project, else by the link to what comes with OpenAssay, else in full."""
    if path.is_relative_to(root):
        return f"{_UP}/{path.relative_to(root).as_posix()}"
    if path.is_relative_to(OUR_CONF):
        return f"{_UP}/.openassay/conf/{path.relative_to(OUR_CONF).as_posix()}"
    if "${" in str(path):
        raise BadInput(f"{path}: a path without ${{ is needed; move the file")
    return str(path)


def link_package(root: Path) -> None:
    """Link the project's `.openassay/` to the settings, targets and code digests of the package that runs now.

    Where another version is installed in its place, the links lead to that one: DVC then sees what has changed.
    """
    folder = root / ".openassay"
    folder.mkdir(exist_ok=True)
    if not (folder / ".gitignore").exists():
        write_text(folder / ".gitignore", "*\n")
    _link(folder / "conf", OUR_CONF.absolute())
    if not _holds_our_source(root):
        code = stage_code.PACKAGE / "code"
        _link(folder / "code", code if code.is_dir() else stage_code.folder(cache_home()))


def _holds_our_source(root: Path) -> bool:
    return (root / "src" / "openassay").resolve() == stage_code.PACKAGE.resolve()


def _link(link: Path, to: Path) -> None:
    here = (
        link.readlink() == to if link.is_symlink() else link.is_dir()
    )  # a folder: from the stage `code` of a checkout
    if here:
        return
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.symlink_to(to)
    temporary.replace(link)


def reproduce(layout: Layout, target: Target, asked: tuple[str, ...] = (), *, force: bool) -> tuple[int, str]:
    """Run a target's audit by DVC; returns the exit status and the fault's message.

    force: run every stage, also one whose inputs have not changed.
    """
    write_pipeline(layout, target, asked)
    link_package(layout.root)
    with chdir(layout.root), tempfile.TemporaryDirectory() as folder, _environment(Path(folder) / "status"):
        dvc = _Dvc(layout.root)
        for stage in stage_code.STAGES:
            if problem := dvc.run(f"experiments/{layout.target}/dvc.yaml:{stage}", force=force):
                status = Path(folder) / "status"
                if status.exists():
                    code, _, said = status.read_text(encoding="utf-8").partition("\n")
                    return int(code), said.strip()
                # no stage has said why: it is DVC that stumbles, or a process that was ended
                problem = f"experiments/{layout.target}, {stage}: {problem}"
                print(f"error: {printable(problem)}", file=sys.stderr)
                return Fault.exit_code, problem
    return 0, ""


def note_audits(root: Path, targets: Collection[str]) -> None:
    """Note for DVC that the project's own dvc.yaml has seen the verdicts of these targets: one lock, written once a round."""
    noted: dict[str, Any] = {}
    with suppress(OSError, yaml.YAMLError, AttributeError):  # not there, or broken, which DVC then says
        noted = yaml.load((root / "dvc.lock").read_bytes(), Loader=QUICK).get("stages") or {}  # noqa: S506 - it is a safe one
    names = {name for target in targets if not _is_noted(root, noted.get(name := f"{INDEX_STAGE}@{target}"))}
    if names:
        with chdir(root):
            _Dvc(root).take_over("dvc.yaml", names)


def _is_noted(root: Path, entry: Any) -> bool:
    """Whether a stage of the project's dvc.lock has seen its inputs as they are now."""
    try:
        return all(
            hashlib.md5((root / of["path"]).read_bytes(), usedforsecurity=False).hexdigest() == of["md5"]
            for of in entry["deps"]
        )
    except (OSError, TypeError, KeyError):  # not there, or not as DVC writes it, which then says so
        return False


def refresh_code(root: Path) -> None:
    """In a project that holds our source, write the digests of its code anew where it has changed."""
    if _holds_our_source(root):
        with chdir(root), _environment(Path(os.devnull)):
            _Dvc(root).run(f"dvc.yaml:{CODE_STAGE}")


class _Dvc:
    """DVC in this process: it is asked for one stage after another, without its words on git, storage and support."""

    def __init__(self, root: Path) -> None:
        from dvc.exceptions import DvcException, NotDvcRepoError  # noqa: PLC0415 - only an audit needs DVC
        from dvc.repo import Repo  # noqa: PLC0415

        logger = logging.getLogger("dvc")
        logger.handlers = [_Told()]
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            self.repo = Repo(str(root))
        except NotDvcRepoError:
            raise BadInput(f"{root}: DVC is not set up here; run `dvc init`, with --no-scm outside of git") from None
        except DvcException as problem:
            raise BadInput(f"{root}: DVC does not start here: {printable(str(problem))}; correct .dvc/config") from None

    def run(self, address: str, *, force: bool = False) -> str:
        """Run a stage if it is stale; returns what went wrong, or an empty text."""
        return self._ask(lambda: self.repo.reproduce(address, single_item=True, force=force))

    def take_over(self, file: str, names: Collection[str]) -> str:
        """Note in the lock of a dvc.yaml that these stages have seen their inputs, without running them."""
        from dvc.repo import lock_repo  # noqa: PLC0415

        addresses = [f"{file}:{name}" for name in names] if len(names) <= FEW else [file]

        def do() -> None:
            with lock_repo(self.repo):
                found = (stage for address in addresses for stage in self.repo.stage.collect(address))
                stages = [stage for stage in found if stage.name in names]
                for stage in stages:
                    stage.save()
                if stages:
                    stages[0].dvcfile.dump_stages(stages, update_pipeline=False)

        return self._ask(do)

    def _ask(self, do: Callable[[], object]) -> str:
        from dvc.exceptions import DvcException  # noqa: PLC0415
        from dvc.lock import LockError  # noqa: PLC0415

        until = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                do()
            except DvcException as problem:
                causes = list(_causes(problem))
                if any(isinstance(of, LockError) for of in causes) and time.monotonic() < until:
                    time.sleep(0.2)
                    continue
                return printable(": ".join(dict.fromkeys(filter(None, map(str, causes)))))
            return ""


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    while problem:
        yield problem
        problem = problem.__cause__


class _Told(logging.Handler):
    """Passes on which stage runs, and warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        """One message of DVC's."""
        text = record.getMessage()
        if record.msg.startswith("Running stage"):
            print(f"{text.strip(':').split(chr(39))[1].rpartition(':')[2]} ...", flush=True)
        elif record.levelno >= logging.WARNING and "RWLock" not in text:  # what a killed audit held is free again
            print(f"warning: {printable(text)}", file=sys.stderr)


@contextmanager
def _environment(status: Path) -> Iterator[None]:
    """What the stages' processes get: this interpreter as `python`, and where a fault is told."""
    before = dict(os.environ)
    os.environ |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{before.get('PATH', '')}",
        "DVC_NO_ANALYTICS": "1", STATUS_VARIABLE: str(status),
    }  # fmt: skip
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
