"""Small releases with one defect each: the right part finds each, and what nothing here can see is not called seen.

What was published is read as an audit reads it, from the artifacts' files by the target's recipe. All share step 0, tokens and
recipe, so the auditor's replay, its replicas and each alternative are trained once and compared with every release.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from releases import defective, pythia
from releases.build import write
from releases.defective import DEFECTS, STEPS, Defect

from openassay.checks.inspection import inspect_folder
from openassay.core.replay import Standing, Statistics, floors, judge_replay
from openassay.drivers.replay import ReplayDriver
from openassay.faults import BadInput
from openassay.protocols.changes import changes
from openassay.protocols.explain import Explanation, mislabelled, rank
from openassay.protocols.forensics import inspect_checkpoints
from openassay.protocols.prefix import (
    CONTROLS,
    ReplayInputs,
    exercised,
    faithful,
    keep,
    prefix_setting,
    replay_prefix,
    run_beside,
    run_replicas,
    trace_of,
)
from openassay.published.tokens import BadTokens
from openassay.records import parse
from openassay.training.mismatch import RecipeMismatch
from openassay.training.numerics import Numerics

AT = STEPS[1:]
RERUN: ReplayDriver = parse(ReplayDriver, pythia.rerun_of(STEPS, AT), "rerun")


def of(*kinds: str) -> list:
    return [pytest.param(defect, id=defect.name) for defect in DEFECTS if defect.seen_by in kinds]


def written(folder: Path, name: str | None = None, leave: tuple[str, ...] = ()) -> dict[str, str]:
    files = {artifact: inside for artifact, inside in defective.release(name).items() if artifact not in leave}
    return write(files, folder)


@dataclass(frozen=True)
class Auditor:
    plain: dict[str, Statistics]
    replicas: list[Statistics]
    controls: dict[str, Statistics]
    alternatives: dict[str, tuple[str, Statistics, dict[str, Statistics]]]
    """By name: the field, what it is beside the replay, and beside each release."""
    relabelled: dict[str, list[tuple[str, str, Statistics]]]

    def standing(self, name: str) -> Standing:
        return judge_replay(self.plain[name], self.replicas, controls=self.controls).standing

    def explanation(self, name: str) -> Explanation:
        tried = [(other, field, beside[name]) for other, (field, _, beside) in self.alternatives.items()]
        return rank(self.plain[name], [*tried, *self.relabelled[name]], floors(self.replicas))


@pytest.fixture(scope="module")
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Auditor:
    def released(name: str | None) -> ReplayInputs:
        return RERUN.release(written(tmp_path_factory.mktemp("release"), name))

    honest = released(None)
    names = [defect.name for defect in DEFECTS if defect.seen_by in {"differs", "not seen"}]
    setting = prefix_setting(honest, AT, Numerics(), "cpu")
    traces = [trace_of(released(name), setting) for name in names]
    replay = keep(faithful(honest), setting)
    causes = {defect.explained_by for defect in DEFECTS} | {defect.says for defect in DEFECTS} | set(CONTROLS)
    listed = [  # those that should be named, and every sixth of the others beside them
        change
        for at, change in enumerate(changes(honest.recipe, honest.tokens, updates=AT[-1]))
        if at % 6 == 0 or any(cause and change.name.startswith(cause) for cause in causes)
    ]
    found = {
        change.name: (change.field, *_split(run_beside(change, setting, [replay, *traces]), names)) for change in listed
    }
    return Auditor(
        plain=dict(zip(names, run_beside(faithful(honest), setting, traces), strict=True)),
        replicas=run_replicas(replay, [setting]),
        controls={name: found[name][1] for name in CONTROLS},
        alternatives=found,
        relabelled=dict(zip(names, mislabelled(faithful(honest), setting, traces), strict=True)),
    )


def _split(statistics: list[Statistics], names: list[str]) -> tuple[Statistics, dict[str, Statistics]]:
    return statistics[0], dict(zip(names, statistics[1:], strict=True))


@pytest.mark.parametrize("defect", of("differs"))
def test_what_was_trained_otherwise_differs(defect: Defect, auditor: Auditor) -> None:
    assert auditor.standing(defect.name) is Standing.DIFFERS


def test_the_cause_is_named_first_where_there_is_an_alternative_for_it(auditor: Auditor) -> None:
    causes = {defect.name: defect.explained_by for defect in DEFECTS if defect.explained_by}
    named = {name: auditor.explanation(name) for name in causes}
    wrong = {
        name: (cause, named[name].group or named[name].ranked[0].name)
        for name, cause in causes.items()
        if not named[name].ranked[0].name.startswith(cause)
    }
    assert len(wrong) <= len(causes) / 5, wrong
    assert all(any(one.startswith(causes[name]) for one in group) for name, (_, group) in wrong.items()), wrong


@pytest.mark.parametrize("defect", of("not seen"))
def test_what_cannot_be_seen_is_not_accused_and_not_called_seen(defect: Defect, auditor: Auditor) -> None:
    assert auditor.standing(defect.name) is not Standing.DIFFERS
    field, beside_replay, _ = auditor.alternatives[defect.says]
    change = next(c for c in changes(defective.STATED, defective.honest(), updates=AT[-1]) if c.name == defect.says)
    said = exercised(change, beside_replay, floors(auditor.replicas))
    assert not said.exercised
    assert f"{field}: {defect.says} is not exercised by this replay" in str(said)


@pytest.mark.parametrize("defect", of("checkpoints"))
def test_what_checkpoints_show_without_training_is_found(defect: Defect, tmp_path: Path) -> None:
    oddities = inspect_checkpoints(RERUN.release(written(tmp_path, defect.name))).oddities
    assert defect.says in {oddity.kind for oddity in oddities}


@pytest.mark.parametrize("defect", of("files"))
def test_files_that_contradict_each_other_are_found(defect: Defect, tmp_path: Path) -> None:
    written(tmp_path, defect.name, leave=("step0", "step8"))
    failed = {check.check for check in inspect_folder(tmp_path, name="release").checks if check.outcome == "fail"}
    assert defect.says in failed


@pytest.mark.parametrize("defect", of("refused"))
def test_what_does_not_fit_together_is_refused_in_a_line(defect: Defect, tmp_path: Path) -> None:
    artifacts = written(tmp_path, defect.name)
    try:
        report = replay_prefix(RERUN.release(artifacts), updates=AT, probes=False)
        assert report.verdict is None
        said = report.problem
    except (BadInput, BadTokens, RecipeMismatch) as problem:
        said = str(problem)
    assert defect.says in said
    assert "\n" not in said


def test_nothing_is_found_in_the_honest_release(tmp_path: Path) -> None:
    release = RERUN.release(written(tmp_path))
    assert inspect_checkpoints(release).oddities == ()
    assert [check for check in inspect_folder(tmp_path, name="release").checks if check.outcome == "fail"] == []
    report = replay_prefix(release, updates=AT, probes=False)
    assert report.verdict is not None
    assert report.verdict.standing is Standing.MATCHES


def test_the_table_is_large_and_each_kind_is_one() -> None:
    names = [defect.name for defect in DEFECTS]
    assert len(set(names)) == len(names) >= 40
    files = {name: defective.release(name) for name in (None, *names)}
    same = {name for name in names if files[name] == files[None]}
    assert same == {"decays to 0"}  # within 16 updates its effect is none at all
