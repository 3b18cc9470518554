"""Are the checkpoints what their names say? Digests, distances between neighbours, the schedule, tokenizers and token files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from openassay.checks.check import Agreement, Contradiction, NotAsked, Seen
from openassay.checks.hyperparameters import Recipe, recipes, tokens_of
from openassay.checks.release import Config, Items, PublishedFiles, SavedWeights, Tokenizer, Value
from openassay.checks.scalars import as_number
from openassay.core.types import Excerpt


class CheckpointsAlike:
    """{first} and {second} hold the same weights, though they are steps {one} and {two} of one training"""

    kind = "checkpoints_alike"
    needs = "weights of two or more steps of one training"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Distinct steps, distinct weights. Steps 0 and 1 may be alike: the first update often has learning rate 0."""
        families: dict[str, dict[str, list[SavedWeights]]] = defaultdict(lambda: defaultdict(list))
        for checkpoint in release.checkpoints:
            families[checkpoint.family][checkpoint.sha256].append(checkpoint)
        for of in families.values():
            if sum(len(alike) for alike in of.values()) < 2:
                continue
            wrong = False
            for alike in of.values():
                steps = sorted({checkpoint.step for checkpoint in alike})
                if len(steps) > 1 and steps[-1] > 1:
                    wrong = True
                    one, two = alike[-2:]
                    yield Contradiction(
                        {"first": one.path, "second": two.path, "one": one.step, "two": two.step},
                        tuple(c.seen() for c in alike),
                    )
            if not wrong:
                yield Agreement(tuple(next(iter(alike)).seen() for alike in list(of.values())[:4]))


def update_factor(beta1: float, beta2: float) -> float:
    """The most that Adam moves a weight in one update, in learning rates.

    By Cauchy-Schwarz |m|/sqrt(v) <= (1 - b1)/sqrt(1 - b2) * sqrt(sum_k (b1^2/b2)^k), corrected for bias at each update; the
    largest over all updates. 1 for the first update, 7.3 for betas 0.9 and 0.999.
    """
    if not (0 <= beta1 < 1 and 0 < beta2 < 1) or beta1**2 >= beta2:
        return float("inf")
    ratio, largest, power, total = beta1**2 / beta2, 1.0, 1.0, 0.0
    for t in range(1, 20_001):
        total += power
        power *= ratio
        correction = (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        largest = max(largest, (1 - beta1) / (1 - beta2) ** 0.5 * total**0.5 * correction)
        if t > 50 and power < 1e-12 and beta2**t < 1e-9:
            break
    return largest


def _adam(recipe: Recipe) -> tuple[float, float] | None:
    """The betas of an Adam-like optimizer; None for another or an unknown one."""
    named = " ".join(
        str(v.value)
        for v in recipe.config.values
        if re.search(r"(optimizer|optim)(\.|_)?(type|name|class|$)|optimizer$", v.key, re.IGNORECASE)
        and isinstance(v.value, str)
    ).lower()
    if "adam" not in named or "adamax" in named or "8bit" in named:
        return None
    return recipe.number("beta1") or 0.9, recipe.number("beta2") or 0.999


def _rates(recipe: Recipe, first: int, last: int) -> float:
    """The most that the rates of the updates first+1 to last can be together: linear warm-up if stated, else the peak."""
    peak = recipe.number("learning_rate") or 0.0
    warmup = recipe.number("warmup_steps") or 0.0
    fraction = recipe.config.by_key.get("warmup")
    steps = recipe.number("steps")
    if fraction is not None and (share := as_number(fraction.value)) is not None and 0 < share < 1 and steps:
        warmup = share * steps
    if warmup <= 0 or first >= warmup:
        return peak * (last - first)
    inside = int(min(last, warmup))
    # Update k has at most (k + 1)/warmup of the peak, wherever an implementation begins to count.
    ramp = sum(min(1.0, (k + 1) / warmup) for k in range(first, min(inside, first + 200_000)))
    return peak * (ramp + max(0, last - inside))


class TooFarForItsLearningRate:
    """{tensor} moves by {moved} from step {one} to step {two}; {updates} updates with these learning rates reach {bound} at most,
    so {second} does not descend from {first}"""

    kind = "too_far_for_its_learning_rate"
    needs = "weights of neighbouring steps, and the settings of their Adam-like training"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Largest change of any weight against the sum of the rates between; rounding to the stored type is allowed for."""
        training = recipes(release)
        for move in release.movements:
            of = _recipe_of(move.later, training)
            if of is None:
                yield NotAsked(
                    f"which settings belong to {move.later.family} is not clear, or they give no learning rate"
                )
                continue
            betas = _adam(of)
            if betas is None:
                yield NotAsked(f"{of.config.path} names no Adam-like optimizer")
                continue
            rates = _rates(of, move.earlier.step, move.later.step)
            decay = of.number("weight_decay") or 0.0
            bound = rates * (update_factor(*betas) + decay * move.largest_weight)
            rate = of.values["learning_rate"]
            if move.largest <= bound * 1.001 + 1e-12:
                yield Agreement((move.later.seen(f"moves by {move.largest:.3g}, {bound:.3g} at most"), rate.seen()))
                continue
            values = {
                "tensor": move.tensor,
                "moved": f"{move.largest:.4g}",
                "one": move.earlier.step,
                "two": move.later.step,
                "updates": move.later.step - move.earlier.step,
                "bound": f"{bound:.4g}",
                "second": move.later.path,
                "first": move.earlier.path,
            }
            yield Contradiction(values, (move.earlier.seen(), move.later.seen(), rate.seen()))


class MovedWithoutLearning:
    """{tensor} moves by {moved} from step 0 to step 1, though the first update of {path} has learning rate 0"""

    kind = "moved_without_learning"
    needs = "weights of steps 0 and 1 and a GPT-NeoX schedule, whose first update has learning rate 0"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """GPT-NeoX warms up from 0: its first update changes nothing."""
        for move in release.movements:
            if (move.earlier.step, move.later.step) != (0, 1):
                continue
            of = _recipe_of(move.later, recipes(release))
            warmup = of.config.by_key.get("warmup") if of is not None else None
            if (
                of is None
                or "train-iters" not in of.config.by_key
                or warmup is None
                or not (as_number(warmup.value) or 0) > 0
            ):
                continue
            if move.largest > 0:
                values = {"tensor": move.tensor, "moved": f"{move.largest:.4g}", "path": of.config.path}
                yield Contradiction(values, (move.earlier.seen(), move.later.seen(), warmup.seen()))
            else:
                yield Agreement((move.earlier.seen(), move.later.seen()))


def _recipe_of(checkpoint: SavedWeights, training: list[Recipe]) -> Recipe | None:
    usable = [recipe for recipe in training if recipe.number("learning_rate")]
    named = [recipe for recipe in usable if recipe.name in checkpoint.path.split("/")]
    if len(named) == 1:
        return named[0]
    return usable[0] if len(usable) == 1 else None


class ScheduleAgainstClaim:
    """{document} speaks of {claimed} checkpoints, the settings of {path} save {saved}"""

    kind = "checkpoints_claimed_and_saved"
    needs = "a number of checkpoints in a document, and settings that say when they are saved"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """GPT-NeoX: every `checkpoint-factor` steps and at `extra-save-iters`."""
        saved: dict[int, tuple[Excerpt, ...]] = {}
        for recipe in recipes(release):
            keys = {key.replace("-", "_"): value for key, value in recipe.config.by_key.items()}
            every, steps = keys.get("checkpoint_factor"), keys.get("train_iters")
            if every is None or steps is None:
                continue
            interval, last = as_number(every.value), as_number(steps.value)
            if not interval or not last or interval < 1:
                continue
            extra = keys.get("extra_save_iters")
            at = {
                int(step)
                for step in (extra.value if extra and isinstance(extra.value, tuple) else ())
                if isinstance(step, int)
            }
            at |= set(range(int(interval), int(last) + 1, int(interval)))
            saved.setdefault(len(at), (every.seen(), steps.seen(), *([extra.seen()] if extra else [])))
        if len(saved) != 1:
            return
        number_saved, seen = next(iter(saved.items()))
        for text in release.texts:
            if text.folder or not text.path.lower().startswith("readme"):
                continue
            claims = [
                (int(found.group(1).replace(",", "")), line)
                for line, words in text.prose
                if (found := re.search(r"\b(\d[\d,]*)\s+(?:intermediate\s+|saved\s+|training\s+)*checkpoints\b", words))
            ]
            if any(abs(claimed - number_saved) <= 1 for claimed, _ in claims):
                line = next(line for claimed, line in claims if abs(claimed - number_saved) <= 1)
                yield Agreement((text.seen(line), *seen))
            elif claims:
                claimed, line = claims[0]
                yield Contradiction(
                    {"document": text.path, "claimed": claimed, "path": seen[0].path, "saved": number_saved},
                    (text.seen(line), *seen),
                )


class SpecialTokenElsewhere:
    """{path} gives {key} {given}, but in {tokenizer} {token!r} has the id {found}"""

    kind = "special_token_elsewhere"
    needs = (
        "a model's settings and its tokenizer in one folder, or a training that names a tokenizer file that is there"
    )

    KINDS = ("eos", "bos", "pad")

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Ids in settings against the tokenizer's own tokens."""
        for tokenizer in release.tokenizers:
            beside = [
                config
                for config in release.configs
                if (
                    config.folder == tokenizer.folder
                    and config.path.endswith(("/config.json", "generation_config.json"))
                )
                or (config.path in {"config.json", "generation_config.json"} and not tokenizer.folder)
            ]
            if not any("model_type" in config.by_key or "eos_token_id" in config.by_key for config in beside):
                continue
            for kind in self.KINDS:
                yield from self._one(kind, tokenizer, beside)
        yield from self._trainings(release)

    def _one(self, kind: str, tokenizer: Tokenizer, beside: list[Config]) -> Iterator[Seen]:
        named = tokenizer.names.get(f"{kind}_token")
        found = tokenizer.ids.get(str(named.value)) if named is not None else None
        if named is None or found is None:
            return
        given = [
            (config, config.by_key[f"{kind}_token_id"]) for config in beside if f"{kind}_token_id" in config.by_key
        ]
        values = [
            v
            for _, value in given
            for v in (value.value if isinstance(value.value, tuple) else (value.value,))
            if isinstance(v, int) and not isinstance(v, bool)
        ]
        if not values:
            return
        if found in values:
            yield Agreement((given[0][1].seen(), named.seen(f"{named.value} = {found}")))
        else:
            config, value = given[0]
            yield Contradiction(
                {
                    "path": config.path,
                    "key": f"{kind}_token_id",
                    "given": value.text,
                    "tokenizer": tokenizer.path,
                    "token": named.value,
                    "found": found,
                },
                (*(v.seen() for _, v in given), named.seen(f"{named.value} = {found}")),
            )

    END = ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "[EOS]", "<|eos|>")

    def _trainings(self, release: PublishedFiles) -> Iterator[Seen]:
        """A training's `eos_token_id` or `eos_id`, where its tokenizer file is in the release under the name it gives."""
        for config in release.configs:
            tokenizer = named_tokenizer(config, release)
            if tokenizer is None:
                continue
            for value in config.values:
                if (
                    value.leaf not in {"eos_token_id", "eos_id"}
                    or not isinstance(value.value, int)
                    or isinstance(value.value, bool)
                ):
                    continue
                ends = [(token, tokenizer.ids[token]) for token in self.END if token in tokenizer.ids]
                meant = [token for token, number in tokenizer.ids.items() if number == value.value]
                if any(number == value.value for _, number in ends):
                    yield Agreement(
                        (
                            value.seen(),
                            Excerpt(
                                path=tokenizer.path, line=None, key=meant[0] if meant else "", value=str(value.value)
                            ),
                        )
                    )
                elif len(ends) == 1 and (
                    not meant
                    or meant[0] not in tokenizer.added
                    or re.search(r"(?i)pad|unk|bos|start|ip_address|email|phone", meant[0])
                ):
                    token, number = ends[0]
                    other = f" ({value.value} is {meant[0]!r})" if meant else ""
                    yield Contradiction(
                        {
                            "path": config.path,
                            "key": value.key,
                            "given": f"{value.value}{other}",
                            "tokenizer": tokenizer.path,
                            "token": token,
                            "found": number,
                        },
                        (value.seen(), Excerpt(path=tokenizer.path, line=None, key=token, value=str(number))),
                    )


def named_tokenizer(config: Config, release: PublishedFiles) -> Tokenizer | None:
    """The tokenizer file that a settings file names, if the release holds exactly one of that name."""
    names = [
        v
        for v in config.values
        if isinstance(v.value, str)
        and v.leaf.replace("-", "_") in {"identifier", "encoder_file", "vocab_file", "tokenizer_file", "tokenizer_path"}
    ]
    for value in names:
        name = str(value.value).replace("\\", "/")
        base = name.rpartition("/")[2]
        if not base.endswith(".json"):
            continue
        found = [t for t in release.tokenizers if t.path == name or t.path.endswith(f"/{name}")]
        found = found or [
            t
            for t in release.tokenizers
            if t.path.rpartition("/")[2] == base and (base != "tokenizer.json" or len(release.tokenizers) == 1)
        ]
        if len(found) == 1:
            return found[0]
    return None


class VocabularyTooSmall:
    """{path}: {key} is {given}, but {tokenizer} has ids up to {largest}"""

    kind = "vocabulary_too_small"
    needs = "a model's or a training's vocabulary size, and its tokenizer's file"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """The embedding has a row for every id that the tokenizer can give."""
        for tokenizer in release.tokenizers:
            beside = [
                c
                for c in release.configs
                if c.folder == tokenizer.folder
                and c.path.rpartition("/")[2] == "config.json"
                and "model_type" in c.by_key
            ]
            for config in beside:
                value = config.by_key.get("vocab_size")
                if value is not None:
                    yield from self._one(value, None, tokenizer)
        for config in release.configs:
            named = named_tokenizer(config, release)
            sizes = [v for v in config.values if v.leaf == "vocab_size"]
            if named is not None and len({str(v.value) for v in sizes}) == 1:
                embedding = next((v for v in config.values if v.leaf == "embedding_size"), None)
                yield from self._one(sizes[0], embedding, named)

    def _one(self, value: Value, embedding: Value | None, tokenizer: Tokenizer) -> Iterator[Seen]:
        size = as_number(embedding.value if embedding is not None and as_number(embedding.value) else value.value)
        if size is None:
            return
        largest = max(tokenizer.ids.values())
        at = Excerpt(path=tokenizer.path, line=None, key="largest id", value=str(largest))
        if largest < size:
            yield Agreement((value.seen(), at))
        else:
            used = embedding if embedding is not None and as_number(embedding.value) else value
            yield Contradiction(
                {
                    "path": value.path,
                    "key": used.key,
                    "given": used.text,
                    "tokenizer": tokenizer.path,
                    "largest": largest,
                },
                (used.seen(), at),
            )


class EmbeddingOfAnotherSize:
    """{path}: {key} is {given}, but {tensor} in {weights} has {rows} rows"""

    kind = "embedding_of_another_size"
    needs = "a model's settings and its weights in one folder"

    NAMES = re.compile(r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight$")

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Rows of the token embedding against vocab_size."""
        for config in release.configs:
            if config.path.rpartition("/")[2] != "config.json" or "model_type" not in config.by_key:
                continue
            size = config.by_key.get("vocab_size")
            if size is None or not isinstance(size.value, int):
                continue
            for path, tensors in release.weights.items():
                if path.rpartition("/")[0] != config.folder:
                    continue
                found = [
                    (name, shape) for name, (_, shape) in tensors.items() if self.NAMES.search(name) and len(shape) == 2
                ]
                if len(found) != 1:
                    continue
                name, shape = found[0]
                at = Excerpt(path=path, line=None, key=name, value=f"shape {list(shape)}")
                if shape[0] == size.value:
                    yield Agreement((size.seen(), at))
                elif size.value not in shape:
                    yield Contradiction(
                        {
                            "path": config.path,
                            "key": "vocab_size",
                            "given": size.text,
                            "tensor": name,
                            "weights": path,
                            "rows": shape[0],
                        },
                        (size.seen(), at),
                    )


class VocabularyNotDivisible:
    """{path}: {key} is {given}, which {divisor_key} {divisor} does not divide"""

    kind = "vocabulary_not_divisible"
    needs = "a padded vocabulary and the number that it is to be a multiple of"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Where a file states both; and an embedding is never smaller than its vocabulary."""
        for config in release.configs:
            keys = {value.leaf.lower().replace("-", "_"): value for value in config.values}
            divisor, padded = keys.get("make_vocab_size_divisible_by"), keys.get("padded_vocab_size")
            if (
                divisor is not None
                and padded is not None
                and (by := as_number(divisor.value))
                and (size := as_number(padded.value))
            ):
                seen = (padded.seen(), divisor.seen())
                yield (
                    Agreement(seen)
                    if size % by == 0
                    else Contradiction(
                        {
                            "path": config.path,
                            "key": padded.key,
                            "given": padded.text,
                            "divisor_key": divisor.key,
                            "divisor": divisor.text,
                        },
                        seen,
                    )
                )
            size_of, embedding = keys.get("vocab_size"), keys.get("embedding_size")
            if (
                size_of is not None
                and embedding is not None
                and (a := as_number(size_of.value))
                and (b := as_number(embedding.value))
                and b > 1000
            ):
                seen = (embedding.seen(), size_of.seen())
                yield (
                    Agreement(seen)
                    if b >= a
                    else Contradiction(
                        {
                            "path": config.path,
                            "key": embedding.key,
                            "given": embedding.text,
                            "divisor_key": "as an embedding it is smaller than",
                            "divisor": size_of.text,
                        },
                        seen,
                    )
                )


class ItemsOfAnotherLength:
    """{path} holds items of {length} tokens; {settings} trains on {sequence}, which needs {sequence} or one more"""

    kind = "items_of_another_length"
    needs = "tokenised data of one length, and one sequence length in the settings"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Item length against sequence length; one token more serves the shifted labels."""
        lengths: dict[int, Value] = {}
        for recipe in recipes(release):
            if tokens_of(recipe) is not None or "sequence_length" in recipe.values:
                value = recipe.values.get("sequence_length")
                number = as_number(value.value) if value is not None else None
                if value is not None and number:
                    lengths.setdefault(int(number), value)
        for items in release.items:
            if items.length is None or items.length < 16 or items.num_items < 2 or not lengths:
                continue
            fitting = next((value for length, value in lengths.items() if items.length in {length, length + 1}), None)
            if fitting is not None:
                yield Agreement((items.seen(), fitting.seen()))
            elif len(lengths) == 1:
                length, value = next(iter(lengths.items()))
                yield Contradiction(
                    {"path": items.path, "length": items.length, "settings": value.path, "sequence": length},
                    (items.seen(), value.seen()),
                )


class OrderDiffers:
    """{first} and {second} hold the same {count} items in different order: the same data, not the same order"""

    kind = "order_differs"
    needs = "two files of the same tokenised items"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Same data and same order are two claims. The digest of the first items is each file's witness."""
        by_set: dict[tuple[str | None, int], list[Items]] = defaultdict(list)
        for items in release.items:
            if items.set_digest is not None and items.num_items >= 2:
                by_set[items.set_digest, items.num_items].append(items)
        for of in by_set.values():
            first = of[0]
            other = next(
                (
                    items
                    for items in of[1:]
                    if items.first_digest != first.first_digest and items.format == first.format
                ),
                None,
            )
            if other is not None:
                yield Contradiction(
                    {"first": first.path, "second": other.path, "count": first.num_items}, (first.seen(), other.seen())
                )
            elif len(of) > 1:
                yield Agreement(tuple(items.seen() for items in of[:2]))
        if not any(len(of) > 1 for of in by_set.values()):
            for items in release.items:
                if items.num_first:
                    yield Agreement((items.seen(),))


class ItemsContradictThemselves:
    """{path}: {problem}"""

    kind = "items_contradict_themselves"
    needs = "a Megatron index with its data"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """Sizes in the index against the bytes that are there."""
        for items in release.items:
            if items.problem:
                yield Contradiction({"path": items.path, "problem": items.problem}, (items.seen(),))
            elif items.format == "MMIDIDX" and items.num_first:
                yield Agreement((items.seen(),))


class OneTokenizerTwoEnds:
    """{first_path} and {second_path} name one tokenizer, {tokenizer}, but give {key} {first} and {second}"""

    kind = "one_tokenizer_two_ends"
    needs = "two settings files that name one tokenizer and give its special tokens' ids"

    def look(self, release: PublishedFiles) -> Iterator[Seen]:
        """One tokenizer has one end of text."""
        for key in ("eos_token_id", "pad_token_id", "bos_token_id"):
            first: dict[str, tuple[Value, Value]] = {}
            for config in release.configs:
                named = [
                    v
                    for v in config.values
                    if v.key in {"tokenizer.identifier", "tokenizer.name", "tokenizer_name_or_path"}
                    and isinstance(v.value, str)
                ]
                ids = [
                    v
                    for v in config.values
                    if v.leaf == key and isinstance(v.value, int) and not isinstance(v.value, bool)
                ]
                if len(named) != 1 or len({v.value for v in ids}) != 1:
                    continue
                before = first.setdefault(str(named[0].value), (ids[0], named[0]))
                if before[0] is ids[0]:
                    continue
                seen = (before[0].seen(), ids[0].seen(), named[0].seen())
                if before[0].value == ids[0].value:
                    yield Agreement(seen)
                else:
                    values = {
                        "first_path": before[0].path,
                        "second_path": ids[0].path,
                        "tokenizer": named[0].text,
                        "key": key,
                        "first": before[0].text,
                        "second": ids[0].text,
                    }
                    yield Contradiction(values, seen)
