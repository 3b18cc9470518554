"""Releases that do not train are not shown as plain REPRODUCED, and what names them is the control that is meant to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cages import needs_bwrap
from releases.cheats import HONEST, LOOKS, add_cheat, released_weights
from releases.miniature import make_project
from releases.stages import SETTINGS, audit

from openassay.core.verdict import headline
from openassay.core.verdict_records import Outcome, ReleaseVerdict
from openassay.drivers.job import WEIGHTS
from openassay.faults import BadInput
from openassay.layout import Layout
from openassay.seals import Edited, check

CAGED = [*SETTINGS, "isolation=bubblewrap", "profile.control_runs=4"]
pytestmark = needs_bwrap


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def weights(project: Path) -> Path:
    folder = project / "releases" / "weights"
    released_weights(folder)
    return folder


@pytest.fixture(autouse=True)
def _in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def kinds(verdict: ReleaseVerdict) -> set[str]:
    return {finding.kind for finding in verdict.findings}


def message(verdict: ReleaseVerdict, kind: str) -> str:
    return "; ".join(finding.message for finding in verdict.findings if finding.kind == kind)


def audited(layout: Layout) -> ReleaseVerdict:
    return audit(layout, CAGED)


def test_an_honest_release_is_reproduced_without_a_word_more(project: Path, weights: Path) -> None:
    verdict = audited(add_cheat(project, "honest", weights))
    claim = verdict.claims[0]
    assert (claim.outcome, claim.basis) == (Outcome.REPRODUCED, ("measured",)), claim.reason
    assert "·" not in headline(claim)
    assert not kinds(verdict) & {"copied", "no_training", "control_not_caught"}
    assert [of.caught for of in verdict.controls] == [True]
    assert verdict.modify[0].outcome != "opposite"


def test_nothing_that_a_run_sees_tells_its_arm_or_the_expected_number(project: Path, weights: Path) -> None:
    words = ["0.8731", "faithful", "shuffled", "renamed", "REPRODUCED", "OPENASSAY_CACHE"]
    script = LOOKS.replace("WORDS", "[bytes(of).decode() for of in " + repr([list(of.encode()) for of in words]) + "]")
    layout = add_cheat(project, "looks", weights, claim=0.8731, script=script)
    text = layout.target_file.read_text().replace("    reseed: false\n", "    reseed: false\n    keep: [seen.json]\n")
    layout.target_file.write_text(text)
    audited(layout)
    seen = {
        (arm, seed): json.loads((layout.rerun(arm, seed) / "kept" / "seen.json").read_text())
        for arm in ("faithful", "shuffled", "renamed") for seed in (0, 1)
    }  # fmt: skip
    assert [of["found"] for of in seen.values()] == [[]] * 6
    folders = {of["folder"] for of in seen.values()}
    assert (len(folders), len({len(of) for of in folders})) == (6, 1)
    for seed in (0, 1):
        bare = [hide(of, of["folder"].removesuffix("/out/release")) for (_, at), of in seen.items() if at == seed]
        assert bare[0] == bare[1] == bare[2]


def hide(seen: dict[str, Any], folder: str) -> str:
    """What was seen, without the run's own folder and the short name that its temporary folder has."""
    top = folder.rpartition("/release")[0] or folder
    return re.sub(r"openassay-\w+", "", json.dumps(seen).replace(top, ""))


NAMED = {
    # what it does: what names it
    "copies": {"control_not_caught", "no_training"},
    "copies_with_noise": {"control_not_caught", "copied", "no_training"},
    "copies_permuted": {"control_not_caught", "copied", "no_training"},
    "fine_tunes": {"one_start"},
    "trains_on_the_test_set": {"control_not_caught", "no_training"},
    "replays_a_seed": {"equal_reruns", "no_training"},
    "replays_weights": {"no_training"},
    "fakes": {"weights_not_compared"},
    "notices_shuffled_labels": {"no_training"},
    "echoes_labels": {"no_training"},
    "copies_and_notices": {"copied"},
    "prints": {"control_not_caught"},
    "hard_coded": {"control_not_caught"},
}


CLAIMED = {"trains_on_the_test_set": 0.98}


@pytest.mark.parametrize("name", NAMED)
def test_what_does_not_train_is_not_reproduced_and_is_named(name: str, project: Path, weights: Path) -> None:
    verdict = audited(add_cheat(project, name, weights, claim=CLAIMED.get(name, HONEST)))
    assert verdict.outcome is Outcome.INCONCLUSIVE, verdict.reason
    assert kinds(verdict) >= NAMED[name], [(of.kind, of.message) for of in verdict.findings]


def test_findings_state_the_figure_and_no_motive(project: Path, weights: Path) -> None:
    verdict = audited(add_cheat_again(project, "copies_permuted", weights))
    said = message(verdict, "copied")
    assert "mean |cosine| of matched units 0.99" in said or "units 1.0" in said
    assert "than trainings of one recipe are to each other" in said
    assert not {"cheat", "fraud", "stolen", "fake"} & set(said.split())
    assert verdict.claims[0].why in {"control", "no_training"}
    layout = Layout(project, "copies_permuted")
    kept = next(layout.folder.glob(f"rerun/faithful/seed-0/kept/{WEIGHTS}/*"))
    kept.write_bytes(kept.read_bytes() + b"\0")
    with pytest.raises(Edited, match=rf"seed-0/kept/{WEIGHTS}/data\.npz: it was edited"):
        check(layout)


def add_cheat_again(project: Path, name: str, weights: Path) -> Layout:
    layout = Layout(project, name)
    return layout if layout.target_file.exists() else add_cheat(project, name, weights)


def test_an_inflated_number_is_not_what_our_evaluator_takes(project: Path, weights: Path) -> None:
    verdict = audited(add_cheat(project, "inflated", weights, claim=0.99))
    assert verdict.outcome is Outcome.NOT_REPRODUCED
    assert all(value is not None and abs(value - HONEST) < 0.04 for value in verdict.claims[0].runs)


def test_a_patched_evaluator_and_written_labels_change_nothing(project: Path, weights: Path) -> None:
    verdict = audited(add_cheat(project, "patches", weights))
    assert verdict.outcome is not Outcome.REPRODUCED
    assert all(value is not None and value < 0.5 for value in verdict.claims[0].runs)


def test_a_download_of_the_weights_ends_the_audit(project: Path, weights: Path) -> None:
    with pytest.raises(BadInput, match=r"asked for .*example\.org"):
        audited(add_cheat(project, "downloads", weights))


def test_a_number_that_only_the_code_says_is_shown_as_such(project: Path, weights: Path) -> None:
    """Printed as expected while the labels are those it knows, and as broken once they are not: no control can tell."""
    verdict = audited(add_cheat(project, "prints_and_notices", weights))
    claim = verdict.claims[0]
    assert (claim.outcome, claim.basis) == (Outcome.REPRODUCED, ("self_reported",))
    assert headline(claim).endswith(" · self-reported")
    assert "REPRODUCED · self-reported" in Layout(project, "prints_and_notices").report.read_text()


def test_code_that_knows_the_test_labels_and_trains_for_show_is_not_found_out(project: Path, weights: Path) -> None:
    """It trains, and throws the result away for the labels it knows, under whatever names: SECURITY.md says that this passes."""
    verdict = audited(add_cheat(project, "knows_all", weights))
    assert verdict.outcome is Outcome.REPRODUCED
    assert not kinds(verdict) & {"copied", "no_training", "control_not_caught"}
