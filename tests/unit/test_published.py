"""Published tokens as a target names them, and a recipe that several files say together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from releases import language as mini
from releases import tokens as write
from typer.testing import CliRunner

from openassay.cli import app
from openassay.drivers.published import TokenFiles
from openassay.drivers.replay import ReplayDriver
from openassay.faults import BadInput
from openassay.published.recipes import read_recipes
from openassay.published.tokens import BadTokens
from openassay.records import parse
from openassay.training.mismatch import RecipeMismatch

ROWS = np.random.default_rng(0).integers(0, 500, (23, 17))
RECIPE = mini.recipe(hidden=32, length=16, batch_size=4)

REPLAY = {"driver": "replay", "checkpoints": [{"step": 0, "artifact": "it"}]}


def in_order(folder: Path, recipe=RECIPE, **tokens: object):
    given = {"recipe": {"artifact": "it", "path": "recipe.yml"}, "tokens": {"artifact": "it", **tokens}}
    return parse(ReplayDriver, REPLAY | given, "rerun").in_order({"it": str(folder)}, recipe)


@pytest.mark.parametrize("column", ["token_ids", "input_ids"])
def test_rows_of_several_files_are_one_training(tmp_path: Path, column: str) -> None:
    for number, part in enumerate((ROWS[:9], ROWS[9:])):
        lines = [json.dumps({column: row.tolist(), "source": "made"}) for row in part]
        (tmp_path / f"train_{number:03}.jsonl").write_text("\n".join(lines) + "\n")
    files = ["train_000.jsonl", "train_001.jsonl"]
    found = in_order(tmp_path, layout="jsonl", files=files, column=column)
    assert np.array_equal(found.items(0, 20), ROWS[:20])
    assert np.array_equal(found.items(7, 4), ROWS[7:11])
    assert np.array_equal(found.items(20, 3), ROWS[20:])
    with pytest.raises(RecipeMismatch, match="tokens end before batch 5 is whole"):
        found.items(20, 4)


def test_rows_of_parquet_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number, part in enumerate((ROWS[:9], ROWS[9:])):
        write.write_parquet(tmp_path / f"data/{number}.parquet", part, group_rows=5)
    found = in_order(tmp_path, layout="parquet", files=["data/0.parquet", "data/1.parquet"])
    assert np.array_equal(found.items(0, 20), ROWS[:20])
    assert np.array_equal(found.items(7, 4), ROWS[7:11])


@pytest.mark.parametrize("layout", ["jsonl", "parquet", "megatron"])
def test_token_files_that_are_not_there_are_a_finding(tmp_path: Path, layout: str) -> None:
    recipe = replace(RECIPE, data=replace(RECIPE.data, seed=1))
    with pytest.raises(BadTokens, match="gone: cannot be read"):
        in_order(tmp_path, recipe, layout=layout, files=["gone"], index="gone.idx")


@pytest.mark.parametrize(("split", "share"), [(None, 1.0), ("80,15,5", 0.8)])
def test_a_megatron_data_set_is_read_in_neoxs_order(tmp_path: Path, split: str | None, share: float) -> None:
    """The order written out: one generator shuffles the documents of all epochs, then the samples."""
    documents = [np.arange(100 * at, 100 * at + 5 + at) for at in range(20)]
    write.write_megatron(tmp_path / "text", documents)
    recipe = replace(
        RECIPE, steps=30, batch_size=4, data=replace(RECIPE.data, seed=7, split=split),
        architecture=replace(RECIPE.architecture, vocab_size=2000),
    )  # fmt: skip
    found = in_order(tmp_path, recipe, layout="megatron", files=["text.bin"], index="text.idx")
    chosen = documents[: int(share * 20)]
    length = sum(len(one) for one in chosen)
    wanted = int(np.ceil(120 * 1.005)) if split is None else 120
    epochs = -(-(wanted * 16 + 1) // length)
    rng = np.random.RandomState(7)
    order = np.tile(np.arange(len(chosen)), epochs)
    rng.shuffle(order)
    flow = np.concatenate([chosen[at] for at in order])
    samples = np.arange((epochs * length - 1) // 16)
    rng.shuffle(samples)
    assert np.array_equal(found.items(0, 120), [flow[16 * at : 16 * at + 17] for at in samples[:120]])


def test_a_megatron_data_set_without_its_index_or_seed_is_refused(tmp_path: Path) -> None:
    write.write_megatron(tmp_path / "text", [range(50)] * 4)
    with pytest.raises(RecipeMismatch, match=r"needs its \.idx, the seed"):
        in_order(tmp_path, layout="megatron", files=["text.bin"], index="text.idx")


def test_an_unknown_layout_is_our_users_slip() -> None:
    with pytest.raises(BadInput, match="layout"):
        parse(TokenFiles, {"artifact": "it", "layout": "json", "files": ["a"]}, "tokens")


CONFIG = {
    "model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "eos_token_id": 2,
}  # fmt: skip
ARGUMENTS = {
    "learning_rate": 1e-3, "lr_scheduler_type": "cosine", "warmup_steps": 10, "max_steps": 100, "max_grad_norm": 0.5,
    "per_device_train_batch_size": 4, "world_size": 2, "weight_decay": 0.1, "adam_beta2": 0.95, "surprise": 1,
    "optim": "adamw_torch", "fp16": False, "bf16": False,
}  # fmt: skip


def release(folder: Path, **more: object) -> list[Path]:
    paths = [folder / name for name in ("training_args.json", "config.json")]
    for path, values in zip(paths, (ARGUMENTS, CONFIG | more), strict=True):
        path.write_text(json.dumps(values, indent=1))
    return paths


def test_two_files_say_one_recipe_and_each_value_keeps_its_origin(tmp_path: Path) -> None:
    paths = release(tmp_path)
    found = read_recipes(paths)
    assert found.format == "hf_arguments + hf_config"
    assert found.values["architecture.hidden_size"] == 64
    assert found.values["learning_rate.peak"] == 1e-3
    assert found.values["batch_size"] == 8
    assert "config.json:4 hidden_size" in found.origins["architecture.hidden_size"].where
    assert "training_args.json:2 learning_rate" in found.origins["learning_rate.peak"].where
    assert found.missing == ("initialisation.method", "data.sequence_length", "data.item_length", "data.files")
    assert found.unknown == {"hf_arguments: surprise": f"{paths[0]}:11"}
    assert not any("only" in note for note in found.notes)
    assert read_recipes(paths[:1]).format == "hf_arguments"


def test_files_that_contradict_each_other_are_told_and_the_first_counts(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(CONFIG | {"rms_norm_eps": 1e-6}, indent=1))
    paths = [release(tmp_path)[1], other]
    for order, expected in ((paths, 1e-5), (paths[::-1], 1e-6)):
        found = read_recipes(order)
        assert found.values["architecture.norm_eps"] == expected
        told = [note for note in found.notes if note.startswith("architecture.norm_eps: ")]
        assert len(told) == 1
        assert "config.json:8 rms_norm_eps" in told[0]
        assert "other.json:8 rms_norm_eps" in told[0]
        assert "the first counts" in told[0]
    assert not any(note.startswith("architecture.hidden_size") for note in read_recipes(paths).notes)


def test_what_a_file_states_counts_more_than_the_others_code_default(tmp_path: Path) -> None:
    default = tmp_path / "first.json"
    default.write_text(json.dumps({key: value for key, value in CONFIG.items() if key != "rms_norm_eps"}))
    found = read_recipes([default, release(tmp_path)[1]])
    assert found.values["architecture.norm_eps"] == 1e-5
    assert found.origins["architecture.norm_eps"].kind == "stated"
    assert not any("norm_eps" in note for note in found.notes)


def test_a_target_names_the_further_files_and_gives_the_rest(tmp_path: Path) -> None:
    release(tmp_path)
    given = {
        "recipe": {"artifact": "it", "path": "training_args.json", "more": ["config.json"]},
        "tokens": {"artifact": "it", "layout": "jsonl", "files": ["train.jsonl"]},
        "settings": {"data.sequence_length": 128, "data.item_length": 129, "initialisation.method": "normal"},
    }
    published = parse(ReplayDriver, REPLAY | given, "rerun")
    recipe = published.read({"it": str(tmp_path)})
    assert (recipe.architecture.num_layers, recipe.learning_rate.decay_steps, recipe.clip_norm) == (2, 100, 0.5)
    assert recipe.data.files == ("train.jsonl",)
    stated = replace(published, settings={**published.settings, "architecture.num_layers": 3})
    with pytest.raises(BadInput, match=r"architecture.num_layers: the published file states it .*config.json"):
        stated.read({"it": str(tmp_path)})


def test_the_command_joins_its_files(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", *map(str, release(tmp_path)), "--json"])
    assert result.exit_code == 0
    plain = json.loads(result.output)
    assert plain["values"]["architecture.hidden_size"] == 64
    assert plain["values"]["clip_norm"] == 0.5
    shown = CliRunner().invoke(app, ["recipe", *map(str, release(tmp_path))])
    assert "config.json:4 hidden_size" in shown.output


def test_an_olmo_file_with_numpys_header_is_not_read_shifted(tmp_path: Path) -> None:
    data = replace(RECIPE.data, seed=1, files=("a.npy",))
    np.save(tmp_path / "a.npy", ROWS.astype("<u2").ravel())
    with pytest.raises(BadTokens, match=r"a\.npy: expected raw token ids, found numpy's own header"):
        in_order(tmp_path, replace(RECIPE, data=data), layout="olmo", files=["a.npy"])
    ROWS.astype("<u2").tofile(tmp_path / "a.npy")
    assert in_order(tmp_path, replace(RECIPE, data=data), layout="olmo", files=["a.npy"]).items(0, 1).shape == (1, 16)
