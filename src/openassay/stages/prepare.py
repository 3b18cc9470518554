"""Does the published data preparation run, and does it give the published data?"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openassay.core.findings import ArrayFound, CheckFound, FetchRecord, Finding, PrepareRecord
from openassay.drivers.job import DATA_FILE, OUR_FILES, kind_of, load_arrays
from openassay.layout import Layout
from openassay.plan import Plan
from openassay.records import file_digest
from openassay.sandbox import LOG_TAIL, NotPossible, make_room
from openassay.store import Store, files_below, remove_tree
from openassay.target import ArrayCheck

MAX_NAME = 500
"""Characters of a prepared file's name, its folders included: the copy that a run gets lies deeper."""

NOT_PREPARED = PrepareRecord(
    status="none", reason="the target declares no data preparation", arrays=(), files={}, checks=(), environment={},
    log_tail="", cpu_s=0.0, findings=(),
)  # fmt: skip


def run(plan: Plan, fetched: FetchRecord, store: Store, layout: Layout) -> PrepareRecord:
    """Run the preparation in the release's environment, keep its data, and compare it with the published facts."""
    remove_tree(layout.data)
    layout.data.mkdir(parents=True)
    if plan.prepare is None:
        return NOT_PREPARED
    try:
        room = make_room(plan, fetched, store, layout, needs_environment=True)
    except NotPossible as problem:
        return _failed(NOT_PREPARED, "preparation_impossible", str(problem))
    print("  running the published data preparation ...", flush=True)
    _, ended = room.run(plan.prepare, "prepare", out=layout.data, data=None, threads=plan.execution.threads)
    record = replace(NOT_PREPARED, environment=room.versions, log_tail=ended.log[-LOG_TAIL:], cpu_s=ended.cpu_s)
    record = replace(record, findings=room.findings("prepare"))
    reason, arrays = ended.error, {}
    if ended.ok:
        try:
            if layout.data.is_symlink():
                raise ValueError("its folder is a link")
            remove_tree(layout.data / "work")
            check_folder(layout.data)
            arrays = load_arrays(layout.data)
        except ValueError as problem:
            reason = f"what it gave cannot be used: {problem}"
    if reason:
        remove_tree(layout.data.parent)  # nothing reads it, and it may hold pipes
        return _failed(record, "preparation_failed", reason)
    found = tuple(
        ArrayFound(name=name, dtype=str(array.dtype), shape=array.shape, sha256=array_digest(array))
        for name, array in sorted(arrays.items())
    )
    checks = tuple(check_array(check, arrays) for check in plan.prepare.checks)
    written = {path.relative_to(layout.data).as_posix(): path for path in files_below(layout.data)}
    files = {name: file_digest(path) for name, path in written.items() if name not in {*OUR_FILES, DATA_FILE}}
    told = [
        f"array {check.array}: expected sha256 {check.expected[:16]}, the preparation gives {check.found[:16]}"
        for check in checks if not check.passed
    ]  # fmt: skip
    findings = tuple(Finding(stage="prepare", kind="data_differs", message=message) for message in told)
    return replace(
        record, status="done", reason="", arrays=found, files=files, checks=checks, findings=record.findings + findings
    )


def check_folder(folder: Path) -> None:
    """Raises ValueError unless a prepared folder holds only regular files and folders, which every run can be given."""
    folders = [""]
    try:
        while folders:
            inside = folders.pop()
            for entry in list(os.scandir(f"{folder}/{inside}")):
                name = inside + entry.name
                kind = kind_of(entry.stat(follow_symlinks=False).st_mode)
                if any("\ud800" <= letter <= "\udfff" for letter in name):
                    raise ValueError(f"the name {name!r} is not UTF-8")
                if len(name) > MAX_NAME:
                    raise ValueError(f"a name in it is longer than {MAX_NAME} characters: {name[:60]!r} ...")
                if kind == "a folder":
                    folders.append(f"{name}/")
                elif kind or not os.access(entry.path, os.R_OK):
                    raise ValueError(f"{name!r} is {kind or 'closed to us'}")
    except OSError as error:
        raise ValueError(f"its folder {inside!r}: {error.strerror}") from None


def array_digest(array: NDArray[np.generic], decimals: int | None = None) -> str:
    """sha256 of an array's bytes in C order; with `decimals`, of its values rounded, as little-endian float64."""
    if decimals is not None:
        # + 0.0 turns a negative zero, which rounding makes of small negative numbers, into zero
        array = (np.round(array.astype(np.float64), decimals) + 0.0).astype("<f8")
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def check_array(check: ArrayCheck, arrays: dict[str, NDArray[np.generic]]) -> CheckFound:
    """Whether an array is what was published."""
    known = check.array in arrays
    try:
        found = array_digest(arrays[check.array], check.decimals) if known else "no such array"
    except (ValueError, TypeError):  # text, say, cannot be rounded
        found = "not numbers"
    return CheckFound(
        array=check.array, expected=check.sha256, found=found, passed=found == check.sha256, cited_at=check.cited_at
    )


def _failed(record: PrepareRecord, kind: str, reason: str) -> PrepareRecord:
    finding = Finding(stage="prepare", kind=kind, message=reason)
    return replace(record, status="failed", reason=reason, findings=(*record.findings, finding))
