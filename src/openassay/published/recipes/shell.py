"""The words of a published shell script: its variables put in where the script itself says their value. Nothing is run.

Followed: `NAME=value`, arrays, `+=`, `$NAME`, `${NAME[@]}`, quotes, continued lines and here-documents, and whole-number
arithmetic. A value that comes from outside, is given twice or only under a condition, is not followed, and its word says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from openassay.faults import BadInput
from openassay.published.marked import MAX_BYTES, shorten

MAX_WORDS = 20_000
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_ASSIGNS = re.compile(rf"({_NAME})(\+?=)")
_HERE = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_OPENS, _CLOSES = {"if", "for", "while", "until", "case", "select", "{"}, {"fi", "done", "esac", "}"}
_DECLARES = {"export", "declare", "local", "readonly", "typeset"}


@dataclass(frozen=True)
class Word:
    """A word; `text` is None for one that is not followed."""

    text: str | None
    line: int
    why: str = ""
    maybe: bool = False
    """Only under a condition."""
    is_glued: bool = False
    """Not followed, and joined to text that is: it is one word."""
    start: str = ""
    """How a word that is not followed begins, as far as it is."""
    end: str = ""
    """How it ends, as far as that is followed."""


@dataclass(frozen=True)
class _Part:
    text: str
    line: int
    kind: str
    """`plain`, `single` and `double` for the quotes."""


@dataclass(frozen=True)
class _Raw:
    parts: tuple[_Part, ...]
    line: int
    items: tuple[_Raw, ...] | None = None
    """Of an array."""

    @property
    def bare(self) -> str:
        return "".join(part.text for part in self.parts)

    @property
    def is_plain(self) -> bool:
        return all(part.kind == "plain" for part in self.parts)


class _Lexer:
    """Text to commands of raw words."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where, self.at, self.line = text, where, 0, 1
        self.here: list[str] = []

    def bad(self, expected: str) -> BadInput:
        return BadInput(f"{self.where}:{self.line}: expected {expected}, found the end of the file")

    def take(self, count: int) -> str:
        piece = self.text[self.at : self.at + count]
        self.at += count
        self.line += piece.count("\n")
        return piece

    def until(self, sign: str, expected: str) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] != sign:
            self.take(2 if self.text[self.at] == "\\" and sign != "'" else 1)
        if self.at >= len(self.text):
            raise self.bad(expected)
        inner = self.text[start : self.at]
        self.take(1)
        return inner

    def substitution(self) -> str:
        """`$(...)`, `$((...))`, `${...}` or a backquoted command, whole."""
        start = self.at
        if self.text[self.at] == "`":
            self.take(1)
            self.until("`", "a closing backquote")
            return self.text[start : self.at]
        opens, closes = self.text[self.at + 1], {"(": ")", "{": "}"}[self.text[self.at + 1]]
        self.take(2)
        depth = 1
        while depth and self.at < len(self.text):
            sign = self.text[self.at]
            if sign == "'" and opens == "(":
                self.take(1)
                self.until("'", "a closing quote")
                continue
            depth += (sign == opens) - (sign == closes)
            self.take(2 if sign == "\\" else 1)
        if depth:
            raise self.bad(f"a closing {closes}")
        return self.text[start : self.at]

    def word(self) -> _Raw:
        parts: list[_Part] = []
        first = self.line
        while self.at < len(self.text):
            sign, line = self.text[self.at], self.line
            if sign == "\\":
                pair = self.take(2)
                if pair != "\\\n":
                    parts.append(_Part(pair[1:], line, "single"))
            elif sign == "'":
                self.take(1)
                parts.append(_Part(self.until("'", "a closing quote"), line, "single"))
            elif sign == '"':
                self.take(1)
                parts.append(_Part(self.double(), line, "double"))
            elif sign == "`" or self.text[self.at : self.at + 2] in {"$(", "${"}:
                parts.append(_Part(self.substitution(), line, "plain"))
            elif sign == "(" and parts and re.fullmatch(rf"{_NAME}\+?=", "".join(part.text for part in parts)):
                self.take(1)
                return _Raw(tuple(parts), first, tuple(self.array()))
            elif sign in " \t\n;|&()<>":
                break
            else:
                parts.append(_Part(self.take(1), line, "plain"))
        return _Raw(tuple(parts), first)

    def double(self) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] != '"':
            if self.text[self.at] == "`" or self.text[self.at : self.at + 2] in {"$(", "${"}:
                self.substitution()
            else:
                self.take(2 if self.text[self.at] == "\\" else 1)
        if self.at >= len(self.text):
            raise self.bad("a closing quote")
        inner = self.text[start : self.at]
        self.take(1)
        return inner

    def array(self) -> Iterator[_Raw]:
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign == ")":
                self.take(1)
                return
            if sign == "#":
                self.comment()
            elif sign in " \t\n" or self.text[self.at : self.at + 2] == "\\\n":
                self.take(2 if sign == "\\" else 1)
            elif sign in ";|&<>(":
                raise BadInput(f"{self.where}:{self.line}: expected the words of an array, found {sign!r}")
            else:
                yield self.word()
        raise self.bad("a closing )")

    def comment(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def commands(self) -> Iterator[list[_Raw]]:
        words: list[_Raw] = []
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign == "\n":
                self.take(1)
                yield words
                words = []
                self.skip_here()
            elif sign in " \t" or self.text[self.at : self.at + 2] == "\\\n":
                self.take(2 if sign == "\\" else 1)
            elif sign == "#":
                self.comment()
            elif sign == "<" and (match := _HERE.match(self.text, self.at)):
                self.here.append(match[2])
                self.take(len(match[0]))
            elif sign in ";|&()":
                self.take(1)
                yield words
                words = []
            elif sign in "<>":
                self.take(1)
            else:
                words.append(self.word())
        yield words

    def skip_here(self) -> None:
        for end in self.here:
            while self.at < len(self.text):
                stop = self.text.find("\n", self.at)
                line = self.take((len(self.text) if stop < 0 else stop + 1) - self.at)
                if line.strip() == end:
                    break
        self.here = []


@dataclass
class Script:
    """What a script's commands and variables are, its own values put in."""

    commands: list[list[Word]]
    variables: dict[str, list[Word]]


def parse_script(text: str, where: str) -> Script:
    """The commands and variables of a shell script. `BadInput` with the line for text that is none, or is too large."""
    if len(text) > MAX_BYTES:
        raise BadInput(f"{where}: expected a script of at most {MAX_BYTES} bytes, found {len(text)}")
    return _Follower(where).read(_Lexer(text.replace("\r\n", "\n").removeprefix("\ufeff"), where))


class _Follower:
    def __init__(self, where: str) -> None:
        self.where = where
        self.variables: dict[str, list[Word]] = {}
        self.left = MAX_WORDS
        self.depth = 0

    def read(self, lexer: _Lexer) -> Script:
        found: list[list[Word]] = []
        for given in lexer.commands():
            words = given
            while (
                words and words[0].is_plain and words[0].bare in _OPENS | _CLOSES | {"then", "do", "else", "elif", "!"}
            ):
                head = words[0].bare
                self.depth = max(0, self.depth + (head in _OPENS) - (head in _CLOSES))
                if head in {"for", "select"} and len(words) > 1:
                    self.lose(words[1].bare, words[1].line, "it is a loop's")
                words = [] if head in {"for", "case", "select"} else words[1:]
            if not words:
                continue
            declared = words[1:] if words[0].bare in _DECLARES else words
            if all(_ASSIGNS.match(word.bare) or (declared is not words) for word in declared):
                for word in declared:
                    self.assign(word)
                continue
            if words[0].bare in {"read", "source", ".", "mapfile", "readarray", "unset", "getopts"}:
                for word in words[1:] if words[0].bare not in {"source", "."} else ():
                    self.lose(word.bare, word.line, f"{words[0].bare} gives it")
            while words and _ASSIGNS.match(words[0].bare):
                words = words[1:]
            found.append([one for word in words for one in self.expand(word)])
        return Script(found, self.variables)

    def lose(self, name: str, line: int, why: str) -> None:
        if re.fullmatch(_NAME, name):
            self.variables[name] = [Word(None, line, f"${name}: {why} ({self.where}:{line})")]

    def assign(self, word: _Raw) -> None:
        match = _ASSIGNS.match(word.bare)
        if not match:
            return
        name, adds = match[1], match[2] == "+="
        if word.items is not None:
            value = [one for item in word.items for one in self.expand(item)]
        else:
            left, parts = match.end(), []
            for part in word.parts:
                parts.append(replace(part, text=part.text[left:]))
                left = max(0, left - len(part.text))
            value = self.split(tuple(parts), is_split=True)
        before = self.variables.get(name)
        again = word.items is None and re.search(rf"\$\{{?{name}\b", word.bare) is not None
        array_again = any(re.search(rf"\$\{{?{name}\b", item.bare) for item in word.items or ())
        if adds or ((again or array_again) and before is not None):
            known = len(before or []) if again or array_again else 0
            value = value[known:] if known else value
            if self.depth:
                value = [replace(one, maybe=True) for one in value]
            self.variables[name] = [*(before or []), *value]
        elif self.depth:
            self.lose(name, word.line, "it is given under a condition")
        elif before is not None and [one.text for one in before] != [one.text for one in value]:
            self.lose(name, word.line, "it is given more than once")
        else:
            self.variables[name] = value

    def expand(self, word: _Raw) -> list[Word]:
        return self.split(word.parts, is_split=False)

    def split(self, parts: tuple[_Part, ...], is_split: bool) -> list[Word]:
        """Parts to words. Quoted text is one word, unless `is_split`: then blanks part it, wherever they stand."""
        words: list[Word] = []
        going = False

        def add(
            text: str | None,
            at: int,
            why: str = "",
            maybe: bool = False,
            glued: bool = False,
            start: str = "",
            end: str = "",
        ) -> None:
            nonlocal going
            self.left -= 1
            if self.left < 0:
                raise BadInput(f"{self.where}:{at}: expected at most {MAX_WORDS} words, found more")
            if going and words:
                last = words[-1]
                joined = None if last.text is None or text is None else last.text + text
                begins = last.start if last.text is None else last.text + start if joined is None else ""
                glued = joined is None and bool(last.text or text or last.is_glued or glued)
                ends = "" if joined is not None else end if text is None else last.end + text
                words[-1] = Word(joined, last.line, last.why or why, last.maybe or maybe, glued, begins, ends)
            else:
                words.append(Word(text, at, why, maybe, glued, start, end))
            going = True

        def plain(text: str, at: int) -> None:
            nonlocal going
            pieces = re.split(r"(\s+)", text) if is_split else [text]
            for piece in pieces:
                if is_split and piece.isspace():
                    going = False
                    at += piece.count("\n")
                elif piece:
                    add(piece, at)

        for part in _merged(parts):
            at = part.line
            if part.kind == "single":
                plain(part.text, at)
                continue
            text = re.sub(r"\\\n", "\x00", part.text) if part.kind == "double" else part.text
            for piece in re.split(
                r"(\\[$`\"\\]|\x00|`[^`]*`|\$\(\(.*?\)\)|\$\(.*\)|\$\{[^}]*\}|\$\w+|\$[@*#?!$-])", text
            ):
                if piece == "\x00":
                    at += 1
                elif len(piece) == 2 and piece[0] == "\\":
                    add(None, at, f"{shorten(piece[1:])} is put in when it runs") if piece[1] == "$" else plain(
                        piece[1:], at
                    )
                elif piece[:1] in {"$", "`"} and len(piece) > 1:
                    values = self.value(piece, at)
                    if part.kind == "plain" or is_split:
                        values = [replace(one, text=text) for one in values for text in _pieces(one.text)]
                    whole = part.kind == "double" and not is_split and "[" not in piece
                    if whole and len(values) != 1:
                        values = [_joined(values, at)]
                    for i, one in enumerate(values):
                        going = going and i == 0
                        add(one.text, one.line, one.why, one.maybe, one.is_glued, one.start, one.end)
                    if not values:
                        continue
                else:
                    plain(piece, at)
                    at += piece.count("\n")
        return words

    def value(self, piece: str, line: int) -> list[Word]:
        """What `$NAME`, `${NAME[@]}` or plain arithmetic stands for."""
        place = f"({self.where}:{line})"
        if piece.startswith("$(("):
            return [self.arithmetic(piece[3:-2], line)]
        match = re.fullmatch(rf"\$\{{?({_NAME})(\[[@*]\])?\}}?", piece)
        if not match:
            return [Word(None, line, f"{shorten(piece)} is known only where it runs {place}")]
        if match[1] not in self.variables:
            return [Word(None, line, f"${match[1]} is not given in this file {place}")]
        return self.variables[match[1]]

    def arithmetic(self, text: str, line: int) -> Word:
        """Whole-number sums, products and quotients of literals and known variables."""
        why = f"$(({shorten(text)})) is not plain arithmetic ({self.where}:{line})"

        def put(match: re.Match[str]) -> str:
            known = self.variables.get(match[1], [])
            whole = len(known) == 1 and known[0].text is not None and re.fullmatch(r"[0-9]{1,15}", known[0].text)
            return f" {known[0].text} " if whole else "?"

        tokens = re.sub(rf"\$?\{{?({_NAME})\}}?", put, text).split()
        tokens = re.findall(r"[0-9]+|\S", " ".join(tokens))
        if len(tokens) % 2 == 0 or any(not re.fullmatch(r"[1-9][0-9]{0,14}|0", one) for one in tokens[::2]):
            return Word(None, line, why)
        if any(one not in {"*", "/", "+", "-"} for one in tokens[1::2]):
            return Word(None, line, why)
        terms, signs = [int(tokens[0])], [1]
        for sign, digits in zip(tokens[1::2], tokens[2::2], strict=True):
            number = int(digits)
            if sign == "*":
                terms[-1] *= number
            elif sign == "/":
                if number == 0:
                    return Word(None, line, why)
                terms[-1] //= number
            else:
                terms.append(number)
                signs.append(1 if sign == "+" else -1)
            if terms[-1] > 10**18:
                return Word(None, line, why)
        return Word(str(sum(one * sign for one, sign in zip(terms, signs, strict=True))), line)


def _merged(parts: tuple[_Part, ...]) -> Iterator[_Part]:
    """Neighbouring plain signs as one part."""
    held: _Part | None = None
    for part in parts:
        if held and part.kind == held.kind == "plain":
            held = replace(held, text=held.text + part.text)
            continue
        if held:
            yield held
        held = part
    if held:
        yield held


def _pieces(text: str | None) -> list[str] | list[None]:
    """A value as the words into which it splits outside quotes."""
    return [None] if text is None else text.split()


def _joined(words: list[Word], line: int) -> Word:
    lost = next((one for one in words if one.text is None), None)
    if lost:
        return Word(None, line, lost.why)
    return Word(" ".join(one.text or "" for one in words), line, maybe=any(one.maybe for one in words))
