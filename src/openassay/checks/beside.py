"""What stands beside settings and repeats them: comments with numbers, written-out arithmetic, names of runs, commands."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise

from openassay.checks.check import Agreement, Contradiction, Seen, check, compared
from openassay.core.findings import Excerpt
from openassay.published.commands import calls_of, own_words, readmes, shell_scripts
from openassay.published.files import Config, PublishedFiles, Text, excerpt
from openassay.published.scalars import number
from openassay.published.stated import is_aside

_NUMBER = r"\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?"
_BESIDE = r"(?:\s*(?:`[^`]{1,40}`|\([^()]{1,40}\)))?"
_PRODUCT = re.compile(
    rf"(?<![\w.*/+\-×^%$])(?<![*/+\-×^x]\s)((?:{_NUMBER}[KMBT]?{_BESIDE}\s*[*x×]\s*)+{_NUMBER}[KMBT]?){_BESIDE}"
    rf"\s*(==?|~=|≈)\s*~?({_NUMBER})([KMBT]?)(?![\w%^])(?!\s*[*/+×x^-]\s*\d)(?!\.\d)"
)
_FACTORS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_ABOUT = re.compile(
    r"(?i)\b(batch|tokens?|steps?|param\w*|gpus?|nodes?|flops?|epochs?|samples?|sequences?|examples?|iter\w*)\b"
)
MAX_FACTOR = 10
"""A product that is farther off is read wrongly rather than computed wrongly."""


@check(
    needs="a product that a document, a comment or a script writes out with its result, such as `8 * 128 * 4 = 4096`"
)
def product_computed_otherwise(release: PublishedFiles) -> Iterator[Seen]:
    """{at.path}:{at.line} says {written}, but the product is {product:.5g}"""
    for at, line in _written(release):
        for found in _PRODUCT.finditer(line):
            factors = re.findall(rf"({_NUMBER})([KMBT]?)", re.sub(r"\([^()]*\)|`[^`]*`", "", found.group(1)))
            values = [(number(digits), _FACTORS[unit]) for digits, unit in factors]
            stated, written = number(found.group(3)), " ".join(found.group().split())
            if stated is None or any(value is None for value, _ in values):
                continue
            product = math.prod((value or 0.0) * unit for value, unit in values)
            unit = _FACTORS[found.group(4)]
            fits = abs(product - stated * unit) <= max(_unit(found.group(3)) * unit, 0.02 * product)
            if fits or 1 / MAX_FACTOR < stated * unit / (product or 1) < MAX_FACTOR:
                yield compared(fits, at, at=at, written=written, product=product)


def _written(release: PublishedFiles) -> Iterator[tuple[Excerpt, str]]:
    """Lines in which authors compute: of documents those about a training, and comments of settings and scripts."""
    for text in (of for of in release.texts if of.name.endswith(".md") and not is_aside(of.path)):
        for line, words in text.prose:
            if _ABOUT.search(words) and not words.lstrip().startswith((">", "|")):
                yield text.seen(line), words
    for path, line, words in _comments(release):
        yield excerpt(path, "comment", words, line), words


def _comments(release: PublishedFiles) -> Iterator[tuple[str, int, str]]:
    """(path, line, comment) of settings and shell scripts."""
    for config in release.configs:
        if not is_aside(config.path):
            yield from ((config.path, line, words) for line, words in config.comments)
    for text in shell_scripts(release):
        for line, words in enumerate(text.lines, 1):
            if found := re.search(r"(?:^|\s)#+(?!!)\s*(.*)", words):
                yield text.path, line, found.group(1)


def _unit(written: str) -> float:
    """One of the last digit that a number is written with."""
    mantissa, _, exponent = written.lower().replace(",", "").partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


_SAID = {
    "micro_batch_size": r"(?:per[- ]device|per[- ]gpu|micro) batch ?size|batch ?size per (?:gpu|device)",
    "accumulation": r"(?:gradient )?accumulation(?: steps)?",
    "epochs": r"(?:number of |num )?epochs?",
    "learning_rate": r"learning rate|lr",
    "devices": r"(?:number of |num )?gpus",
}
_SPELLED = {
    "micro_batch_size": {"per_device_train_batch_size", "micro_batch_size", "train_micro_batch_size_per_gpu"},
    "accumulation": {"gradient_accumulation_steps"},
    "epochs": {"num_train_epochs", "num_epochs", "epochs", "max_epochs"},
    "learning_rate": {"learning_rate", "lr"},
    "devices": {"gpus", "num_gpus", "ngpus"},
}
_LINE = re.compile(
    rf"(?i)\s*({'|'.join(f'(?P<{name}>{words})' for name, words in _SAID.items())})\s*[:=]\s*({_NUMBER})\s*\Z"
)


@check(needs="a shell script with a comment such as `# batch size per gpu: 4` and the one option that sets it")
def comment_differs_from_option(release: PublishedFiles) -> Iterator[Seen]:
    """{text.path}:{line}: the comment says {said}, {name} is {value}"""
    for text in shell_scripts(release):
        given = _assigned(text)
        for line, words in enumerate(text.lines, 1):
            comment = re.fullmatch(r"\s*#+\s*(.*)", words)
            found = _LINE.match(comment.group(1)) if comment else None
            if found is None:
                continue
            kind = next(name for name in _SAID if found.group(name))
            options = [(name, at, value) for name, at, value in given if name in _SPELLED[kind]]
            said = number(found.groups()[-1])
            if said is None or len({value for _, _, value in options}) != 1:
                continue
            name, at, value = options[0]
            values = {"text": text, "line": line, "said": comment.group(1).strip() if comment else "", "name": name}
            yield compared(value == said, text.seen(line), text.seen(at), value=f"{value:g}", **values)


_SET = re.compile(rf"^\s*(?:export\s+)?([A-Za-z_]\w*)=[\"']?(?:\$\{{\w+:-)?({_NUMBER})\}}?[\"']?\s*(?:#.*)?$")
_OPTION = re.compile(rf"(?<!\S)--([A-Za-z][\w-]*)[ =][\"']?(?:({_NUMBER})|\$\{{?(\w+)\}}?)[\"']?(?!\S)")


def _assigned(text: Text) -> list[tuple[str, int, float]]:
    """(name, line, number) of a script's variables and options; an option that names a variable has its value."""
    variables: dict[str, tuple[int, float] | None] = {}
    found = []
    for line, words in enumerate(text.lines, 1):
        if (set_to := _SET.match(words)) and (value := number(set_to.group(2))) is not None:
            variables[set_to.group(1)] = (line, value) if set_to.group(1) not in variables else None
            found.append((set_to.group(1).lower(), line, value))
        for option in _OPTION.finditer(words) if not words.lstrip().startswith("#") else ():
            name, written, variable = option.groups()
            value = number(written) if written else (variables.get(variable) or (0, None))[1]
            if value is not None:
                found.append((name.lower().replace("-", "_"), line, value))
    return found


_DIFFERENCE = re.compile(rf"\s*({_NUMBER})\s*-\s*({_NUMBER})\s*\Z")


@check(needs="a comment that computes the number beside it as a difference, such as `# 27590 - 138`")
def difference_of_other_numbers(release: PublishedFiles) -> Iterator[Seen]:
    """{value.path}: the comment takes {value.key} for {comment}, but the file's own numbers are {whole.key} {whole.text} and
    {part.key} {part.text}"""
    # Only where the file's own steps give the value too, so that it is told what the comment's numbers stand for.
    for config in release.configs:
        numbers = [
            v for v in config.values if v.number is not None and re.search(r"steps|iters|tokens|samples", v.word)
        ]
        for line, words in config.comments:
            found = _DIFFERENCE.match(words)
            value = next((v for v in numbers if v.line == line), None)
            if found is None or value is None:
                continue
            whole, part = number(found.group(1)), number(found.group(2))
            others = [v for v in numbers if v is not value]
            own = [
                (a, b) for a in others for b in others if (a.number or 0) - (b.number or 0) == value.number and b.number
            ]
            if whole is None or part is None or len(own) != 1 or abs(whole - part - (value.number or 0)) > 1:
                continue
            fits = (whole, part) == (own[0][0].number, own[0][1].number)
            at = excerpt(config.path, "comment", words, line)
            yield compared(
                fits, at, value, *own[0], value=value, comment=words.strip(), whole=own[0][0], part=own[0][1]
            )


_RUN = {"wandb_name", "wandb_run_name", "run_name", "exp_name", "experiment_name", "wandb_exp_name", "hub_model_id"}
_SIZE = re.compile(r"(?<![\w.])(\d{1,4}(?:\.\d+)?[mb])(?![\w.])")


@check(needs="settings of a size, such as model-3b.yml, that name their run with a size too")
def run_of_another_size(release: PublishedFiles) -> Iterator[Seen]:
    """{value.path} is of size {own}, but {value.key} is {value.text}"""
    for config in (config for config in release.configs if not is_aside(config.path)):
        stem = config.stem.lower().replace("_", "-")
        own = {*_SIZE.findall(stem)}
        for value in (v for v in config.values if v.word in _RUN and isinstance(v.value, str)):
            name = value.value.lower().replace("_", "-").rpartition("/")[2]
            sizes, shared = {*_SIZE.findall(name)}, {*re.findall(r"[a-z]\w*", name)} & {*re.findall(r"[a-z]\w*", stem)}
            if len(own) == len(sizes) == 1 and len(shared) >= 2:
                yield compared(
                    own == sizes, excerpt(config.path, "name", config.name), value, value=value, own=next(iter(own))
                )


@check(needs="a document that calls a settings file the same as the command that it gives")
def command_differs_from_settings(release: PublishedFiles) -> Iterator[Seen]:
    """{text.path}:{line} says that {value.path} has the same settings as its command, but --{value.key} is {given} there and
    {value.text} in the file"""
    by_name: dict[str, list[Config]] = {}
    for config in release.configs:
        by_name.setdefault(config.name, []).append(config)
    for text in readmes(release):
        for line, words in text.prose:
            named = [name for name in by_name if name in words and len(by_name[name]) == 1]
            if len(named) == 1 and re.search(
                r"(?i)\b(exact(ly)? )?same (hyper-?)?(param\w*|settings|options|arg\w*|config\w*)", words
            ):
                yield from _held(text, line, by_name[named[0]][0], release)


def _held(text: Text, line: int, config: Config, release: PublishedFiles) -> Iterator[Seen]:
    """The settings against the last command before the line that gives most of them as options."""
    for command, call in reversed(
        [(command, call) for command, call in calls_of(text, release) if command.line < line]
    ):
        words = own_words(call.words)
        given = {
            word.removeprefix("--").replace("-", "_"): number(after)
            for word, after in pairwise(words)
            if word.startswith("--")
        }
        both = [(v, given[v.key]) for v in config.values if v.key in given and v.number is not None]
        compare = [(v, said) for v, said in both if said is not None]
        if len(compare) >= 6:
            for value, said in compare:
                seen = command.seen(f"--{value.key}")
                if said != value.number:
                    yield Contradiction(
                        text.seen(line), seen, value, text=text, line=line, value=value, given=f"{said:g}"
                    )
            if all(said == value.number for value, said in compare):
                yield Agreement(text.seen(line), compare[0][0])
            return
