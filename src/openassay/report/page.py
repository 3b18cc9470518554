"""What does the page show? Verdict, score with coverage, reruns against claim and tolerance, evidence, provenance.

One HTML file that works offline: no script, nothing fetched from anywhere; every string of the release is escaped.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from urllib.parse import urlsplit

import jinja2

from openassay.core.types import (
    CheckpointsRecord,
    EvaluateRecord,
    FetchRecord,
    InspectRecord,
    Outcome,
    PrepareRecord,
    ReleaseVerdict,
    ReplayRecord,
    Rerun,
    Verdict,
)
from openassay.plan import Plan
from openassay.recipes.native import NativeRecipe
from openassay.recipes.pretrain import PretrainRecipe
from openassay.recipes.python import PythonRecipe
from openassay.records import to_plain

COLOURS = {
    Outcome.REPRODUCED: "#1a7f37",
    Outcome.NOT_REPRODUCED: "#b3261e",
    Outcome.INCONCLUSIVE: "#8a5a00",
    Outcome.NOT_ATTEMPTED: "#57606a",
}

MEANINGS = {
    Outcome.REPRODUCED: "the reruns are shown to agree with the published value, within the declared tolerance",
    Outcome.NOT_REPRODUCED: "the reruns are shown to differ from the published value by more than the declared tolerance",
    Outcome.INCONCLUSIVE: "the reruns show neither: the evidence does not decide",
    Outcome.NOT_ATTEMPTED: "nothing could be rerun or compared",
}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that the page shows."""

    plan: Plan
    verdict: ReleaseVerdict
    fetched: FetchRecord
    inspected: InspectRecord
    prepared: PrepareRecord
    evaluated: EvaluateRecord
    runs: dict[str, tuple[Rerun, ...]]
    glue: str | None
    replay: ReplayRecord | None = None
    checkpoints: CheckpointsRecord | None = None


def render(evidence: Evidence) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("openassay.report"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(number=number, web=web_address)
    rerun = evidence.plan.rerun
    by_us = rerun if isinstance(rerun, (NativeRecipe, PretrainRecipe)) else None
    published_code = rerun if isinstance(rerun, PythonRecipe) else None
    return environment.get_template("report.html.j2").render(
        e=evidence, verdict=evidence.verdict, plan=evidence.plan, colours=COLOURS, meanings=MEANINGS,
        figure=_figure_address(claims_figure(evidence)) if any(c.interval for c in evidence.verdict.claims) else "",
        curves=_figure_address(curves_figure(evidence)) if any(r.curves for of in evidence.runs.values() for r in of) else "",
        recipe=to_plain(by_us.recipe if isinstance(by_us, NativeRecipe) else by_us) if by_us else None,
        taken_from=by_us.taken_from if by_us else (),
        run=to_plain(published_code.run) if published_code else None,
    )  # fmt: skip


def number(value: float | None, digits: int = 4) -> str:
    """A number for people: significant digits, a real minus sign; a dash for none."""
    if value is None:
        return "–"
    text = f"{value:.{digits}g}"
    return text.replace("-", "−") if "e" not in text else text


def web_address(address: str | None) -> str:
    """The address when it is http(s), else nothing: no other kind of link gets into the page."""
    try:
        scheme = urlsplit(address or "").scheme
    except ValueError:  # such as http://[x
        return ""
    return address if address and scheme in {"http", "https"} else ""


def _figure_address(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def claims_figure(evidence: Evidence) -> bytes:
    """Every rerun, the mean's interval, and the tolerance, in units of each claim's margin, as SVG."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second to import

    claims = [claim for claim in evidence.verdict.claims if claim.interval]
    figure = Figure(figsize=(8.2, 1.25 + 0.52 * len(claims)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(-1, 1, color="#1a7f37", alpha=0.10, lw=0)
    axes.axvline(0, color="#24292f", lw=1)
    for edge in (-1, 1):
        axes.axvline(edge, color="#1a7f37", lw=1, ls=":")
    for row, claim in enumerate(claims):
        _draw_claim(axes, row, claim)
    axes.set_yticks(range(len(claims)), [claim.id for claim in claims])
    axes.set_ylim(len(claims) - 0.4, -0.6)
    reach = max([1.6, *(abs(end) / claim.tolerance.margin * 1.08 for claim in claims for end in claim.interval or ())])
    axes.set_xscale("symlog", linthresh=2) if reach > 8 else None
    axes.set_xlim(-reach, reach)
    axes.set_xlabel("rerun − published, in units of the declared tolerance (shaded: within it)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return _svg(figure)


def _draw_claim(axes: object, row: int, claim: Verdict) -> None:
    margin, colour = claim.tolerance.margin, COLOURS[claim.outcome]
    values = [(value - claim.published.value) / margin for value in claim.runs[: claim.runs_used] if value is not None]
    low, high = (end / margin for end in claim.interval or (0.0, 0.0))
    draw = axes.plot  # type: ignore[attr-defined]
    draw(values, [row - 0.17] * len(values), "o", color="#57606a", ms=4, alpha=0.65, mew=0)
    draw([low, high], [row + 0.12] * 2, color=colour, lw=3, solid_capstyle="butt")
    middle = (claim.difference or 0.0) / margin
    draw([middle], [row + 0.12], "D", color=colour, ms=5)


def curves_figure(evidence: Evidence) -> bytes:
    """The measured metric over the training steps, each rerun a line, and the published value, as SVG."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    metrics = [claim.metric for claim in evidence.verdict.claims] or ["train_loss"]
    metric = metrics[0]
    controls = {control.arm for control in evidence.verdict.controls}
    for arm, of in evidence.runs.items():
        colour = "#b3261e" if arm in controls else "#0969da"
        label = f"control: {arm}" if arm in controls else f"reruns: {arm}"
        for rerun in of:
            points = rerun.curves.get(metric, ())
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, lw=1, alpha=0.55, label=label)
                label = "_nolegend_"
    for claim in evidence.verdict.claims:
        if claim.metric == metric:
            margin = claim.tolerance.margin
            axes.axhline(claim.published.value, color="#24292f", lw=1.2, label="published")
            axes.axhspan(
                claim.published.value - margin, claim.published.value + margin, color="#1a7f37", alpha=0.12, lw=0
            )
    axes.set_xlabel("training step")
    axes.set_ylabel(metric)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return _svg(figure)


def _svg(figure: object) -> bytes:
    buffer = io.BytesIO()
    # No date and no random ids: the same records give the same page.
    import matplotlib as mpl  # noqa: PLC0415

    with mpl.rc_context({"svg.hashsalt": "openassay", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})  # type: ignore[attr-defined]
    return buffer.getvalue()
