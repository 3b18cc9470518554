"""Recipes in shell scripts, TOML and Python: what is literal is read, what is not followed stays unstated with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from openassay.faults import BadInput
from openassay.published.recipes import read_recipe
from openassay.published.recipes.shell import parse_script
from openassay.training.language import ReadRecipe

LLAMA = """#!/bin/bash
#SBATCH --nodes=4
GPUS=8
NODES=4   # not the batch
GLOBAL=$(($GPUS * NODES * 4))
SEQ=2048
MODEL_ARGS=(
    --num-layers 16            # depth
    --hidden-size 1024
    --num-attention-heads 16
    --group-query-attention --num-query-groups 4
    --seq-length ${SEQ} --max-position-embeddings $SEQ
    --swiglu --normalization RMSNorm --disable-bias-linear
    --position-embedding-type rope --rotary-base 500000
    --untie-embeddings-and-output-weights
    --attention-dropout 0 --hidden-dropout 0.0
    --vocab-file data/gpt2-vocab.json
)
TRAINING_ARGS=" \\
    --lr 3e-4 --min-lr 3e-5 --lr-decay-style cosine \\
    --train-iters 1000 --lr-warmup-iters 50 \\
    --global-batch-size $GLOBAL --weight-decay 0.1 --adam-beta2 0.95 \\
    --bf16 --save-interval 400 --data-path corpus_text_document --split 98,2,0 "
cat <<EOT > ds.json
{"lr": 1}
EOT
torchrun --nproc_per_node $GPUS pretrain_gpt.py \\
    ${MODEL_ARGS[@]} \\
    $TRAINING_ARGS --log-interval 10
"""


def read(tmp_path: Path, name: str, text: str) -> ReadRecipe:
    path = tmp_path / name
    path.write_text(text)
    return read_recipe(path)


def megatron(tmp_path: Path, text: str = LLAMA, **changes: str) -> ReadRecipe:
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return read(tmp_path, "train.sh", text)


def test_a_script_in_arrays_and_strings_makes_a_whole_recipe(tmp_path: Path) -> None:
    found = megatron(tmp_path)
    recipe = found.recipe
    assert recipe is not None, found.missing
    assert found.format == "megatron"
    assert (recipe.architecture.family, recipe.architecture.num_kv_heads) == ("llama", 4)
    assert recipe.architecture.intermediate_size == int(4 * 1024 * 2 / 3 / 64) * 64
    assert recipe.architecture.vocab_size == 50304
    assert (recipe.batch_size, recipe.steps, recipe.tokens_total) == (128, 1000, 128 * 1000 * 2048)
    assert (recipe.learning_rate.warmup_steps, recipe.learning_rate.decay_steps) == (50, 1000)
    assert recipe.optimizer.betas == (0.9, 0.95)
    assert recipe.checkpoints == (400, 800, 1000)
    assert found.origins["learning_rate.peak"].where.endswith("train.sh:20 lr")
    assert found.origins["architecture.num_layers"].kind == "stated"
    assert "NVIDIA/Megatron-LM@" in found.origins["optimizer.eps"].where
    assert not found.unknown


@pytest.mark.parametrize(
    ("old", "new", "name", "why"),
    [
        ("GPUS=8\n", "GPUS=$1\n", "batch_size", "not plain arithmetic"),
        ("SEQ=2048\n", "SEQ=2048\nSEQ=4096\n", "data.sequence_length", "more than once"),
        ("SEQ=2048\n", "if [ $X ]; then SEQ=2048; else SEQ=4096; fi\n", "data.sequence_length", "under a condition"),
        ("SEQ=2048\n", "for SEQ in 1024 2048; do :; done\n", "data.sequence_length", "a loop's"),
        ("SEQ=2048\n", "read SEQ\n", "data.sequence_length", "read gives it"),
        ("SEQ=2048\n", "", "data.sequence_length", "not given in this file"),
        ("SEQ=2048\n", "SEQ=${LENGTH:-2048}\n", "data.sequence_length", "known only where it runs"),
        ("--lr 3e-4", "--lr $RATE", "learning_rate.peak", "$RATE is not given"),
        ("--lr 3e-4", "--lr `cat rate`", "learning_rate.peak", "known only where it runs"),
        ("torchrun", "[ $BIG ] && true\nif $BIG; then MODEL_ARGS+=(--num-layers 32); fi\ntorchrun",
         "architecture.num_layers", "under a condition"),
        ("--log-interval 10", "$EXTRA_ARGS", "optimizer.eps", "more words may be given"),
        ("pretrain_gpt.py", "my_train.py", "optimizer.eps", "my_train.py"),
        ("--train-iters 1000", "--train-samples 9000 --rampup-batch-size 32 32 1000", "batch_size", "batch grows"),
        ("--train-iters 1000", "--train-samples 9000 --rampup-batch-size 32 32 1000", "steps", "updates depend"),
        ("--lr-decay-style cosine", "--lr-decay-style WSD", "learning_rate.form", "no canonical name"),
        ("--normalization RMSNorm", "", "architecture.family", "no network that has"),
    ],
)  # fmt: skip
def test_what_is_not_followed_stays_unstated(tmp_path: Path, old: str, new: str, name: str, why: str) -> None:
    found = megatron(tmp_path, **{old: new})
    assert found.recipe is None
    assert found.values[name] is None
    assert found.origins[name].kind == "unstated"
    assert why in found.origins[name].where


def test_samples_become_updates_where_the_batch_is_one_size(tmp_path: Path) -> None:
    found = megatron(
        tmp_path, **{"--train-iters 1000 --lr-warmup-iters 50": "--train-samples 128_000 --lr-warmup-samples 640"}
    )
    assert (found.values["steps"], found.values["learning_rate.warmup_steps"]) == (1000, 5)
    assert found.origins["steps"].kind == "derived"


def test_defaults_of_megatron_deepspeed_are_cited_from_it(tmp_path: Path) -> None:
    found = megatron(tmp_path, **{"--log-interval 10": "--deepspeed --deepspeed_config ds.$JOB.json"})
    assert "bigscience-workshop/Megatron-DeepSpeed@" in found.origins["optimizer.eps"].where


def test_the_program_in_a_shell_that_a_launcher_starts_is_seen(tmp_path: Path) -> None:
    text = LLAMA.replace("torchrun --nproc_per_node $GPUS pretrain_gpt.py", 'export CMD="python pretrain_gpt.py')
    text = text.rstrip() + '"\nsrun --nodes 4 bash -c "$CMD"\n'
    assert (
        read(tmp_path, "train.slurm", text.replace("${MODEL_ARGS[@]}", "${MODEL_ARGS[*]}")).recipe
        == megatron(tmp_path).recipe
    )


def test_two_trainings_in_a_script_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"one training, found two"):
        megatron(tmp_path, text=LLAMA + "torchrun pretrain_gpt.py ${MODEL_ARGS[@]} --lr 1e-3\n")


def test_another_network_is_refused_by_its_program(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"expected pretrain_gpt.py, found pretrain_bert.py"):
        megatron(tmp_path, **{"pretrain_gpt.py": "pretrain_bert.py"})


@pytest.mark.parametrize("text", ['X="1\n', "A=(1 2\n", "echo $(ls\n", "A=(1; 2)\n"])
def test_a_script_that_does_not_end_is_one_line_of_refusal(text: str) -> None:
    with pytest.raises(BadInput, match=r"^s.sh:\d+: expected .*found "):
        parse_script(text, "s.sh")


def test_words_of_a_script_are_as_a_shell_splits_them() -> None:
    script = parse_script('A=\'x  y\'\nB="$A z"\nC=(1 "2 3")\nC+=(4)\nrun $A "$A" \'$A\' ${C[@]} a\\ b #c\n', "s.sh")
    assert [word.text for word in script.commands[-1]] == ["run", "x", "y", "x y", "$A", "1", "2", "3", "4", "a b"]


TITAN = """[model]
name = "llama3"
flavor = "8B"
[optimizer]
name = "AdamW"
lr = 3e-4
[lr_scheduler]
warmup_steps = 200
decay_type = "cosine"
min_lr_factor = 0.1
[training]
global_batch_size = 64
seq_len = 8192
steps = 1000
dataset = "c4"
[checkpoint]
enable = true
interval = 500
"""


def test_torchtitan_is_read_with_its_lines(tmp_path: Path) -> None:
    found = read(tmp_path, "llama.toml", TITAN)
    assert found.format == "torchtitan"
    assert found.values["learning_rate.minimum"] == pytest.approx(3e-5)
    assert (found.values["steps"], found.values["batch_size"], found.values["tokens_total"]) == (
        1000,
        64,
        64 * 8192 * 1000,
    )
    assert found.origins["optimizer.name"].where.endswith("llama.toml:5 name")
    assert found.values["architecture.intermediate_size"] == 14336
    assert found.values["checkpoints"] == (500, 1000)
    assert "which neither canonical word says" in found.origins["learning_rate.first"].where
    assert found.recipe is None
    assert not found.unknown


def test_torchtitan_of_another_version_takes_no_defaults(tmp_path: Path) -> None:
    found = read(tmp_path, "old.toml", TITAN.replace("global_batch_size = 64", "batch_size = 8"))
    assert found.values["optimizer.weight_decay"] is None
    assert "another version" in found.origins["optimizer.weight_decay"].where
    assert found.values["architecture.hidden_size"] is None
    assert found.values["batch_size"] is None


def test_torchtitan_states_no_batch_by_the_device(tmp_path: Path) -> None:
    found = read(tmp_path, "a.toml", TITAN.replace("global_batch_size = 64", "local_batch_size = 8"))
    assert "the devices are not stated" in found.origins["batch_size"].where


def test_torchtitan_of_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a.toml:2: model.name: expected a language model, found flux"):
        read(tmp_path, "a.toml", TITAN.replace('"llama3"', '"flux"'))


def test_a_toml_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a.toml:1: expected TOML"):
        read(tmp_path, "a.toml", "[model\n")
