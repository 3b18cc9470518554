"""What packages run while an environment is built, and what starts with its Python, reaches nothing but that environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cages import ATTEMPTS, needs_bwrap
from loopback import PackageIndex, sdist, wheel
from users import User, both_users

from openassay.environments import Environment, EnvironmentSpec, NotBuilt, UvFault, build
from openassay.faults import BadInput
from openassay.limits import LimitMet, Limits
from openassay.sources.pypi import package_index

pytestmark = needs_bwrap
WHERE = "conf/target/demo.yaml: environment"
CAGED = Limits()


@pytest.fixture(autouse=True)
def cache(user: User, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, in a folder of the user's who builds; uv does not wait between tries."""
    monkeypatch.setenv("OPENASSAY_CACHE", str(user.folder / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    (user.folder / "cache" / "envs" / "other").mkdir(parents=True)
    return user.folder / "cache"


def built(*requirements: str, limits: Limits | None = CAGED, target: str = "demo") -> Environment:
    return build(EnvironmentSpec(requirements=requirements), {}, WHERE, target, limits=limits)


# A build backend that tries what it should not be able to, and packs what it has done into its wheel.
HOSTILE = (
    ATTEMPTS
    + """
import glob, json, os, zipfile
asked = json.loads(%r)
def has(path, words):
    with open(path, "rb") as file:
        return words.encode() in file.read()
def of_all(pattern, words):
    found = []
    for path in glob.glob(pattern):
        try:
            found += [path] if has(path, words) else []
        except OSError:
            pass
    return found != []
def build_wheel(folder, *more, **settings):
    attempt("read the home folder", lambda: has(asked["home"] + "/.ssh/id", "key"))
    attempt("read .netrc", lambda: has(asked["home"] + "/.netrc", "s3cret"))
    attempt("find its own token", lambda: "hf_token_of_the_auditor" in os.environ.values())
    attempt("find a token in others' variables", lambda: of_all("/proc/[0-9]*/environ", "hf_token_of_the_auditor"))
    attempt("read the index's password", lambda: of_all("/proc/[0-9]*/cmdline", "s3cret") or of_all("/proc/[0-9]*/environ", "s3cret"))
    attempt("read uv's input again", lambda: of_all("/proc/%%d/fd/0" %% os.getppid(), "s3cret"))
    attempt("read the project", lambda: has(asked["project"] + "/conf", "mine"))
    attempt("write into the project", lambda: write(asked["project"] + "/conf"))
    attempt("write into uv's cache", lambda: [write(path) for path in asked["caches"]])
    attempt("write into what uv's cache has unpacked", lambda: [write(path) for path in glob.glob(asked["cache"] + "/*/archive-*/*/helper.py") + glob.glob(os.environ.get("UV_CACHE_DIR", "/x") + "/archive-*/*/helper.py")] or False)
    attempt("write into another environment", lambda: write(asked["cache"] + "/envs/other/x.pth"))
    attempt("write beside the environment", lambda: write(asked["cache"] + "/envs/x"))
    attempt("signal the audit", lambda: os.kill(asked["audit"], 0))
    attempt("write to the system", lambda: os.access("/usr/bin", os.W_OK))
    name = "hostile-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr("done.json", json.dumps(done))
        archive.writestr("hostile-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: hostile\\nVersion: 1.0\\nRequires-Dist: helper\\n")
        archive.writestr("hostile-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("hostile-1.0.dist-info/RECORD", "")
    return name
"""
)


@pytest.fixture
def asked(user: User, cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a hostile package looks for, all of it there."""
    home, project = user.folder / "home", user.folder / "project"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_text("key")
    (home / ".netrc").write_text("machine 127.0.0.1 login alice password s3cret\n")
    (home / ".netrc").chmod(0o600)
    project.mkdir()
    (project / "conf").write_text("mine")
    monkeypatch.setenv("HF_TOKEN", "hf_token_of_the_auditor")
    caches = [str(cache / name / "poison") for name in ("uv", "uv-wheels")]
    return {"home": str(home), "project": str(project), "cache": str(cache), "caches": caches}


def done_by(environment: Environment) -> list[str]:
    (path,) = Path(environment.python).parents[1].glob("lib/python*/site-packages/done.json")
    found: list[str] = json.loads(path.read_text())
    return found


def hostile_build(user: User, index: PackageIndex, asked: dict[str, Any], limits: Limits | None) -> list[str]:
    """What a hostile build script has done, of a package that asks for another, which the cache holds already."""
    index.login = "alice:s3cret"
    index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
    package_index()  # by a Python that a plain user may not run

    def act() -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", asked["home"])
            if user.plain:
                patch.setattr(sys, "executable", user.python)
                patch.delenv("PYENV_ROOT", raising=False)
                patch.setenv("PATH", f"{Path(user.python).parent}:/usr/bin:/bin")
            built("helper", limits=limits)
            Path(asked["cache"], "uv").mkdir(exist_ok=True)
            return done_by(built("hostile", limits=limits, target="hostile"))

    whole = json.dumps(asked | {"audit": os.getpid()})
    index.publish("hostile", "hostile-1.0.tar.gz", sdist("hostile", "1.0", HOSTILE % whole))
    return user.does(act)


@both_users
def test_a_build_script_reaches_nothing_but_its_own_environment(
    user: User, index: PackageIndex, asked: dict[str, Any]
) -> None:
    done = set(hostile_build(user, index, asked, CAGED))
    assert done <= {"write beside the environment"}  # where the cage has an empty /tmp of its own
    assert not any(Path(path).exists() for path in [*asked["caches"], Path(asked["cache"], "envs", "x")])
    assert Path(asked["project"], "conf").read_text() == "mine"


def test_without_the_cage_the_same_script_does_all_that_a_user_may(
    user: User, index: PackageIndex, asked: dict[str, Any]
) -> None:
    """The attempts are real ones."""
    asked["caches"] = asked["caches"][:1]
    assert {
        "read the home folder", "read .netrc", "read the project", "write into the project", "write into uv's cache",
        "write into what uv's cache has unpacked", "write into another environment", "write beside the environment",
        "signal the audit",
    } <= set(hostile_build(user, index, asked, None))  # fmt: skip


SOURCE_ONLY = """
def build_wheel(folder, *more, **settings):
    import os, zipfile
    name = "helper-2.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr("helper.py", "x = 2")
        archive.writestr("helper-2.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: helper\\nVersion: 2.0\\n")
        archive.writestr("helper-2.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("helper-2.0.dist-info/RECORD", "")
    return name
"""


def test_the_cage_changes_nothing_of_what_is_installed(index: PackageIndex) -> None:
    index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
    index.publish("other", "other-1.0-py3-none-any.whl", wheel("other", "1.0"))
    of_wheels = built("other", "helper")
    assert of_wheels.identity() == built("other", "helper", limits=None).identity()
    site = Path(of_wheels.python).parents[1]
    assert list(
        site.glob("lib/python*/site-packages/__pycache__/helper*.pyc")
    )  # compiled already: runs may not write there
    # A newer version that must be built is preferred to an older wheel, as without a cage.
    index.publish("helper", "helper-2.0.tar.gz", sdist("helper", "2.0", SOURCE_ONLY))
    newer = built("other", "helper>=1")
    assert newer.packages == {"helper": "2.0", "other": "1.0"}
    assert newer.identity() == built("other", "helper>=1", limits=None).identity()


def test_wheels_of_the_shared_cache_are_used_again(index: PackageIndex) -> None:
    index.publish("other", "other-1.0-py3-none-any.whl", wheel("other", "1.0"))
    index.publish("helper", "helper-2.0.tar.gz", sdist("helper", "2.0", SOURCE_ONLY))
    built("other")
    built("other", "helper", target="another")
    assert len(index.asked("other-1.0-py3-none-any.whl")) == 1


def test_an_environment_that_was_built_outside_is_not_taken_into_a_cage(index: PackageIndex) -> None:
    index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
    outside, inside = built("helper", limits=None), built("helper")
    assert outside.python != inside.python
    assert outside.identity() == inside.identity()
    assert built("helper").python == inside.python


def test_what_starts_with_the_environments_python_starts_in_no_build_of_ours(
    index: PackageIndex, asked: dict[str, Any]
) -> None:
    line = f"import os; open({str(Path(asked['home'], 'seen'))!r}, 'a').write('x')\n"
    index.publish("nosy", "nosy-1.0-py3-none-any.whl", wheel("nosy", "1.0", {"nosy.pth": line}))
    assert built("nosy").packages == {"nosy": "1.0"}
    assert not Path(asked["home"], "seen").exists()


def test_a_package_that_replaces_the_environments_python_is_not_built(
    index: PackageIndex, cache: Path, asked: dict[str, Any]
) -> None:
    """What a later cage shows of this machine follows from where that Python lies, and it is started."""
    replaces = f"""
import glob, os
for path in glob.glob({str(cache)!r} + "/envs/*/bin/python"):
    real = os.path.realpath(path)
    if real == path:
        continue
    os.unlink(path)
    with open(path, "w") as file:
        file.write("#!/bin/sh\\necho x >> {asked["home"]}/seen\\nexec %s \\"$@\\"\\n" % real)
    os.chmod(path, 0o755)
"""
    index.publish("helper", "helper-2.0.tar.gz", sdist("helper", "2.0", replaces + SOURCE_ONLY))
    with pytest.raises(NotBuilt, match="a package puts something else in the place of the environment's Python"):
        built("helper")
    assert not Path(asked["home"], "seen").exists()


def test_a_build_that_needs_too_much_is_a_fault_that_names_the_limit(index: PackageIndex) -> None:
    greedy = "import time\nkept = []\nfor _ in range(60):\n    kept.append(b'x' * 10 * 2**20)\n    time.sleep(0.01)\ntime.sleep(5)\n"
    index.publish("greedy", "greedy-1.0.tar.gz", sdist("greedy", "1.0", greedy + SOURCE_ONLY))
    with pytest.raises(LimitMet, match=r"isolation\.memory_gib"):
        built("greedy", limits=Limits(memory_gib=0.25))
    flood = "print('x' * 300 * 2**20)\nopen('x', 'wb').write(b'x' * 100 * 2**20)\nimport time; time.sleep(3)\n"
    index.publish("wide", "wide-1.0.tar.gz", sdist("wide", "1.0", flood + SOURCE_ONLY))
    with pytest.raises(LimitMet, match=r"isolation\.disk_gib"):
        built("wide", limits=Limits(disk_gib=0.05))


def test_a_failure_to_build_is_told_as_without_a_cage(index: PackageIndex, pip_settings: Callable[..., None]) -> None:
    index.publish(
        "broken",
        "broken-1.0.tar.gz",
        sdist("broken", "1.0", "def build_wheel(*more, **settings): raise OSError('no compiler')"),
    )
    with pytest.raises(NotBuilt, match="no compiler"):
        built("broken")
    with pytest.raises(BadInput, match="absent"):
        built("absent")
    pip_settings(PIP_INDEX_URL="http://127.0.0.1:9/simple")
    with pytest.raises(UvFault, match="does not answer"):
        built("helper")


def test_nothing_of_a_build_stays_beside_the_environment(index: PackageIndex, cache: Path) -> None:
    index.publish("helper", "helper-2.0.tar.gz", sdist("helper", "2.0", SOURCE_ONLY))
    built("helper")
    left = [path.name for path in (cache / "envs").iterdir()]
    assert not [name for name in left if name.endswith(".building")]
    assert subprocess.run(["pgrep", "-f", str(cache)], capture_output=True, check=False).returncode == 1
