"""The report: verdict, score with coverage, reruns against claim and tolerance, evidence, provenance.

One HTML file that works offline: no script, nothing fetched from anywhere; every string of the release is escaped, and holds
nothing that reorders what a reader sees.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jinja2
import numpy as np

from openassay.core import evidence as judged
from openassay.core.claims import Claim, Estimand
from openassay.core.deviations import MOST_NAMED, listed
from openassay.core.findings import FetchRecord, InspectRecord, PrepareRecord
from openassay.core.plausibility import MOST_TRIED
from openassay.core.power import power
from openassay.core.reasons import OPEN
from openassay.core.rerun_records import EvaluateRecord, PlannedRuns, Rerun
from openassay.core.sequential import SIDES
from openassay.core.tier_verdicts import beside, tier_words
from openassay.core.verdict import headline, weaker
from openassay.core.verdict_records import Outcome, ReleaseVerdict, Verdict
from openassay.drivers.driver import Display, Driver
from openassay.faults import counted, printable
from openassay.plan import Plan
from openassay.reviewing import AuditReview, name_of

COLOURS = {
    Outcome.REPRODUCED: "#1a7f37",
    Outcome.NOT_REPRODUCED: "#b3261e",
    Outcome.INCONCLUSIVE: "#8a5a00",
    Outcome.NOT_ATTEMPTED: "#57606a",
}

NOTHING = "nothing was rerun or compared"
NOT_RERUN = "nothing was rerun; what could be tested without a training is said below, and says nothing of the training"
RECOMPUTED = {
    Outcome.REPRODUCED: "the printed number follows from other published files; nothing was run",
    Outcome.NOT_REPRODUCED: "the printed number does not follow from the published files that are named: they give another one",
    Outcome.INCONCLUSIVE: "the published files that are named do not decide whether the printed number follows from them",
    Outcome.NOT_ATTEMPTED: "the number could not be computed from published files; the reason is given",
}
"""What the outcome of a recomputed claim says."""
EVALUATED = {
    Outcome.REPRODUCED: "the released weights, measured here, give the published number; nothing was trained",
    Outcome.NOT_REPRODUCED: "the released weights, measured here by what the target says is the published evaluation, do not "
    "give the published number",
}
"""What the outcome of a claim on released weights says."""
SEVERAL = {
    Outcome.REPRODUCED: "for every claim, ", Outcome.NOT_REPRODUCED: "for at least one claim, ",
    Outcome.INCONCLUSIVE: "for the open claims, ", Outcome.NOT_ATTEMPTED: "",
}  # fmt: skip
"""What precedes the sentence that all claims of one outcome share, in a release of several claims."""
UNLIKE = {
    Outcome.REPRODUCED: "for every claim, the rerun recipe gives the published result within the tolerance declared beforehand; "
    "each claim below says whether the number, the recipe behind it or both are shown",
    Outcome.NOT_REPRODUCED: "some claims are shown not to hold; see each claim below",
    Outcome.INCONCLUSIVE: "the evidence does not decide every claim; each claim below gives the reason",
    Outcome.NOT_ATTEMPTED: NOTHING,
}
"""What a release's outcome means when its claims differ."""
WANTED = {
    "two-sided": "the published number", "at_least": "at least the published number", "at_most": "at most the published number",
}  # fmt: skip

BARS: dict[Estimand, dict[str, Any]] = {"number": {"lw": 5, "alpha": 0.5}, "recipe": {"lw": 1, "marker": "|", "ms": 7}}
POWER_AT = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
"""True differences, in tolerances, at which the chance of REPRODUCED is shown."""
FEW = 5
"""Up to this many claims, all details are open; with more claims, each has one line and its details open on a click."""


@dataclass(frozen=True, kw_only=True)
class PageInputs:
    """Everything that the page shows."""

    plan: Plan
    verdict: ReleaseVerdict
    fetched: FetchRecord
    inspected: InspectRecord
    prepared: PrepareRecord
    evaluated: EvaluateRecord
    runs: dict[str, tuple[Rerun, ...]]
    planned: dict[str, PlannedRuns]
    glue: str | None
    records: dict[str, Any] = field(default_factory=dict)
    """Further records of the driver, by name."""
    reviews: tuple[AuditReview, ...] = ()
    """What was said of the target's audits."""

    def claim(self, name: str) -> Claim:
        """What the plan declares of a claim."""
        return next(claim for claim in self.plan.claims if claim.id == name)

    @property
    def with_interval(self) -> list[Verdict]:
        """The verdicts that the figure shows."""
        return [claim for claim in self.verdict.claims if claim.answers]


def render(evidence: PageInputs) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([
            jinja2.PackageLoader("openassay.report", "templates"), jinja2.PackageLoader("openassay.drivers", "."),
        ]),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=shown,
    )  # fmt: skip
    environment.filters.update(number=number, chance=chance, web=web_address, zip=zip)
    rerun, rows = evidence.plan.rerun, len(evidence.with_interval)
    return environment.get_template("report.html.j2").render(
        e=evidence, verdict=evidence.verdict, plan=evidence.plan, colours=COLOURS, few=FEW, stamp=stamp(evidence.verdict),
        first_screen=first_screen(evidence.verdict), meaning=release_meaning(evidence),
        claim_meaning=functools.partial(meaning, driver=rerun), headline=headline,
        tolerated=tolerated, best_of=best_of, beside=beside(evidence.verdict),
        power=power_table(evidence), power_at=POWER_AT,
        figure=_drawn(_draw_claims, evidence, 1.25 + (0.52 if rows <= 2 * FEW else 0.26) * rows) if rows else "",
        curves=_drawn(_draw_curves, evidence, 3.4) if any(r.curves for of in evidence.runs.values() for r in of) else "",
        this_audit=name_of(evidence.verdict), records=evidence.records,
        display=rerun.display(evidence.records) if rerun else Display(),
    )  # fmt: skip


NOT_SAID = {
    Outcome.REPRODUCED: "That the numbers mean what the release concludes from them, or anything of other numbers.",
    Outcome.NOT_REPRODUCED: "That anybody did wrong, or why the numbers differ.",
    Outcome.INCONCLUSIVE: "Anything for the release or against it.",
    Outcome.NOT_ATTEMPTED: "That the release cannot be reproduced: its training was not tested.",
}
"""What an outcome does not say."""
OUTSIDE = {"unprotected"}
"""Deviations that do not bear on the numbers themselves."""


def first_screen(verdict: ReleaseVerdict) -> list[tuple[str, list[str]]]:
    """What a reader must know who reads no further: what was tested, what came out, what differed, what is not said."""
    counts = {of.tier: of.num_tested for of in verdict.tiers}
    tested = []
    if counts["rerun"]:
        metrics = listed(list(dict.fromkeys(of.metric for of in _rerun(verdict))), MOST_NAMED)
        made = counted(verdict.provenance.num_reruns, "rerun")
        tested.append(
            f"{counted(counts['rerun'], 'published number')} ({metrics}), by {made} of the training, controls included."
        )
    else:
        why = verdict.tiers[-1].reason.removeprefix("nothing was rerun: ").removeprefix("no claim was rerun: ")
        tested.append(f"No training was rerun: {why}.")
    if counts["evaluated"]:
        tested.append(f"{counted(counts['evaluated'], 'published number')}, measured on the released weights.")
    if counts["recomputed"]:
        tested.append(
            f"{counted(counts['recomputed'], 'published number')}, computed again from other published files."
        )
    came_out = [f"{verdict.in_words}."] if verdict.in_words else []
    came_out += [f"{words[:1].upper()}{words[1:]}." for words in map(tier_words, verdict.tiers) if words]
    not_said = NOT_SAID[verdict.outcome]
    if verdict.outcome is Outcome.NOT_REPRODUCED and {of.kind for of in verdict.deviations} - OUTSIDE:
        not_said += " What was different here may be the reason."
    different = [f"{of.what[:1].upper()}{of.what[1:]}." for of in verdict.deviations]
    ran = bool(counts["rerun"] or counts["evaluated"])
    return [
        ("What was tested", tested), ("What came out", came_out or ["Nothing that can be told."]),
        *([("What was different", different or ["Nothing that is known, but for the machine."])] if ran else []),
        ("What this does not say", [not_said]),
    ]  # fmt: skip


def shown(value: Any) -> Any:
    """A value as the page shows it: of words, what can be seen and the ends of their lines."""
    return type(value)(printable(value, keep="\n\t")) if isinstance(value, str) else value


def stamp(verdict: ReleaseVerdict) -> str:
    """The outcome; with the reason where it is open and every claim that is not reproduced is so for the same one."""
    whys = {claim.why for claim in _rerun(verdict) if claim.outcome is not Outcome.REPRODUCED}
    why = whys.pop() if verdict.outcome is Outcome.INCONCLUSIVE and len(whys) == 1 else None
    words = verdict.outcome.value
    return f"{words} · {why.replace('_', ' ')}" if why else words + weaker(verdict.outcome, verdict.basis)


def _rerun(verdict: ReleaseVerdict) -> list[Verdict]:
    """The claims that the release's outcome is about."""
    return [claim for claim in verdict.claims if claim.tier == "rerun"]


def meaning(verdict: Verdict, claim: Claim, driver: Driver | None = None) -> str:
    """What a claim's outcome says, and what it does not."""
    if verdict.tier == "recomputed":
        return RECOMPUTED[verdict.outcome]
    if verdict.outcome is Outcome.NOT_ATTEMPTED:
        return NOTHING
    if verdict.tier == "rerun" and driver and (own := driver.meaning(verdict)):
        return own
    if verdict.why:
        return OPEN[verdict.why]
    if verdict.tier == "evaluated":
        return EVALUATED[verdict.outcome]
    if verdict.rule == "too_many_runs_diverged":
        return "the rerun recipe fails to train more often than chance explains"
    wanted, within = WANTED[claim.direction], "within the tolerance declared beforehand"
    if verdict.outcome is not Outcome.REPRODUCED:
        return f"the rerun recipe does not give {wanted} {within}: no luck of the published training explains the difference"
    if verdict.shown == ("recipe",):
        return f"the rerun recipe agrees with the published one on average, {within}; the printed number itself is open"
    if "recipe" in verdict.shown:
        return f"the rerun recipe gives {wanted} {within}: the number is reproduced, and so is the recipe behind it"
    return (
        f"the rerun recipe gives {wanted} {within}. Whether the published recipe does so on average is not shown: "
        "its training may have been lucky"
    )


def release_meaning(evidence: PageInputs) -> str:
    """What the release's outcome says, and what it does not."""
    verdict, driver = evidence.verdict, evidence.plan.rerun
    claims = _rerun(verdict)
    if verdict.outcome is Outcome.NOT_ATTEMPTED and any(of.num_tested for of in verdict.tiers):
        return NOT_RERUN
    said = {meaning(of, evidence.claim(of.id), driver) for of in claims if of.outcome is verdict.outcome}
    if len(said) != 1:
        return UNLIKE[verdict.outcome]
    return (SEVERAL[verdict.outcome] if len(claims) > 1 else "") + said.pop()


def tolerated(claim: Claim) -> str:
    """The differences that are tolerated."""
    margin = number(claim.tolerance.margin)
    return {0: f"± {margin}", 1: f"−{margin} or more", -1: f"+{margin} or less"}[SIDES[claim.direction]]


def best_of(verdict: Verdict, claim: Claim) -> str:
    """From how many trainings the value of one must have been picked to explain the difference; empty where nobody would ask."""
    published, difference = claim.published, verdict.difference or 0.0
    of_one = published.num_runs == published.best_of == 1 and not (claim.success or claim.paired)
    if not verdict.plausibility or not of_one or SIDES[claim.direction] * difference > 0:
        return ""
    fewest = verdict.plausibility.fewest_tried
    words = f"if {number(published.value, 6)} was picked as the {'lowest' if difference > 0 else 'highest'} of K trainings: "
    if fewest == 1:
        return f"{words}not needed, the difference is within the tolerance"
    if fewest is None:
        return f"{words}not even K = {MOST_TRIED} would bring the difference within the tolerance"
    return f"{words}from K = {fewest} on the difference would be within the tolerance"


def power_table(evidence: PageInputs) -> dict[str, tuple[float, ...]]:
    """Of each claim on a noisy mean, by the noise that was seen: P(REPRODUCED) at the true differences of `POWER_AT`."""
    found = {}
    for verdict in evidence.verdict.claims:
        claim = evidence.claim(verdict.id)
        if claim.success or claim.deterministic:
            continue
        design = evidence.plan.design(claim, evidence.planned)
        compared = judged.Evidence(claim=claim, design=design, values=verdict.runs, statuses=()).compared
        values = [value for value in compared[: verdict.runs_used] if value is not None]
        if len(values) < 2:
            continue
        sd = max(float(np.std(values, ddof=1)), claim.resolution / 12**0.5)
        if sd > 0:
            away = -claim.tolerance.margin if claim.direction == "at_least" else claim.tolerance.margin
            terms = judged.terms_of(claim, design)
            found[claim.id] = tuple(power(terms, sd, share * away, design.max_runs) for share in POWER_AT)
    return found


def number(value: float | None, digits: int = 4) -> str:
    """A number for people: significant digits, a real minus sign; a dash for none."""
    if value is None:
        return "–"
    text = f"{value:.{digits}g}"
    return text.replace("-", "−") if "e" not in text else text


def chance(p: float | None) -> str:
    """A probability for people: in per cent, and never a certainty."""
    if p is None:
        return "–"
    return "> 99 %" if p > 0.99 else "< 1 %" if p < 0.01 else f"{100 * p:.0f} %"


def web_address(address: str | None) -> str:
    """The address when it is http(s), else nothing: no other kind of link gets into the page."""
    with contextlib.suppress(ValueError):  # such as http://[x
        if address and urlsplit(address).scheme in {"http", "https"}:
            return address
    return ""


def _dots(verdict: Verdict, claim: Claim) -> list[float]:
    """The used reruns' differences in margins; of a claim on a share they are no differences."""
    used = () if claim.success else verdict.runs[: verdict.runs_used]
    return [(value - verdict.published.value) / verdict.tolerance.margin for value in used if value is not None]


def _draw_claims(axes: Any, evidence: PageInputs) -> None:
    """Every rerun, the intervals of both questions, and the tolerance, in units of each claim's margin."""
    claims = evidence.with_interval
    ends = [abs(end) / c.tolerance.margin for c in claims for answer in c.answers for end in answer.interval]
    dots = [_dots(c, evidence.claim(c.id)) for c in claims]
    reach = max(1.6, 1.08 * max(ends), *(1.08 * abs(dot) for of in dots for dot in of))
    axes.axvline(0, color="#24292f", lw=1)
    for edge in (-1, 1):
        axes.axvline(edge, color="#1a7f37", lw=1, ls=":")
    for row, verdict in enumerate(claims):
        claim, margin, colour = evidence.claim(verdict.id), verdict.tolerance.margin, COLOURS[verdict.outcome]
        side = SIDES[claim.direction]
        low, high = -reach if side < 0 else -1, reach if side > 0 else 1
        axes.broken_barh([(low, high - low)], (row - 0.5, 1), color="#1a7f37", alpha=0.10, lw=0)
        axes.plot(dots[row], [row - 0.17] * len(dots[row]), "o", color="#57606a", ms=4, alpha=0.65, mew=0)
        for answer in verdict.answers:
            ends = [end / margin for end in answer.interval]
            axes.plot(ends, [row + 0.14] * 2, color=colour, solid_capstyle="butt", **BARS[answer.estimand])
        axes.plot([(verdict.difference or 0.0) / margin], [row + 0.14], "D", color="#fff", ms=4, mec=colour)
    axes.set_yticks(range(len(claims)), [shown(claim.id) for claim in claims])
    axes.set_ylim(len(claims) - 0.4, -0.6)
    axes.set_xscale("symlog", linthresh=2) if reach > 8 else None
    axes.xaxis.set_major_formatter(lambda value, _: number(value))
    axes.set_xlim(-reach, reach)
    axes.set_xlabel("rerun − published, in units of the declared tolerance (shaded: within it)")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _draw_curves(axes: Any, evidence: PageInputs) -> None:
    """The first claim's metric over the training steps: its reruns, those of its controls and probes, and the published value."""
    plan, controls = evidence.plan, {control.arm for control in evidence.verdict.controls}
    runs = evidence.runs
    claim = next((c for c in plan.claims if any(r.curves.get(c.metric) for r in runs.get(c.arm, ()))), None)
    metric = claim.metric if claim else "train_loss"
    changed = {name for name, change in plan.changed.items() if claim and change.of == claim.arm}
    for arm, of in runs.items():
        if claim and arm != claim.arm and arm not in changed:
            continue
        colour = "#b3261e" if arm in controls else "#0969da"
        label = shown(f"control: {arm}" if arm in controls else f"reruns: {arm}")
        for rerun in of:
            if points := rerun.curves.get(metric):
                axes.plot(*zip(*points, strict=True), color=colour, lw=1, alpha=0.55, label=label)
                label = "_nolegend_"
    if claim and not (claim.baseline or claim.success):
        value, margin = claim.published.value, claim.tolerance.margin
        axes.axhline(value, color="#24292f", lw=1.2, label="published")
        axes.axhspan(value - margin, value + margin, color="#1a7f37", alpha=0.12, lw=0)
    axes.set_xlabel("training step")
    axes.set_ylabel(shown(metric))
    axes.legend(frameon=False, fontsize=8)


def _drawn(draw: Callable[[Any, PageInputs], None], evidence: PageInputs, height: float) -> str:
    """A figure as an address that holds it whole."""
    import matplotlib as mpl  # noqa: PLC0415 - takes a second to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    # No date and no random ids: the same records give the same page. A release's strings are no formulas.
    same = {"svg.hashsalt": "openassay", "svg.fonttype": "none", "font.family": "sans-serif", "text.parse_math": False}
    buffer = io.BytesIO()
    with mpl.rc_context(same):
        figure = Figure(figsize=(8.2, height), layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, evidence)
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
