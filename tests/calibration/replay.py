"""How often does a replay see a planted defect, accuse a clean release, and name the cause? `python tests/calibration/replay.py`.

A miniature Pythia (165,632 parameters) is released with each of 36 defects, from three seeds; what is published beside it is the recipe
without the defect. The auditor replays in bf16, while the releases were trained in fp32. Takes about an hour of one core; what is
measured is kept in --out, and a second call goes on there.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from releases import language as mini

from openassay.core.replay import Statistics, floors, judge_replay, round_to
from openassay.protocols.changes import Change, Halved, Reshuffled, Skipped, changes
from openassay.protocols.explain import mislabelled, rank
from openassay.protocols.forensics import initialisation
from openassay.protocols.prefix import (
    CONTROLS,
    ReplayInputs,
    exercised,
    faithful,
    keep,
    prefix_setting,
    run_beside,
    run_replicas,
    trace_of,
)
from openassay.training.language import LanguageRecipe
from openassay.training.lm import LanguageTraining, initial_weights
from openassay.training.numerics import Numerics, Tokens

HORIZONS = (16, 64, 256)


class _Leaking(LanguageTraining):
    def _split(self, rows: Any) -> Any:
        return rows[:, 1:], rows[:, 1:]


class _Tied(LanguageTraining):
    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.model.lm_head.weight = self.model.gpt_neox.embed_in.weight
        self.optimizer = self._make_optimizer(None)

    def weights(self) -> Any:
        found = super().weights()
        return {**found, "lm_head.weight": found["gpt_neox.embed_in.weight"]}


class _WithoutBias(LanguageTraining):
    def _make_optimizer(self, moments: Any) -> Any:
        for name, parameter in self.model.named_parameters():
            if name.endswith(".bias") and "norm" not in name:
                parameter.requires_grad_(False)
        return super()._make_optimizer(moments)


@dataclass(frozen=True)
class _Duplicated:
    tokens: Tokens

    def items(self, first: int, count: int) -> Any:
        rng = [np.random.default_rng(at) for at in range(first, first + count)]
        rows = [
            int(r.integers(0, at)) if at and r.random() < 0.3 else at
            for r, at in zip(rng, range(first, first + count), strict=True)
        ]
        return np.concatenate([self.tokens.items(row, 1) for row in rows])


@dataclass(frozen=True, kw_only=True)
class Defect:
    """What was really done, and how `explain` should call it; None where it has no alternative for it."""

    name: str
    explained_by: str | None
    recipe: Callable[[LanguageRecipe], LanguageRecipe] = lambda r: r
    tokens: Callable[[Tokens, int], Tokens] = lambda t, _seed: t
    options: tuple[tuple[str, Any], ...] = ()
    labelled_twice: bool = False
    static: bool = False
    """Of the initialisation: a replay from the published step 0 has it too, so the checkpoints' own check must see it."""


def _rate(**values: Any) -> Callable[[LanguageRecipe], LanguageRecipe]:
    return lambda r: replace(r, learning_rate=replace(r.learning_rate, **values))


def _peak(factor: float) -> Callable[[LanguageRecipe], LanguageRecipe]:
    return lambda r: replace(
        r,
        learning_rate=replace(
            r.learning_rate, peak=r.learning_rate.peak * factor, minimum=r.learning_rate.minimum * factor
        ),
    )


def _optimizer(**values: Any) -> Callable[[LanguageRecipe], LanguageRecipe]:
    return lambda r: replace(r, optimizer=replace(r.optimizer, **values))


def _net(**values: Any) -> Callable[[LanguageRecipe], LanguageRecipe]:
    return lambda r: replace(r, architecture=replace(r.architecture, **values))


def _initial(**values: Any) -> Callable[[LanguageRecipe], LanguageRecipe]:
    return lambda r: replace(r, initialisation=replace(r.initialisation, **values))


def _half_length(r: LanguageRecipe) -> LanguageRecipe:
    return replace(r, data=replace(r.data, sequence_length=64, item_length=65), batch_size=16)


SMALL = (2 / (5 * 64)) ** 0.5
DEFECTS = (
    Defect(name="learning rate x2", explained_by="learning rate x2", recipe=_peak(2)),
    Defect(name="learning rate x0.5", explained_by="learning rate x0.5", recipe=_peak(0.5)),
    Defect(name="learning rate x1.1", explained_by="learning rate x1.1", recipe=_peak(1.1)),
    Defect(name="no warm-up", explained_by="no warm-up", recipe=_rate(warmup_steps=0)),
    Defect(name="warm-up x2", explained_by="warm-up x2", recipe=_rate(warmup_steps=40)),
    Defect(name="schedule off by one", explained_by="schedule one update off", recipe=_rate(first="zero")),
    Defect(name="decay horizon x0.5", explained_by="decay horizon x0.5", recipe=_rate(decay_steps=1024)),
    Defect(name="min lr 0", explained_by="decays to 0", recipe=_rate(minimum=0.0)),
    Defect(name="no weight decay", explained_by="no weight decay", recipe=_optimizer(weight_decay=0.0)),
    Defect(name="decay on bias and norm", explained_by="biases and norms decayed", recipe=_optimizer(not_decayed=())),
    Defect(name="L2 not decoupled", explained_by="decay through the gradient", recipe=_optimizer(name="adam_l2")),
    Defect(name="beta2 0.999", explained_by="beta2 0.999", recipe=_optimizer(betas=(0.9, 0.999))),
    Defect(name="eps 1e-6", explained_by="eps 1e-06", recipe=_optimizer(eps=1e-6)),
    Defect(name="no clipping", explained_by="no clipping", recipe=lambda r: replace(r, clip_norm=None)),
    Defect(name="batch half", explained_by="half the batch", recipe=lambda r: replace(r, batch_size=4)),
    Defect(name="order shuffled", explained_by="the declared order", tokens=lambda t, _: Reshuffled(t, 2048, 7)),
    Defect(name="30 % duplicated", explained_by=None, tokens=lambda t, _: _Duplicated(t)),
    Defect(name="a batch skipped at 20", explained_by="a batch skipped", tokens=lambda t, _: Skipped(t, 160, 8)),
    Defect(name="offset by one token", explained_by="cut one token later", tokens=lambda t, _: t.shifted(1)),
    Defect(name="other tokenizer", explained_by="the other tokenizer", tokens=lambda _, s: mini.tokens(order=s, other_tokenizer=True)),
    Defect(name="no end of text", explained_by="without end of text", tokens=lambda _, s: mini.tokens(order=s, end_of_text=False)),
    Defect(name="sequence length 64", explained_by="half the sequence length", recipe=_half_length, tokens=lambda t, _: Halved(t, 65)),
    Defect(name="tied embeddings", explained_by=None, options=(("make", _Tied),)),
    Defect(name="init std 0.02", explained_by=None, recipe=_initial(std=0.02, output_method=None), static=True),
    Defect(name="init x1.1", explained_by=None, recipe=_initial(std=1.1 * SMALL), static=True),
    Defect(name="rotary share 1", explained_by="rotary share 1", recipe=_net(rotary_share=1.0)),
    Defect(name="rotary base 5e5", explained_by="rotary base 500000", recipe=_net(rotary_base=5e5)),
    Defect(name="heads x2", explained_by="twice the heads", recipe=_net(num_heads=8)),
    Defect(name="sequential residual", explained_by="sequential residual", recipe=_net(parallel_residual=False)),
    Defect(name="dropout 0.1", explained_by="dropout 0.1", recipe=_net(hidden_dropout=0.1, attention_dropout=0.1)),
    Defect(name="biases not trained", explained_by=None, options=(("make", _WithoutBias),)),
    Defect(name="label leak", explained_by=None, options=(("make", _Leaking),)),
    Defect(name="accumulation without division", explained_by="accumulation over", options=(("loss_factor", 4.0),)),
    Defect(name="gelu tanh", explained_by="activation gelu_tanh", recipe=_net(activation="gelu_tanh")),
    Defect(name="norm eps 1e-12", explained_by="norm eps 1e-12", recipe=_net(norm_eps=1e-12)),
    Defect(name="checkpoints of twice the step", explained_by="checkpoints are of twice the step", labelled_twice=True),
)  # fmt: skip


def plant(defect: Defect, stated: LanguageRecipe, seed: int, last: int, stored: Any = "fp32") -> ReplayInputs:
    """The release of a training with the defect, under the recipe without it."""
    honest = mini.tokens(order=seed)
    true = defect.recipe(stated)
    steps = [step for step in (0, *HORIZONS) if step <= last]
    real = {step: 2 * step if defect.labelled_twice else step for step in steps}
    weights, losses = mini.train(
        true, defect.tokens(honest, seed), seed, tuple(real.values()), numerics=Numerics(dropout_seed=999),
        **dict(defect.options),
    )  # fmt: skip
    losses = losses[: steps[-1]]
    if defect.labelled_twice:
        losses = None
    kept = {step: {n: round_to(v, stored) for n, v in weights[at].items()} for step, at in real.items()}
    return mini.published(stated, honest, kept, losses, stored=stored)


def beside(released: dict[str, ReplayInputs], horizons: tuple[int, ...], numerics: Numerics) -> Beside:
    """The auditor's replay, its replicas and the plain comparison with every release; all share step 0, tokens and recipe."""
    some = replace(next(iter(released.values())), losses=np.zeros(horizons[-1]))  # a log of all updates
    setting = prefix_setting(some, horizons, numerics, "cpu")
    # mislabelled checkpoints come without a loss log: weights only
    traces = [
        trace_of(replace(r, losses=np.full(horizons[-1], np.nan) if r.losses is None else r.losses), setting)
        for r in released.values()
    ]
    replay = keep(faithful(some), setting)
    return Beside(
        setting=setting, traces=traces, replay=replay, plain=run_beside(faithful(some), setting, traces),
        replicas=run_replicas(replay, [setting]),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Beside:
    """One auditor's view of many releases."""

    setting: Any
    traces: list[Any]
    replay: Any
    plain: list[Statistics]
    replicas: list[Statistics]


def defects(seed: int, numerics: Numerics, say: Callable[[str], None]) -> dict[str, Any]:
    """Every defect of one seed: its verdicts up to 64 and 256 updates, and what explains it.

    What differs within 64 updates differs within 256 too, as the same statistics are looked at; only the others are trained so long.
    """
    stated, tokens = mini.recipe(), mini.tokens(order=seed)
    by_name = {defect.name: defect for defect in DEFECTS if not defect.static}
    released = {name: plant(defect, stated, seed, 64) for name, defect in by_name.items()}
    say(f"seed {seed}: {len(released)} releases trained")
    view = beside(released, HORIZONS[:2], numerics)
    floor = floors(view.replicas)
    say(f"seed {seed}: floors {floor}")
    listed = [
        *changes(stated, tokens, updates=64),
        Change(name="the declared order", field="tokens", recipe=stated, tokens=Reshuffled(tokens, 2048, 7)),
        Change(
            name="the other tokenizer",
            field="tokens",
            recipe=stated,
            tokens=mini.tokens(order=seed, other_tokenizer=True),
        ),
        Change(
            name="without end of text", field="tokens", recipe=stated, tokens=mini.tokens(order=seed, end_of_text=False)
        ),
    ]
    alternatives = [(c, run_beside(c, view.setting, [view.replay, *view.traces])) for c in listed]
    plain = faithful(next(iter(released.values())))
    other_steps = mislabelled(plain, view.setting, view.traces)
    say(f"seed {seed}: {len(listed)} alternatives tried")
    controls = {c.name: b[0] for c, b in alternatives if c.name in CONTROLS}
    found: dict[str, Any] = {"exercise": {c.name: exercised(c, b[0], floor).in_floors for c, b in alternatives}}
    for at, (name, defect) in enumerate(by_name.items()):
        verdict = judge_replay(view.plain[at], view.replicas, controls=controls)
        tried = [(c.name, c.field, b[at + 1]) for c, b in alternatives] + other_steps[at]
        explained = rank(view.plain[at], tried, floor)
        expected = defect.explained_by
        found[name] = {
            "at_64": verdict.standing, "at_256": verdict.standing,
            "in_floors_64": max(j.in_floors for j in verdict.statistics), "in_floors_256": None,
            "expected": expected, "first": explained.ranked[0].name, "left": explained.ranked[0].in_floors,
            "group": explained.group,
            "place": next((i for i, t in enumerate(explained.ranked) if expected and t.name.startswith(expected)), None),
        }  # fmt: skip
    subtle = {name: plant(by_name[name], stated, seed, 256) for name in by_name if found[name]["at_64"] != "DIFFERS"}
    if subtle:
        view = beside(subtle, HORIZONS, numerics)
        for name, values in zip(subtle, view.plain, strict=True):
            verdict = judge_replay(values, view.replicas, controls=controls)
            found[name]["at_256"] = verdict.standing
            found[name]["in_floors_256"] = max(j.in_floors for j in verdict.statistics)
    return found


CLEAN = (
    ("fp32", Numerics()),
    ("fp32", Numerics(threads=2)),
    ("fp32", Numerics(permuted=91)),
    ("fp32", Numerics(micro_batch=2, permuted=92)),
    ("fp32", Numerics(attention="eager", micro_batch=1)),
    ("bf16", Numerics(precision="bf16")),
    ("bf16", Numerics(precision="bf16", permuted=93)),
    ("bf16", Numerics(precision="bf16", micro_batch=4, permuted=94)),
    ("bf16", Numerics(precision="bf16", micro_batch=1)),
    ("bf16", Numerics(precision="bf16", attention="eager", permuted=95)),
)
"""The precision that the release states, and the numerics that it was trained in."""


def clean(seed: int, numerics: Numerics, stored: Any = "fp32") -> list[str]:
    """Honest releases of one seed, each trained in other numerics: standing, the largest statistic in floors and in own floors."""
    found = []
    tokens = mini.tokens(order=seed)
    for stated_precision in ("fp32", "bf16"):
        stated = mini.recipe(precision=stated_precision)
        released = {}
        for at, (precision, theirs) in enumerate(CLEAN):
            if precision == stated_precision:
                weights, losses = mini.train(stated, tokens, seed, (0, 16, 64), numerics=theirs)
                kept = {step: {n: round_to(v, stored) for n, v in w.items()} for step, w in weights.items()}
                released[str(at)] = mini.published(stated, tokens, kept, losses, stored=stored)
        view = beside(released, (16, 64), numerics)
        controls = {
            c.name: run_beside(c, view.setting, [view.replay])[0]
            for c in changes(stated, tokens, updates=64)
            if c.name in CONTROLS
        }
        for plain in view.plain:
            verdict = judge_replay(plain, view.replicas, controls=controls)
            used = [j for j in verdict.statistics if j.used]
            found.append(
                f"{verdict.standing} {max(j.in_floors for j in used):.2f} {max(j.value / j.floor for j in used):.2f}"
            )
    return found


def main() -> None:
    """Measure, print, and keep the numbers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clean", type=int, default=6, help="seeds of clean releases, ten replays each")
    parser.add_argument("--out", type=Path, default=Path("replay_calibration.json"))
    asked = parser.parse_args()
    started = time.process_time()

    def say(line: str) -> None:
        print(f"[{time.process_time() - started:.0f} s] {line}", flush=True)

    result: dict[str, Any] = {"clean": {}, "defects": {}}
    if asked.out.exists():
        result = json.loads(asked.out.read_text())
        say(f"goes on with {asked.out}; delete it to measure all again")

    def measured(kind: str, key: str, measure: Callable[[], Any]) -> None:
        if key not in result[kind]:
            result[kind][key] = measure()
            asked.out.write_text(json.dumps(result, indent=1))
        say(f"{kind}, seed {key} done")

    bf16, fp32 = Numerics(precision="bf16"), Numerics(precision="fp32")
    for seed in range(asked.seeds):
        measured("defects", f"{seed}", lambda seed=seed: defects(seed, bf16, say))
    for seed in range(100, 100 + asked.clean):
        measured("clean", f"{seed}", lambda seed=seed: clean(seed, bf16 if seed % 2 else fp32))
    measured("clean", "200 stored in fp16", lambda: clean(200, bf16, "fp16"))
    summarise(result)


def summarise(result: dict[str, Any]) -> None:
    """The table of docs/replay.md."""
    names = [defect.name for defect in DEFECTS if not defect.static]
    per = list(result["defects"].values())
    print("| defect | at 64 | at 256 | floors at 64 | floors at 256 | explained first by |\n|---|---|---|---|---|---|")
    seen = {64: 0, 256: 0}
    right = total = 0
    for name in names:
        rows = [one[name] for one in per]
        for last in seen:
            seen[last] += all(row[f"at_{last}"] == "DIFFERS" for row in rows)
        if rows[0]["expected"] and all(row["at_64"] == "DIFFERS" for row in rows):
            total += len(rows)
            right += sum(row["first"].startswith(row["expected"]) for row in rows)
        standing = [" ".join(row[f"at_{last}"][0] for row in rows) for last in seen]
        floors_ = ["/".join(f"{row[f'in_floors_{last}'] or math.nan:.3g}" for row in rows) for last in seen]
        print(f"| {name} | {' | '.join(standing + floors_)} | {', '.join(sorted({row['first'] for row in rows}))} |")
    stated = mini.recipe()
    wrong = [defect for defect in DEFECTS if defect.static]
    found = {
        d.name: [bool(initialisation(stated, initial_weights(d.recipe(stated), at))) for at in range(3)] for d in wrong
    }
    alarms = sum(bool(initialisation(stated, initial_weights(stated, at))) for at in range(100, 160))
    print(f"differs in all releases: {seen[64]} of {len(names)} within 64, {seen[256]} within 256 updates")
    print(f"seen at step 0 without training: {found}; false alarms {alarms} of 60")
    print(f"explain names the cause first: {right} of {total}")
    standings = [line.split()[0] for key, lines in result["clean"].items() if "fp16" not in key for line in lines]
    print("clean:", {name: standings.count(name) for name in sorted(set(standings))}, f"of {len(standings)}")
    standings = [line.split()[0] for key, lines in result["clean"].items() if "fp16" in key for line in lines]
    print(
        "clean, stored in fp16:",
        {name: standings.count(name) for name in sorted(set(standings))},
        f"of {len(standings)}",
    )


if __name__ == "__main__":
    main()
