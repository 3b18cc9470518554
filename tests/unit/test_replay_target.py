"""What a replay target can ask for: a later start, published optimizer states and losses, and a look at the checkpoints."""

from __future__ import annotations

import base64
import json
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from releases import language as mini
from releases import pythia
from releases.miniature import add_release, make_project, write_target
from safetensors.numpy import save_file

from openassay import cli
from openassay.core.replay_records import CheckpointOddity, CheckpointsRecord
from openassay.core.rerun_records import RerunStatus
from openassay.drivers.job import Arm, Job, RunResult
from openassay.drivers.losses import LossLog, rounding_unit
from openassay.drivers.published import TokenFiles
from openassay.drivers.replay import ReplayDriver
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.plan import make_plan, write_plan
from openassay.published.recipes import read_recipe
from openassay.published.recipes.draft import complete
from openassay.published.tokens import BadTokens
from openassay.records import parse
from openassay.target import read_target
from openassay.training.language import LanguageRecipe
from openassay.training.lm import LanguageTraining, build, initial_weights
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import ContiguousTokens, Numerics
from openassay.training.optimizer_state import read_moments

YAML = """{
  "num-layers": 1, "hidden-size": 32, "num-attention-heads": 4, "seq-length": 16, "max-position-embeddings": 16,
  "pos-emb": "rotary", "rotary-pct": 0.25, "no-weight-tying": true, "gpt-j-residual": true,
  "init_method": "small_init", "output_layer_init_method": "wang_init",
  "optimizer": {"type": "Adam", "params": {"lr": 0.003, "betas": [0.9, 0.95], "eps": 1.0e-8}},
  "min_lr": 0.0003, "train_micro_batch_size_per_gpu": 8, "gas": 1, "gradient_clipping": 1.0, "weight-decay": 0.1,
  "hidden-dropout": 0, "attention-dropout": 0, "train-iters": 256, "lr-decay-iters": 256, "lr-decay-style": "cosine",
  "warmup": 0.01
}
"""
SETTINGS = {"architecture.vocab_size": mini.VOCABULARY, "batch_size": 8}
ITEM = 17 * 2
"""Bytes."""
FIRST = 8
LAST = 16
END = 24
NAMES = {"step_column": "Step", "loss_column": "run - train/loss"}


def items() -> np.ndarray:
    weights = 1 / np.arange(1, mini.VOCABULARY + 1)
    return np.random.default_rng(0).choice(mini.VOCABULARY, (END * 8, 17), p=weights / weights.sum()).astype("<u2")


def in_order() -> ContiguousTokens:
    return ContiguousTokens(tokens=items().reshape(-1), item_length=17, stride=17)


@cache
def stated() -> LanguageRecipe:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mini.yml"
        path.write_text(YAML)
        return complete(read_recipe(path), SETTINGS | {"data.files": ("tokens.bin",)}, "settings")


@cache
def trained(second_beta: float = 0.95) -> tuple[dict[int, Any], dict[int, Any], np.ndarray]:
    recipe = replace(stated(), optimizer=replace(stated().optimizer, betas=(0.9, second_beta)))
    training = LanguageTraining(recipe, initial_weights(recipe, 0), numerics=Numerics(permuted=5))
    weights, moments = {}, {}
    for step in (0, FIRST, LAST, END):
        training.advance(in_order(), step)
        weights[step] = {name: value.copy() for name, value in training.weights().items()}
        moments[step] = training.moments()
    return weights, moments, training.log().losses


def save_moments(path: Path, moments: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    parts = {}
    for name, (first, second) in moments.items():
        parts |= {f"{name}.exp_avg": first, f"{name}.exp_avg_sq": second}
    save_file(parts, path)


def publish(folder: Path, *, second_beta: float = 0.95) -> dict[str, Any]:
    """A release in a folder, trained with this beta; gives its target's `rerun`, a segment from step 8."""
    (folder / "mini.yml").write_text(YAML)
    weights, moments, losses = trained(second_beta)
    (folder / f"tokens.bin.bytes-{FIRST * 8 * ITEM}-{LAST * 8 * ITEM}").write_bytes(
        items()[FIRST * 8 : LAST * 8].tobytes()
    )
    for step in (FIRST, LAST):
        save_file(weights[step], folder / f"step{step}.safetensors")
    save_moments(folder / "optimizer.safetensors", moments[FIRST])
    lines = [f"{step + 1},{loss:.4f}" for step, loss in enumerate(losses) if step != 11]
    (folder / "losses.csv").write_text("\n".join(["Step,run - train/loss", *lines]))
    return {
        "driver": "replay", "protocol": "segment", "first": FIRST, "updates": [LAST - FIRST], "exercise": False,
        "recipe": {"artifact": "all", "path": "mini.yml"}, "settings": SETTINGS,
        "tokens": {
            "artifact": "all", "layout": "preshuffled", "files": ["tokens.bin"], "sizes": [items().nbytes],
        },
        "checkpoints": [
            {"step": FIRST, "artifact": "all", "path": "step8.safetensors",
             "optimizer": {"artifact": "all", "path": "optimizer.safetensors"}},
            {"step": LAST, "artifact": "all", "path": "step16.safetensors"},
        ],
        "losses": {"artifact": "all", "path": "losses.csv", "step_is": "updates_done", **NAMES,
                   "cited_at": {"url": "https://example.org/train.py"}},
    }  # fmt: skip


def rerun(folder: Path, data: dict[str, Any], device: str = "cpu") -> RunResult:
    recipe = parse(ReplayDriver, data, "target")
    assert not list(recipe.problems())
    job = Job(
        arm=Arm(), seed=0, data=None, artifacts={"all": str(folder)}, python=None, glue=None, out=folder, device=device,
        threads=1, timeout_s=600,
    )  # fmt: skip
    return recipe.execute(job)


def log(**values: Any) -> LossLog:
    return parse(
        LossLog,
        {"artifact": "all", "path": "losses.csv", "step_is": "update", "cited_at": {"url": "https://example.org"}} | NAMES
        | values,
        "losses",
    )  # fmt: skip


def test_a_segment_needs_its_own_batches_only_and_matches_or_differs(tmp_path: Path) -> None:
    done = rerun(tmp_path, publish(tmp_path))
    assert (done.status, done.reason) == (RerunStatus.FINISHED, "")
    assert (done.records["replay"].standing, done.records["replay"].first, done.records["replay"].burned_in_from) == (
        "MATCHES",
        FIRST,
        None,
    )
    assert {of.statistic for of in done.records["replay"].statistics} == {"loss_rms", "distance", "log_norm_ratio"}
    rounding = next(of for of in done.records["replay"].statistics if of.statistic == "loss_rms")
    assert 1e-4 / 12**0.5 < rounding.floor < 2e-4 / 12**0.5
    assert [look.step for look in done.records["checkpoints"].looks] == [FIRST, LAST]
    assert done.records["checkpoints"].oddities == ()
    other = tmp_path / "other"
    other.mkdir()
    done = rerun(other, publish(other, second_beta=0.999))
    assert done.records["replay"].standing == "DIFFERS"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="asks for cuda, and torch sees no GPU"):
        rerun(tmp_path, publish(tmp_path), "cuda")


def test_a_replay_that_does_not_fit_into_memory_accuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore words")

    monkeypatch.setattr("openassay.drivers.replay.replay_segment", full)
    with pytest.raises(BadInput, match="does not fit into the memory of the device; .*Tried to allocate 2 GiB") as said:
        rerun(tmp_path, publish(tmp_path))
    assert "\n" not in str(said.value)


def test_without_an_optimizer_state_losses_alone_are_compared(tmp_path: Path) -> None:
    data = publish(tmp_path)
    (tmp_path / "tokens.bin").write_bytes(items().tobytes())
    save_file(trained()[0][0], tmp_path / "step0.safetensors")
    data |= {
        "first": LAST, "updates": [END - LAST],
        "tokens": {"artifact": "all", "layout": "preshuffled", "files": ["tokens.bin"]},
        "checkpoints": [{"step": step, "artifact": "all", "path": f"step{step}.safetensors"} for step in (0, FIRST, LAST)],
    }  # fmt: skip
    done = rerun(tmp_path, data)
    assert done.records["replay"].burned_in_from == 0  # step 8 is too near
    assert [of.statistic for of in done.records["replay"].statistics] == ["loss_rms"]
    assert done.records["replay"].standing != "DIFFERS"


@pytest.mark.parametrize("column", ["a mean", "the update"])
def test_what_a_logged_step_means_is_the_targets_to_say(tmp_path: Path, column: str) -> None:
    """The same losses, told as means of two updates, or of the update whose number stands there."""
    data = publish(tmp_path)
    losses = np.array([0, *trained()[2]])
    if column == "a mean":
        lines = [f"{step},{(losses[step - 1] + losses[step]) / 2:.5f}" for step in range(3, LAST + 1, 2)]
        data["losses"]["mean_over"] = 2
    else:
        lines = [f"{step - 1},{losses[step]:.5f}" for step in range(1, LAST + 1)]
        data["losses"]["step_is"] = "update"
    (tmp_path / "losses.csv").write_text("\n".join(["Step,run - train/loss", *lines]))
    data["checkpoints"].pop()  # so that nothing but losses is compared
    done = rerun(tmp_path, data)
    assert [(of.statistic, of.value < of.limit) for of in done.records["replay"].statistics] == [("loss_rms", True)]
    wrong = data | {"losses": data["losses"] | {"mean_over": 1, "step_is": "updates_done"}}
    done = rerun(tmp_path, wrong)
    assert done.records["replay"].statistics[0].value > 20 * done.records["replay"].statistics[0].limit
    # what the target has misread is no difference of the release's
    assert done.records["replay"].standing == "INCONCLUSIVE"
    fits = "as means of 2" if column == "a mean" else "one update later"
    assert f"{fits}, the losses fit" in done.records["replay"].reasons[0]
    scaled = np.array([0, *trained()[2]]) * 1.01
    lines = [f"{step},{scaled[step]:.5f}" for step in range(1, LAST + 1)]
    (tmp_path / "losses.csv").write_text("\n".join(["Step,run - train/loss", *lines]))
    done = rerun(tmp_path, wrong)
    assert done.records["replay"].standing == "DIFFERS"


def no_optimizer(folder: Path, _data: dict[str, Any]) -> None:
    (folder / "optimizer.safetensors").unlink()


def pickled_code(folder: Path, data: dict[str, Any]) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (folder / "ran",)

    torch.save({"state": Evil()}, folder / "optimizer.pt")
    data["checkpoints"][0]["optimizer"]["path"] = "optimizer.pt"


def a_missing_token(folder: Path, _data: dict[str, Any]) -> None:
    (part,) = folder.glob("tokens.bin.bytes-*")
    part.rename(folder / f"tokens.bin.bytes-{FIRST * 8 * ITEM + 2}-{LAST * 8 * ITEM}")


def broken_weights(folder: Path, _data: dict[str, Any]) -> None:
    (folder / "step16.safetensors").write_bytes(b"x" * 100)


def no_losses_there(folder: Path, _data: dict[str, Any]) -> None:
    (folder / "losses.csv").write_text("Step,run - train/loss\n2,3.4\n3,3.3\n")


def infinite_moments(folder: Path, data: dict[str, Any]) -> None:
    moments = dict(trained()[1][FIRST])
    first, second = moments["lm_head.weight"]
    moments["lm_head.weight"] = first, np.full_like(second, np.inf)
    save_moments(folder / "optimizer.safetensors", moments)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (no_optimizer, "of an optimizer state is not in its artifact"),
        (pickled_code, "without running its code"),
        (a_missing_token, "tokens.bin: expected bytes [2176, 2210), and they were not fetched"),
        (broken_weights, "step16.safetensors of a checkpoint is no safetensors file"),
        (no_losses_there, "no loss of the replayed updates, 8 to 15"),
        (infinite_moments, "exp_avg_sq of lm_head.weight holds numbers that are not finite"),
    ],
)
def test_what_does_not_fit_is_why_there_is_no_replay(
    tmp_path: Path, spoil: Callable[[Path, dict[str, Any]], None], says: str
) -> None:
    data = publish(tmp_path)
    spoil(tmp_path, data)
    done = rerun(tmp_path, data)
    assert done.status is RerunStatus.FAILED
    assert says in done.reason
    assert "replay" not in done.records
    assert not (tmp_path / "ran").exists()


def test_odd_checkpoints_are_seen_and_stop_nothing(tmp_path: Path) -> None:
    data = publish(tmp_path)
    weights = dict(trained()[0][LAST])
    save_file(
        weights | {"lm_head.weight": np.full_like(weights["lm_head.weight"], np.nan)}, tmp_path / "step12.safetensors"
    )
    save_file({"lm_head.weight": np.zeros((2, 2), np.float32)}, tmp_path / "step20.safetensors")
    (tmp_path / "step24.safetensors").write_bytes((tmp_path / "step16.safetensors").read_bytes())
    data["checkpoints"] += [
        {"step": step, "artifact": "all", "path": f"step{step}.safetensors"} for step in (12, 20, 24)
    ]
    done = rerun(tmp_path, data)
    assert done.records["replay"].standing == "MATCHES"
    assert {(odd.kind, odd.steps) for odd in done.records["checkpoints"].oddities} == {
        ("not finite", (12,)), ("tensors", (20,)), ("same", (16, 24)),
    }  # fmt: skip
    assert [look.step for look in done.records["checkpoints"].looks] == [8, 16, 24]
    found = {
        finding.kind: finding.message for finding in parse(ReplayDriver, data, "target").rerun_findings(done.records)
    }
    assert set(found) == {"checkpoints_not_finite", "checkpoints_tensors", "checkpoints_same"}
    assert "steps 16, 24 have the same content: nothing was learnt between them, or" in found["checkpoints_same"]
    data["forensics"] = False
    assert "checkpoints" not in rerun(tmp_path, data).records


def test_of_many_oddities_of_a_kind_a_few_are_findings(tmp_path: Path) -> None:
    driver = parse(ReplayDriver, publish(tmp_path), "target")
    odd = tuple(CheckpointOddity(kind="initialisation", steps=(0,), message=f"matrix {i}") for i in range(40))
    told = [
        finding.message for finding in driver.rerun_findings({"checkpoints": CheckpointsRecord(looks=(), oddities=odd)})
    ]
    assert len(told) == 6
    assert told[-1].startswith("and 35 more of the kind")


def test_checkpoints_are_looked_at_of_a_replay_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = add_release(make_project(tmp_path), "honest")
    write_plan(layout.plan, make_plan(layout))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"honest\.yaml: rerun: a replay is needed, and this target has none"):
        cli.checkpoints("honest")


STARTS: list[tuple[dict[str, Any], str]] = [
    ({"first": None}, "first: missing"),
    ({"first": 12}, r"first: a segment starts from one of the checkpoints after step 0 \(8, 16\), found 12"),
    ({"first": 0}, "first: a segment starts from one of the checkpoints after step 0"),
    ({"protocol": "prefix"}, "first: a prefix starts from step 0; remove it"),
    ({"protocol": "prefix", "first": None}, r"checkpoints: a prefix starts from step 0, found \[8, 16\]"),
    (
        {"first": 16},
        "checkpoints: the segment from step 16 needs `optimizer` at that step, or a checkpoint 16 updates or more before it",
    ),
    ({"updates": [4], "losses": None}, r"updates: nothing to compare with: no checkpoint from step 9 to 12 is listed"),
]


@pytest.mark.parametrize(("change", "says"), STARTS)
def test_a_start_that_cannot_be_is_said_in_a_line(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    data = publish(tmp_path)
    for key, value in change.items():
        *path, last = key.split(".")
        (data[path[0]] if path else data)[last] = value
    found = next(parse(ReplayDriver, data, "target").problems())
    assert re.match(says, found), found
    assert "\n" not in found


def test_an_optimizer_state_that_nothing_reads_and_a_step_that_stands_twice_are_refused(tmp_path: Path) -> None:
    data = publish(tmp_path)
    data["checkpoints"][1]["optimizer"] = {"artifact": "all", "path": "x.safetensors"}
    assert "the optimizer's state of step 16 is of no use" in next(parse(ReplayDriver, data, "target").problems())
    data["checkpoints"][1] = data["checkpoints"][0]
    assert "each step stands once" in next(parse(ReplayDriver, data, "target").problems())
    assert parse(ReplayDriver, publish(tmp_path), "target").named()[-1] == ("losses", "all")


def test_the_plan_says_it_in_a_line_with_its_place(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    layout = Layout(root, "mini_pythia")

    def problem(change: Callable[[dict[str, Any]], Any]) -> str:
        data = pythia.segment_target("mini_pythia", "1" * 40, "2" * 40, {8: "3" * 40, 16: "4" * 40})
        change(data["rerun"])
        write_target(root, data)
        try:
            read_target(layout)
        except BadInput as said:
            return str(said)
        return ""

    assert problem(lambda _rerun: None) == ""
    assert problem(lambda rerun: rerun.update(first=9)).startswith(
        "conf/target/mini_pythia.yaml: rerun.first: a segment starts"
    )
    unknown = problem(lambda rerun: rerun["losses"].update(artifact="logs"))
    assert unknown == "conf/target/mini_pythia.yaml: rerun.losses.artifact: there is no artifact 'logs'"
    unknown = problem(lambda rerun: rerun["checkpoints"][0]["optimizer"].update(artifact="x"))
    assert "rerun.checkpoints.optimizer.artifact: there is no artifact 'x'" in unknown
    assert "rerun.losses.step_is: missing" in re.sub(
        r"rerun\.replay\.", "rerun.", problem(lambda rerun: rerun["losses"].pop("step_is"))
    )
    for place in (lambda rerun: rerun["losses"], lambda rerun: rerun["checkpoints"][0]["optimizer"]):
        said = problem(lambda rerun, place=place: place(rerun).update(path="../../secret.csv"))
        assert "it must stay below the artifact, found '../../secret.csv'" in said


def test_tokens_from_their_middle_on_are_the_same_tokens(tmp_path: Path) -> None:
    recipe = stated()
    whole, cut = items(), 3 * 8 * ITEM + 10
    (tmp_path / f"whole.bin.bytes-{cut}-4000").write_bytes(whole.tobytes()[cut:4000])
    (tmp_path / "next.bin").write_bytes(whole.tobytes()[4000:])
    said = {"artifact": "all", "layout": "preshuffled", "files": ["whole.bin", "next.bin"]}
    files = parse(TokenFiles, said | {"sizes": [4000, whole.nbytes - 4000]}, "tokens")
    found = files.batches({"all": str(tmp_path)}, recipe)
    assert found.num_batches == END
    for index in range(4, END):
        assert np.array_equal(found.batch(index), whole[8 * index : 8 * index + 8])
    with pytest.raises(BadTokens, match=r"whole.bin: expected bytes \[816, 850\), and they were not fetched"):
        found.batch(3)


def test_olmos_tokens_can_be_replayed_too(tmp_path: Path) -> None:
    """In the order of its published algorithm, which test_tokens.py holds against a frozen one."""
    recipe = replace(stated(), data=replace(stated().data, item_length=16, seed=7, files=("part.npy",)))
    (tmp_path / "part.npy").write_bytes(items().tobytes())
    data = publish(tmp_path) | {"tokens": {"artifact": "all", "layout": "olmo", "files": ["part.npy"]}}
    found = parse(ReplayDriver, data, "target").in_order({"all": str(tmp_path)}, recipe).items(3, 10)
    cut = items().reshape(-1)
    order = np.arange(len(cut) // 16, dtype=np.uint32)
    np.random.Generator(np.random.PCG64(7)).shuffle(order)
    assert np.array_equal(found, cut[: len(order) * 16].reshape(-1, 16)[order[3:13]])


def test_a_log_is_read_by_update_and_to_its_last_digit(tmp_path: Path) -> None:
    where = {"all": str(tmp_path)}
    text = "\ufeffStep,run - train/loss,other\n0,10.8329,1\n1,,1\n2,9.99,1\n2,9.99,1\n4,9.5,1\n4,9.6,1\n5,nan,\n999999999999,1,1\n"
    (tmp_path / "losses.csv").write_text(text)
    losses, unit = log().read(where, 7)
    assert losses[[0, 2]].tolist() == [10.8329, 9.99]
    assert np.isnan(losses[[1, 3, 4, 5, 6]]).all()
    assert unit == pytest.approx(1e-4)
    assert np.isnan(log(step_is="updates_done").read(where, 7)[0][0])
    assert log(step_is="updates_done").read(where, 7)[0][1] == 9.99
    lines = [
        {"_step": 1, "loss": 3.25},
        {"_step": 2.0, "eval": 1},
        {"_step": 3, "loss": None},
        {"_step": 4.0, "loss": 3.5001},
    ]
    (tmp_path / "a.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    losses, unit = log(path="a.jsonl", step_column="_step", loss_column="loss").read(where, 5)
    assert losses[[1, 4]].tolist() == [3.25, 3.5001]
    assert unit == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("losses.csv", b"step,loss\n1,2\n", r"there is no column 'Step'; there are: 'step', 'loss'"),
        ("losses.csv", b"", "there is no column 'Step'; there are: none"),
        (
            "losses.csv",
            b"Step,run - train/loss\n1,many\n",
            r"line 2: run - train/loss: expected a number, found 'many'",
        ),
        (
            "losses.csv",
            b"Step,run - train/loss\n1.5,2\n",
            r"line 2: Step: expected a whole number from 0 on, found '1.5'",
        ),
        ("losses.csv", b"Step,run - train/loss\n-1,2\n", "expected a whole number"),
        ("losses.csv", b"Step,run - train/loss\n1,\n", "no line has a number both as"),
        ("losses.csv", b"\xff\xfe\x00", "is no .csv file"),
        ("losses.jsonl", b"{", "line 1 is no JSON"),
        ("losses.jsonl", b"[1]\n3\n", "no line has a number both as"),
        ("losses.jsonl", b"[" * 100_000, "is no .jsonl file"),
        ("losses.txt", b"1 2\n", "losses are read from .csv and .jsonl files"),
        ("losses.csv", None, "losses.csv of the losses is not in its artifact"),
    ],
)
def test_a_log_that_is_none_is_a_mismatch(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RecipeMismatch, match=says):
        log(path=name).read({"all": str(tmp_path)}, 4)


@pytest.mark.parametrize(
    ("texts", "unit"),
    [
        (["2.50", "3.10", "2.71"], 0.01),
        (["10.8329", "9.99123", "8.12345"], 1e-4),  # six digits, as %g prints
        (["3", "4", "7"], 1.0),
        (["2.511e0", "1.234E-1"], 1e-3),
        (["10.8125", "10.75", "9.9375", "9.0625"], 0.0625),  # all of bf16: spacing 1/16 from 8 on
        (["10.8203125", "9.9921875", "9.0078125", "10.7109375"], 0.0078125),  # all of fp16
        ([repr(float(np.float32(x))) for x in (10.123, 9.871, 8.333)], 1e-14),
    ],
)
def test_the_rounding_of_a_log_is_read_off_its_digits(texts: list[str], unit: float) -> None:
    assert rounding_unit(texts) == pytest.approx(unit, rel=0.1 if unit > 1e-10 else 20)


def shapes_of(recipe: LanguageRecipe) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in build(recipe.architecture).named_parameters()}


def random_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: {
            "step": torch.tensor(8.0), "exp_avg": torch.randn(shape, generator=generator),
            "exp_avg_sq": torch.rand(shape, generator=generator),
        }
        for name, shape in shapes.items()
    }  # fmt: skip


@pytest.mark.parametrize("form", ["numbers", "names of the groups", "names", "beside the model"])
def test_a_torch_state_is_read_where_its_order_is_known(tmp_path: Path, form: str) -> None:
    recipe = stated()
    named = random_state(shapes_of(recipe))
    names = list(named)
    state: dict[Any, Any] = dict(enumerate(named.values()))
    groups: list[dict[str, Any]] = [{"params": list(range(len(names))), "lr": 1e-3}]
    if form == "names":
        state, groups = dict(named), []
    elif form == "names of the groups":  # two groups, the other way round
        decayed = [name for name in names if named[name]["exp_avg"].ndim > 1]
        rest = [name for name in names if name not in decayed]
        state = dict(enumerate(named[name] for name in (*rest, *decayed)))
        groups = [
            {"params": list(range(len(rest))), "param_names": rest},
            {"params": list(range(len(rest), len(names))), "param_names": decayed},
        ]
    whole = {"state": state, "param_groups": groups}
    torch.save({"optimizer": whole, "model": {}} if form == "beside the model" else whole, tmp_path / "o.pt")
    found = read_moments(tmp_path / "o.pt", recipe, 8)
    assert list(found) == names
    for name, (first, second) in found.items():
        assert np.array_equal(first, named[name]["exp_avg"].numpy())
        assert np.array_equal(second, named[name]["exp_avg_sq"].numpy())
    with pytest.raises(RecipeMismatch, match="expected the state of step 9, found that of step 8"):
        read_moments(tmp_path / "o.pt", recipe, 9)


@pytest.mark.parametrize(
    "odd", [torch.zeros(0), torch.zeros(512, 32).to_sparse(), torch.zeros(512, 32, dtype=torch.complex64)]
)
@pytest.mark.parametrize("part", ["step", "exp_avg"])
def test_odd_tensors_in_a_torch_state_are_a_mismatch(tmp_path: Path, odd: torch.Tensor, part: str) -> None:
    named = random_state(shapes_of(stated()))
    named["lm_head.weight"][part] = odd
    torch.save({"state": named, "param_groups": []}, tmp_path / "o.pt")
    with pytest.raises(RecipeMismatch, match="not a plain tensor|has the shape|of no single step"):
        read_moments(tmp_path / "o.pt", stated(), 8)


def test_a_torch_state_of_two_groups_without_names_is_not_guessed_at(tmp_path: Path) -> None:
    recipe = stated()
    state = dict(enumerate(random_state(shapes_of(recipe)).values()))
    groups = [{"params": list(range(3))}, {"params": list(range(3, len(state)))}]
    torch.save({"state": state, "param_groups": groups}, tmp_path / "o.pt")
    with pytest.raises(RecipeMismatch, match="in 2 groups, by numbers without names"):
        read_moments(tmp_path / "o.pt", recipe, 8)


def olmo_key(*keys: str, pickled: bool = False) -> str:
    return base64.urlsafe_b64encode(pickle.dumps((keys, pickled))).decode()


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_olmos_state_has_its_joined_projections_taken_apart(tmp_path: Path, form: str) -> None:
    recipe = stated()
    architecture = replace(
        recipe.architecture, family="olmo", activation="swiglu", norm="layer_norm_without_weights", norm_eps=1e-5,
        rotary_share=1.0, parallel_residual=False, bias=False, num_kv_heads=2, intermediate_size=24,
    )  # fmt: skip
    recipe = replace(recipe, architecture=architecture)
    block = "transformer.blocks.0."
    theirs = random_state({
        "transformer.wte.weight": (512, 32), "transformer.ff_out.weight": (512, 32), f"{block}att_proj.weight": (64, 32),
        f"{block}attn_out.weight": (32, 32), f"{block}ff_proj.weight": (48, 32), f"{block}ff_out.weight": (32, 24),
    })  # fmt: skip
    path = tmp_path / ("optim.safetensors" if form == "safetensors" else "optim.pt")
    if form == "torch":
        torch.save({"state": theirs, "param_groups": [{"params": list(theirs)}]}, path)
    else:
        parts = {olmo_key("state", name, part): v.numpy() for name, of in theirs.items() for part, v in of.items()}
        parts[olmo_key("param_groups", pickled=True)] = np.frombuffer(pickle.dumps([{"lr": 1.0}]), dtype=np.uint8)
        parts["x" * 5000] = parts[base64.urlsafe_b64encode(b"cos\nsystem\n(S'touch ran'\ntR.").decode()] = np.zeros(1)
        save_file(parts, path)
    found = read_moments(path, recipe, 8)
    joined = theirs[f"{block}att_proj.weight"]["exp_avg"].numpy()
    parts_of = [found[f"model.layers.0.self_attn.{which}_proj.weight"][0] for which in "qkv"]
    assert [len(part) for part in parts_of] == [32, 16, 16]
    assert np.array_equal(np.concatenate(parts_of), joined)
    up_and_gate = [found[f"model.layers.0.mlp.{which}_proj.weight"][1] for which in ("up", "gate")]
    assert np.array_equal(np.concatenate(up_and_gate), theirs[f"{block}ff_proj.weight"]["exp_avg_sq"].numpy())
    assert np.array_equal(found["lm_head.weight"][0], theirs["transformer.ff_out.weight"]["exp_avg"].numpy())


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda parts: parts.pop("gpt_neox.final_layer_norm.bias.exp_avg"), "final_layer_norm.bias has no exp_avg"),
        (
            lambda parts: parts.update({"lm_head.weight.exp_avg": np.zeros((2, 2), np.float32)}),
            r"has the shape \(2, 2\)",
        ),
        (
            lambda parts: parts.update({"lm_head.weight.exp_avg_sq": np.full((512, 32), -1, np.float32)}),
            "has negative numbers",
        ),
        (
            lambda parts: parts.update({"lm_head.weight.exp_avg": np.zeros((512, 32), np.float16)}),
            "exp_avg of lm_head.weight is stored as float16",
        ),
        (
            lambda parts: parts.update({"lm_head.weight.step": np.array([9.0])}),
            "expected the state of step 8, found that of step 9",
        ),
        (lambda parts: parts.update({"lm_head.weight.max_exp_avg_sq": np.zeros(1)}), "AMSGrad"),
        (
            lambda parts: parts.update({"other.weight.exp_avg": np.zeros(1)}),
            "a state of other.weight, which the recipe's",
        ),
        (
            lambda parts: [parts.pop(name) for name in list(parts) if "lm_head" in name],
            "has nothing for lm_head.weight",
        ),
        (lambda parts: (parts.clear(), parts.update(x=np.zeros(1))), "expected tensors called PARAMETER.exp_avg"),
    ],
)
def test_a_state_that_is_not_the_models_is_a_mismatch(tmp_path: Path, spoil: Callable[[Any], Any], says: str) -> None:
    recipe = stated()
    parts = {
        f"{name}.{part}": value.numpy()
        for name, of in random_state(shapes_of(recipe)).items()
        for part, value in of.items()
    }
    assert read_moments_of(tmp_path, parts, recipe)
    spoil(parts)
    with pytest.raises(RecipeMismatch, match=says):
        read_moments_of(tmp_path, parts, recipe)


def read_moments_of(folder: Path, parts: dict[str, np.ndarray], recipe: LanguageRecipe) -> Any:
    save_file(parts, folder / "o.safetensors")
    return read_moments(folder / "o.safetensors", recipe, 8)


def test_a_recipe_without_such_moments_takes_none(tmp_path: Path) -> None:
    recipe = stated()
    with pytest.raises(RecipeMismatch, match="the recipe's optimizer is sgd"):
        read_moments(tmp_path / "x", replace(recipe, optimizer=replace(recipe.optimizer, name="sgd")), 8)
