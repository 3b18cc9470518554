"""Fuzzes one reader of foreign bytes, guided by the branches that inputs reach: `make fuzz READER=name SECONDS=600`.

Needs atheris (`pip install 'openassay[fuzz]'`). It starts from tests/fuzz/corpus/READER and keeps what reaches more in
.fuzz/READER, and inputs that break the reader in .fuzz/READER.found. `--keep` takes the fewest inputs of both folders
that reach as much of our code into the corpus; no atheris is needed for that.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "src")]
WORK = TESTS.parent / ".fuzz"
OURS = str(TESTS.parent / "src" / "openassay")
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - files that live for one input
LONGEST = 8192
"""Bytes of an input."""
MOST_FILES, MOST_BYTES = 60, 200_000
"""Of a corpus."""


def fuzz(name: str, seconds: int, scratch: Path) -> None:
    """Fuzz one reader and end the process; of each place in our code that breaks the first input is kept and told."""
    try:
        import atheris
    except ImportError:
        sys.exit("error: fuzzing needs atheris; pip install 'openassay[fuzz]' (Linux)")
    with atheris.instrument_imports(include=["openassay"]):
        from fuzz.readers import CORPUS, READERS, ROOM, read_input
    os.environ["GIT_ALLOW_PROTOCOL"] = "file"
    kept, found = WORK / name, WORK / f"{name}.found"
    kept.mkdir(parents=True, exist_ok=True)
    reader = READERS[name]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    most = (pages * os.sysconf("SC_PAGE_SIZE") + ROOM) >> 20
    broken: set[str] = set()

    def read(data: bytes) -> None:
        try:
            # Memory that is asked for and not used is no harm: what is used is watched from outside.
            read_input(reader, data, scratch, 3 * ROOM)
        except BaseException as error:  # noqa: BLE001 - that is what is looked for
            frames = [of for of in traceback.extract_tb(error.__traceback__) if of.filename.startswith(OURS)]
            place = f"{type(error).__name__} at " + (
                f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "the harness"
            )
            if place not in broken:
                broken.add(place)
                path = found / hashlib.sha256(data).hexdigest()[:16]
                path.write_bytes(data)
                print(
                    f"BROKEN: {place}: {path}\n{''.join(traceback.format_exception(error)[-6:])}",
                    file=sys.stderr,
                    flush=True,
                )

    options = {
        "max_total_time": seconds,
        "max_len": LONGEST,
        "len_control": 0,
        "timeout": 60,
        "rss_limit_mb": most,
        "artifact_prefix": f"{found}/",
    }
    settings = ["fuzz", *(f"-{key}={value}" for key, value in options.items()), str(kept), str(CORPUS / name)]
    atheris.Setup(settings, read)
    atheris.Fuzz()


def fuzz_in_a_child(name: str, seconds: int) -> int:
    """As `fuzz`, which ends its process without its exit handlers; 0 if no input broke the reader."""
    found = WORK / f"{name}.found"
    found.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    with tempfile.TemporaryDirectory(prefix="openassay-fuzz-", dir=SCRATCH) as scratch:
        command = [sys.executable, __file__, name, "--seconds", str(seconds), "--scratch", scratch]
        status = subprocess.run(command, check=False).returncode
    return status or int(bool(set(found.iterdir()) - before))


def reached(name: str, path: Path, scratch: Path) -> frozenset[tuple[str, int, int]]:
    """The steps from line to line of our code that reading an input takes."""
    from fuzz.readers import READERS, read_input

    steps: set[tuple[str, int, int]] = set()

    def trace(frame: object, event: str, _: object) -> object:
        code, last = frame.f_code, 0  # type: ignore[attr-defined]
        if not code.co_filename.startswith(OURS):
            return None

        def within(frame: object, event: str, _: object) -> object:
            nonlocal last
            line = frame.f_lineno  # type: ignore[attr-defined]
            steps.add((code.co_filename, last, line if event != "exception" else -line))
            last = line
            return within

        return within

    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        read_input(READERS[name], path.read_bytes(), scratch)
    except BaseException as error:
        error.add_note(str(path))
        raise
    finally:
        sys.settrace(None)
    return frozenset(steps)


def keep(name: str) -> None:
    """Take the fewest inputs that reach as much into the corpus of a reader; those that are named stay."""
    from fuzz.readers import CORPUS

    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        folder = CORPUS / name
        named = [path for path in sorted(folder.iterdir()) if not re.fullmatch("[0-9a-f]{16}", path.name)]
        others = sorted(
            (*set(folder.iterdir()).difference(named), *WORK.glob(f"{name}/*")), key=lambda path: path.stat().st_size
        )
        seen = {path: reached(name, path, Path(scratch)) for path in (*named, *others)}
    chosen = list(_chosen(seen, named))
    contents = [path.read_bytes() for path in chosen]
    for path in set(folder.iterdir()).difference(named):
        path.unlink()
    for content in contents:
        (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)
    whole, got = (len(set().union(*(seen[path] for path in of))) for of in (seen, [*named, *chosen]))
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{name}: {len(named) + len(contents)} files, {size} bytes, {got} of {whole} steps of {len(seen)} files")


def _chosen(seen: dict[Path, frozenset[tuple[str, int, int]]], named: list[Path]) -> Iterable[Path]:
    """Beside those that are named: again and again the input that reaches most that is new, while there is room."""
    missing = set().union(*seen.values()).difference(*(seen[path] for path in named))
    size, count = sum(path.stat().st_size for path in named), len(named)
    while missing and count < MOST_FILES:
        best = max(seen, key=lambda path: len(seen[path] & missing))
        missing -= seen[best]
        if size + best.stat().st_size <= MOST_BYTES:
            size, count = size + best.stat().st_size, count + 1
            yield best


def main() -> None:
    """List the readers, fuzz one, or keep what was found."""
    names = sorted(path.name for path in (TESTS / "fuzz" / "corpus").iterdir())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reader", nargs="?", choices=names)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.reader is None:
        print("readers:", ", ".join(names))
    elif asked.keep:
        keep(asked.reader)
    elif asked.scratch:
        fuzz(asked.reader, asked.seconds, asked.scratch)
    else:
        sys.exit(fuzz_in_a_child(asked.reader, asked.seconds))


if __name__ == "__main__":
    main()
