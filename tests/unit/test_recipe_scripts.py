"""Recipes in shell scripts, TOML and Python: what is literal is read, what is not followed stays unstated with the reason."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from releases.recipe_scripts import DCLM, LEVANTER, LLAMA, OLMO_CORE, OPEN_LM, TITAN

from openassay.faults import BadInput
from openassay.published.recipes import read_recipe, read_recipes
from openassay.published.recipes.shell import parse_script
from openassay.training.language import ReadRecipe


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
        ("--log-interval 10", "--log-interval 10 \"--adam-eps $EPS\"", "optimizer.eps", "more words may be given"),
        ("--log-interval 10", "--finetune \"--adam-eps $EPS\"", "optimizer.eps", "more words may be given"),
        ("--log-interval 10", "--save run/$EPS $EPS", "optimizer.eps", "more words may be given"),
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


@pytest.mark.parametrize(
    "text",
    [
        LLAMA,
        "A='x y'; B=\"$A z\"\nC=($A '$A' \"$B\" \\\n  w) # no\nC+=(\"p q\")\ntorchrun ${C[@]} \"${C[@]}\" $((2 * 3 + 8 / 2 - 1)) \"a'b\" c\\ d\n",
        "N=3\nARGS=\"--n $N \\\n --m '1 2' \"\nARGS=\"$ARGS --k\"\ncat <<X >/dev/null\ntorchrun $ARGS no\nX\ntorchrun $ARGS --end\n",
    ],
)  # fmt: skip
def test_words_are_those_that_a_real_shell_gives(text: str, tmp_path: Path) -> None:
    show = "torchrun() { printf '%s\\n' \"$@\"; }\n"
    said = subprocess.run(["bash", "-c", show + text], capture_output=True, text=True, check=True, cwd=tmp_path)
    read = [word.text for word in parse_script(text, "s.sh").commands[-1]]
    assert read == ["torchrun", *said.stdout.splitlines()]


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


def olmo_core(tmp_path: Path, old: str = "", new: str = "") -> ReadRecipe:
    assert old in OLMO_CORE
    return read(tmp_path, "train.py", OLMO_CORE.replace(old, new) if old else OLMO_CORE)


def test_olmo_core_is_read_and_not_run(tmp_path: Path) -> None:
    found = olmo_core(tmp_path)
    values = found.values
    assert found.missing == ("data.files",)
    assert (values["architecture.hidden_size"], values["architecture.vocab_size"]) == (4096, 100352)
    assert (values["batch_size"], values["data.sequence_length"]) == (512, 4096)
    assert values["steps"] == -(-(10**9) // (512 * 4096))
    assert values["learning_rate.peak"] == 3e-4
    assert values["learning_rate.minimum"] == pytest.approx(3e-5)
    assert (values["learning_rate.warmup_steps"], values["learning_rate.decay_steps"]) == (2000, values["steps"])
    assert values["optimizer.not_decayed"] == ("embedding",)
    assert (values["z_loss"], values["clip_norm"], values["precision"]) == (1e-5, 1.0, "bf16")
    assert values["checkpoints"] == (400, 477)
    assert found.origins["learning_rate.warmup_steps"].where.endswith("train.py:25 warmup_steps")
    assert "allenai/OLMo-core@" in found.origins["optimizer.eps"].where
    assert any("read as without that option" in note for note in found.notes)
    assert not found.unknown


@pytest.mark.parametrize(
    ("old", "new", "name", "why"),
    [
        ("LR = 3e-4\n", "LR = 3e-4\nLR = 1e-4\n", "learning_rate.peak", "more than once"),
        ("LR = 3e-4\n", "if BIG:\n    LR = 3e-4\n", "learning_rate.peak", "under a condition"),
        ("LR = 3e-4\n", "LR = estimate(7)\n", "learning_rate.peak", "estimate(7) is not followed"),
        ("LR = 3e-4\n", "", "learning_rate.peak", "not given in this file"),
        ("    return Exp", "    train.optim.lr = 1e-4\n    return Exp", "learning_rate.peak", "set again"),
        ("    return Exp", "    train.optim.eps = 1e-6\n    return Exp", "optimizer.eps", "set again"),
        ("    return Exp", "    train.scheduler = make()\n    return Exp", "learning_rate.form", "sets scheduler again"),
        ("    return Exp", "    model.d_model -= 256\n    return Exp", "architecture.hidden_size", "sets d_model again"),
        ("    return Exp", "    b = model.block.replace(n_heads=2)\n    return Exp", "architecture.num_heads", "sets n_heads"),
        ("vocab_size=tokenizer.", "n_layers=2, vocab_size=tokenizer.", "architecture.num_layers", "with n_layers"),
        ("olmo2_7B", "my_network", "architecture.hidden_size", "does not know them"),
        ("olmo2_7B", "olmo3_7B", "architecture.family", "windows of 4096"),
        ("    return Exp", "    other = AdamWConfig(lr=1)\n    return Exp", "learning_rate.peak", "2 such calls"),
        ("    return Exp", "    d = NumpyFSLDatasetConfig(sequence_length=2048)\n    return Exp", "data.sequence_length", "its own"),
        ("CosWithWarmup(", "WSD(", "learning_rate.form", "no canonical name"),
        ("CosWithWarmup(", "CosWithWarmup(units=UNITS, ", "learning_rate.form", "other units"),
        ("Duration.tokens(int(1e9))", "Duration.epochs(1)", "steps", "do not follow"),
        ("Duration.tokens(int(1e9))", "Duration.tokens(int(1e9)), hard_stop=Duration.epochs(1)", "steps", "do not follow"),
        ("[\"embeddings.weight\"]", "[\"*.bias\"]", "optimizer.not_decayed", "these groups are not followed"),
    ],
)  # fmt: skip
def test_what_olmo_core_computes_stays_unstated(tmp_path: Path, old: str, new: str, name: str, why: str) -> None:
    found = olmo_core(tmp_path, old, new)
    assert found.values[name] is None
    assert found.origins[name].kind == "unstated"
    assert why in found.origins[name].where


def test_other_python_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"expected a recipe of a known format"):
        read(tmp_path, "train.py", "learning_rate = 3e-4\nn_layer = 12\n")


def levanter(tmp_path: Path, old: str = "", new: str = "") -> ReadRecipe:
    assert old in LEVANTER
    return read(tmp_path, "train.yaml", LEVANTER.replace(old, new) if old else LEVANTER)


def test_levanter_is_read_with_its_shares(tmp_path: Path) -> None:
    found = levanter(tmp_path)
    values = found.values
    assert (found.format, values["architecture.family"], values["architecture.num_kv_heads"]) == (
        "levanter",
        "llama",
        8,
    )
    assert (values["learning_rate.warmup_steps"], values["learning_rate.decay_steps"]) == (200, 10000)
    assert values["learning_rate.minimum"] == pytest.approx(4e-5)
    assert (values["batch_size"], values["tokens_total"]) == (256, 256 * 10000 * 2048)
    assert (values["precision"], values["z_loss"], values["data.seed"], values["clip_norm"]) == ("bf16", 5e-6, 3, 1.0)
    assert found.origins["clip_norm"].kind == "code default"
    assert not found.unknown
    whole = levanter(tmp_path, "warmup: 0.02", "warmup: 500\n  max_grad_norm: null\n  surprise: 1")
    assert (whole.values["learning_rate.warmup_steps"], whole.values["clip_norm"]) == (500, None)
    assert whole.origins["clip_norm"].kind == "stated"
    assert list(whole.unknown) == ["optimizer.surprise"]


@pytest.mark.parametrize(
    ("old", "new", "name", "why"),
    [
        ("warmup: 0.02", "warmup: 0.02\n  decay: 0.2", "learning_rate.form", "stages or cycles"),
        ("warmup: 0.02", "lr_schedule: inv", "learning_rate.form", "no canonical name"),
        ("warmup: 0.02", "type: muon", "optimizer.betas", "muon"),
        ("warmup: 0.02", "weight_decay_modules: attn", "optimizer.not_decayed", "a mask of its own"),
        ("warmup: 0.02", "warmup: null", "learning_rate.warmup_steps", "null"),
        ("train_batch_size: 256", "train_batch_size: [{start: 0, value: 8}]", "batch_size", "changes"),
        ("type: llama", "type: gpt2", "architecture.family", "gpt2 is not read"),
        ("num_layers: 16", "num_layers: 16\n  use_bias: true", "architecture.family", "another network"),
        ("num_layers: 16", "num_layers: 16\n  rope: {type: llama3}", "architecture.rotary_share", "not read"),
    ],
)  # fmt: skip
def test_what_levanter_says_otherwise_stays_unstated(tmp_path: Path, old: str, new: str, name: str, why: str) -> None:
    found = levanter(tmp_path, old, new)
    assert found.values[name] is None
    assert found.origins[name].kind == "unstated"
    assert why in found.origins[name].where


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("data:\n", "supervised_data: {}\ndata:\n", r"train.yaml:1: supervised_data: expected .*found fine-tuning"),
        ("warmup: 0.02", "warmup: 1.5", r"train.yaml:21: optimizer.warmup: expected a share up to 1"),
        ("  cache_dir: gs://somewhere/cache", "  source: !include other.yaml", r"train.yaml:2: expected plain data"),
    ],
)
def test_levanter_is_refused_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        levanter(tmp_path, old, new)


def test_a_scale_of_dclm_and_its_network_are_read_together(tmp_path: Path) -> None:
    for name, text in (("scale.json", DCLM), ("small.json", OPEN_LM)):
        (tmp_path / name).write_text(text)
    found = read_recipes([tmp_path / "scale.json", tmp_path / "small.json"])
    values = found.values
    assert (values["architecture.hidden_size"], values["architecture.intermediate_size"]) == (1024, 2816)
    assert (values["learning_rate.peak"], values["learning_rate.minimum"], values["batch_size"]) == (0.003, 3e-5, 512)
    assert values["tokens_total"] == 2 * 8232325120
    assert (values["optimizer.weight_decay"], values["optimizer.not_decayed"], values["precision"]) == (
        0.033,
        (),
        "bf16",
    )
    assert values["steps"] is values["learning_rate.first"] is None
    assert not found.unknown


def test_a_scale_without_its_multiplier_states_no_tokens(tmp_path: Path) -> None:
    found = read(tmp_path, "scale.json", DCLM.replace(',\n "chinchilla_multiplier": 2', ""))
    assert found.values["tokens_total"] is None
    assert "times chinchilla_multiplier" in found.origins["tokens_total"].where
