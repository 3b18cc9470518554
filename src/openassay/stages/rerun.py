"""What do reruns of the recipe give: faithful seeds, and a broken control?

A rerun has an identity, the digest of recipe, data, code, environment and seed. Its record is written the moment it is
finished; a rerun whose record is there is not run again, so that a killed audit goes on where it stopped.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from openassay import child, metrics, recipes, training
from openassay.core.types import FetchRecord, Finding, PrepareRecord, Rerun, RerunsRecord, RerunStatus
from openassay.faults import Fault
from openassay.layout import Layout
from openassay.plan import Plan
from openassay.provenance import machine, now, package_versions
from openassay.recipes import Recipe
from openassay.recipes.job import Job
from openassay.recipes.native import NativeRecipe
from openassay.recipes.run import KILLED
from openassay.records import (
    BrokenRecord,
    digest,
    program_digest,
    read_record,
    to_plain,
    write_record,
    write_text,
)
from openassay.sandbox import LOG_TAIL, NotPossible, Room, make_room
from openassay.store import Store, remove_tree


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
    recipe: Recipe
    job: Job
    record: Path


def run(plan: Plan, fetched: FetchRecord, prepared: PrepareRecord, store: Store, layout: Layout) -> RerunsRecord:
    """Make every rerun of the plan that is not there yet, several at a time."""
    impossible = _impossible(plan, prepared)
    room = None
    if not impossible:
        assert plan.rerun is not None  # noqa: S101 - _impossible has looked
        try:
            room = make_room(plan, fetched, store, layout, needs_environment=not isinstance(plan.rerun, NativeRecipe))
        except NotPossible as problem:
            impossible = str(problem)
    if room is None or plan.rerun is None:
        finding = Finding(stage="rerun", kind="not_rerun", message=impossible)
        return RerunsRecord(not_attempted_because=impossible, identities={}, num_reused=0, findings=(finding,))
    tasks = _tasks(plan, plan.rerun, fetched, prepared, room, layout)
    open_tasks = [task for task in tasks if not _is_done(task)]
    num_reused = len(tasks) - len(open_tasks)
    if num_reused:
        print(f"  {num_reused} of {len(tasks)} reruns are finished already and kept", flush=True)
    _run_all(open_tasks, plan)
    identities: dict[str, tuple[str, ...]] = {}
    findings = []
    for task in tasks:
        identities[task.arm_name] = (*identities.get(task.arm_name, ()), task.identity)
        rerun = read_record(task.record, Rerun)
        if rerun.reason:
            message = f"{task.arm_name}, seed {rerun.seed}: {rerun.reason}"
            kind = "measurement_missing" if rerun.status is RerunStatus.FINISHED else f"rerun_{rerun.status.value}"
            findings.append(Finding(stage="rerun", kind=kind, message=message))
    return RerunsRecord(
        not_attempted_because="", identities=identities, num_reused=num_reused, findings=tuple(findings)
    )


def _impossible(plan: Plan, prepared: PrepareRecord) -> str:
    if plan.rerun is None:
        return plan.not_rerun_because or "the target declares no rerun"
    if prepared.status == "failed":
        return f"the data could not be prepared: {prepared.reason}"
    return ""


def _tasks(
    plan: Plan, recipe: Recipe, fetched: FetchRecord, prepared: PrepareRecord, room: Room, layout: Layout
) -> list[_Task]:
    """Every rerun of the plan, seed by seed over the arms, so that all arms have their first seeds early."""
    code, environment = _code_and_environment(plan, recipe, fetched, room)
    registered = plan.registration()
    data = {"arrays": to_plain(prepared.arrays), "files": prepared.files}
    arms = plan.arms()
    tasks = []
    for seed in sorted({seed for seeds in plan.seeds.arms.values() for seed in seeds}):
        for name, seeds in plan.seeds.arms.items():
            if seed not in seeds:
                continue
            identity = digest(
                {
                    "recipe": _recipe_identity(recipe), "arm": to_plain(arms[name]), "data": data, "code": code,
                    "environment": environment, "seed": seed,
                }
            )  # fmt: skip
            folder = layout.rerun(name, seed)
            job = room.job(
                out=folder / "out", data=layout.data if prepared.status == "done" else None, arm=arms[name], seed=seed,
                device=plan.execution.device, threads=plan.execution.threads, timeout_s=recipe.timeout_s,
            )  # fmt: skip
            tasks.append(
                _Task(
                    target=plan.name, arm_name=name, identity=identity, registered=registered, environment=environment,
                    recipe=recipe, job=job, record=folder / "record.json",
                )
            )  # fmt: skip
    return tasks


def _recipe_identity(recipe: Recipe) -> dict[str, object]:
    """What of a recipe decides one rerun: not the other arms, the number of runs or the time limit."""
    plain: dict[str, object] = to_plain(recipe)
    return {key: value for key, value in plain.items() if key not in {"arms", "max_runs", "timeout_s", "taken_from"}}


def _code_and_environment(
    plan: Plan, recipe: Recipe, fetched: FetchRecord, room: Room
) -> tuple[dict[str, object], dict[str, str]]:
    """The code that trains and measures, and where: the release's, by what was fetched and installed; and our own."""
    ours = [child.__file__, *(package.__path__[0] for package in (metrics, recipes, training))]
    code: dict[str, object] = {"ours": program_digest(*map(Path, ours)), "device": plan.execution.device}
    if isinstance(recipe, NativeRecipe):
        here = machine()
        versions = package_versions(("torch", "numpy"))
        return code, versions | {"python": here["python"], "machine": here["machine"]}
    code["glue"] = plan.glue.sha256 if plan.glue else None
    code["artifacts"] = {
        artifact.name: [artifact.sha256, artifact.filename, artifact.root] for artifact in fetched.artifacts
    }
    return code, room.environment.identity() if room.environment else {}


def _is_done(task: _Task) -> bool:
    """Is this rerun's record there? One that was stopped at a shorter time limit, or killed, is made again."""
    if not task.record.exists():
        return False
    try:
        rerun = read_record(task.record, Rerun)
    except BrokenRecord:
        return False
    stopped_early = rerun.status is RerunStatus.TIMED_OUT and rerun.duration_s < task.job.timeout_s
    return rerun.identity == task.identity and not stopped_early and rerun.reason != KILLED


def _run_all(tasks: list[_Task], plan: Plan) -> None:
    if not tasks:
        return
    workers = min(len(tasks), plan.execution.workers or len(os.sched_getaffinity(0)))
    # spawn: a worker must not inherit half of this process's threads; torch and CUDA need it
    context = multiprocessing.get_context("spawn")
    started = time.monotonic()
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=_die_with_parent) as pool,
        # in a log a bar would be noise; the lines say the same
        tqdm(total=len(tasks), desc=f"  reruns of {plan.name}", unit="rerun", file=sys.stdout, disable=None) as bar,
    ):
        futures: list[Future[Rerun]] = [pool.submit(_execute, task) for task in tasks]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                rerun = future.result()
                measured = ", ".join(f"{m.metric} {m.raw[:8]}" for m in rerun.measurements) or rerun.status.value
                left_s = (time.monotonic() - started) / done * (len(tasks) - done)
                line = f"  {done}/{len(tasks)} {rerun.arm}, seed {rerun.seed}: {measured} ({rerun.duration_s:.1f} s)"
                bar.write(line + (f", about {left_s:.0f} s left" if left_s >= 1 else ""), file=sys.stdout)
                bar.update()
                sys.stdout.flush()
        except BrokenProcessPool:
            raise WorkerLost(
                "a worker process died; the lines above may say why, and lack of memory ends one without a word. Finished "
                "reruns are kept: run the same command again, with execution.workers: 1 if it happens again"
            ) from None
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _die_with_parent() -> None:
    """A killed audit leaves no worker behind (Linux)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and kills the workers
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _execute(task: _Task) -> Rerun:
    """Make one rerun and write its record. Runs in a worker process."""
    started_at, started = now(), time.monotonic()
    folder = task.record.parent
    remove_tree(folder)
    task.job.out.mkdir(parents=True)
    execution = task.recipe.execute(task.job)
    rerun = Rerun(
        target=task.target, arm=task.arm_name, seed=task.job.seed, identity=task.identity, registered=task.registered,
        status=execution.status, reason=execution.reason, measurements=execution.measurements, curves=execution.curves,
        environment=task.environment | {"device": execution.device}, log_tail=execution.log[-LOG_TAIL:],
        started_at=started_at, duration_s=time.monotonic() - started, cpu_s=execution.cpu_s,
    )  # fmt: skip
    remove_tree(folder)  # with whatever the release's code has put there
    write_text(folder / "log.txt", execution.log)
    write_record(task.record, rerun)
    return rerun
