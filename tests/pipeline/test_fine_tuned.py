"""A fine-tuned model that transformers' own Trainer made, with the card that it wrote, through the whole audit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml
from hub import Hub
from releases.fine_tuned import add_fine_tuned, make_base, make_data, train_release
from releases.miniature import make_project
from releases.stages import SETTINGS, audit

from openassay import cli
from openassay.core.rerun_records import Rerun
from openassay.core.verdict_records import Outcome
from openassay.faults import BadInput
from openassay.layout import Layout, cache_home
from openassay.records import read_record
from openassay.stages import fetch, plan
from openassay.store import Store
from openassay.target import look_over_target


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    root = make_project(tmp_path_factory.mktemp("fine_tuned"))
    folder = root / "releases" / "tiny"
    make_base(folder / "base")
    make_data(folder / "data")
    values = train_release(folder / "base", folder / "data", root / "made")
    (folder / "model").mkdir()
    (folder / "model" / "README.md").write_text((root / "made" / "model" / "README.md").read_text())
    return root, values


def test_an_honest_card_is_reproduced_and_its_own_seed_gives_its_own_number(
    released: tuple[Path, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, values = released
    monkeypatch.chdir(root)
    layout = add_fine_tuned(root, "tiny", values)
    verdict = audit(layout)
    first = read_record(layout.rerun("faithful", 11) / "record.json", Rerun)
    measured = {of.metric: of.value for of in first.measurements}
    # the same versions, threads aside: what the Trainer itself gave, to a few examples
    assert measured["accuracy"] == pytest.approx(100 * values["eval_accuracy"], abs=2.0)
    assert measured["loss"] == pytest.approx(values["eval_loss"], rel=0.02)
    assert verdict.outcome is Outcome.REPRODUCED, verdict.reason
    assert [control.caught for control in verdict.controls] == [True]
    kinds = {of.kind for of in verdict.deviations}
    assert "assumed_values" in kinds
    assert "other_code" not in kinds
    assert {of.kind for of in verdict.findings} >= {"value_not_stated"}


OTHERS = {"max_length": [24], "weight_decay": [0.01], "max_grad_norm": [0.5]}


def copy_of(root: Path, name: str) -> None:
    """The same release under another name."""
    (root / "releases" / name).mkdir(exist_ok=True)
    for part in ("base", "data", "model"):
        (root / "releases" / name / part).symlink_to(root / "releases" / "tiny" / part)


def test_a_number_that_no_value_of_what_is_unsaid_gives_is_not_reproduced(
    released: tuple[Path, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, values = released
    monkeypatch.chdir(root)
    inflated = values | {"eval_accuracy": values["eval_accuracy"] + 0.09}
    copy_of(root, "inflated")
    verdict = audit(add_fine_tuned(root, "inflated", inflated, others=OTHERS))
    assert verdict.outcome is Outcome.NOT_REPRODUCED, verdict.reason


def test_a_number_that_another_value_of_what_is_unsaid_gives_accuses_nobody(
    released: tuple[Path, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, values = released
    monkeypatch.chdir(root)
    copy_of(root, "unsaid")
    layout = add_fine_tuned(root, "unsaid", values, others={"max_length": [32]}, max_length=4)
    verdict = audit(layout)
    assert (verdict.outcome, verdict.claims[0].why) == (Outcome.INCONCLUSIVE, "assumed_values")
    assert "max length 32 gives" in verdict.claims[0].reason
    assert "max length 32" in layout.report.read_text()


def test_a_setting_that_is_not_the_cards_is_the_targets_mistake(
    released: tuple[Path, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, values = released
    monkeypatch.chdir(root)
    for changes, words in (
        (
            {"learning_rate": 1e-3},
            r"rerun.recipe.learning_rate: it is 0.001, and README.md states 0.003; write the card's",
        ),
        (
            {"label_smoothing_factor": 0.1},
            "rerun.unstated.label_smoothing_factor: missing; README.md does not state it",
        ),
    ):
        layout = add_fine_tuned(root, "tiny", values, **changes)
        with pytest.raises(BadInput, match=words):
            audit(layout)


def test_a_draft_from_the_hub_is_planned_and_fetched_once_its_guesses_are_confirmed(
    released: tuple[Path, dict[str, float]], monkeypatch: pytest.MonkeyPatch, hub: Hub, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    made = released[0] / "releases" / "tiny"
    for repo, folder in (("owner/tiny-base", "base"), ("owner/tiny-sentences", "model")):
        hub.commit(repo, {path.name: path.read_bytes() for path in (made / folder).iterdir()})
    hub.commit(
        "owner/sentences", {path.name: path.read_bytes() for path in (made / "data").iterdir()}, repo_type="dataset"
    )
    card = (made / "model" / "README.md").read_text()
    card = card.replace("tags:\n", "datasets:\n- owner/sentences\npipeline_tag: text-classification\ntags:\n", 1)
    hub.commit("owner/tiny-sentences", {"README.md": card.encode()})
    root = make_project(tmp_path / "project")
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["openassay", "new", "hf:owner/tiny-sentences"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    assert "owner/sentences: commit" in said.out
    assert "rerun.unstated: no card states these" in said.out
    layout = Layout(root, "tiny_sentences")
    data: Any = yaml.safe_load(layout.target_file.read_text())
    assert set(data.pop("guesses")) >= {
        "rerun.data",
        "rerun.recipe.text",
        "rerun.unstated",
        "claims.accuracy",
    }
    assert data["rerun"]["data"]["evaluation"] == [{"artifact": "data", "path": "validation.parquet"}]
    assert data["rerun"]["recipe"]["learning_rate"] == 0.003
    assert (data["rerun"]["seed"], data["rerun"]["made_with"]) == (11, transformers.__version__)
    (claim,) = data["claims"]
    assert (claim["metric"], claim["published"]["value"]) == (
        "accuracy",
        pytest.approx(released[1]["eval_accuracy"], abs=1e-4),
    )
    # what a person decides: the columns, the length, the tolerance
    data["rerun"]["recipe"] |= {"text": ["sentence"], "max_length": 32}
    data["rerun"]["unstated"]["max_length"]["value"] = 32
    claim["tolerance"]["margin"] = 0.04
    layout.target_file.write_text(yaml.safe_dump(data))
    assert look_over_target(layout)[1] == []
    frozen = plan.run(layout, SETTINGS)
    fetched = fetch.run(frozen, Store(cache_home()), layout)
    assert {of.name: len(of.attempts) for of in fetched.artifacts} == {"base": 1, "data": 1, "model": 1}
    assert all(of.filename for of in fetched.artifacts)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("text-classification", "token-classification"), "its task is token-classification, which is not rerun yet"),
        (("This model is a fine-tuned version of [owner/tiny-base](https://huggingface.co/owner/tiny-base) on", "This model was trained from scratch on"),
         "it is trained from scratch, which is not rerun yet"),
        (("- Transformers ", "- PEFT 0.11.1\n- Transformers "), "it is an adapter by PEFT, whose settings no card states, which is"),
    ],
)  # fmt: skip
def test_a_card_that_cannot_be_rerun_yet_is_said_so(
    change: tuple[str, str], words: str, released: tuple[Path, dict[str, float]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    card = (released[0] / "releases" / "tiny" / "model" / "README.md").read_text()
    card = card.replace("tags:\n", "pipeline_tag: text-classification\ntags:\n", 1).replace(
        "base_model: owner/tiny-base\n", ""
    )
    root = make_project(tmp_path / "project")
    (root / "releases" / "mini").mkdir(parents=True)
    (root / "releases" / "mini" / "README.md").write_text(card.replace(*change))
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["openassay", "new", "releases/mini"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, words in capsys.readouterr().err) == (2, True)
