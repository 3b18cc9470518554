"""The commands by which a release trains, found in its documents, scripts and notebooks, the likeliest first."""

from __future__ import annotations

import ast
import functools
import itertools
import json
import posixpath
import re
import shlex
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from openassay.draft.brought import BroughtRelease, read_text, shortened
from openassay.drivers.command import PYTHON, code_blocks
from openassay.published.code_options import calls, defaults, last_name, options_of, reached_from
from openassay.published.commands import own_words
from openassay.published.files import Code, PublishedFiles, Text

MOST_FILES = 200
"""Documents and notebooks that are looked at."""
MOST_COMMANDS = 500
"""Of one document."""
MOST_CODE = 2**20
"""Characters of a notebook's code."""
NEAR = 60
"""Lines between a command and those that prepare for it."""
_MARKDOWN = (".md", ".markdown")
_SPAN = re.compile(r"`{1,3}\s*([^`\s][^`]{2,500})`{1,3}")
_BEGIN = re.compile(r"^[\s\-@$>!%]*(?:run:\s*)?(?:(?:uv|poetry|pipenv) run )?")
_BEFORE = re.compile(r"[A-Za-z_]\w*=\S*|sudo|time|nohup|env|exec")
_LAUNCHERS = {"torchrun", "deepspeed", "accelerate", "mpirun", "horovodrun"}
_TRAIN = re.compile(r"(?i)(^|[_\-/.])(pre)?train")
_RUN = re.compile(r"(?i)main|run|fit|experiment|reproduce")
_PREPARE = re.compile(
    r"(?i)^setup\.py$|prepare|prepro|process_data|download|tokeni[sz]e|vocab|(make|get|build|fetch|create)_?\w*data"
)
_AFTER = re.compile(
    r"(?i)(^|[_\-/.])(test|eval|evaluate|sample|generate|predict|infer\w*|demo|plot\w*|visuali\w*|bench\w*|score|export\w*)"
    r"(?=[_\-/.]|$)"
)
_MODE = re.compile(r"(?i)(--?)?(mode=)?(test|eval(uate)?|predict|infer\w*)")
_ASIDE = re.compile(
    r"(?i)(^|/)(conftest\.py$|(unit_?)?tests?/|test_[^/]*$|docs?/|(install|setup|env|docker|build|lint|format)\w*\.sh$)"
)
"""Paths of what is neither training nor needed for it."""
_SCRIPTED = re.compile(r"^\.github/workflows/.*\.ya?ml$|(^|/)Makefile$|\.sh$")
_FETCHED = re.compile(r"\b(?:wget|curl)\b[^`]*?(https?://[^\s`]+)")
_HELP = {"-h", "--help", "-help", "--version"}
_TRAINS = {"backward", "fit", "fit_generator", "minimize", "fit_transform", "train_on_batch", "train_step"}
_EXAMPLE = re.compile(r"[$<>*\[\]]|\.\.\.|(?i:path[/_]to|your[_-])|^[A-Z]+(_[A-Z]+)+$")
"""In a word: it is to be filled in, or needs a shell."""
_UNFIT = re.compile(r"[{}`~\0]")
_SEED = re.compile(r"(?i)--?(?:(?:random|manual|rng|torch|np|numpy|global|train)[-_]?)?seed")
_DEVICE = re.compile(r"--?device")
_LENGTH = re.compile(
    r"(?i)--?(?:(?:num|n|max|total)[-_]?)?(?:train(?:ing)?[-_]?)?(?:epochs?|iters?|steps|updates|iterations)"
)
_COUNT = re.compile(r"(?!1(\.0)?$)[1-9]\d{0,8}(\.0)?")
_ENTRY = re.compile(r"(?m)(?:^|[\[,'\"])[\s'\"]*([\w-]+)['\"]?\s*=\s*['\"]?([\w.]+):(\w+)")
"""A program that a package installs, in setup.py, setup.cfg or pyproject.toml."""


@dataclass(frozen=True, kw_only=True)
class RunCandidate:
    """A command that may be the training, as a step of a target file."""

    step: Any
    path: str
    line: int
    score: float
    folder: str = "."
    runs: tuple[str, ...] = ()
    """The files of the release that it starts."""
    code: Code | None = None
    """What runs, of a notebook or a code block."""
    output: tuple[str, ...] = ()
    """The lines that a notebook keeps as printed."""
    environment: dict[str, str] = field(default_factory=dict)
    kind: str = "train"
    """`train`, `prepare` or `evaluate`."""
    bare: bool = False
    """A file that a sentence names, without a command around it."""

    @property
    def shown(self) -> str:
        """The step as a reader knows it."""
        if isinstance(self.step, list):
            return " ".join(self.step)
        return self.step.get("notebook") or f"block {self.step['block']} of {self.step['of']}"

    @property
    def to_fill(self) -> list[str]:
        """Its words that are examples."""
        return [word for word in self.step if _EXAMPLE.search(word)] if isinstance(self.step, list) else []


def candidates(brought: BroughtRelease) -> list[RunCandidate]:
    """Every command that may train, and those that may prepare for it or evaluate after it, the likeliest first."""
    release, look = brought.files, _Finder(brought)
    texts = islice(_documents(brought), MOST_FILES)
    found = [of for text in texts for of in islice(look.commands(text), MOST_COMMANDS)]
    called = {of.runs[0] for of in found if not of.bare}
    found = [of for of in found if not (of.bare and of.runs[0] in called)]
    for path in [file.path for file in release.files if file.name.endswith(".ipynb")][:MOST_FILES]:
        code, output = _notebook(read_text(brought.top / path), path)
        if code:
            score = 2.0 + 2 * bool(_TRAIN.search(path)) - path.count("/") - 3 * bool(_AFTER.search(path))
            folder, _, name = path.rpartition("/")
            more: dict[str, Any] = {"folder": folder or ".", "code": code, "output": tuple(output)}
            found.append(RunCandidate(step={"notebook": name}, path=path, line=1, score=score, **more))
    named = {path for of in found if of.score > 0 for path in of.runs}
    for code in (code for code in release.code if not _ASIDE.search(code.path) and not _UNFIT.search(code.path)):
        if code.path not in named and _acts(code) and (_TRAIN.search(code.name) or look.trains(code)):
            score = 1.5 + 2 * bool(_TRAIN.search(code.name)) + bool(_RUN.search(code.name)) - code.path.count("/") / 2
            step = ["python", code.path]
            found.append(RunCandidate(step=step, path=code.path, line=1, score=max(score, 0.1), runs=(code.path,)))
    if not any(of.score > 0 for of in found) and brought.readme:
        found += _python_blocks(brought.readme)
    return sorted(found, key=lambda of: -of.score)


def _documents(brought: BroughtRelease) -> Iterator[Text]:
    """READMEs, Makefiles, shell scripts and CI files, the shallow ones first."""
    readmes = {text.path: text for text in brought.files.texts if re.match(r"(?i)readme", text.name)}
    for file in sorted(brought.files.files, key=lambda file: (file.path.count("/"), file.path))[: 50 * MOST_FILES]:
        if file.path in readmes:
            yield shortened(readmes[file.path])
        elif _SCRIPTED.search(file.path) and not _ASIDE.search(file.path):
            yield shortened(Text(path=file.path, lines=tuple(read_text(brought.top / file.path).splitlines())))


class _Finder:
    """Finds the commands of one release's documents."""

    def __init__(self, brought: BroughtRelease) -> None:
        self.release, self.top = brought.files, brought.top
        self.by_name: dict[str, list[str]] = {}
        self.known: dict[str, bool] = {}
        for file in self.release.files:
            self.by_name.setdefault(file.name, []).append(file.path)
        stated = (name for name in ("setup.py", "setup.cfg", "pyproject.toml") if name in self.release.by_path)
        self.programs = {found[1]: found for of in stated for found in _ENTRY.finditer(read_text(self.top / of))}

    def trains(self, code: Code) -> bool:
        """Whether a script, or a module of the release that it imports, fits something."""
        if code.path not in self.known:
            self.known[code.path] = any(map(_fits, reached_from(code, self.release.code_by_path)))
        return self.known[code.path]

    def commands(self, text: Text) -> Iterator[RunCandidate]:
        """The commands that run what is in the release: of Markdown in code blocks and in sentences."""
        within, whole, begun = "", not text.name.lower().endswith(_MARKDOWN), 0
        is_readme, joined = text.name.lower().startswith("readme"), ""
        for number, line in enumerate(text.lines, 1):
            begun, joined = begun or number, joined + re.sub(r"\\\s*(#.*)?$", "\\\\", line)
            if joined.endswith("\\"):
                joined = joined[:-1] + " "
                continue
            fenced = number - 1 in text.fenced
            shown = [joined] if whole or fenced or joined.startswith(("    ", "\t")) else []
            shown += _SPAN.findall(joined) if is_readme and not fenced else []
            for part in [
                part for one in shown if number - 1 not in text.commented for part in _parts(_BEGIN.sub("", one))
            ]:
                if part[0] in {"cd", "pushd"} and len(part) > 1:
                    goes = posixpath.normpath(posixpath.join(within, part[1]))
                    within = next((to for to in (goes, part[1].strip("./")) if to in self.release.folders), "")
                elif of := self._candidate(part, text, begun, within):
                    yield of
            begun, joined = 0, ""

    def _place(self, name: str, folders: tuple[str, ...]) -> tuple[str, str]:
        """A file that a command names, and the folder from which it is named; empty where there is none."""
        name = posixpath.normpath(name)
        for folder in folders:
            if (path := posixpath.normpath(posixpath.join(folder, name))) in self.release.by_path:
                return path, folder or "."
        ends = [path for path in self.by_name.get(name.rpartition("/")[2], []) if path.endswith(f"/{name}")]
        return (ends[0], ends[0].removesuffix(name).strip("/") or ".") if len(ends) == 1 else ("", ".")

    def _candidate(self, words: list[str], text: Text, line: int, within: str) -> RunCandidate | None:
        """What a command runs of the release, its kind, and how likely it is the training; None where it is of no use."""
        environment: dict[str, str] = {}
        while words and _BEFORE.fullmatch(words[0]):
            name, equals, value = words.pop(0).partition("=")
            environment |= {name: value} if equals and name != "CUDA_VISIBLE_DEVICES" else {}
        whole = " ".join(words)
        if not words or not whole.isprintable() or _UNFIT.search(whole) or _HELP & {*words}:
            return None
        folders, head = tuple(dict.fromkeys((within, text.folder, ""))), words[0].rpartition("/")[2]
        bare, is_python = False, bool(re.fullmatch(r"python[\d.]*", head))
        rest = list(itertools.dropwhile(lambda word: word in {"-u", "-O", "-B"}, words[1:]))
        file, step = next((word for word in words if word.endswith(".py")), ""), words
        if is_python and rest[:1] == ["-m"] and len(rest) > 1:
            file, step = rest[1].replace(".", "/"), ["python", *rest]
            file += ".py" if self._place(f"{file}.py", (*folders, "src"))[0] else "/__main__.py"
        elif head in self.programs:
            _, module, function = self.programs[head].groups()
            file = f"{module.replace('.', '/')}.py"
            step = ["python", "-c", f"import sys; from {module} import {function}; sys.exit({function}())", *words[1:]]
        elif head not in _LAUNCHERS:
            called = rest if is_python or head in {"bash", "sh", "source"} else words
            bare, file = called is words and words[0][:2] != "./", called[0] if called else ""
            file = file if file.endswith((".py", ".sh")) else ""
            step = ["python" if file.endswith(".py") else "bash", posixpath.normpath(file), *called[1:]]
        path, folder = self._place(file, (*folders, "src")) if file else ("", "")
        folder = "." if folder == "src" and step[1] in {"-m", "-c"} else folder
        installs = path.endswith("setup.py") and (step[2:] or "setuptools" in read_text(self.top / path))
        if not path or _ASIDE.search(path) or installs or (bare and words[1:] and words[1][:1] != "-"):
            return None
        runs = (path, *self._started(path, (folder, path.rpartition("/")[0], "")))
        code = [self.release.code_by_path[of] for of in runs if of in self.release.code_by_path]
        name, trains, is_shell = path.rpartition("/")[2], any(map(self.trains, code)), path.endswith(".sh")
        likely = bool(_TRAIN.search(path) or _RUN.search(name) or trains)
        prepares = bool(_PREPARE.search(name)) and (is_shell or not (_TRAIN.search(path) and trains))
        if not (prepares or runs[1:] if is_shell else not bare or ((likely or prepares) and any(map(_acts, code)))):
            return None
        after = (_AFTER.search(path) and not any(map(_fits, code))) or any(_MODE.fullmatch(word) for word in step[2:4])
        kind = "prepare" if prepares else "evaluate" if after else "train"
        is_readme = text.name.lower().startswith("readme")
        score = 4.0 - 2 * text.path.count("/") if is_readme else float(text.name == "Makefile")
        score += (4 if _TRAIN.search(path) else 2 * likely) + bool(re.search(r"[ =]cpu\b", whole)) - 3 * bare
        found = RunCandidate(
            step=step, path=text.path, line=line, score=score - 9 * (kind != "train") - 3 * (step is words), kind=kind,
            folder=folder, runs=runs, environment=environment, bare=bare,
        )  # fmt: skip
        return replace(found, score=found.score - 2) if found.to_fill else found

    def _started(self, path: str, folders: tuple[str, ...]) -> Iterator[str]:
        """The scripts in Python that a shell script starts."""
        text = read_text(self.top / path) if path.endswith(".sh") else ""
        modules = [f"{of.replace('.', '/')}.py" for of in re.findall(r"python\S* +(?:-u +)?-m +([\w.]+)", text)]
        places = (self._place(of, folders)[0] for of in [*re.findall(r"[\w./-]+\.py\b", text), *modules])
        return filter(None, dict.fromkeys(places))


def _parts(line: str) -> Iterator[list[str]]:
    """The commands of a line, one after another, as words."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return
    for joined, part in itertools.groupby(words, lambda word: word in {"&&", ";"}):
        if not joined and (own := own_words(tuple(part))):
            yield [word.rstrip(";") for word in own]


@functools.lru_cache(maxsize=4096)
def _fits(code: Code) -> bool:
    return any(last_name(call.func) in _TRAINS for call in calls(code))


def _acts(code: Code) -> bool:
    """Whether a file does something when it is run."""
    acting = (ast.If, ast.For, ast.While, ast.With)
    return any(isinstance(of, acting) or isinstance(getattr(of, "value", None), ast.Call) for of in code.tree.body)


def _python_blocks(text: Text) -> list[RunCandidate]:
    """The code blocks of a README in Python that fit or print something, for a release without scripts."""
    found = []
    for number, token in enumerate(code_blocks("\n".join(shortened(text).lines)), 1):
        if token.info.strip().lower() in PYTHON and (code := _parsed(token.content, text.path)):
            called = {last_name(call.func) for call in calls(code)}
            score = bool(called & _TRAINS) + bool("print" in called) - (">>>" in token.content)
            step, line = {"block": number, "of": text.path}, token.map[0] + 1 if token.map else 1
            found.append(RunCandidate(step=step, path=text.path, line=line, score=score, code=code))
    return found if text.name.lower().endswith(_MARKDOWN) else []


def _notebook(text: str, path: str) -> tuple[Code | None, list[str]]:
    """The code of a notebook's cells as one program, without its magics, and the lines that it keeps as printed."""
    try:
        cells = [cell for cell in json.loads(text or "null")["cells"] if cell["cell_type"] == "code"]
        source = "\n".join("".join(cell["source"]) for cell in cells)
        outputs = [of for cell in cells for of in cell.get("outputs", [])]
        texts = (of.get("text") or of.get("data", {}).get("text/plain") or "" for of in outputs)
        lines = [line for text in texts for line in "".join(text).splitlines()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None, []
    return _parsed(re.sub(r"(?m)^([ \t]*)[%!].*$", r"\1pass", source)[:MOST_CODE], path), lines


def downloads_by_hand(brought: BroughtRelease, of: RunCandidate) -> list[str]:
    """Where a command's document says what to download before it: no step of a rerun, but data that it needs."""
    text = next((text for text in brought.files.texts if text.path == of.path), None)
    lines = text.lines[: of.line] if text else ()
    found = ((i, _FETCHED.search(line[:1000])) for i, line in enumerate(lines, 1))
    return [f"{of.path}:{i}: {at[1]}" for i, at in found if at]


def _parsed(text: str, path: str) -> Code | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            return Code(path=path, tree=ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def preparations(best: RunCandidate, found: list[RunCandidate]) -> list[RunCandidate]:
    """The commands that prepare for one: those shortly before it in the same document."""
    near = [
        of for of in found
        if of.kind == "prepare" and of.path == best.path and 0 <= best.line - of.line <= NEAR and not of.to_fill
        and of.folder == best.folder
    ]  # fmt: skip
    return list({of.shown: of for of in sorted(near, key=lambda of: of.line)}.values())


def imports_of(body: list[ast.stmt]) -> Iterator[str]:
    """What is imported whenever code starts: not in functions, and not where its lack is provided for."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, (ast.If, ast.With, ast.For)):
            yield from imports_of(node.body)


def reached(steps: list[RunCandidate], release: PublishedFiles) -> list[Code]:
    """The code that commands run, with the modules of the release that it imports."""
    modules = release.code_by_path
    first = [of.code for of in steps if of.code] + [modules[of] for step in steps for of in step.runs if of in modules]
    return list({code.path: code for one in first for code in reached_from(one, modules)}.values())


def python_path(of: RunCandidate, release: PublishedFiles, codes: list[Code]) -> str:
    """What PYTHONPATH must hold for a command to find the release's modules, seen from its folder; mostly nothing."""

    def holds(folder: str, name: str) -> bool:
        path = posixpath.normpath(posixpath.join(folder, name))
        return f"{path}.py" in release.code_by_path or f"{path}/__init__.py" in release.code_by_path

    is_block = isinstance(of.step, dict) and "block" in of.step
    beside = of.runs[0].rpartition("/")[0] if of.runs and of.step[1].endswith(".py") else of.folder
    modules = [module for code in codes for module in imports_of(code.tree.body)]
    if of.runs and of.step[1] in {"-m", "-c"}:
        modules.insert(0, of.runs[0].removeprefix("src/").replace("/", ".").removesuffix(".py"))
    names = dict.fromkeys(module.partition(".")[0] for module in modules)
    lacking = (name for name in names if is_block or not holds(beside, name))
    base = next((base for name in lacking for base in (".", "src") if holds(base, name)), "")
    return posixpath.relpath(base, of.folder) if base else ""


def filled(of: RunCandidate, release: PublishedFiles) -> tuple[list[str], dict[str, int]]:
    """The words of a step with `{seed}`, `{device}` and a parameter for the training's length, as its script's options allow;
    and that parameter with its published value, where there is one."""
    words, script = list(of.step), release.code_by_path.get(of.runs[0])
    options = options_of(script, release).flags if script else {}
    paths = {code.path for code in reached([of], release)}

    def default(flag: str) -> Any:
        named = defaults(release).get(_parameter(flag), [])
        return next((value.value for value in named if value.path in paths), None)

    def put(pattern: re.Pattern[str], name: str = "", fits: Callable[[Any], bool] = lambda _: True) -> tuple[str, Any]:
        """The placeholder that now stands for an option, and the value that it had; empty where there is no such option."""
        for i, (word, follows) in enumerate(zip(words, [*words[1:], ""], strict=True)):
            flag, equals, value = word.partition("=")
            if pattern.fullmatch(flag) and fits(given := value if equals else follows):
                put = name or _parameter(flag)
                words[i if equals else min(i + 1, len(words) - 1)] = f"{flag}={{{put}}}" if equals else f"{{{put}}}"
                return put, given
        flag = next((of for of in options if of.startswith("--") and pattern.fullmatch(of) and fits(default(of))), "")
        words.extend([flag, f"{{{name or _parameter(flag)}}}"] if flag else [])
        return name or _parameter(flag), default(flag)

    put(_SEED, "seed")
    put(_DEVICE, "device", lambda value: not isinstance(value, bool))
    name, value = put(_LENGTH, fits=lambda value: bool(_COUNT.fullmatch(str(value))))
    return words, {name: int(float(value))} if name else {}


def _parameter(flag: str) -> str:
    return flag.lstrip("-").lower().replace("-", "_")
