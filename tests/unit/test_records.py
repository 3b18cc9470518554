"""A record comes back from disk as it went, and a broken one is named."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_disk import on_small_disk

from openassay.core.claims import Claim, Published
from openassay.core.deviations import Deviation
from openassay.core.findings import FetchRecord, InspectRecord, PrepareRecord
from openassay.core.rerun_records import EvaluateRecord, Rerun, RerunsRecord, RerunStatus
from openassay.core.verdict_records import Provenance, ReleaseVerdict, Score, Verdict
from openassay.faults import BadInput
from openassay.records import (
    BrokenRecord,
    declared,
    digest,
    file_digest,
    parse,
    read_record,
    to_json,
    to_plain,
    write_record,
    write_text,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RECORDS = [
    FetchRecord, InspectRecord, PrepareRecord, EvaluateRecord, Rerun, RerunsRecord,
    Verdict, Score, Provenance, ReleaseVerdict, Claim,
]  # fmt: skip


st.register_type_strategy(float, finite)
st.register_type_strategy(str, st.text(max_size=8))
st.register_type_strategy(Deviation, st.builds(Deviation, what=st.text("ab ", min_size=1).filter(str.strip)))


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_record_comes_back_from_a_file_as_it_was(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "record.json"

    @given(st.from_type(kind))
    @settings(max_examples=20, suppress_health_check=[HealthCheck.data_too_large])  # a whole verdict is large
    def law(record: Any) -> None:
        write_record(path, record)
        assert read_record(path, kind) == record
        assert digest(read_record(path, kind)) == digest(record)

    law()


@given(json_values, st.randoms(use_true_random=False))
def test_a_digest_is_independent_of_the_order_of_keys(value: Any, random: Any) -> None:
    def shuffled(item: Any) -> Any:
        if isinstance(item, dict):
            keys = list(item)
            random.shuffle(keys)
            return {key: shuffled(item[key]) for key in keys}
        return [shuffled(part) for part in item] if isinstance(item, list) else item

    assert digest(shuffled(value)) == digest(value)


@given(json_values, json_values)
def test_values_that_differ_in_json_differ_in_digest(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same


def test_a_digest_is_the_sha256_of_canonical_json() -> None:
    text = '{"a":[1,2.5,null,true],"ä":"€"}'
    assert digest({"ä": "€", "a": (1, 2.5, None, True)}) == hashlib.sha256(text.encode()).hexdigest()


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Paint:
    colour: Colour
    layers: tuple[int, ...]


def test_dataclasses_enums_and_tuples_have_the_digest_of_their_plain_form() -> None:
    assert to_plain({"p": Paint(Colour.RED, (1, 2))}) == {"p": {"colour": "red", "layers": [1, 2]}}
    assert digest(Paint(Colour.RED, (1, 2))) == digest({"layers": [1, 2], "colour": "red"})


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (float("nan"), ValueError, "nan"),
        (float("inf"), ValueError, "inf"),
        ({"a": [1.0, {"b": float("-inf")}]}, ValueError, "-inf"),
        ({1: "a"}, TypeError, "keys must be strings"),
        ({None: "a"}, TypeError, "keys must be strings"),
        ({"a": {1, 2}}, TypeError, "set has no stable form"),
        (b"bytes", TypeError, "bytes has no stable form"),
        (Path("/x"), TypeError, "no stable form"),
        (slice(1), TypeError, "slice has no stable form"),
        (Paint, TypeError, "type has no stable form"),
        (np.int64(3), TypeError, "int64 has no stable form"),
        (np.zeros(2), TypeError, "ndarray has no stable form"),
        (1j, TypeError, "complex has no stable form"),
    ],
    ids=repr,
)
def test_what_has_no_stable_form_is_refused(value: object, error: type[Exception], says: str) -> None:
    for use in (to_plain, digest):
        with pytest.raises(error, match=says):
            use(value)


def test_a_file_digest_is_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\x00\xff" * 100_000)
    assert file_digest(path) == hashlib.sha256(b"\x00\xff" * 100_000).hexdigest()


SCORE = Score(value=0.5, interval=(0.25, 0.75), coverage=1.0, bounds=(0.25, 0.75))


def test_a_record_is_readable_json_and_ends_with_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "record.json"
    write_record(path, SCORE)
    assert (
        path.read_text()
        == '{\n  "value": 0.5,\n  "interval": [\n    0.25,\n    0.75\n  ],\n  "coverage": 1.0,\n  "bounds": [\n    0.25,\n    0.75\n  ]\n}\n'
    )
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_a_terminal_would_obey_is_escaped_in_json_and_read_back() -> None:
    words = {
        "\x1b[31m": "\x9b2J \u202egnp.exe\u2066 \x85\u2028 \x00 \ufeff \U000e0041 caf\u00e9 \u65e5 \U0001f600 \\u202e"
    }
    text = to_json(words)
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == words
    assert "caf\u00e9 \u65e5 \U0001f600" in text
    assert "\n" not in to_json(words, indent=None)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, SCORE)
    before = path.read_bytes()
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "first half, then what UTF-8 cannot hold: \ud800")
    with pytest.raises(ValueError, match="a record cannot hold nan"):
        write_record(path, replace(SCORE, value=float("nan")))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_readers_beside_writers_always_find_a_whole_record(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, SCORE)
    problems: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                read_record(path, Score)
            except BaseException as error:  # noqa: BLE001 - it is what the test looks for
                problems.append(error)

    def write(coverage: float) -> None:
        for _ in range(20):
            write_record(path, replace(SCORE, coverage=coverage))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(i / 4,)) for i in range(3)]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    reader.join()
    assert not problems
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


BROKEN = [
    (b"", "invalid JSON"),
    (b"not json", "invalid JSON"),
    (b'{"value": 0.5, "interval": null, "coverage": 1.0', "invalid JSON"),
    (b"\xff\xfe\x00", "invalid"),
    (b'{"value": 0.5, "interval": null, "coverage": "\xff"}', "invalid"),
    (b"[]", "should be an object"),
    (b"null", "should be an object"),
    (b'{"value": 0.5, "interval": null}', "coverage: missing"),
    (b'{"value": 0.5, "interval": null, "coverage": 1.0, "old": 1}', "old: unknown key"),
    (b'{"value": "0.5", "interval": null, "coverage": 1.0}', "value: should be a valid number, found '0.5'"),
    (b'{"value": true, "interval": null, "coverage": 1.0}', "value: should be a valid number"),
    (b'{"value": 0.5, "interval": [1.0], "coverage": 1.0}', "interval.1: missing"),
    (b'{"value": 0.5, "interval": null, "coverage": null}', "coverage: should be a valid number"),
]


@pytest.mark.parametrize(("content", "says"), BROKEN)
def test_a_broken_or_old_record_is_a_fault_that_names_file_and_key(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(BrokenRecord) as broken:
        read_record(path, Score)
    message = str(broken.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert message.endswith("remove it and run the stage again")
    assert "\n" not in message


WRITE = """
import sys
from pathlib import Path
from openassay.faults import faults_in_one_line
from openassay.records import write_record
path = Path(sys.argv[1])
write_record(path, ["old"])
try:
    with faults_in_one_line():
        write_record(path, ["new" * 10**6])
finally:
    print(path.read_text().split(), len(list(path.parent.iterdir())))
"""


def test_a_full_disk_is_a_fault_that_names_the_record_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    done = on_small_disk(tmp_path, "100k", WRITE, str(path))
    assert done.returncode == 3
    todo = "free some space, then run the command again: what is finished is kept"
    assert done.stderr == f"error: {path}: No space left on device; {todo}\n"
    assert done.stdout == "['[', '\"old\"', ']'] 1\n"


def test_a_missing_record_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BrokenRecord, match="there is no such record; run `openassay audit`"):
        read_record(tmp_path / "record.json", Score)


def test_no_field_of_a_stage_record_has_a_default_that_an_old_file_could_hide_behind() -> None:
    for kind in (FetchRecord, InspectRecord, PrepareRecord, EvaluateRecord, Rerun):
        whole = to_plain(_example(kind))
        for field in fields(kind):
            with pytest.raises(BadInput, match=f"{field.name}: missing"):
                parse(kind, {key: value for key, value in whole.items() if key != field.name}, "record")


def _example(kind: type) -> Any:
    values: dict[str, Any] = {}
    for field in fields(kind):
        text = str(field.type)
        values[field.name] = (
            () if text.startswith("tuple") else {} if text.startswith("dict") else 0.0 if text == "float"
            else 0 if text == "int" else "done" if text.startswith("Literal") else RerunStatus.FAILED
            if text == "RerunStatus" else "x"
        )  # fmt: skip
    return kind(**values)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"value": 1}, "f.yaml: interval: missing; it must be given (and 2 more)"),
        ({"value": 1, "interval": None, "coverage": 1, "valeu": 2}, "f.yaml: valeu: unknown key; remove it or correct its spelling"),
        ("text", "f.yaml: the file: should be an object, found 'text'"),
        (None, "f.yaml: the file: should be an object"),
        ({"value": "\ud800", "interval": None, "coverage": 1}, "f.yaml: the file: invalid JSON"),
        ({"value": "x" * 500, "interval": None, "coverage": 1}, "f.yaml: value: should be a valid number"),
    ],
    ids=repr,
)  # fmt: skip
def test_bad_data_is_bad_input_that_names_file_and_key(data: object, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(Score, data, "f.yaml")
    assert str(refused.value).startswith(says)
    assert len(str(refused.value)) < 250


def test_a_kind_that_is_not_known_is_named_with_the_known_ones() -> None:
    from openassay.sources import Source

    with pytest.raises(BadInput, match=r"f\.yaml: the file: unknown kind 'ftp'; known: 'pypi', 'debian', 'local'"):
        parse(Source, {"kind": "ftp", "path": "x"}, "f.yaml")
    with pytest.raises(BadInput, match=r"f\.yaml: the file: the key 'kind' is missing"):
        parse(Source, {"path": "x"}, "f.yaml")


def test_whole_numbers_are_taken_for_floats_and_nothing_else_is_converted() -> None:
    score = parse(Score, {"value": 1, "interval": [0, 1], "coverage": 1, "bounds": [0, 1]}, "f.yaml")
    assert score == Score(value=1.0, interval=(0.0, 1.0), coverage=1.0, bounds=(0.0, 1.0))
    assert isinstance(score.value, float)
    with pytest.raises(BadInput, match="published: num_runs: should be a valid integer"):
        parse(Published, {"value": 1, "num_runs": 2.5}, "published")


def test_a_new_optional_key_changes_no_digest() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Old:
        value: float
        names: tuple[str, ...] = ()

    @dataclass(frozen=True, kw_only=True)
    class New:
        value: float
        names: tuple[str, ...] = ()
        note: str | None = None
        more: dict[str, int] = dataclasses.field(default_factory=dict)

    assert digest(declared([Old(value=0.0)])) == digest(declared([New(value=0.0)]))
    assert declared(New(value=0.0, note="x", more={"a": 1})) == {"value": 0.0, "note": "x", "more": {"a": 1}}
