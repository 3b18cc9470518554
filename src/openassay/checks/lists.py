"""Published lists: digests, numbered shards, a weights' index, tables of steps and addresses."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import PurePosixPath

from openassay.checks.check import Agreement, Contradiction, NotAsked, Noted, Seen, check, compared
from openassay.core.findings import Excerpt
from openassay.published.files import Config, PublishedFiles, PublishedTable, Row, Value, excerpt, step_of
from openassay.published.scalars import number

EMPTY = {
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}
"""Digests of nothing."""


@check(needs="a list of digests")
def digest_malformed(release: PublishedFiles) -> Iterator[Seen]:
    """{odd.path}: the digest of {odd.key} has {length} characters where the others have {usual}"""
    for hashes in release.hashes:
        usual, count = Counter(len(hashed.value) for hashed in hashes).most_common(1)[0]
        example = next(hashed for hashed in hashes if len(hashed.value) == usual)
        wrong: list[Seen] = [
            Contradiction(odd, example, odd=odd, length=len(odd.value), usual=usual)
            for odd in hashes
            if len(odd.value) != usual and count > 0.5 * len(hashes)
        ]
        yield from wrong or [Agreement(excerpt(hashes[0].path, "", f"{len(hashes)} digests of {usual} characters"))]


@check(needs="a list of digests of numbered files")
def digest_twice(release: PublishedFiles) -> Iterator[Seen]:
    """{path}: {problem}"""
    # Files of one numbered series, or checkpoints of different steps, hold different things.
    for hashes in release.hashes:
        by_digest: dict[str, list[Value]] = defaultdict(list)
        names: dict[str, Value] = {}
        wrong: list[Seen] = []
        for hashed in hashes:
            digest = hashed.value.lower()
            if digest not in EMPTY:
                by_digest[digest].append(hashed)
            other = names.setdefault(hashed.key, hashed)
            if other.value.lower() != digest:
                problem = f"{hashed.key} has one digest in line {other.line} and another in line {hashed.line}"
                wrong.append(Contradiction(other, hashed, path=other.path, problem=problem))
        for one, two in (pair for of in by_digest.values() for pair in pairwise(of)):
            if one.key != two.key and re.sub(r"\d+", "#", one.key) == re.sub(r"\d+", "#", two.key):
                problem = f"{one.key} and {two.key} have the same digest"
                wrong.append(Contradiction(one, two, path=one.path, problem=problem))
        shown = f"{len(hashes)} names, {len(by_digest)} different digests"
        yield from wrong or [Agreement(excerpt(hashes[0].path, "", shown))]
    for table in release.tables:
        step = table.column("step", "revision", "branch", "checkpoint")
        column = table.column("sha256", "digest", "hash", "blob", "etag", "md5", "oid")
        if step is not None and column is not None:
            yield from _table_of_digests(table, step, column)


def _table_of_digests(table: PublishedTable, step: int, digest: int) -> Iterator[Seen]:
    places = {"file", "filename", "path", "shard", "model"}
    others = [i for i, name in enumerate(table.columns) if i not in {step, digest} and name.lower() in places]
    rows = [row for row in table.rows if len(cell := row.cells[digest].strip().lower()) >= 24 and cell not in EMPTY]
    first: dict[str, Row] = {}
    wrong: list[Seen] = []
    for row in rows:
        other = first.setdefault(row.cells[digest].strip().lower(), row)
        one, two = other.cells[step].strip(), row.cells[step].strip()
        if one == two or any(other.cells[i] != row.cells[i] for i in others):
            continue
        steps = [n if (n := step_of(cell)) is not None else number(cell) for cell in (one, two)]
        known = [n for n in steps if n is not None]
        if len(known) == 2 and max(known) > 1:
            seen = (table.seen(other, digest), table.seen(row, digest))
            problem = f"step {one} and step {two} have the same digest"
            wrong.append(Contradiction(*seen, path=table.path, problem=problem))
    yield from wrong
    if first and not wrong:
        yield Agreement(excerpt(table.path, table.columns[digest], f"{len(first)} different digests"))


_SHARD = re.compile(r"^(?P<head>.*?)(?P<number>\d{2,6})-of-(?P<last>\d{2,6})(?P<tail>.*)$")


def _indexed(config: Config) -> list[str]:
    """The files that a weights' index names, each once."""
    document = config.document if config.path.endswith(".index.json") else None
    weight_map = document.get("weight_map") if isinstance(document, dict) else None
    return list(dict.fromkeys(map(str, weight_map.values()))) if isinstance(weight_map, dict) else []


@check(needs="files or list entries named NUMBER-of-NUMBER")
def shard_missing(release: PublishedFiles) -> Iterator[Seen]:
    """{where}: {missing} is missing between {range_of}"""
    # A series must be whole. Only lists and folders that hold some of a series are asked.
    named = [(hashed.path, hashed.key, hashed.seen()) for hashes in release.hashes for hashed in hashes]
    for config in release.configs:
        named += [(config.path, name, excerpt(config.path, "weight_map", name)) for name in _indexed(config)]
    if "." in release.unreadable:
        yield NotAsked("only some of the release's files were fetched")
    else:
        paths = (*(file.path for file in release.files), *sorted(release.elsewhere))
        named += [("", path, excerpt(path, "", "present")) for path in paths]
    series: dict[tuple[str, str, str, str], dict[int, Excerpt]] = defaultdict(dict)
    for where, name, seen in named:
        if found := _SHARD.match(name):
            series[where, found["head"], found["last"], found["tail"]].setdefault(int(found["number"]), seen)
    for (where, head, last, tail), of in series.items():
        if len(of) < 2:
            continue
        lowest, highest, width = min(of), max(of), len(last)
        # n-of-N counts from 1 to N, from 0 to N - 1, or (as some do) from 0 to N
        end = int(last) if lowest == 1 or highest == int(last) else int(last) - 1
        whole = range(min(lowest, 1), max(end, highest) + 1)
        if len(whole) - len(of) > max(10, len(of)):
            continue  # a sample of a series
        missing = [n for n in whole if n not in of]
        names = ", ".join(f"{head}{n:0{width}}-of-{last}{tail}" for n in missing[:3])
        names += f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        values = {"where": where or "the release's files", "range_of": f"{min(lowest, 1):0{width}} and {end:0{width}}"}
        yield compared(not missing, of[lowest], of[highest], missing=names, **values)


def _leads(folder: str, name: str) -> str:
    """Where a name leads that does not stay below the top; empty for one that stays there."""
    plain = name.replace("\\", "/")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name):
        return "is an address"
    if plain.startswith("/") or re.match(r"[A-Za-z]:/", plain):
        return "is an absolute path"
    above = posixpath.normpath(posixpath.join(folder, plain)).split("/")[0] == ".."
    return "leads above the folder that was inspected" if above else ""


@check(needs="a weights' index, or a dataset card with data_files")
def names_outside(release: PublishedFiles) -> Iterator[Seen]:
    """{path} names {name}, which {leads}"""
    named = [
        (config.folder, name, excerpt(config.path, "weight_map", name[:200]))
        for config in release.configs
        for name in _indexed(config)
    ]
    cards = (text.front for text in release.texts if text.name == "README.md" and text.front)
    named += [
        (card.folder, value.value, value.seen())
        for card in cards
        for value in card.values
        if _DATA_FILES.match(value.key) and value.leaf != "split" and isinstance(value.value, str)
    ]
    for folder, name, seen in named:
        if leads := _leads(folder, name):
            yield Noted(seen, path=seen.path, name=name[:200], leads=leads)
        else:
            yield Agreement(seen)


_DATA_FILES = re.compile(r"configs\.\d+\.data_(files|dir)(\.|$)")


@check(needs="a weights' index with at least one of the files that it names")
def index_names_absent_file(release: PublishedFiles) -> Iterator[Seen]:
    """{path} names {name}, which is not in its folder, though {present} is"""
    for config in release.configs:
        names = _indexed(config)
        prefix = f"{config.folder}/" if config.folder else ""
        present = [name for name in names if prefix + name in release.by_path]
        if len(present) == len(names) > 0:
            yield Agreement(excerpt(config.path, "weight_map", f"{len(names)} files, all there"))
        missing = [name for name in names if present and name not in present and not release.has(prefix + name)]
        if missing and "." in release.unreadable:
            yield NotAsked(f"{config.path}: only some of the release's files were fetched")
            continue
        for name in missing:
            seen = (excerpt(config.path, "weight_map", name), excerpt(prefix + present[0], "", "present"))
            yield Contradiction(*seen, path=config.path, name=name, present=present[0])


_URL = re.compile(r"https?://\S+|s3://\S+|gs://\S+")


def _url_column(table: PublishedTable) -> int | None:
    for i in range(len(table.columns)):
        cells = [row.cells[i].strip() for row in table.rows[:50]]
        if cells and sum(bool(_URL.fullmatch(cell)) for cell in cells) >= 0.9 * len(cells):
            return i
    return None


def _repeated(table: PublishedTable, column: int) -> tuple[int, list[tuple[Row, Row]]]:
    """The number of different cells in a column; and each later row of a cell with the first one."""
    first: dict[str, Row] = {}
    pairs = [(first.setdefault(row.cells[column].strip(), row), row) for row in table.rows]
    return len(first), [(one, two) for one, two in pairs if one is not two]


@check(needs="a table with a column of addresses")
def address_twice(release: PublishedFiles) -> Iterator[Seen]:
    """{table.path}: line {first.line} and line {second.line} give the same address, {url}"""
    for table in release.tables:
        column = _url_column(table)
        if column is None:
            continue
        count, repeated = _repeated(table, column)
        for first, second in repeated:
            seen = (table.seen(first, column), table.seen(second, column))
            yield Contradiction(*seen, table=table, first=first, second=second, url=second.cells[column].strip())
        if count and not repeated:
            yield Agreement(excerpt(table.path, table.columns[column], f"{count} addresses, all different"))


@check(needs="a table of steps and addresses")
def step_twice(release: PublishedFiles) -> Iterator[Seen]:
    """{path}: step {step} stands twice, with {first} and {second}"""
    for table, step, column in _step_tables(release):
        if not _is_one_training(table, step):
            continue
        count, repeated = _repeated(table, step)
        wrong: list[Seen] = []
        for one, two in ((one, two) for one, two in repeated if one.cells[column] != two.cells[column]):
            first, second = one.cells[column].strip(), two.cells[column].strip()
            values = {"path": table.path, "step": two.cells[step].strip(), "first": first, "second": second}
            wrong.append(Contradiction(table.seen(one), table.seen(two), **values))
        yield from wrong or [Agreement(excerpt(table.path, table.columns[step], f"{count} different steps"))]


@check(needs="a table of steps and addresses that hold the step")
def step_against_address(release: PublishedFiles) -> Iterator[Seen]:
    """{path}: step {step} is listed with the address {url}"""
    for table, step, column in _step_tables(release):
        right = 0
        for row in table.rows:
            given, url = number(row.cells[step]), row.cells[column].strip()
            named = [n for part in PurePosixPath(url).parts if (n := step_of(part)) is not None]
            if given is None or not named:
                continue
            if int(given) in named:
                right += 1
            else:
                seen = (table.seen(row, step), table.seen(row, column))
                yield Contradiction(*seen, path=table.path, step=row.cells[step].strip(), url=url)
        if right:
            yield Agreement(excerpt(table.path, table.columns[column], f"{right} addresses name their row's step"))


@check(needs="a table of at least 10 steps, most of them at one distance")
def checkpoint_list_has_gaps(release: PublishedFiles) -> Iterator[Seen]:
    """{path}: {usual} of {all} neighbouring rows are {modal} steps apart, but {count} gaps are longer; the longest is from
    {first} to {second}{claim}"""
    for table, step, _ in _step_tables(release):
        rows = [(int(n), row) for row in table.rows if (n := number(row.cells[step])) is not None]
        if len(rows) < 10 or not _is_one_training(table, step):
            continue
        rows.sort(key=lambda pair: pair[0])
        distances = Counter(b - a for (a, _), (b, _) in pairwise(rows) if b > a)
        modal, usual = next(iter(distances.most_common(1)), (0, 0))
        if usual < 0.5 * (len(rows) - 1):
            continue
        gaps = [(b - a, one, two) for (a, one), (b, two) in pairwise(rows) if b - a > modal]
        if not gaps:
            at = table.columns[step]
            yield Agreement(excerpt(table.path, at, f"{len(rows)} rows, none farther apart than {modal}"))
            continue
        longest, one, two = max(gaps, key=lambda gap: gap[0])
        claims = [*islice(_cadence_claims(release, table, modal, longest), 1)]
        seen = (table.seen(one, step), table.seen(two, step), *claims)
        first, second = one.cells[step].strip(), two.cells[step].strip()
        counts = {"usual": usual, "all": len(rows) - 1, "modal": modal, "count": len(gaps)}
        claim = "".join(f", though {claim.path} says {claim.value!r}" for claim in claims)
        yield Contradiction(*seen, path=table.path, first=first, second=second, claim=claim, **counts)


def _cadence_claims(release: PublishedFiles, table: PublishedTable, modal: int, longest: int) -> Iterator[Excerpt]:
    """Sentences such as `at minimum every 1000 steps` in documents that name the list."""
    for text in release.texts:
        if table.name not in "\n".join(text.lines):
            continue
        for line, words in text.prose:
            claim = re.search(r"every\s+([\d,]+)\s+(?:\w+\s+)?steps", words)
            every = number(claim.group(1)) if claim else None
            if every is not None and modal <= every < longest:
                yield text.seen(line)


def _is_one_training(table: PublishedTable, step: int) -> bool:
    """True for steps in ascending order; steps that begin anew are those of several trainings in one list."""
    steps = [number(row.cells[step]) or 0 for row in table.rows]
    return steps == sorted(steps)


def _step_tables(release: PublishedFiles) -> Iterator[tuple[PublishedTable, int, int]]:
    """The tables whose rows all have a step and most an address, with both columns."""
    for table in release.tables:
        step, column = table.column("step", "steps", "training step", "global_step"), _url_column(table)
        if step is None or column is None or step == column or not table.rows:
            continue
        if all(number(row.cells[step]) is not None for row in table.rows):
            yield table, step, column
