"""What do reruns of the recipe give: faithful seeds, and a broken control?

A rerun has an identity, the digest of recipe, data, code, environment and seed. Its record is written the moment it is
finished; a rerun whose record is there is not run again, so that a killed audit goes on where it stopped. How many are
planned follows from what the first two of an arm cost and the profile's budget, and is a record itself; how many of them are
made, the claims decide: after each rerun the sequential test says whether another one is asked for. Small native ones are
trained several in one computation; which, the plan alone says.
"""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from openassay.core.claims import Claim
from openassay.core.evidence import NO_VALUES, Evidence, wants_more
from openassay.core.findings import FetchRecord, Finding, PrepareRecord
from openassay.core.rerun_records import PlannedRecord, PlannedRuns, Rerun, RerunsRecord, RerunStatus
from openassay.devices import device_here, seen
from openassay.drivers.driver import Driver
from openassay.drivers.job import WEIGHTS, Job
from openassay.drivers.run import KILLED
from openassay.faults import Fault
from openassay.layout import Layout
from openassay.plan import Plan
from openassay.processes import end_with_parent
from openassay.provenance import now
from openassay.records import (
    BrokenRecord,
    declared,
    digest,
    file_digest,
    read_record,
    to_json,
    to_plain,
    write_record,
    write_text,
)
from openassay.sandbox import LOG_TAIL, NotPossible, Room, make_room
from openassay.seals import SealedElsewhere, check_files, seal
from openassay.store import Store, remove_tree

FIRST_RUNS = 2
"""Reruns of every arm before its claims are looked at."""
AT_WORK = "at-work"
"""Where reruns are made, each in a folder whose name tells nothing of its arm: the release's code sees it."""
ASKED_TOGETHER = 2
"""Reruns of an arm with claims that are trained in one computation. Two cost about as much as one alone (docs/decisions/0012), so
that the second is no waste where the rule asks for one only."""


class WorkerLost(Fault):
    """A worker process died: the machine ran out of memory, or somebody ended it."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One rerun to be made, as it is sent to a worker."""

    target: str
    arm_name: str
    identity: str
    registered: dict[str, str]
    environment: dict[str, str]
    driver: Driver
    job: Job
    layout: Layout
    record: Path
    together: tuple[int, ...] = ()
    """Seeds that are trained in one computation with it; empty when it is trained by itself."""

    @property
    def name(self) -> str:
        """The path of its folder, from the target's."""
        return self.record.parent.relative_to(self.layout.folder).as_posix()


def run(plan: Plan, fetched: FetchRecord, prepared: PrepareRecord, store: Store, layout: Layout) -> RerunsRecord:
    """Make every rerun of the plan that is not there yet, several at a time."""
    device_here(plan.execution.device)  # the plan may have been made on another machine
    room = None
    try:
        if plan.rerun is None:
            raise NotPossible(plan.not_rerun_because or "the target declares no rerun")
        if prepared.status == "failed":
            raise NotPossible(f"the data could not be prepared: {prepared.reason}")
        room = make_room(plan, fetched, store, layout, needs_environment=plan.rerun.runs_release_code)
        tasks = _tasks(plan, plan.rerun, fetched, prepared, room, layout)
        if why := plan.rerun.dry_start(next(iter(tasks.values()))[0].job):
            raise NotPossible(why)
    except NotPossible as problem:
        why, finding = str(problem), Finding(stage="rerun", kind="not_rerun", message=str(problem))
        return RerunsRecord(
            not_attempted_because=why, planned={}, identities={}, weights=(), num_reused=0,
            findings=(finding, *(room.findings("rerun") if room else ())),
        )  # fmt: skip
    schedule = _Schedule(plan=plan, tasks=tasks, layout=layout)
    kept, used = _run_all(schedule), schedule.used()
    remove_tree(layout.planned.parent / AT_WORK)
    identities: dict[str, tuple[str, ...]] = {}
    finished: dict[str, list[Path]] = {arm: [] for arm in tasks}
    findings = [*room.findings("rerun")]
    for task in used:
        identities[task.arm_name] = (*identities.get(task.arm_name, ()), task.identity)
        rerun = read_record(task.record, Rerun)
        if rerun.status is RerunStatus.FINISHED:
            finished[task.arm_name].append(task.record.parent)
        if rerun.reason:
            message = f"{task.arm_name}, seed {rerun.seed}: {rerun.reason}"
            kind = "measurement_missing" if rerun.status is RerunStatus.FINISHED else f"rerun_{rerun.status.value}"
            findings.append(Finding(stage="rerun", kind=kind, message=message))
    compared = (
        plan.rerun.compared_weights(arm, finished[arm], room.artifacts, layout.shown(layout.target_file))
        for arm in plan.rerun.arms
    )
    record = RerunsRecord(
        weights=tuple(filter(None, compared)),
        not_attempted_because="", planned=schedule.planned, identities=identities,
        num_reused=sum(task in kept for task in used), findings=tuple(findings),
    )  # fmt: skip
    own = plan.rerun.rerun_findings(plan.rerun.own_records(record, layout))
    return replace(record, findings=(*record.findings, *own))


def _tasks(
    plan: Plan, driver: Driver, fetched: FetchRecord, prepared: PrepareRecord, room: Room, layout: Layout
) -> dict[str, list[_Task]]:
    """Every rerun that the plan allows, by arm and in the order of the seeds."""
    glue = plan.glue.sha256 if plan.glue else None
    code = driver.code(fetched, glue) | {"device": plan.execution.device}
    if driver.runs_release_code and plan.isolation.kind != "none":  # what ran unprotected is no caged rerun
        code |= {"isolation": plan.isolation.kind}
    environment = driver.environment(room.versions)
    registered, execution = plan.registration(), plan.execution
    data = {"arrays": to_plain(prepared.arrays), "files": prepared.files}
    # Of our own trainers torch says what there is, and a release is told: `auto` is no device.
    device = device_here(execution.device) if driver.runs_release_code else execution.device
    tasks: dict[str, list[_Task]] = {arm: [] for arm in plan.seeds.arms}
    changed = (place for arm in plan.arms().values() for place in (*arm.permute, *arm.relabel))
    touched, at_work = tuple(dict.fromkeys(changed)), layout.planned.parent / AT_WORK
    remove_tree(at_work)
    # of what the release cannot contain: the pins of its own files
    secret = digest(declared([plan.artifacts, plan.rerun, plan.controls, plan.probes]))
    for name, seeds in plan.seeds.arms.items():
        arm, watch = plan.arms()[name], driver.watch(plan.claims, name)
        most = execution.together if name in plan.beside else min(execution.together, ASKED_TOGETHER)
        for seed, together in zip(seeds, driver.groups(seeds, arm, most), strict=True):
            folder = layout.rerun(name, seed)
            job = room.job(
                out=at_work / secrets.token_hex(8), data=layout.data if prepared.status == "done" else None, arm=arm, seed=seed,
                device=device, threads=execution.threads, timeout_s=driver.timeout_s,
            )  # fmt: skip
            identity = driver.identity(arm, seed, together=together, data=data, code=code, environment=environment)
            tasks[name].append(_Task(
                target=plan.name, arm_name=name, identity=identity, registered=registered, environment=environment,
                driver=driver, job=replace(job, watch=watch, touched=touched, secret=secret), layout=layout,
                record=folder / "record.json", together=together,
            ))  # fmt: skip
    return tasks


def _finished(task: _Task) -> Rerun | None:
    """This rerun's record, if this machine has made it. One that was stopped as it would not be now, or killed, is made again.

    Raises `Edited` for one that was changed since.
    """
    try:
        rerun = read_record(task.record, Rerun)
        check_files(task.layout, task.name)
    except (SealedElsewhere, BrokenRecord):  # or none yet
        return None
    stopped_early = rerun.status is RerunStatus.TIMED_OUT and rerun.duration_s < task.job.timeout_s
    if rerun.status is RerunStatus.STOPPED:
        watch = task.job.watch
        stopped_early = watch is None or not watch.doomed(rerun.curves.get(watch.metric, ()))
    return rerun if rerun.identity == task.identity and not stopped_early and rerun.reason != KILLED else None


@dataclass
class _Schedule:
    """The order of the reruns: two of every arm, the controls, then as many as the claims of an arm ask for.

    The claims are looked at after each rerun, in the order of the seeds. What no claim asks for is not begun, except to keep
    workers busy that would have nothing to do; `judge` does not look at such reruns.
    """

    plan: Plan
    tasks: dict[str, list[_Task]]
    """Of every arm, in the order of the seeds."""
    layout: Layout
    made_by_arm: dict[str, list[Rerun | None]] = field(default_factory=dict)
    """What each arm's tasks gave, None for one that is under way."""
    before: dict[str, PlannedRuns] = field(default_factory=dict)
    """The planned numbers of the audit before this one."""
    planned: dict[str, PlannedRuns] = field(default_factory=dict)
    """Of the arms with claims whose first reruns are finished."""
    answers: dict[tuple[str, tuple[int, ...]], int | None] = field(default_factory=dict)
    """What claims have said to reruns: how many they used, None for asking for more. By claim and finished reruns of its arms."""

    def __post_init__(self) -> None:
        self.made_by_arm = {arm: [] for arm in self.tasks}
        with suppress(SealedElsewhere, BrokenRecord):  # none yet, or a broken one: the first two reruns tell it again
            check_files(self.layout, self._sealed_as)
            self.before = read_record(self.layout.planned, PlannedRecord).arms

    @property
    def _sealed_as(self) -> str:
        return self.layout.planned.relative_to(self.layout.folder).as_posix()

    def wants(self, arm: str) -> bool:
        """Whether an arm asks for another rerun, by what has been finished of it."""
        begun, known = len(self.made_by_arm[arm]), self._known(arm)
        if begun >= len(self.tasks[arm]):
            return False
        if arm in self.plan.beside or begun < FIRST_RUNS:
            return True
        if len(known) < FIRST_RUNS or begun >= self._plan_runs(arm, known).num_runs:
            return False
        return any(self._used(of) is None for of in self.plan.claims if of.testable and arm in _arms_of(of))

    def next(self) -> list[_Task]:
        """The next rerun to begin, with those trained with it; of the arm with the fewest. Empty when none is asked for."""
        wanting = [arm for arm in self.tasks if self.wants(arm)]
        if not wanting:
            return []
        arm = min(wanting, key=lambda arm: len(self.made_by_arm[arm]))
        begun = len(self.made_by_arm[arm])
        group = self.tasks[arm][begun : begun + max(1, len(self.tasks[arm][begun].together))]
        self.made_by_arm[arm] += [None] * len(group)
        return group

    def done(self, task: _Task, rerun: Rerun) -> None:
        """Note what a rerun gave."""
        self.made_by_arm[task.arm_name][self.tasks[task.arm_name].index(task)] = rerun

    @property
    def most(self) -> int:
        """Reruns that will be made at most, as far as it is known."""
        return sum(self.planned[arm].num_runs if arm in self.planned else len(of) for arm, of in self.tasks.items())

    def used(self) -> list[_Task]:
        """The reruns that belong to this audit: those that were asked for, in the order of the seeds.

        One that was begun to keep a worker busy stays on disk, for an audit that asks for it: otherwise the number of workers
        would decide what a record holds.
        """
        asked = {arm: len(self._known(arm)) if arm in self.plan.beside else FIRST_RUNS for arm in self.tasks}
        for claim in self.plan.claims:
            if claim.testable and claim.arm in self.tasks:
                for arm in _arms_of(claim):
                    used = self._used(claim)
                    asked[arm] = max(asked[arm], len(self._known(arm)) if used is None else used)
        return [task for arm, of in self.tasks.items() for task in of[: min(asked[arm], len(self._known(arm)))]]

    def _known(self, arm: str) -> tuple[Rerun, ...]:
        """The finished reruns of an arm, up to the first that is not."""
        finished = itertools.takewhile(lambda rerun: rerun is not None, self.made_by_arm[arm])
        return tuple(rerun for rerun in finished if rerun is not None)

    def _used(self, claim: Claim) -> int | None:
        """How many reruns have decided a claim, or shown that nothing will; None while it asks for more."""
        arms = [self._known(arm) for arm in _arms_of(claim)]
        if min(map(len, arms)) < FIRST_RUNS:
            return None
        key = claim.id, tuple(map(len, arms))
        if key not in self.answers:
            planned = {arm: self._plan_runs(arm, known) for arm, known in zip(_arms_of(claim), arms, strict=True)}
            evidence = Evidence.of_runs(claim, self.plan.design(claim, planned), *arms)
            broken = next((n for n, status in enumerate(evidence.statuses, 1) if status in NO_VALUES), None)
            used = None if wants_more([evidence]) else evidence.num_used
            self.answers[key] = used if broken is None else max(FIRST_RUNS, min(broken, used or broken))
        return self.answers[key]

    def _plan_runs(self, arm: str, known: tuple[Rerun, ...]) -> PlannedRuns:
        """How many reruns of an arm are planned: as before, if its first two and the profile are those of before."""
        if arm not in self.planned:
            profile, first = self.plan.profile, known[:FIRST_RUNS]
            identities, most = tuple(rerun.identity for rerun in first), len(self.tasks[arm])
            found, seconds = self.before.get(arm), tuple(rerun.duration_s for rerun in first)
            usable = found is not None and len(found.durations_s) == len(first) and min(found.durations_s) > 0
            if found and usable and found.identities == identities:
                seconds = found.durations_s  # a rerun that was made again cost what it cost then
            mean = sum(seconds) / len(seconds)
            affordable = int(min(most, profile.budget_s / mean)) if mean > 0 else most
            self.planned[arm] = PlannedRuns(
                num_runs=max(FIRST_RUNS, min(most, affordable)), identities=identities, durations_s=seconds,
                budget_s=profile.budget_s, most=most, expensive=mean >= profile.expensive_s,
            )  # fmt: skip
            write_record(self.layout.planned, PlannedRecord(arms=self.before | self.planned))
            seal(self.layout, self._sealed_as, {self._sealed_as: file_digest(self.layout.planned)}, {})
        return self.planned[arm]


def _arms_of(claim: Claim) -> tuple[str, ...]:
    """The arms whose reruns bear on a claim: its own, and its baseline."""
    return (claim.arm,) if claim.baseline is None else (claim.arm, claim.baseline)


def _run_all(schedule: _Schedule) -> list[_Task]:
    """Make or keep every rerun that is asked for; gives those that were kept."""
    plan, num_made = schedule.plan, 0
    kept: list[_Task] = []
    workers = min(schedule.most, plan.execution.workers or len(os.sched_getaffinity(0)))
    # A server forks the workers: none inherits half of this process's threads, and what all import is imported once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["openassay.forkserver", __name__])
    started = time.monotonic()
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_server) as pool,
        # in a log a bar would be noise; the lines say the same
        tqdm(
            total=schedule.most, desc=f"  reruns of {plan.name}, at most", unit="rerun", file=sys.stdout, disable=None
        ) as bar,
    ):
        running: dict[Future[list[Rerun]], list[_Task]] = {}
        try:
            while True:
                while len(running) < workers and (group := schedule.next()):
                    there = [rerun for task in group if (rerun := _finished(task))]
                    if len(there) < len(group):
                        running[pool.submit(_execute, group)] = group
                        continue
                    for task, rerun in zip(group, there, strict=True):
                        schedule.done(task, rerun)
                        kept.append(task)
                        bar.update()
                if not running:
                    break
                for task, rerun in _ended(running):
                    schedule.done(task, rerun)
                    num_made += 1
                    shown = [
                        f"{m.metric} {(m.raw if m.value is None else str(m.value))[:8]}" for m in rerun.measurements
                    ]
                    measured = ", ".join(shown) or rerun.status.value
                    bar.total = schedule.most
                    left_s = (time.monotonic() - started) / num_made * (schedule.most - len(kept) - num_made)
                    line = f"  {len(kept) + num_made} {rerun.arm}, seed {rerun.seed}: {measured}"
                    line += f" ({rerun.duration_s:.1f} s)" + (f", {left_s:.0f} s left at most" if left_s >= 1 else "")
                    bar.write(line, file=sys.stdout)
                    bar.update()
                    sys.stdout.flush()
        except BrokenProcessPool:
            raise WorkerLost(
                "a worker process died; the lines above may say why, and lack of memory ends one without a word. Finished "
                "reruns are kept: run the same command again, with execution.workers: 1 and together: 1 if it happens again"
            ) from None
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if kept:
        print(f"  {len(kept)} of {len(kept) + num_made} reruns were finished already and kept", flush=True)
    if (left := schedule.most - len(kept) - num_made) > 0:
        print(f"  {left} more were planned and not needed", flush=True)
    return kept


def _ended(running: dict[Future[list[Rerun]], list[_Task]]) -> Iterator[tuple[_Task, Rerun]]:
    """Wait for the next reruns that end, and take them out."""
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        yield from zip(running.pop(future), future.result(), strict=True)


def _end_with_server() -> None:
    """A killed audit leaves no worker behind: each ends with the server that forked it, and that with the stage."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and kills the workers
    end_with_parent()
    stage = multiprocessing.parent_process()
    if stage is not None and not stage.is_alive():  # it had ended before, and the server with it
        os._exit(1)


def _execute(group: list[_Task]) -> list[Rerun]:
    """Make one rerun, or those that are trained together, and write the records. Runs in a worker process."""
    started_at, started = now(), time.monotonic()
    for task in group:
        for folder in (task.record.parent, task.job.out):
            remove_tree(folder)
            folder.mkdir(parents=True)
    driver, jobs = group[0].driver, [task.job for task in group]
    results = driver.execute_together(jobs) if group[0].together else [driver.execute(job) for job in jobs]
    duration_s = (time.monotonic() - started - sum(result.beside_s for result in results)) / len(group)
    reruns = []
    for task, result in zip(group, results, strict=True):
        reruns.append(Rerun(
            target=task.target, arm=task.arm_name, seed=task.job.seed, identity=task.identity, registered=task.registered,
            status=result.status, reason=result.reason, measurements=result.measurements, curves=result.curves,
            environment=task.environment | seen(result.device) | {"isolation": task.job.isolation},
            log_tail=result.log[-LOG_TAIL:],
            started_at=started_at, duration_s=duration_s, cpu_s=result.cpu_s, together=task.together,
        ))  # fmt: skip
        folder = task.record.parent
        aside = folder.with_name(f"{folder.name}.kept")
        remove_tree(aside)
        if result.kept:
            result.kept.rename(aside)
        remove_tree(task.job.out)  # with whatever the release's code has put there
        remove_tree(folder)
        folder.mkdir()
        if result.kept:
            aside.rename(folder / "kept")
        write_text(folder / "log.txt", result.log)
        for name, record in result.records.items():
            write_record(folder / f"{name}.json", record)
        text = to_json(reruns[-1]) + "\n"
        compared = [*folder.glob("*.json"), *folder.glob(f"kept/{WEIGHTS}*/*")]
        files = {path.relative_to(task.layout.folder).as_posix(): file_digest(path) for path in compared}
        files[f"{task.name}/{task.record.name}"] = hashlib.sha256(text.encode()).hexdigest()
        seal(task.layout, task.name, files, {})  # first: a record that is there is a finished rerun
        write_text(task.record, text)
    return reruns
