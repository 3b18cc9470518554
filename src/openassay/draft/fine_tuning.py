"""The draft of a fine-tuned model's target: its card's settings, its base and data pinned, and what the card leaves unsaid."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from openassay.draft.brought import BroughtRelease, shortened
from openassay.draft.written import DraftedTarget
from openassay.drivers.finetune import stated_settings
from openassay.faults import BadInput
from openassay.layout import checked_name
from openassay.published.cards import ModelCard, Said, read_card, same_printed
from openassay.sources.fetched import Unavailable
from openassay.sources.pins import pinned
from openassay.store import Store
from openassay.training.fine_tuning import CLASS_METRICS, ENDINGS, REGRESSION_METRICS, FineTuningRecipe, Task

_TASKS: dict[str, Task] = {
    "text-classification": "text_classification", "sentence-similarity": "text_classification",
    "text-generation": "causal_language_model", "fill-mask": "masked_language_model",
}  # fmt: skip
_OF_BASE = re.compile(
    r"(config|tokenizer\w*|vocab|special_tokens_map|added_tokens)\.(json|txt|model)|merges\.txt|\w*\.model|model\S*\.safetensors\S*"
)
_HELD_OUT = (("validation", "valid", "dev"), ("test",))
_UNSAID: dict[str, tuple[Any, str, list[Any]]] = {
    "max_length": (128, "a guess: no card states it", [512]),
    "weight_decay": (0.0, "the trainer's default; tutorials pass 0.01", [0.01]),
    "max_grad_norm": (1.0, "the trainer's default", [0.0]),
}
"""What no card states: the value, where it comes from, and others that it may have had."""
_FIELDS = {of.name for of in fields(FineTuningRecipe)}
_MOST_FILES = 200
_MARGIN = "A guess: say what difference still counts as the same."


def card_of(brought: BroughtRelease) -> ModelCard | None:
    """The card of a fine-tuned model that a release's README is; None for any other release."""
    card = read_card(shortened(brought.readme)) if brought.readme else None
    return card if card and card.settings and (card.bases or card.from_scratch) else None


def draft_fine_tuning(brought: BroughtRelease, card: ModelCard, name: str, store: Store) -> DraftedTarget:
    """The draft; `BadInput` for a card whose training is not rerun yet, with the reason."""
    said = {of.task for of in card.indexed} - {""}
    front = brought.readme.front.by_key if brought.readme and brought.readme.front else {}
    told = next(iter(said), "") or (front["pipeline_tag"].text if "pipeline_tag" in front else "")
    problems = {
        f"its task is {told}": bool(told) and told not in _TASKS, "it is trained from scratch": not card.bases,
        f"its card is one of {card.writer}": card.writer != "trainer",
        "it is an adapter by PEFT, whose settings no card states": "peft" in card.versions,
    }  # fmt: skip
    for why in (why for why, there in problems.items() if there):
        raise BadInput(
            f"{brought.name}: {why}, which is not rerun yet; {', '.join(sorted(_TASKS))} from a base model are"
        )
    task = _TASKS.get(told, "text_classification")
    release = {"title": brought.title, "version": brought.version, "homepage": brought.homepage}
    of = DraftedTarget(data={"name": checked_name(name, "--name"), "release": release})
    of.seen.append(f"{card.path}: a card of a fine-tuning, by transformers {_version(card) or 'of an unknown version'}")
    if not told:
        of.guesses["rerun.recipe.task"] = "the card does not state it"
    artifacts = {"model": brought.artifact}
    base = _pinned(f"{card.bases[0].written}", store, _OF_BASE, of, "artifacts.base")
    data = _pinned(f"datasets/{card.datasets[0].written}" if card.datasets else "", store, None, of, "artifacts.data")
    of.data["components"] = [{"component": "params_final", "published": "unknown"}]
    of.guesses["components"] = "say what is published, and under which terms; are weights?"
    of.data["artifacts"] = artifacts | ({"base": base} if base else {}) | ({"data": data} if data else {})
    recipe, unstated = _recipe(card, task, of)
    of.data["rerun"] = {
        "driver": "finetune", "base": {"artifact": "base"}, "data": _files(card, data, of), "recipe": recipe,
        "card": {"artifact": "model", "path": card.path}, "seed": int(_number(card, "seed") or 42), "unstated": unstated,
    }  # fmt: skip
    if version := _version(card):
        of.data["rerun"]["made_with"] = version
    shuffled = "labels" if task == "text_classification" else "tokens"
    why = f"{shuffled.capitalize()} in random order teach nothing."
    of.data["controls"] = [{"arm": f"shuffled_{shuffled}", "of": "faithful", "permute": [shuffled], "rationale": why}]
    of.data["claims"] = _claims(card, task, of)
    return of


def _version(card: ModelCard) -> str:
    return card.versions["transformers"].written if "transformers" in card.versions else ""


def _number(card: ModelCard, name: str) -> float | None:
    return card.settings[name].number if name in card.settings else None


def _pinned(
    repo: str, store: Store, wanted: re.Pattern[str] | None, of: DraftedTarget, key: str
) -> dict[str, Any] | None:
    """A repository of the hub as an artifact; None, with a guess, where the card names none that can be had."""
    short = repo.removeprefix("datasets/")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", short) or short.startswith("."):
        of.guesses[key] = f"the card names {short or 'none'!r}, which is no repository of the hub; say where it is"
        return None
    try:
        (entry,) = pinned("hf", repo if "/" in short else repo.replace(short, _FORMER.get(short, short)), repo, store)
    except (Unavailable, BadInput) as problem:
        of.guesses[key] = f"{short} cannot be pinned: {problem}"
        return None
    names = [file["path"] for file in entry["files"]]
    kept = [file for file in entry["files"] if wanted.fullmatch(file["path"])] if wanted else [
        file for file in entry["files"] if any(file["path"].endswith(ending) for ending in ENDINGS)
    ][:_MOST_FILES]  # fmt: skip
    if not kept:
        of.guesses[key] = f"{short} has no file that is read here ({', '.join(names[:5])})"
        return None
    of.seen.append(f"{short}: commit {entry['commit'][:12]}, {len(kept)} of {len(names)} files")
    return {"sources": [entry | {"files": kept}]}


_FORMER = {"glue": "nyu-mll/glue", "imdb": "stanfordnlp/imdb", "emotion": "dair-ai/emotion", "squad": "rajpurkar/squad"}
"""Where data sets lie that were named without an owner before (the hub's own redirects)."""


def _files(card: ModelCard, data: dict[str, Any] | None, of: DraftedTarget) -> dict[str, Any]:
    """The files of training and evaluation, by their names."""
    names = [file["path"] for file in data["sources"][0]["files"]] if data else []
    config = next((one.config for one in card.indexed if one.config), "")
    own = [name for name in names if config and re.search(rf"(^|[/_.-]){re.escape(config)}([/_.-]|$)", name)]
    names = own or names

    def called(*words: str) -> list[str]:
        return [name for name in names if re.search(rf"(?i)(^|[/_.-])({'|'.join(words)})([/_.-]|$)", name)]

    train, held = called("train"), next((found for words in _HELD_OUT if (found := called(*words))), [])
    split = next((one.split for one in card.indexed if one.split), "")
    said = f"the card's split is {split!r}" if split else "the card does not say of which split its numbers are"
    of.guesses["rerun.data"] = f"by the files' names ({config or 'no configuration'}); {said}"
    return {
        name: [{"artifact": "data", "path": path} for path in paths or [f"{name}.parquet"]]
        for name, paths in (("train", train), ("evaluation", held))
    }


def _recipe(card: ModelCard, task: Task, of: DraftedTarget) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings as stated, and those that nobody states."""
    recipe: dict[str, Any] = {"task": task, "text": ["text"]} | (
        {"label": "label"} if task == "text_classification" else {}
    )
    of.guesses["rerun.recipe.text"] = "the card names no columns: say which hold the text" + " and the label" * (
        "label" in recipe
    )
    stated = stated_settings(card)
    recipe |= {name: value for name, value in stated.items() if name in _FIELDS}
    for name in (
        stated.keys() - _FIELDS - {"seed", "total_train_batch_size", "total_eval_batch_size", "distributed_type"}
    ):
        said = card.settings[name]
        of.guesses[f"rerun.recipe ({name})"] = (
            f"{said.path}:{said.line} states {name}: {said.written}, which is not followed"
        )
    rows = card.reported_rows()
    if rows is not None and len(card.rows()) - 1 not in rows:
        recipe["kept"] = "best"
        of.guesses["rerun.recipe.kept"] = (
            "the values at the top are not those of the last row; is it the best by the loss?"
        )
    unstated = {
        name: {"value": value, "source": source, "others": others} for name, (value, source, others) in _UNSAID.items()
    }
    recipe |= {name: one["value"] for name, one in unstated.items()}
    if "eval_batch_size" not in card.settings:
        recipe["eval_batch_size"] = 8
        unstated["eval_batch_size"] = {
            "value": 8,
            "source": "the trainer's default; it changes no number",
            "others": [16],
        }
    of.guesses["rerun.unstated"] = (
        "no card states these: say where each value comes from, and which others it may have had"
    )
    return recipe, unstated


def _claims(card: ModelCard, task: Task, of: DraftedTarget) -> list[dict[str, Any]]:
    """The values at the top as claims, each with the more exact one of the model-index where there is one."""
    known = {"loss", *(("perplexity",) if task != "text_classification" else (*CLASS_METRICS, *REGRESSION_METRICS))}
    claims = []
    for name, said in card.results.items():
        metric = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").removeprefix("eval_")
        if metric not in known or said.number is None or (metric == "loss" and len(card.results) > 1):
            continue
        exact = _exact(card, name, said)
        number = exact.number if exact.number is not None else said.number
        claims.append({
            "id": metric, "metric": metric, "published": {"value": number, "rounding": 2 * exact.half_unit},
            "cited_at": {"artifact": "model", "path": card.path, "quote": f"{name}: {said.written}"},
            "tolerance": {"margin": 0.05 if metric == "loss" else 0.02, "rationale": _MARGIN},
        })  # fmt: skip
        if metric not in {"loss", "perplexity", "mse"} and number > 1:
            of.data["rerun"]["scale"] = 100.0
            claims[-1] |= {"unit": "percent", "tolerance": {"margin": 2.0, "rationale": _MARGIN}}
        of.guesses[f"claims.{metric}"] = "say which tolerance, and whether the value is the best of several trainings"
        if metric in {"f1", "precision", "recall"}:
            of.guesses[f"claims.{metric}"] += "; the card does not say over which classes it is averaged"
    return claims


def _exact(card: ModelCard, name: str, said: Said) -> Said:
    """The value of the model-index that a printed one is rounded from; the printed one where there is none."""
    for one in card.indexed:
        value = one.value
        exact = Said(path=said.path, key=name, value=value.value, written=value.text, line=value.line or said.line)
        if one.metric.casefold() == name.casefold() and same_printed(exact, said):
            return exact
    return said
