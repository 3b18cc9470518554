"""Tokenizers against settings and weights: special tokens, vocabulary sizes, embeddings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from openassay.checks.check import Agreement, Contradiction, Seen, check, compared
from openassay.published.files import Config, PublishedFiles, Tokenizer, Value, excerpt
from openassay.published.scalars import is_integer

_NAMES_TOKENIZER = {"identifier", "encoder_file", "vocab_file", "tokenizer_file", "tokenizer_path"}


def _named_tokenizer(config: Config, release: PublishedFiles) -> Tokenizer | None:
    """The tokenizer file that a settings file names, if the release holds exactly one of that name."""
    named = (v.value for v in config.values if v.word in _NAMES_TOKENIZER and isinstance(v.value, str))
    for path in (name.replace("\\", "/") for name in named if name.endswith(".json")):
        base = path.rpartition("/")[2]
        found = [t for t in release.tokenizers if f"/{t.path}".endswith(f"/{path}")]
        if not found and (base != "tokenizer.json" or len(release.tokenizers) == 1):
            found = [t for t in release.tokenizers if t.name == base]
        if len(found) == 1:
            return found[0]
    return None


@check(
    needs="a model's settings and its tokenizer in one folder, or a training that names a tokenizer file that is there"
)
def special_token_elsewhere(release: PublishedFiles) -> Iterator[Seen]:
    """{value.path} gives {value.key} {given}, but in {tokenizer.path} {token!r} has the id {found}"""
    for tokenizer in release.tokenizers:
        beside = [c for c in release.configs if _is_beside(c, tokenizer)]
        if any("model_type" in config.by_key or "eos_token_id" in config.by_key for config in beside):
            for kind in ("eos", "bos", "pad"):
                yield from _special_token(kind, tokenizer, beside)
    for config in release.configs:
        if named := _named_tokenizer(config, release):
            for value in config.values:
                if value.leaf in {"eos_token_id", "eos_id"} and is_integer(value.value):
                    yield from _end_of_text(value, named)


def _is_beside(config: Config, tokenizer: Tokenizer) -> bool:
    if not tokenizer.folder and config.path == "config.json":
        return True
    return config.folder == tokenizer.folder and config.path.endswith(("/config.json", "generation_config.json"))


def _special_token(kind: str, tokenizer: Tokenizer, beside: list[Config]) -> Iterator[Seen]:
    named = tokenizer.names.get(f"{kind}_token")
    found = tokenizer.ids.get(named.value) if named is not None else None
    if named is None or found is None:
        return
    key = f"{kind}_token_id"
    given = [config.by_key[key] for config in beside if key in config.by_key]
    ids = [n for v in given for n in (v.value if isinstance(v.value, tuple) else (v.value,)) if is_integer(n)]
    if ids:
        evidence = given[:1] if found in ids else given
        at, value, token = named.seen(f"{named.value} = {found}"), given[0], named.value
        yield compared(
            found in ids, *evidence, at, value=value, given=value.text, tokenizer=tokenizer, token=token, found=found
        )


def _end_of_text(value: Value, tokenizer: Tokenizer) -> Iterator[Seen]:
    """A training's end of text, where its tokenizer file is in the release under the name it gives."""
    known = ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "[EOS]", "<|eos|>")
    ends = [(token, tokenizer.ids[token]) for token in known if token in tokenizer.ids]
    meant = next((token for token, number in tokenizer.ids.items() if number == value.value), None)
    if any(number == value.value for _, number in ends):
        yield Agreement(value, excerpt(tokenizer.path, meant or "", str(value.value)))
    elif len(ends) == 1 and (
        meant is None
        or meant not in tokenizer.added
        or re.search(r"(?i)pad|unk|bos|start|ip_address|email|phone", meant)
    ):
        token, found = ends[0]
        given = str(value.value) if meant is None else f"{value.value} ({value.value} is {meant!r})"
        at = excerpt(tokenizer.path, token, str(found))
        yield Contradiction(value, at, value=value, given=given, tokenizer=tokenizer, token=token, found=found)


@check(needs="two settings files that name one tokenizer and give its special tokens' ids")
def one_tokenizer_two_ends(release: PublishedFiles) -> Iterator[Seen]:
    """{first.path} and {second.path} name the same tokenizer, {tokenizer}, but give {key} {first.text} and {second.text}"""
    # One tokenizer has one end of text.
    keys = {"tokenizer.identifier", "tokenizer.name", "tokenizer_name_or_path"}
    for key in ("eos_token_id", "pad_token_id", "bos_token_id"):
        first_of: dict[str, Value] = {}
        for config in release.configs:
            named = [v for v in config.values if v.key in keys and isinstance(v.value, str)]
            ids = [v for v in config.values if v.leaf == key and is_integer(v.value)]
            if len(named) != 1 or len({v.value for v in ids}) != 1:
                continue
            second, first = ids[0], first_of.setdefault(named[0].value, ids[0])
            if first is not second:
                is_same, name = first.value == second.value, named[0]
                yield compared(is_same, first, second, name, first=first, second=second, tokenizer=name.text, key=key)


@check(needs="a model's or a training's vocabulary size, and its tokenizer's file")
def vocabulary_too_small(release: PublishedFiles) -> Iterator[Seen]:
    """{value.path}: {value.key} is {value.text}, but {tokenizer.path} has ids up to {largest}"""
    # The embedding has a row for every id that the tokenizer can give.
    for tokenizer in release.tokenizers:
        for config in release.configs:
            if config.folder == tokenizer.folder and _is_model(config) and (size := config.by_key.get("vocab_size")):
                yield from _against_largest(size, size, tokenizer)
    for config in release.configs:
        named = _named_tokenizer(config, release)
        sizes = [v for v in config.values if v.leaf == "vocab_size"]
        if named is not None and len({str(v.value) for v in sizes}) == 1:
            embedding = next((v for v in config.values if v.leaf == "embedding_size"), None)
            yield from _against_largest(sizes[0], embedding if embedding and embedding.number else sizes[0], named)


def _is_model(config: Config) -> bool:
    return config.name == "config.json" and "model_type" in config.by_key


def _against_largest(stated: Value, rows: Value, tokenizer: Tokenizer) -> Iterator[Seen]:
    """The stated size and the embedding's rows, which may be more, against a tokenizer's largest id."""
    largest = max(tokenizer.ids.values())
    if rows.number is not None:
        fits, at = largest < rows.number, excerpt(tokenizer.path, "largest id", str(largest))
        yield compared(fits, stated if fits else rows, at, value=rows, tokenizer=tokenizer, largest=largest)


_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight$")


@check(needs="a model's settings and its weights in one folder")
def embedding_of_another_size(release: PublishedFiles) -> Iterator[Seen]:
    """{size.path}: {size.key} is {size.text}, but {tensor} in {weights} has {rows} rows"""
    for config in release.configs:
        size = config.by_key.get("vocab_size")
        if not _is_model(config) or size is None or not isinstance(size.value, int):
            continue
        for path, tensors in release.weights.items():
            if path.rpartition("/")[0] != config.folder:
                continue
            found = [(n, shape) for n, (_, shape, *_) in tensors.items() if _EMBEDDING.search(n) and len(shape) == 2]
            if len(found) != 1:
                continue
            name, shape = found[0]
            at = excerpt(path, name, f"shape {list(shape)}")
            if shape[0] == size.value:
                yield Agreement(size, at)
            elif size.value not in shape:
                yield Contradiction(size, at, size=size, tensor=name, weights=path, rows=shape[0])


@check(needs="a padded vocabulary and the number that it is to be a multiple of")
def vocabulary_not_divisible(release: PublishedFiles) -> Iterator[Seen]:
    """{size.path}: {size.key} is {size.text}, which {why}"""
    # And an embedding is never smaller than its vocabulary.
    for config in release.configs:
        keys = {value.word.lower(): value for value in config.values}
        divisor, padded = keys.get("make_vocab_size_divisible_by"), keys.get("padded_vocab_size")
        if divisor is not None and padded is not None and divisor.number and padded.number:
            why = f"{divisor.key} {divisor.text} does not divide"
            yield compared(padded.number % divisor.number == 0, padded, divisor, size=padded, why=why)
        size, rows = keys.get("vocab_size"), keys.get("embedding_size")
        if size is not None and rows is not None and size.number and (rows.number or 0) > 1000:
            why = f"is smaller than {size.key} {size.text}"
            yield compared((rows.number or 0) >= size.number, rows, size, size=rows, why=why)
