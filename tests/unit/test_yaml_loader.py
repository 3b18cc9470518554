"""A stranger's YAML is data: JSON's types, bounded, and every refusal says where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from openassay.core.types import Json
from openassay.faults import BadInput
from openassay.yaml_loader import MAX_BYTES, MAX_DEPTH, QUICK, load_yaml, parse_yaml

SCALARS = [
    ("no", "no"),
    ("yes", "yes"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("NO", "NO"),
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("tRUE", "tRUE"),
    ("null", None),
    ("~", None),
    ("", None),
    ("NULL", None),
    ("none", "none"),
    ("1e-3", 0.001),
    ("1E5", 100000.0),
    ("-.5", -0.5),
    ("1.", 1.0),
    ("+12", 12),
    ("010", 10),
    ("-0", 0),
    ("0x1F", "0x1F"),
    ("0o17", "0o17"),
    ("0b11", "0b11"),
    ("1_000", "1_000"),
    ("1:20", "1:20"),
    ("190:20:30", "190:20:30"),
    ("2023-11-05", "2023-11-05"),
    ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
    ("0.0.2.post1", "0.0.2.post1"),
    (".nan", ".nan"),
    (".NaN", ".NaN"),
    (".inf", ".inf"),
    ("-.inf", "-.inf"),
    ("nan", "nan"),
    ("inf", "inf"),
    ("1e999", "1e999"),
    ("-1e999", "-1e999"),
    ("e5", "e5"),
    (".", "."),
    ("-", [None]),
    ("=", "="),
    ("'1'", "1"),
    ('"1e-3"', "1e-3"),
    ("'true'", "true"),
    ("''", ""),
    ('"null"', "null"),
    ("|\n  5\n", "5\n"),
    (">-\n  5\n  6\n", "5 6"),
    ("٣", "٣"),
    ('"\\u20ac"', "€"),
    ("a # with a remark", "a"),
    ("9" * 25, int("9" * 25)),
    ("9" * 26, "9" * 26),  # a digest, perhaps
    ("-1.7976931348623157e+308", -1.7976931348623157e308),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_scalar_is_read_as_json_would_hold_it(text: str, value: object) -> None:
    found = parse_yaml(f"key: {text}" if value != [None] else "key:\n -", "f.yaml")
    assert found == {"key": value}
    assert type(found["key"]) is type(value)  # type: ignore[call-overload, index]


# (content, the line that the message must name, a part of what it must say)
REFUSED = [
    ("a: 1\nb: &x 2\n", 2, "anchors and aliases"),
    ("a: &x {b: 1}\n", 1, "anchors and aliases"),
    ("a: 1\n\nb: *x\n", 3, "anchors and aliases"),
    ("- &x a\n- *x\n", 1, "anchors and aliases"),
    ("a: !!python/object/apply:os.system [id]\n", 1, "python/object/apply:os.system"),
    ("a: 1\nb: !!python/name:os.system\n", 2, "python/name:os.system"),
    ("a: !custom b\n", 1, "!custom"),
    ("a: ! b\n", 1, "tag"),
    ("a: !!str 5\n", 1, "tag:yaml.org,2002:str"),
    ("!!map {a: 1}\n", 1, "tag:yaml.org,2002:map"),
    ("!!set\n? a\n", 1, "tag"),
    ("%TAG ! tag:x,2000:\n---\n!foo bar\n", 3, "tag:x,2000:foo"),
    ("a: 1\n<<: {b: 2}\n", 2, "merge keys"),
    ('"<<": {b: 2}\n', 1, "merge keys"),
    ("a: 1\nb: 2\na: 3\n", 3, "'a' stands twice"),
    ("x: {a: 1, a: 1}\n", 1, "'a' stands twice"),
    ("1: a\n'1': b\n", 2, "'1' stands twice"),
    ("? [a, b]\n: c\n", 1, "a key must be a word"),
    ("a: 1\n? {b: c}\n: d\n", 2, "a key must be a word"),
    ("a: 1\n---\nb: 2\n", 2, "another document"),
    ("a\n...\n---\nb\n", 3, "another document"),
    ("a:\n\tb: 1\n", 2, "'\\t'"),
    ("\ta: 1\n", 1, "'\\t'"),
    ("a: 1\nb: [1, 2\n", 3, "not YAML"),
    ("a: b: c\n", 1, "not YAML"),
    ("a: 'b\n", 2, "not YAML"),
    ("a: @b\n", 1, "not YAML"),
    ("a: 1\n b: 2\n", 2, "not YAML"),
    ("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, 1, "nested too deeply"),
    ("\n".join(" " * i + "- " for i in range(MAX_DEPTH + 1)), MAX_DEPTH + 1, "nested too deeply"),
]


@pytest.mark.parametrize(("content", "line", "says"), REFUSED)
def test_what_is_not_plain_data_is_refused_with_file_and_line(
    content: str, line: int, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "target.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadInput) as refused:
        load_yaml(path)
    message = str(refused.value)
    assert message.startswith(f"{path}:{line}: ")
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "content",
    [
        'a: "\\UFFFFFFFF"',  # no character has this number
        'a: "\\U00110000"',
        "%YAML 1." + "9" * 5000 + "\n--- a",
        "a: \x00",
        "a: \x07",
        "%YAML 3.0\n---\na: 1\n",
        "a: !<%FF> b",
    ],
    ids=repr,
)
def test_text_that_no_yaml_can_hold_is_refused_and_named(content: str) -> None:
    with pytest.raises(BadInput, match=r"^f\.yaml.*not YAML"):
        parse_yaml(content, "f.yaml")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[yaml.Event]:
    """The events that the parsers have been asked for."""
    asked: list[yaml.Event] = []
    real = yaml.parse

    def parse(*given: Any, **options: Any) -> Iterator[yaml.Event]:
        for event in real(*given, **options):
            asked.append(event)
            yield event

    monkeypatch.setattr(yaml, "parse", parse)
    return asked


def test_a_billion_laughs_are_refused_at_once(events: list[yaml.Event]) -> None:
    laughs = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    laughs += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    with pytest.raises(BadInput, match=r"^f\.yaml:1: anchors"):
        parse_yaml("\n".join(laughs), "f.yaml")
    assert len(events) < 20  # of both parsers together


@pytest.mark.parametrize("piece", ["[", "{a: ", "- ", "? ", "[[],", "{"])
def test_deep_nesting_is_refused_at_once(piece: str, events: list[yaml.Event]) -> None:
    text = piece * ((MAX_BYTES - 1) // len(piece))
    with pytest.raises(BadInput):
        parse_yaml(text, "f.yaml")
    assert len(events) < 100


def test_a_file_of_the_greatest_size_is_read_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "target.yaml"
    path.write_text("a: " + "x" * (MAX_BYTES - 4) + "\n")
    assert load_yaml(path) == {"a": "x" * (MAX_BYTES - 4)}
    path.write_text("a: " + "x" * (MAX_BYTES - 3) + "\n")
    with pytest.raises(BadInput, match=f"more than {MAX_BYTES} bytes"):
        load_yaml(path)


def test_the_deepest_allowed_nesting_is_read() -> None:
    found = parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f.yaml")
    for _ in range(MAX_DEPTH - 1):
        assert isinstance(found, list)
        found = found[0]
    assert found == []


def test_a_file_that_is_not_utf8_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "target.yaml"
    path.write_bytes("a: café".encode("latin-1"))
    with pytest.raises(BadInput, match=r"target\.yaml: byte 6 is not UTF-8"):
        load_yaml(path)
    path.write_bytes("a: b".encode("utf-16"))
    with pytest.raises(BadInput, match="byte 0 is not UTF-8"):
        load_yaml(path)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "target.yaml"
    path.write_bytes("a: 1\n".encode("utf-8-sig"))
    assert load_yaml(path) == {"a": 1}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_ends_of_lines_as_windows_writes_them_change_nothing(tmp_path: Path, mark: bytes) -> None:
    text = b"a: 1\nb:\n  - |\n    one\n    two\n  - 'x\n    y'  # remark\n"
    path = tmp_path / "target.yaml"
    path.write_bytes(mark + text.replace(b"\n", b"\r\n"))
    assert load_yaml(path) == parse_yaml(text.decode(), "f.yaml") == {"a": 1, "b": ["one\ntwo\n", "x y"]}


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.yaml: there is no such file"):
        load_yaml(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("content", ["", "\n\n", "# only a remark\n", "---\n", "null", "~"])
def test_an_empty_file_says_nothing(content: str) -> None:
    assert parse_yaml(content, "f.yaml") is None


def test_keys_are_words_whatever_they_look_like() -> None:
    assert parse_yaml("1: a\ntrue: b\n~: c\n1.5: d\nno: e\n", "f.yaml") == {
        "1": "a", "true": "b", "~": "c", "1.5": "d", "no": "e",
    }  # fmt: skip


def test_the_order_of_keys_is_kept() -> None:
    assert list(parse_yaml("b: 1\na: 2\nc: 3\n", "f.yaml")) == ["b", "a", "c"]  # type: ignore[arg-type]


# What YAML can hold as it stands: printable text; whole numbers that do not turn into floats for their length.
words = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f", exclude_categories=["Cc"]),
    max_size=20,
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(words.filter(lambda key: key != "<<"), inner, max_size=4)
    ),
    max_leaves=12,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(values.filter(lambda value: depth(value) <= MAX_DEPTH))
def test_json_is_read_as_json(value: Any) -> None:
    assert parse_yaml(json.dumps(value, ensure_ascii=False), "f.yaml") == value


@given(st.text(max_size=60) | st.text("[]{}:,-?&*!|>'\"%@`#~<= \n\tab01.e\\Ux", max_size=60))
def test_any_text_is_data_or_bad_input_and_never_another_error(text: str) -> None:
    said, found = "f.yaml", None
    try:
        found = parse_yaml(text, "f.yaml")
    except BadInput as refused:
        said = str(refused)
    assert said.startswith("f.yaml")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


# Both parsers


ODD = [
    *(content for content, _, _ in REFUSED),
    *(f"key: {text}" for text, _ in SCALARS),
    "|#",
    "a: >-1#b\n c\n",
    "{a?b: c}",
    "[a?\n b, ?c, a ? b]",
    "a: b?\n? c\n: d?e\n",
    "a:\tb",
    "a: [1,\t2]\n",
    "a: b\r\nc: d\r\n",
    "\ufeffa: b",
    "a: \ufeffb",
    "a: b\x85c: d",
    "a: b\u2028 c",
    "a: '\U0001f600'",
    'a: "\\ud800"',
    'a: "\\/\\_\\L\\P\\N"',
    "a: |+\n  b\n\n\nc: >2-\n    d\n",
    "{a: b, c, 'd': [e: f, {}], }",
    "- - a\n  - b: c\n    d:\n- e\n-\n",
    "%YAML 1.2\n--- a\n",
    "a: b # c\n...\n# d\n",
    "a" * 1100 + ": b",
    "a: &a [*a, *a]\n",
    "[" * 2000,
    "- " * 2000,
    "{a: " * 2000,
]


def told(text: str) -> Json | str:
    try:
        return [parse_yaml(text, "f.yaml")]
    except BadInput as refused:
        return str(refused)


def told_alike(text: str) -> bool:
    quick = told(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openassay.yaml_loader.QUICK", yaml.SafeLoader)
        return told(text) == quick


@pytest.mark.parametrize("text", ODD)
def test_libyaml_and_the_parser_in_python_say_the_same_of_odd_texts(text: str) -> None:
    assert told_alike(text)


pieces = ["  ", "\n", "\n  ", "- ", ": ", ", ", "a", "1", "é", *"-?:,[]{}#&*!|>'\"%@`~<="]


@given(st.lists(st.sampled_from(pieces), max_size=14).map("".join))
def test_libyaml_and_the_parser_in_python_say_the_same_of_any_text(text: str) -> None:
    assert told_alike(text)


@pytest.mark.skipif(QUICK is yaml.SafeLoader, reason="PyYAML was built without libyaml")
def test_an_ordinary_target_file_is_read_by_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml.SafeLoader, "__init__", None)
    assert parse_yaml("a: [1, two]\nb:\n  - c: é\n", "f.yaml") == {"a": [1, "two"], "b": [{"c": "é"}]}
