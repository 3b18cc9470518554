"""The finetune driver: settings against the card, tasks, metrics by another library, and what does not fit."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from releases.cards import ADAM, ENUMERATED, fine_tuned
from releases.fine_tuned import make_base, make_data

from openassay.core.rerun_records import RerunStatus
from openassay.drivers.driver import TargetFacts
from openassay.drivers.finetune import FineTuneDriver, stated_settings
from openassay.drivers.job import Arm, Job
from openassay.faults import BadInput
from openassay.published.cards import ModelCard, read_card
from openassay.published.files import Text
from openassay.published.settings import front_matter
from openassay.records import parse
from openassay.training.fine_tuning import (
    DataFiles,
    FineTuned,
    FineTuningRecipe,
    class_metrics,
    fine_tune,
    regression_metrics,
)
from openassay.training.mismatch import RecipeMismatch, TimeLimit

RECIPE: dict[str, Any] = {
    "task": "text_classification", "text": ["sentence"], "label": "label", "learning_rate": 5e-5, "train_batch_size": 16,
    "eval_batch_size": 16, "gradient_accumulation_steps": 4, "num_epochs": 3, "lr_scheduler_warmup_ratio": 0.1,
}  # fmt: skip
UNSTATED = {
    name: {"value": value, "source": "the default of transformers 4.30.2"}
    for name, value in (("max_length", 128), ("weight_decay", 0.0), ("max_grad_norm", 1.0))
}


def driver(**changes: Any) -> FineTuneDriver:
    """A driver on an artifact `all`; changes of the recipe go under `recipe`."""
    place = {"artifact": "all", "path": "train.parquet"}
    data = {
        "driver": "finetune", "base": {"artifact": "all"}, "data": {"train": [place], "evaluation": [place]}, "seed": 42,
        "card": {"artifact": "all", "path": "README.md"}, "recipe": RECIPE, "unstated": UNSTATED,
    } | changes  # fmt: skip
    made: FineTuneDriver = parse(FineTuneDriver, data, "rerun")
    return made


def card(written: str) -> ModelCard:
    lines = tuple(written.splitlines())
    front, start, _ = front_matter("README.md", lines)
    found = read_card(Text(path="README.md", lines=lines, front=front, body_from=start))
    assert found
    return found


def test_settings_that_are_the_cards_pass_in_every_wording() -> None:
    assert list(driver().not_as_stated(card(fine_tuned()))) == []
    fused = driver(recipe=RECIPE | {"optimizer": "adamw_torch_fused"})
    assert list(fused.not_as_stated(card(fine_tuned(optimizer=ENUMERATED)))) == []
    as_of_5 = fine_tuned(transformers="5.6.0", lr_scheduler_warmup_ratio=None, lr_scheduler_warmup_steps=0.1)
    assert list(driver().not_as_stated(card(as_of_5))) == []
    steps = driver(recipe=RECIPE | {"training_steps": 500})
    assert list(steps.not_as_stated(card(fine_tuned(num_epochs=None, training_steps=500)))) == []


@pytest.mark.parametrize(
    ("made", "written", "words"),
    [
        (driver(seed=1), fine_tuned(), "rerun.recipe.seed: it is 1, and README.md states 42"),
        (driver(recipe=RECIPE | {"num_epochs": 4}), fine_tuned(), "rerun.recipe.num_epochs: it is 4.0, and README.md states 3"),
        (driver(unstated={}), fine_tuned(), "rerun.unstated.max_length: missing; README.md does not state it"),
        (driver(recipe=RECIPE | {"label_smoothing_factor": 0.1}), fine_tuned(), "rerun.unstated.label_smoothing_factor: missing"),
        (driver(recipe=RECIPE | {"optimizer": "sgd"}), fine_tuned(optimizer=ADAM), "rerun.recipe.optimizer: it is 'sgd', and"),
        (driver(), fine_tuned(optimizer=ADAM.replace("1e-08", "1e-06")), "rerun.recipe.adam_epsilon: it is 1e-08, and README.md"),
    ],
)  # fmt: skip
def test_a_setting_that_is_not_the_cards_or_nobody_states_is_named(
    made: FineTuneDriver, written: str, words: str
) -> None:
    assert any(line.startswith(words) for line in made.not_as_stated(card(written)))


def test_the_cards_seed_is_rerun_first_and_a_smaller_one_once() -> None:
    assert driver().seeds((0, 1, 2)) == (42, 0, 1)
    assert driver(seed=1).seeds((0, 1, 2)) == (1, 0, 2)


def test_what_a_target_gets_wrong_is_a_line_each() -> None:
    facts = TargetFacts(title="", artifacts=("other",), claims=(), has_changes=False, cited=())
    wrong = driver(
        card=None,
        unstated={"max_length": {"value": 64, "source": "x", "others": [-1]}, "beams": {"value": 1, "source": "x"}},
    )
    lines = "\n".join(wrong.check(facts))
    assert "rerun.base.artifact: there is no artifact 'all'" in lines
    assert "rerun.unstated.max_length: it says 64, and rerun.recipe.max_length is 128" in lines
    assert "rerun.unstated.beams: the recipe has no such value" in lines
    assert "max_length: expected 1 or more, found -1" in lines
    assert "rerun.taken_from: missing" in lines
    assert list(driver().check_arm(Arm(permute=("tokens",)), "a")) == ["a.permute: only `labels` can be shuffled"]


@pytest.mark.parametrize(
    "changes",
    [{"text": ["a", "b", "c"]}, {"label": None}, {"lr_scheduler_warmup_steps": 10}, {"train_batch_size": 0},
     {"task": "causal_language_model", "label": None, "text": ["a", "b"]}],
)  # fmt: skip
def test_a_recipe_that_cannot_be_trained_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"text|label|warmup|batch"):
        driver(recipe=RECIPE | changes)


def test_what_was_different_names_versions_devices_and_assumed_values() -> None:
    made = driver(made_with="4.30.2", recipe=RECIPE | {"num_devices": 2})
    said = [of.what for of in made.deviations({"transformers": "5.23.0"})]
    assert said == [
        "transformers 5.23.0 in place of 4.30.2", "one device that accumulates the batches of 2",
        "values that the card does not state (max_length 128, weight_decay 0.0, max_grad_norm 1.0)",
    ]  # fmt: skip
    same = replace(driver(made_with="5.23.0"), unstated={})
    assert same.deviations({"transformers": "5.23.0"}) == ()


def test_metrics_are_those_of_scikit_learn_and_by_hand() -> None:
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [0.0, 3.0], [5.0, 1.0]])
    found = class_metrics((logits, np.array([0, 1, 0, 0])))  # predicted 0 1 1 0
    assert found["accuracy"] == 0.75
    assert found["precision"] == 0.5
    assert found["recall"] == 1.0
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["f1_macro"] == pytest.approx((0.8 + 2 / 3) / 2)
    three = class_metrics((np.eye(3), np.array([0, 1, 2])))
    assert "f1" not in three
    assert three["f1_weighted"] == 1.0
    numbers = regression_metrics((np.array([[1.0], [2.0], [4.0]]), np.array([1.0, 2.0, 3.0])))
    assert numbers["spearmanr"] == pytest.approx(1.0)
    assert numbers["mse"] == pytest.approx(1 / 3)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    make_base(folder / "bert")
    make_base(folder / "gpt2", "gpt2")
    make_data(folder / "data", examples=64)
    return folder


def made(parts: Path, out: Path, base: str = "bert", train: str = "train.parquet", **changes: Any) -> FineTuned:
    recipe = {
        "task": "text_classification",
        "text": ("sentence",),
        "label": "label",
        "max_length": 16,
        "num_epochs": 1.0,
    }
    folder = parts / "data"
    data = DataFiles(train=(folder / train,), evaluation=(folder / "validation.parquet",), format="parquet")
    more = {"timeout_s": 300.0, "seed": 0, "shuffled": False}
    more |= {name: changes.pop(name) for name in list(changes) if name in more}
    return fine_tune(
        FineTuningRecipe(**(recipe | changes)), parts / base, data, device="cpu", threads=1, out=out, **more
    )


@pytest.mark.parametrize("task", ["causal_language_model", "masked_language_model"])
def test_language_models_are_fine_tuned_too_and_learn_less_from_shuffled_tokens(
    task: str, parts: Path, tmp_path: Path
) -> None:
    changes = {"task": task, "label": None, "learning_rate": 5e-3, "base": "gpt2" if task[0] == "c" else "bert"}
    found = made(parts, tmp_path / "a", **changes)
    assert found.values["perplexity"] == pytest.approx(math.exp(found.values["loss"]))
    assert found.values["loss"] < math.log(65)  # better than guessing among all words
    untrained = made(parts, tmp_path / "b", **changes, num_epochs=0.0)
    assert untrained.values["loss"] > found.values["loss"]
    shuffled = made(parts, tmp_path / "c", **changes, shuffled=True)
    assert shuffled.values["loss"] != found.values["loss"]


def test_one_seed_gives_one_result_and_the_best_epoch_may_be_kept(parts: Path, tmp_path: Path) -> None:
    one, two = (made(parts, tmp_path / name, num_epochs=2.0, learning_rate=1e-2) for name in ("a", "b"))
    assert one == two
    assert [step for step, _ in one.curves["loss"]] == [8, 16]
    best = made(parts, tmp_path / "c", num_epochs=2.0, learning_rate=1e-2, kept="best")
    assert best.values["loss"] == min(loss for _, loss in one.curves["loss"])


def test_what_does_not_fit_is_one_line(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeMismatch, match="the training data has no column 'words'; it has sentence, label"):
        made(parts, tmp_path / "a", text=("words",))
    (parts / "data" / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(RecipeMismatch, match="the data files cannot be read as parquet"):
        made(parts, tmp_path / "b", train="broken.parquet")
    with pytest.raises(RecipeMismatch, match="shorter than one block of 60000 tokens"):
        made(parts, tmp_path / "c", task="causal_language_model", label=None, base="gpt2", max_length=60_000)
    with pytest.raises(TimeLimit):
        made(parts, tmp_path / "d", timeout_s=0.0)


def test_code_pickles_and_missing_parts_of_a_base_are_refused(parts: Path, tmp_path: Path) -> None:
    shutil.copytree(parts / "bert", parts / "coded")
    config = json.loads((parts / "coded" / "config.json").read_text())
    (parts / "coded" / "config.json").write_text(
        json.dumps(config | {"auto_map": {"AutoModelForMaskedLM": "own.Model"}})
    )
    with pytest.raises(RecipeMismatch, match="brings code of its own"):
        made(parts, tmp_path / "a", base="coded")
    shutil.copytree(parts / "bert", parts / "bare")
    (parts / "bare" / "model.safetensors").rename(parts / "bare" / "pytorch_model.bin")
    with pytest.raises(RecipeMismatch, match="the base model's weights cannot be read"):
        made(parts, tmp_path / "b", base="bare")
    with pytest.raises(RecipeMismatch, match="the base model's tokenizer cannot be read"):
        made(parts, tmp_path / "c", base="data")


def job(parts: Path, out: Path, **more: Any) -> Job:
    out.mkdir()
    given = {
        "data": None,
        "artifacts": {"all": str(parts)},
        "python": None,
        "glue": None,
        "threads": 1,
        "timeout_s": 300.0,
    }
    return Job(arm=Arm(), seed=0, out=out, device="cpu", target_file="conf/target/x.yaml", **(given | more))


def tiny(base: str = "bert", **changes: Any) -> FineTuneDriver:
    data = {
        "train": [{"artifact": "all", "path": "data/train.parquet"}],
        "evaluation": [{"artifact": "all", "path": "data/test.parquet"}],
    }
    recipe = {
        "task": "text_classification",
        "text": ["sentence"],
        "label": "label",
        "max_length": 16,
        "num_epochs": 1.0,
    }
    return driver(base={"artifact": "all", "path": base}, data=data, recipe=recipe | changes, unstated={})


def test_what_the_target_gets_wrong_is_no_failure_of_the_release(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match="conf/target/x.yaml: the training data has no column 'words'; it has sentence, label"
    ):
        tiny(text=["words"]).execute(job(parts, tmp_path / "a"))
    with pytest.raises(
        BadInput, match="conf/target/x.yaml: the artifact all has no nowhere; name a path that it holds"
    ):
        tiny("nowhere").dry_start(job(parts, tmp_path / "b"))


def test_a_release_that_would_run_code_fails_and_says_why(parts: Path, tmp_path: Path) -> None:
    shutil.copytree(parts / "bert", parts / "bringing")
    config = json.loads((parts / "bringing" / "config.json").read_text())
    (parts / "bringing" / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "own.Model"}}))
    ended = tiny("bringing").execute(job(parts, tmp_path / "a"))
    assert ended.status is RerunStatus.FAILED
    assert "brings code of its own" in ended.reason


def test_a_share_as_warm_up_is_one_since_transformers_5_alone() -> None:
    """Version 4 takes `warmup_steps: 0.03` as it is written."""
    written = fine_tuned(lr_scheduler_warmup_ratio=None, lr_scheduler_warmup_steps=0.1)
    assert (
        stated_settings(card(written.replace("Transformers 4.30.2", "Transformers 5.6.0")))["lr_scheduler_warmup_ratio"]
        == 0.1
    )
    as_of_4 = stated_settings(card(written))
    assert "lr_scheduler_warmup_ratio" not in as_of_4
    assert as_of_4["lr_scheduler_warmup_steps"] == 0.1
    by_hand = stated_settings(card(fine_tuned(lr_scheduler_warmup_ratio=None, lr_scheduler_warmup_steps="10 %")))
    assert by_hand["lr_scheduler_warmup_steps"] == "10 %"  # no traceback; it is not the target's number
