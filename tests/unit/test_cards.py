"""What a card says is read field for field, in the wording of each version and as the real Trainer writes it."""

from __future__ import annotations

from typing import Any

import pytest
from releases.cards import ADAM, ENUMERATED, NAMED, fine_tuned

from openassay.published.cards import ModelCard, Said, read_card, same_printed
from openassay.published.files import Text
from openassay.published.settings import front_matter


def text_of(written: str) -> Text:
    lines = tuple(written.splitlines())
    front, start, problem = front_matter("README.md", lines)
    assert not problem
    return Text(path="README.md", lines=lines, front=front, body_from=start)


def read(written: str) -> ModelCard:
    card = read_card(text_of(written))
    assert card is not None
    return card


def test_every_field_of_a_card_is_read_with_its_line() -> None:
    written = fine_tuned()
    card = read(written)
    assert [of.written for of in card.bases] == ["google/vit-base-patch16-224-in21k"]
    assert [of.written for of in card.datasets] == ["food101"]
    assert card.settings["learning_rate"].value == 5e-05
    assert {name: of.value for name, of in card.settings.items() if name != "learning_rate"} == {
        "train_batch_size": 16, "eval_batch_size": 16, "seed": 42, "gradient_accumulation_steps": 4,
        "total_train_batch_size": 64, "lr_scheduler_type": "linear", "lr_scheduler_warmup_ratio": 0.1, "num_epochs": 3,
    }  # fmt: skip
    assert {name: of.value for name, of in card.results.items()} == {"Loss": 1.6474, "Accuracy": 0.893}
    (indexed,) = card.indexed
    assert (indexed.task, indexed.dataset, indexed.config, indexed.split) == (
        "image-classification", "food101", "default", "train[:5000]",
    )  # fmt: skip
    assert [row["Step"].value for row in card.rows()] == [62, 125, 186]
    assert "Training Loss" not in card.rows()[0]  # not logged yet
    assert card.reported_rows() == [2]
    assert card.versions["transformers"].written == "4.30.2"
    for said in (*card.settings.values(), *card.results.values(), *card.versions.values()):
        assert said.written in written.splitlines()[said.line - 1]


@pytest.mark.parametrize(
    ("line", "name", "arguments"),
    [
        (ADAM, "Adam", ""), (NAMED, "adamw_torch", ""), (ENUMERATED, "adamw_torch_fused", ""),
        ("Use paged_adamw_8bit with betas=(0.9,0.999) and epsilon=1e-08 and optimizer_args=x=1", "paged_adamw_8bit", "x=1"),
    ],
)  # fmt: skip
def test_the_optimizer_is_read_in_the_wording_of_each_version(line: str, name: str, arguments: str) -> None:
    optimizer = read(fine_tuned(optimizer=line)).optimizer
    assert optimizer
    assert (optimizer.name, optimizer.betas, optimizer.epsilon, optimizer.arguments) == (
        name,
        (0.9, 0.999),
        1e-08,
        arguments,
    )


def test_an_optimizer_whose_arguments_stand_in_the_next_line_keeps_them_and_the_list_goes_on() -> None:
    card = read(fine_tuned(optimizer="Use adafactor and the args are:\nNo additional optimizer arguments"))
    assert card.optimizer
    assert (card.optimizer.name, card.optimizer.betas, card.optimizer.arguments) == ("adafactor", None, "")
    assert card.settings["num_epochs"].value == 3


@pytest.mark.parametrize(
    ("changes", "bases", "from_scratch"),
    [
        ({"base": None, "data": "an unknown"}, [], True), ({"base": ""}, [], True),
        ({"base": "./local/checkpoint"}, ["./local/checkpoint"], False),
    ],
)  # fmt: skip
def test_a_card_may_name_no_base(changes: dict[str, Any], bases: list[str], from_scratch: bool) -> None:
    card = read(fine_tuned(**changes))
    assert ([of.written for of in card.bases], card.from_scratch) == (bases, from_scratch)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("the glue", ["glue"]), ("an unknown", []), ("an unkown", []), ("the None", []),
        ("the one_set, the two_set and the three_set", ["one_set", "two_set", "three_set"]),
        ("the [JSNLI](https://example.org/x)", ["JSNLI"]),
    ],
)  # fmt: skip
def test_data_sets_are_named_by_the_front_matter_or_else_by_the_sentence(words: str, names: list[str]) -> None:
    without = fine_tuned(data=words).replace("datasets:\n- food101\n", "")
    assert [of.written for of in read(without).datasets] == names
    assert [of.written for of in read(fine_tuned(data=words)).datasets] == ["food101"]
    null = fine_tuned(data="the None").replace("- food101", "- null", 1)
    assert read(null).datasets == ()


def test_the_front_matter_names_the_base_where_the_text_does_not() -> None:
    written = fine_tuned().replace("This model is a fine-tuned version of", "It is made from")
    card = read(written.replace("license: apache-2.0", "license: apache-2.0\nbase_model:\n- a/b\n- c/d"))
    assert [of.written for of in card.bases] == ["a/b", "c/d"]


def test_old_spellings_windows_ends_and_a_line_between_are_read() -> None:
    card = read(
        fine_tuned()
        .replace("model-index:", "model_index:")
        .replace("    metrics:\n    - name", "    metric:\n      name")
    )
    assert card.indexed[0].metric == "Accuracy"
    assert read(fine_tuned().replace("\n", "\r\n")).settings == read(fine_tuned()).settings
    assert read(fine_tuned().replace("evaluation set:\n", "evaluation set:\n\n")).results["Accuracy"].value == 0.893


def test_values_of_a_translated_card_are_found_without_the_sentence() -> None:
    card = read(fine_tuned().replace("It achieves the following results on the evaluation set:", "評価結果:"))
    assert card.results["Loss"].value == 1.6474


def test_runtimes_are_no_results() -> None:
    written = fine_tuned().replace(
        "- Accuracy: 0.893\n", "- eval_runtime: 423.5\n- eval_samples_per_second: 59.0\n- epoch: 1.35\n"
    )
    assert set(read(written).results) == {"Loss", "epoch"}


@pytest.mark.parametrize(
    ("top", "rows"), [("0.893", [2]), ("0.874", []), ("0.9", [2])],
)  # fmt: skip
def test_the_row_that_is_reported_holds_every_value_at_the_top(top: str, rows: list[int]) -> None:
    assert read(fine_tuned().replace("- Accuracy: 0.893", f"- Accuracy: {top}")).reported_rows() == rows
    best = fine_tuned().replace("- Loss: 1.6474\n- Accuracy: 0.893", "- Loss: 1.8096\n- Accuracy: 0.8740")
    assert read(best).reported_rows() == [1]
    other = fine_tuned().replace("- Loss: 1.6474\n- Accuracy: 0.893", "- Wer: 1.0")
    assert read(other).reported_rows() is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("0.893", "0.8930", True), ("0.8934", "0.893", True), ("0.894", "0.893", True), ("0.8950", "0.893", False), ("1e-4", "0.0001", True)],
)  # fmt: skip
def test_printed_numbers_are_the_same_if_both_can_be_rounded_from_one(one: str, other: str, same: bool) -> None:
    said = [Said(path="", key="", value=None, written=of, line=1) for of in (one, other)]
    assert same_printed(*said) is same


@pytest.mark.parametrize(
    "written",
    ["# A library\n\n- name: value\n", "", "- learning: fast\n", "# x\n\n| Epoch | Step |\n|---|---|\n| 1 | 2 |\n"],
)
def test_other_documents_are_no_cards(written: str) -> None:
    assert read_card(text_of(written)) is None


def test_cards_of_other_trainers_are_told_apart() -> None:
    sentence = """---
tags:
- sentence-transformers
---
# Model
This is a [sentence-transformers](https://www.SBERT.net) model finetuned from [a/b](https://huggingface.co/a/b).

#### Non-Default Hyperparameters
- `per_device_train_batch_size`: 16
- `num_train_epochs`: 10

#### All Hyperparameters
<details><summary>Click to expand</summary>

- `per_device_train_batch_size`: 16
- `weight_decay`: 0.0
- `num_train_epochs`: 11
</details>
"""
    card = read(sentence)
    assert card.writer == "sentence-transformers"
    assert [of.written for of in card.bases] == ["a/b"]
    assert card.settings["weight_decay"].value == 0.0
    assert [(of.key, of.written) for of in card.unread] == [("num_train_epochs", "11")]
    setfit = "---\nlibrary_name: setfit\ntags:\n- setfit\n---\n- **Sentence Transformer body:** [a/c](https://x)\n\n- body_learning_rate: (2e-05, 2e-05)\n- seed: 1\n"
    card = read(setfit)
    assert (card.writer, card.settings["body_learning_rate"].written) == ("setfit", "(2e-05, 2e-05)")
    assert [of.written for of in card.bases] == ["a/c"]
    trl = "---\ntags:\n- trl\n---\nThis model is a fine-tuned version of [a/d](https://x).\nIt has been trained using [TRL](https://y).\n"
    card = read(trl)
    assert (card.writer, card.settings, [of.written for of in card.bases]) == ("trl", {}, ["a/d"])


def test_what_the_installed_trainer_writes_is_read_back() -> None:
    from transformers.modelcard import TrainingSummary

    hyperparameters = {
        "learning_rate": 3e-4, "train_batch_size": 8, "eval_batch_size": 32, "seed": 7, "gradient_accumulation_steps": 2,
        "total_train_batch_size": 16, "optimizer": ENUMERATED, "lr_scheduler_type": "cosine", "lr_scheduler_warmup_steps": 0.05,
        "training_steps": 200, "mixed_precision_training": "Native AMP", "label_smoothing_factor": 0.1,
    }  # fmt: skip
    lines = [
        {"Training Loss": "No log", "Epoch": 0.5, "Step": 100, "Validation Loss": 0.81234, "Accuracy": 0.7},
        {"Training Loss": 0.9, "Epoch": 1.0, "Step": 200, "Validation Loss": 0.71239, "Accuracy": 0.75},
    ]
    summary = TrainingSummary(
        model_name="tiny", language="en", license="mit", tasks=["text-classification"], finetuned_from="owner/base",
        dataset=["Some Set"], dataset_tags=["some_set"], dataset_args=["cfg"], dataset_metadata=[{"config": "cfg", "split": "validation"}],
        eval_results={"Loss": 0.71239, "Accuracy": 0.75}, eval_lines=lines, hyperparameters=hyperparameters,
    )  # fmt: skip
    card = read(summary.to_model_card())
    assert card.optimizer
    assert card.optimizer.name == "adamw_torch_fused"
    for name, value in hyperparameters.items():
        if name != "optimizer":
            assert card.settings[name].value == value
    assert [of.written for of in card.bases] == ["owner/base"]
    assert [of.written for of in card.datasets] == ["some_set"]
    assert {name: of.value for name, of in card.results.items()} == {"Loss": 0.7124, "Accuracy": 0.75}
    assert card.reported_rows() == [1]
    (indexed,) = card.indexed
    assert (indexed.task, indexed.config, indexed.split, indexed.metric, indexed.value.number) == (
        "text-classification", "cfg", "validation", "Accuracy", 0.75,
    )  # fmt: skip
    assert set(card.versions) >= {"transformers", "pytorch"}
