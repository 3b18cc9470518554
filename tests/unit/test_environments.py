"""The release's own environment is what its target file pins, and a failure to build it is put where it belongs."""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uv
from loopback import PackageIndex, closed_port, sdist, self_signed, wheel
from small_disk import on_small_disk

from openassay import environments
from openassay.environments import EnvironmentSpec, NotBuilt, UvFault, build, index_lines, index_options
from openassay.faults import BadInput
from openassay.records import parse
from openassay.sources.pypi import package_index
from openassay.store import Store

WHERE = "conf/target/demo.yaml: environment"
HERE = ".".join(platform.python_version_tuple()[:2])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and uv does not wait between tries."""
    monkeypatch.setenv("OPENASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    return tmp_path / "cache"


def run_in(python: str, code: str) -> str:
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


# What a target file may say


@pytest.mark.parametrize(
    "requirement",
    ["numpy==2.4.6", "torch>=2.6,<2.7", "a[extra]==1", "x==1; python_version < '3.12'", "Foo_Bar.baz ~= 1.0", "numpy"],
)
def test_a_requirement_is_taken(requirement: str) -> None:
    spec = parse(EnvironmentSpec, {"requirements": [requirement], "as_of": "2023-06-30", "python": "3.11"}, "f")
    assert spec.requirements == (requirement,)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"requirements": ["numpy=2"]}, "'numpy=2' is not a requirement such as numpy==2.4.6"),
        ({"requirements": ["--index-url=http://evil"]}, "is not a requirement"),
        ({"requirements": ["-r other.txt"]}, "is not a requirement"),
        ({"requirements": ["./folder"]}, "is not a requirement"),
        ({"requirements": ["git+https://example.org/x"]}, "is not a requirement"),
        ({"requirements": [""]}, "is not a requirement"),
        ({"requirements": ["a==1\n--index-url=http://evil"]}, "is not a requirement"),
        ({"requirements": ["x @ https://example.org/x.whl"]}, "name an artifact under `install` instead of an address"),
        ({"requirements": ["x @ file:///etc/passwd"]}, "instead of an address"),
        ({"requirements": "numpy"}, "requirements"),
        ({"requirements": [5]}, "requirements.0"),
        ({"as_of": "2023"}, "as_of must read YYYY-MM-DD, found '2023'"),
        ({"as_of": "2023-06-30T00:00"}, "as_of must read YYYY-MM-DD"),
        ({"as_of": "2023-06-30\n"}, "as_of must read YYYY-MM-DD"),
        ({"as_of": "2023-02-30"}, "as_of"),
        ({"as_of": "last year"}, "as_of must read YYYY-MM-DD"),
        ({"python": 3.11}, "python: should be a valid string"),
        ({"instal": ["x"]}, "instal: unknown key"),
    ],
)
def test_what_is_no_environment_is_bad_input(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(EnvironmentSpec, keys, "f")
    assert says in str(refused.value)


# uv's options


def test_pips_indexes_are_handed_to_uv(pip_settings: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    pip_settings(
        PIP_INDEX_URL="http://a/simple",
        PIP_EXTRA_INDEX_URL=f"http://b/simple {(tmp_path / 'here').as_uri()} {(tmp_path / 'nowhere').as_uri()}",
        PIP_FIND_LINKS=f"{tmp_path / 'here'} {tmp_path / 'nowhere'}",
    )
    assert index_options(package_index()) == ["--index-strategy", "unsafe-best-match"]
    assert index_lines(package_index()).splitlines() == [
        "--index-url http://a/simple", "--extra-index-url http://b/simple",
        f"--extra-index-url {(tmp_path / 'here').as_uri()}", f"--find-links {tmp_path / 'here'}",
    ]  # fmt: skip
    pip_settings()
    assert index_lines(package_index()) == "--index-url https://pypi.org/simple/\n"
    pip_settings(PIP_NO_INDEX="1", PIP_TRUSTED_HOST="a b:8080", PIP_FIND_LINKS=str(tmp_path))
    assert index_lines(package_index()) == f"--no-index\n--find-links {tmp_path}\n"
    assert index_options(package_index())[2:] == ["--allow-insecure-host", "a", "--allow-insecure-host", "b:8080"]


def test_every_index_and_every_folder_of_pips_reaches_uv(
    index: PackageIndex, pip_settings: Callable[..., None], tmp_path: Path
) -> None:
    index.publish("one", "one-1.0-py3-none-any.whl", wheel("one", "1.0"))
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "three-1.0-py3-none-any.whl").write_bytes(wheel("three", "1.0"))
    with PackageIndex(login="alice:s3cret") as other:
        other.publish("two", "two-1.0-py3-none-any.whl", wheel("two", "1.0"))
        url = other.url.replace("//", "//alice:s3cret@")
        pip_settings(PIP_INDEX_URL=index.url, PIP_EXTRA_INDEX_URL=url, PIP_FIND_LINKS=str(tmp_path / "links"))
        built = build(EnvironmentSpec(requirements=("one", "two", "three")), {}, WHERE, "demo")
    assert built.packages == {"one": "1.0", "two": "1.0", "three": "1.0"}
    pip_settings(PIP_INDEX_URL=index.url, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path / "links"))
    with pytest.raises(BadInput, match="one was not found"):
        build(EnvironmentSpec(requirements=("three", "one")), {}, WHERE, "demo")


def test_a_server_is_known_by_pips_certificate_or_trusted_by_name(
    pip_settings: Callable[..., None], tmp_path: Path
) -> None:
    with PackageIndex(certificate=self_signed(tmp_path)) as index:
        index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
        index.publish("helper", "helper-2.0-py3-none-any.whl", wheel("helper", "2.0"))
        pip_settings(PIP_INDEX_URL=index.url)
        with pytest.raises(UvFault, match="does not answer"):
            build(EnvironmentSpec(requirements=("helper",)), {}, WHERE, "demo")
        pip_settings(PIP_INDEX_URL=index.url, PIP_CERT=index.certificate)
        assert build(EnvironmentSpec(requirements=("helper==1.0",)), {}, WHERE, "demo").packages == {"helper": "1.0"}
        pip_settings(PIP_INDEX_URL=index.url, PIP_TRUSTED_HOST="127.0.0.1")
        assert build(EnvironmentSpec(requirements=("helper==2.0",)), {}, WHERE, "demo").packages == {"helper": "2.0"}


# What the release's own scripts see

LOOKS_AROUND = """
import os
from pathlib import Path

def build_wheel(*a, **k):
    seen = [Path(f"/proc/{os.getppid()}/{name}").read_bytes().decode() for name in ("cmdline", "environ")]
    Path(FILE).write_text(str((seen, dict(os.environ))))
    raise RuntimeError(str(dict(os.environ)))
"""


def test_a_build_script_finds_no_token_and_no_password(
    index: PackageIndex, pip_settings: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.login = "alice:s3cret"
    index.publish(
        "nosy", "nosy-1.0.tar.gz", sdist("nosy", "1.0", LOOKS_AROUND.replace("FILE", repr(str(tmp_path / "seen"))))
    )
    pip_settings(PIP_INDEX_URL=index.url.replace("//", "//alice:s3cret@"), HTTPS_PROXY="http://bob:s3cret@127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    monkeypatch.setenv("CFLAGS", "-s3cret")
    with pytest.raises(NotBuilt, match="nosy") as finding:
        build(EnvironmentSpec(requirements=("nosy",)), {}, WHERE, "demo")
    assert "s3cret" not in str(finding.value)
    seen = (tmp_path / "seen").read_text()
    assert "HTTPS_PROXY" in seen  # which a build may need
    assert "s3cret" not in seen.replace("http://bob:s3cret@127.0.0.1:9", "")
    assert "alice" not in seen
    assert str(Path.home()) not in re.findall(r"'HOME': '(.*?)'", seen)


def test_what_would_start_with_the_finished_environment_is_not_started_by_us(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    line = f"import os; open({str(tmp_path / 'seen')!r}, 'a').write(str(dict(os.environ)))\n"
    index.publish("nosy", "nosy-1.0-py3-none-any.whl", wheel("nosy", "1.0", {"nosy.pth": line}))
    build(EnvironmentSpec(requirements=("nosy",)), {}, WHERE, "demo")
    assert not (tmp_path / "seen").exists()  # only where the release's code runs does it start


# Building


def test_an_empty_environment_is_built_without_any_index_and_once(
    cache: Path, pip_settings: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_settings(PIP_INDEX_URL=f"http://127.0.0.1:{closed_port()}/simple")
    built = build(EnvironmentSpec(), {}, WHERE, "demo")
    assert "building the release's environment" in capsys.readouterr().out
    assert built.version.startswith(f"{HERE}.")
    assert built.packages == {}
    assert built.identity() == {"python": built.version, "machine": platform.machine()}
    assert Path(built.python).is_relative_to(cache / "envs")
    assert run_in(built.python, "import sys; print(sys.prefix)") == str(Path(built.python).parents[1])
    with pytest.raises(subprocess.CalledProcessError):
        run_in(built.python, "import numpy")
    monkeypatch.setattr(environments, "_uv", None)  # the second time nothing is built
    assert build(EnvironmentSpec(), {}, WHERE, "demo") == built
    assert build(EnvironmentSpec(python=HERE), {}, WHERE, "demo") == built
    assert capsys.readouterr().out == ""


def test_an_environment_that_was_not_finished_is_built_anew(pip_settings: Callable[..., None]) -> None:
    pip_settings()
    folder = Path(build(EnvironmentSpec(), {}, WHERE, "demo").python).parents[1]
    (folder / "environment.json").unlink()  # as after a kill in the middle
    (folder / "left over").touch()
    assert Path(build(EnvironmentSpec(), {}, WHERE, "demo").python).parents[1] == folder
    assert not (folder / "left over").exists()


def test_requirements_and_artifacts_are_installed_from_pips_index(index: PackageIndex, tmp_path: Path) -> None:
    index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
    index.publish("helper", "helper-2.0-py3-none-any.whl", wheel("helper", "2.0"))
    store = Store(tmp_path / "store")
    part = store.part("demo")
    part.write_bytes(wheel("demo", "3.0", requires=("helper",)))
    file = store.named(store.add(part), "demo-3.0-py3-none-any.whl")
    built = build(
        EnvironmentSpec(install=("package",), requirements=("helper==1.0",)), {"package": file}, WHERE, "demo"
    )
    assert built.packages == {"demo": "3.0", "helper": "1.0"}
    assert run_in(built.python, "import demo, helper; print(demo.version, helper.version)") == "3.0 1.0"
    other = build(EnvironmentSpec(install=("package",)), {"package": file}, WHERE, "demo")
    assert other.packages == {"demo": "3.0", "helper": "2.0"}
    assert other.python != built.python
    assert build(EnvironmentSpec(install=("package",)), {"package": file}, WHERE, "demo") == other


def test_another_file_of_the_same_name_is_another_environment(index: PackageIndex, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    found = []
    for word in ("one", "two"):
        store.part(word).write_bytes(wheel("demo", "1.0", {"demo.py": f"word = {word!r}\n"}))
        file = store.named(store.add(store.part(word)), "demo-1.0-py3-none-any.whl")
        built = build(EnvironmentSpec(install=("package",)), {"package": file}, WHERE, "demo")
        found.append(run_in(built.python, "import demo; print(demo.word)"))
    assert found == ["one", "two"]


def test_nothing_later_than_as_of_is_installed(index: PackageIndex) -> None:
    index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"), uploaded="2023-01-01T00:00:00Z")
    index.publish("helper", "helper-2.0-py3-none-any.whl", wheel("helper", "2.0"), uploaded="2024-01-01T00:00:00Z")
    assert build(EnvironmentSpec(requirements=("helper",), as_of="2023-06-30"), {}, WHERE, "demo").packages == {
        "helper": "1.0"
    }
    assert build(EnvironmentSpec(requirements=("helper",), as_of="2024-06-30"), {}, WHERE, "demo").packages == {
        "helper": "2.0"
    }


def test_a_variable_that_points_into_another_environment_does_not_lead_astray(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "uv.toml").write_text("no-index = true\n")
    monkeypatch.chdir(tmp_path)
    index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
    assert build(EnvironmentSpec(requirements=("helper",)), {}, WHERE, "demo").packages == {"helper": "1.0"}


# Failures, as uv itself tells of them


def test_a_python_that_is_not_here_is_the_target_files_mistake(pip_settings: Callable[..., None], cache: Path) -> None:
    pip_settings()
    with pytest.raises(BadInput, match="environment.python: no Python 3.99 on this machine"):
        build(EnvironmentSpec(python="3.99"), {}, WHERE, "demo")
    assert {path.suffix for path in (cache / "envs").iterdir()} == {".lock"}


def test_a_python_that_pyenv_has_is_used_where_its_version_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("3.98.1", "3.9.9", "3.98-dev"):
        (tmp_path / "pyenv" / "versions" / name / "bin").mkdir(parents=True)
    (tmp_path / "pyenv" / "versions" / "3.98.1" / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert build(EnvironmentSpec(python="3.98"), {}, WHERE, "demo").version == platform.python_version()
    with pytest.raises(BadInput, match="no Python 3.99 on this machine"):
        build(EnvironmentSpec(python="3.99"), {}, WHERE, "demo")


@pytest.mark.parametrize(
    "requirements",
    [("nowhere-to-be-found==1.0",), ("helper==9.9",), ("helper==1.0", "helper==2.0"), ("strict", "helper==2.0")],
)
def test_requirements_that_cannot_be_met_are_the_target_files_mistake(
    index: PackageIndex, cache: Path, requirements: tuple[str, ...]
) -> None:
    index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
    index.publish("helper", "helper-2.0-py3-none-any.whl", wheel("helper", "2.0"))
    index.publish("strict", "strict-1.0-py3-none-any.whl", wheel("strict", "1.0", requires=("helper<2",)))
    with pytest.raises(BadInput, match=r"environment\.requirements: they contradict each other") as refused:
        build(EnvironmentSpec(requirements=requirements), {}, WHERE, "demo")
    assert requirements[0].partition("=")[0] in str(refused.value)
    assert {path.suffix for path in (cache / "envs").iterdir()} == {".lock"}  # no half environment is left


BACKENDS = {
    "it raises": "def build_wheel(*a, **k):\n    raise RuntimeError('needs a compiler')\n",
    "it exits": "import sys\ndef build_wheel(*a, **k):\n    sys.exit('no compiler')\n",
    "it does not import": "import nowhere_to_be_found\n",
    "it is no backend": "",
}


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
@pytest.mark.parametrize("installed", [True, False], ids=["artifact", "requirement"])
def test_a_package_that_does_not_build_is_a_finding(
    index: PackageIndex, tmp_path: Path, backend: str, installed: bool
) -> None:
    data = sdist("broken", "1.0", backend)
    if not installed:
        index.publish("broken", "broken-1.0.tar.gz", data)
        spec, files = EnvironmentSpec(requirements=("broken==1.0",)), {}
    else:
        folder = tmp_path / hashlib.sha256(data).hexdigest()
        folder.mkdir()
        (folder / "broken-1.0.tar.gz").write_bytes(data)
        spec, files = EnvironmentSpec(install=("package",)), {"package": folder / "broken-1.0.tar.gz"}
    with pytest.raises(NotBuilt, match="broken"):
        build(spec, files, WHERE, "demo")


def test_an_index_that_is_down_is_a_fault(pip_settings: Callable[..., None]) -> None:
    pip_settings(PIP_INDEX_URL=f"http://127.0.0.1:{closed_port()}/simple")
    with pytest.raises(UvFault, match="the package index does not answer"):
        build(EnvironmentSpec(requirements=("helper",)), {}, WHERE, "demo")


def test_one_dead_index_of_several_is_a_fault_that_names_it(
    index: PackageIndex, pip_settings: Callable[..., None]
) -> None:
    index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
    dead = f"127.0.0.1:{closed_port()}/simple"
    pip_settings(PIP_INDEX_URL=index.url, PIP_EXTRA_INDEX_URL=f"http://alice:s3cret@{dead}")
    with pytest.raises(UvFault, match=f"the package index does not answer: .*http://{dead}/helper/") as fault:
        build(EnvironmentSpec(requirements=("helper",)), {}, WHERE, "demo")
    assert "s3cret" not in str(fault.value)


def test_an_index_that_fails_while_a_package_is_built_is_a_fault(index: PackageIndex) -> None:
    index.publish("demo", "demo-1.0.tar.gz", sdist("demo", "1.0", "", requires='"helper"'))
    index.status["/simple/helper/"] = 503
    with pytest.raises(UvFault, match="does not answer"):
        build(EnvironmentSpec(requirements=("demo",)), {}, WHERE, "demo")


def tar_of(folder: Path, name: str, files: dict[str, str]) -> Path:
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    with tarfile.open(folder / name, "w") as archive:
        for file in files:
            archive.add(folder / file, file)
    return folder / name


@pytest.mark.parametrize("files", [{"a.csv": "1", "b.csv": "2"}, {"top/a.csv": "1"}, {"a.csv": "1"}], ids=str)
def test_a_tar_that_is_no_package_is_a_finding_in_one_line(
    index: PackageIndex, tmp_path: Path, files: dict[str, str]
) -> None:
    path = tar_of(tmp_path, "data.tar", files)
    with pytest.raises(NotBuilt) as finding:
        build(EnvironmentSpec(install=("data",)), {"data": path}, WHERE, "demo")
    assert "\n" not in str(finding.value)
    assert str(tmp_path / "cache") not in str(finding.value)


@pytest.mark.parametrize("name", ["demo-1.0-py3-none-any.whl", "demo.whl", "demo-1.0.tar.gz", "demo.zip"])
def test_a_damaged_package_is_a_finding(index: PackageIndex, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not what the name says" * 100)
    with pytest.raises(NotBuilt, match=r"demo"):
        build(EnvironmentSpec(install=("data",)), {"data": tmp_path / name}, WHERE, "demo")


@pytest.mark.parametrize("name", ["weights.bin", "notes.txt", "demo-data.deb", "requirements.in"])
def test_what_no_installer_takes_is_the_target_files_mistake(index: PackageIndex, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("numpy")
    with pytest.raises(BadInput, match=rf"environment\.install: {re.escape(name)} is neither a wheel nor an sdist"):
        build(EnvironmentSpec(install=("data",)), {"data": tmp_path / name}, WHERE, "demo")


def test_an_index_in_trouble_is_a_fault(index: PackageIndex) -> None:
    index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
    index.status["/simple/helper/"] = 503
    with pytest.raises(UvFault):
        build(EnvironmentSpec(requirements=("helper",)), {}, WHERE, "demo")
    index.status.clear()
    assert build(EnvironmentSpec(requirements=("helper",)), {}, WHERE, "demo").packages == {
        "helper": "1.0"
    }  # and then the same again


def test_a_download_that_is_cut_is_a_fault(index: PackageIndex) -> None:
    index.ranges = False
    name = "helper-1.0-py3-none-any.whl"
    index.publish("helper", name, wheel("helper", "1.0", {"helper.py": "#" * 100_000 + "\n"}))
    index.cuts[name] = [50] * 20
    with pytest.raises(UvFault):
        build(EnvironmentSpec(requirements=("helper",)), {}, WHERE, "demo")


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        ("error: Request failed after 3 retries\n  Caused by: error sending request for url (https://x/)\n", UvFault),
        ("error: Failed to fetch: `https://x/simple/a/`\n  Caused by: dns error\n", UvFault),
        (
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because there is no version of a==1 and\n",
            environments._Unsolvable,
        ),
        ("  × Failed to build `a==1`\n  ├─▶ The build backend returned an error\n", NotBuilt),
        (
            "  × Failed to build `a==1`\n  ├─▶ The build backend returned an error\n\n      [stderr]\n"
            "      Connection refused, it timed out: dns error; No solution found\n",
            NotBuilt,
        ),
        (
            "  × Failed to build `a==1`\n  ├─▶ Failed to resolve requirements from `build-system.requires`\n"
            "  ╰─▶ Failed to fetch: `https://x/simple/b/`\n",
            UvFault,
        ),
        ("error: No space left on device (os error 28)\n", UvFault),
        ("  × Failed to build `a==1`\n\n      [stderr]\n      gcc: fatal error: Killed signal terminated\n", UvFault),
        ("error: Failed to extract archive\n  cause: Read-only file system (os error 30)\n", UvFault),
        ("", UvFault),
    ],
)
def test_what_uv_says_is_put_where_it_belongs_in_one_line(stderr: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        raise environments._problem(stderr)
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)
    assert "╰" not in str(raised.value)
    assert len(str(raised.value)) < 700


BUILD = """
import sys
from openassay.environments import EnvironmentSpec, build
from openassay.faults import faults_in_one_line
with faults_in_one_line():
    build(EnvironmentSpec(requirements=tuple(sys.argv[1:])), {}, "conf/target/demo.yaml: environment", "demo")
"""
WRITES = "import os\ndef build_wheel(to, *a, **k):\n    open(os.path.join(to, 'x'), 'w').write('1' * 10_000_000)\n"


@pytest.mark.parametrize(
    ("size", "requirements"),
    [("12k", ()), ("1500k", ("large==1.0",)), ("3m", ("large==1.0",)), ("3m", ("built==1.0",))],
)
def test_a_full_disk_is_a_fault_that_says_so_whatever_is_written(
    index: PackageIndex, cache: Path, size: str, requirements: tuple[str, ...]
) -> None:
    words = "".join(map(str, range(400_000)))
    index.publish("large", "large-1.0-py3-none-any.whl", wheel("large", "1.0", {"large.py": f"words = {words!r}\n"}))
    index.publish("built", "built-1.0.tar.gz", sdist("built", "1.0", WRITES))
    done = on_small_disk(cache, size, BUILD, *requirements)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("error: the environment could not be built: this machine: ")
    assert "No space left on device" in done.stderr
    assert done.stderr.endswith("free some space or memory, or set OPENASSAY_CACHE to a folder on another disk\n")


def test_a_uv_that_the_machine_ends_is_a_fault_and_no_missing_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "uv"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(killed))
    with pytest.raises(UvFault, match="uv was ended by a signal of this machine: Killed"):
        build(EnvironmentSpec(), {}, WHERE, "demo")


# What runs in it may not stay in it, nor meet another release


def test_an_environment_that_published_code_wrote_to_is_built_anew(pip_settings: Callable[..., None]) -> None:
    pip_settings()
    folder = Path(build(EnvironmentSpec(), {}, WHERE, "demo").python).parents[1]
    planted = folder / "lib" / f"python{HERE}" / "site-packages" / "x.pth"
    planted.write_text("import os\n")
    assert Path(build(EnvironmentSpec(), {}, WHERE, "demo").python).parents[1] == folder
    assert not planted.exists()


def test_two_targets_share_no_environment_and_no_file_of_one(index: PackageIndex) -> None:
    index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
    spec = EnvironmentSpec(requirements=("helper",))
    one, other = (Path(build(spec, {}, WHERE, name).python).parents[1] for name in ("one", "other"))
    assert one != other
    files = [path for path in (one / "lib").rglob("helper*") if path.is_file()]
    assert {path.suffix for path in files} >= {".py", ".pyc"}  # compiled already: runs may not write here
    assert {path.stat().st_nlink for path in files} == {1}


def test_a_second_target_of_equal_requirements_gets_a_copy_that_is_its_own(
    index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"tool.py": "import sys\ndef main(): print(sys.prefix)\n"}
    files["tool-1.0.dist-info/entry_points.txt"] = "[console_scripts]\ntool = tool:main\n"
    index.publish("tool", "tool-1.0-py3-none-any.whl", wheel("tool", "1.0", files))
    spec = EnvironmentSpec(requirements=("tool",))
    build(spec, {}, WHERE, "one")
    with monkeypatch.context() as patch:
        patch.setattr(environments, "_uv", None)  # nothing is built
        other = Path(build(spec, {}, WHERE, "other").python).parents[1]
    done = subprocess.run([other / "bin" / "tool"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(other)
    compiled = [path.stat().st_mtime_ns for path in other.rglob("tool*.pyc")]
    run_in(str(other / "bin" / "python"), "import tool; tool.main()")
    assert [path.stat().st_mtime_ns for path in other.rglob("tool*.pyc")] == compiled  # still valid


def test_an_environment_is_copied_from_none_that_was_written_to(index: PackageIndex, cache: Path) -> None:
    index.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
    spec = EnvironmentSpec(requirements=("helper",))
    build(spec, {}, WHERE, "one")
    for planted in (cache / "envs").glob("*/lib/python*/site-packages/helper.py"):
        planted.write_text("version = 'evil'\n")
    other = build(spec, {}, WHERE, "other")
    assert run_in(other.python, "import helper; print(helper.version)") == "1.0"
