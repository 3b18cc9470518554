"""Cards of fine-tuned models: do their settings, tables, results and front matter agree with each other?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from openassay.checks.check import Agreement, NotAsked, Noted, Seen, check, compared
from openassay.published.cards import ModelCard, Said, read_card, same_printed
from openassay.published.files import PublishedFiles, derived_once
from openassay.published.stated import is_aside


@derived_once
def cards_of(release: PublishedFiles) -> tuple[ModelCard, ...]:
    """The cards of fine-tuned models among a release's documents."""
    found = (read_card(text) for text in release.texts if not is_aside(text.path))
    return tuple(card for card in found if card is not None)


def _count(card: ModelCard, name: str, otherwise: float | None = None) -> float | None:
    said = card.settings.get(name)
    return otherwise if said is None else said.number


@check(
    needs="a card of a fine-tuned model with train_batch_size and total_train_batch_size on one device, or on a stated number"
)
def card_total_batch_differs(release: PublishedFiles) -> Iterator[Seen]:
    """{card.path}: total_train_batch_size is {total:g}, and {product} is {found:g}"""
    for card in cards_of(release):
        total = card.settings.get("total_train_batch_size")
        if total is None or total.number is None or "train_batch_size" not in card.settings:
            continue
        if "distributed_type" in card.settings and "num_devices" not in card.settings:
            yield NotAsked(f"{card.path}: it is trained on several devices, and does not say how many")
            continue
        names = [of for of in ("train_batch_size", "gradient_accumulation_steps", "num_devices") if of in card.settings]
        factors = [card.settings[name].number for name in names]
        if any(of is None for of in factors):
            continue
        found = math.prod(of or 0.0 for of in factors)
        product = " × ".join(f"{name} {of:g}" for name, of in zip(names, factors, strict=True))
        yield compared(found == total.number, total, *(card.settings[of] for of in names), card=card, total=total.number,
                       product=product, found=found)  # fmt: skip


@check(
    needs="a card of a fine-tuned model with a table of evaluations by epoch and step, and the number of epochs or steps"
)
def card_trained_beyond_its_end(release: PublishedFiles) -> Iterator[Seen]:
    """{card.path}:{line}: the table goes on to {name} {reached:g}, and {setting} is {planned:g}"""
    for card in cards_of(release):
        for setting, name in (("num_epochs", "epoch"), ("training_steps", "step")):
            planned, said = _count(card, setting), card.settings.get(setting)
            reached = [of for row in card.rows() for column, of in row.items() if column.lower() == name]
            if not reached or said is None or planned is None or planned <= 0:
                continue
            last = max(reached, key=lambda of: of.number or 0.0)
            most = math.ceil(planned) if name == "epoch" else planned  # a part of an epoch is counted as a whole one
            fits = (last.number or 0.0) <= most + last.half_unit
            yield compared(fits, last, said, card=card, line=last.line, name=name, reached=last.number, setting=setting,
                           planned=planned)  # fmt: skip


@check(needs="a card of a fine-tuned model whose table has two rows or more with epoch and step")
def card_steps_against_epochs(release: PublishedFiles) -> Iterator[Seen]:
    """{card.path}:{second.line}: step {second.written} at epoch {epoch}, and step {first.written} at epoch {before}: these are
    not equally many steps an epoch"""
    for card in cards_of(release):
        rows = [{name.lower(): of for name, of in row.items()} for row in card.rows()]
        rows = [row for row in rows if {"epoch", "step"} <= set(row) and (row["epoch"].number or 0) >= 0.1]
        bounds = [(row, _steps_an_epoch(row["step"], row["epoch"])) for row in rows]
        for (first, (low, high)), (second, (least, most)) in pairwise(bounds):
            yield compared(
                low <= most and least <= high, second["step"], first["step"], card=card, second=second["step"],
                first=first["step"], epoch=second["epoch"].written, before=first["epoch"].written,
            )  # fmt: skip


def _steps_an_epoch(step: Said, epoch: Said) -> tuple[float, float]:
    """The least and the most steps an epoch that a row can mean: its epoch is rounded, an epoch may end in a part of a step."""
    steps, epochs = step.number or 0.0, epoch.number or 0.0
    slack = math.ceil(epochs)
    low = (steps - slack) / (epochs + epoch.half_unit)
    return low, (steps + slack) / max(epochs - epoch.half_unit, 1e-9)


@check(needs="a card of a fine-tuned model that reports values and has a table of evaluations with the same metrics")
def card_reports_another_row(release: PublishedFiles) -> Iterator[Seen]:
    """{card.path}:{line}: the values reported at the top are those of {where} of the table; the card does not say why"""
    for card in cards_of(release):
        rows, found = card.rows(), card.reported_rows()
        if found is None or not rows:
            continue
        top, last = next(iter(card.results.values())), len(rows) - 1
        place = next(iter(rows[found[-1] if found else last].values()))
        where = f"row {found[-1] + 1} of {len(rows)}, not of the last one," if found else "no row"
        yield (Agreement if last in found else Noted)(top, place, card=card, line=top.line, where=where)


@check(needs="a card of a fine-tuned model that states a metric in its front matter's model-index and in its text")
def card_index_differs(release: PublishedFiles) -> Iterator[Seen]:
    """{card.path}: {name} is {written} in the text, and {indexed} in the front matter's model-index"""
    for card in cards_of(release):
        for name, said in card.results.items():
            named = [of.value for of in card.indexed if of.metric.casefold() == name.casefold()]
            values = [of for of in named if of.number is not None]
            if (
                len(values) != 1 or said.number is None
            ):  # of several data sets: which one the text means it does not say
                continue
            indexed = Said(
                path=card.path, key=name, value=values[0].value, written=values[0].text, line=values[0].line or 1
            )
            fits = same_printed(said, indexed)
            yield compared(fits, said, values[0], card=card, name=name, written=said.written, indexed=values[0].text)
