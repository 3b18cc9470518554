"""The environment that a release publishes is built as its files say; one that cannot be built is a finding with its cause."""

from __future__ import annotations

import io
import json
import platform
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import PackageIndex, closed_port, sdist, wheel
from releases.miniature import add_release, make_project
from releases.stages import audit

from openassay import environments
from openassay.core.verdict_records import Outcome
from openassay.environments import Environment, EnvironmentSpec, NotBuilt, UvFault, build
from openassay.faults import BadInput
from openassay.published_requirements import PublishedEnvironment, PublishedRequirements, read_published
from openassay.records import declared, parse, to_plain
from openassay.sources.fetched import Unreachable
from openassay.target import look_over_target

WHERE = "conf/target/demo.yaml: environment"
HERE = ".".join(platform.python_version_tuple()[:2])
GONE = "3.99"
"""A Python that no machine has."""
OTHER = "3.98"
"""Another one, for which an index has wheels."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setattr(environments, "PYTHONS", (OTHER,))


@pytest.fixture
def helpers(index: PackageIndex) -> PackageIndex:
    """An index with a few packages; `old` has wheels for another Python only."""
    for name, version in [
        ("helper", "1.0"),
        ("helper", "2.0"),
        ("helper", "3.0"),
        ("other", "1.0"),
        ("other", "2.0"),
        ("pip", "1"),
    ]:
        index.publish(name, f"{name}-{version}-py3-none-any.whl", wheel(name, version))
    for version in ("1.0", "1.1"):
        index.publish("old", f"old-{version}-cp398-cp398-manylinux1_x86_64.whl", wheel("old", version))
    return index


def release(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def built(folder: Path, files: dict[str, str | bytes], path: str = "requirements.txt", **keys: Any) -> Environment:
    release(folder / "artifact", files)
    published = {"artifact": "code", "path": path} | keys.pop("published", {})
    spec = parse(EnvironmentSpec, {"published": published} | keys, "f")
    return build(spec, {}, WHERE, "demo", {"code": str(folder / "artifact")})


def read(folder: Path, files: dict[str, str | bytes], path: str, **keys: Any) -> PublishedRequirements:
    return read_published(PublishedEnvironment(artifact="code", path=path, **keys), release(folder, files), WHERE)


def needing(name: str, version: str, python: str) -> bytes:
    """A wheel that says which Python it needs."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel(name, version))) as before, zipfile.ZipFile(made, "w") as after:
        for file in before.namelist():
            more = f"Requires-Python: {python}\n".encode() if file.endswith("METADATA") else b""
            after.writestr(file, before.read(file) + more)
    return made.getvalue()


# What the files say

REQUIREMENTS = f"""# frozen
numpy==1.19.0 \\
    --hash=sha256:{"a" * 64} \\
    # from the index
    --hash=sha256:{"b" * 64}
torch == 1.2.0 ; python_version < "3.8"   # a marker
transformers[torch]>=4,<5
-r more/train.txt
--requirement=more/train.txt
-c bounds.txt
"""


def test_a_requirements_file_is_read_with_includes_markers_extras_and_hashes(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "requirements.txt": REQUIREMENTS, "more/train.txt": "\ufeffscipy\n-r ../requirements.txt\n", "bounds.txt": "six<2\n",
    }  # fmt: skip
    found = read(tmp_path, files, "requirements.txt")
    assert [of.requirement for of in found.lines] == [
        "numpy==1.19.0", 'torch==1.2.0; python_version < "3.8"', "transformers[torch]<5,>=4", "scipy",
    ]  # fmt: skip
    assert found.lines[0].hashes == (f"sha256:{'a' * 64}", f"sha256:{'b' * 64}")
    assert (found.constraints, found.lines[3].where) == (["six<2"], "more/train.txt:1")
    assert not any(of.problem for of in found.lines)


@pytest.mark.parametrize(
    ("line", "name", "says"),
    [
        ("-e git+https://tok:en@example.org/clip.git@main#egg=clip", "clip", "needs git+https://example.org/clip.git"),
        ("git+ssh://git@example.org/a/b", "", "no package of a package index"),
        ("clip @ git+https://example.org/clip", "clip", "needs clip from git+https://example.org/clip"),
        ("certifi @ file:///croot/certifi_1/work", "certifi", "needs certifi from file:///croot/certifi_1/work"),
        ("https://example.org/a-1.0-py3-none-any.whl", "a", "no package of a package index"),
        ("../outside", "", "no package in the artifact"),
        ("-e ./absent", "", "no package in the artifact"),
        ("/etc", "", "no package in the artifact"),
        ("-r absent.txt", "", "includes absent.txt, which is not in the artifact"),
        ("-r ../../../etc/passwd", "", "which is not in the artifact"),
        ("foo>=2.*", "foo", "no requirement that today's installers understand"),
        ("numpy=1.19", "numpy", "no requirement"),
        ("=1", "", "no requirement"),
        ("-e", "", "no package in the artifact"),
        ("a b\0c", "a", "no requirement"),
        ("-e .[a] @ https://example.org/x", "", "no package of a package index"),
        ("-e .[a;b]", "", "no package in the artifact"),
    ],
)
def test_what_cannot_be_had_as_published_is_kept_with_its_reason(
    tmp_path: Path, line: str, name: str, says: str
) -> None:
    found = read(tmp_path / "artifact", {"requirements.txt": f"{line}\nnumpy\n"}, "requirements.txt")
    assert [of.requirement for of in found.lines] == [name, "numpy"]
    assert says in found.lines[0].problem
    assert "tok:en" not in json.dumps(to_plain(found))


def test_indexes_options_and_the_releases_own_folder_are_told_apart(tmp_path: Path) -> None:
    lines = "--extra-index-url https://example.org/cu116\n-fhttps://example.org/links\n--pre\n-e .[train]\nnumpy=1.19.2=py38h\n"
    found = read(tmp_path, {"r.txt": lines.encode("utf-16"), "setup.py": ""}, "r.txt")
    assert found.indexes == ["https://example.org/cu116", "https://example.org/links"]
    assert found.folders == [f"{tmp_path}[train]"]
    assert found.left_out == ["r.txt:3: the option --pre", "r.txt:5: the build of numpy=1.19.2=py38h, which is conda's"]


PYPROJECT = """
[project]
requires-python = ">=3.8,<3.11"
dependencies = ["a>1", "b[x]; sys_platform == 'linux'"]
[project.optional-dependencies]
train = ["c==1"]
"""
POETRY = """
[tool.poetry.dependencies]
python = "^3.8"
torch = "^1.2.3"
zero = "^0.2.1"
nil = "^0.0.3"
about = "~1.4"
some = {version = "~0.4", extras = ["q"], python = ">=3.7,<3.9"}
far = {git = "https://example.org/e"}
any = "*"
exact = "1.2"
maybe = {version = "1.0", optional = true}
two = [{version = "1.*", markers = "os_name == 'nt'"}, ">=1, <2"]
either = "^2 || ^3"
[tool.poetry.extras]
full = ["maybe"]
"""
SETUP = """
[options]
python_requires = >=3.6
install_requires =
    a==1
    b>=2; python_version<"3.8"
    # c
[options.extras_require]
train = file: more.txt
"""
CONDA = """
name: demo
channels: [conda-forge]
dependencies:
  - python=3.7.6
  - numpy=1.19
  - conda-forge::pytorch==1.7.1
  - cudatoolkit=10.1
  - librosa
  - libgcc-ng=9.1.0=hdf63c60_0
  - scipy=1.5.2=py37h0b6359f_0
  - "pandas>=1.0,<2"
  - tqdm 4.*
  - odd=1|2
  - pip:
      - transformers==4.5.0
      - -r more.txt
"""
INJECTED = """
[project]
dependencies = ['helper; os_name != "x\\n--index-url http://127.0.0.1:1\\n"', "helper; os_name != 'x\\n--index-url http://127.0.0.1:1\\n'"]
"""
DOCKERFILE = """ARG V=1.2.0
FROM python:3.8-slim AS base
ENV N=1.19
RUN apt-get update && apt-get install -y git \\
 # a comment between
 && pip3 install --no-cache-dir torch==${V} "numpy>=${N},<2" 2>&1 | tee log
RUN ["pip", "install", "scipy"]
RUN python -m pip install -U -r /app/more.txt --extra-index-url=https://example.org/x
FROM nvidia/cuda:11
"""


@pytest.mark.parametrize(
    ("path", "text", "extras", "python", "requirements"),
    [
        ("pyproject.toml", PYPROJECT, (), ">=3.8,<3.11", ["a>1", 'b[x]; sys_platform == "linux"']),
        ("pyproject.toml", PYPROJECT, ("train",), ">=3.8,<3.11", ["a>1", 'b[x]; sys_platform == "linux"', "c==1"]),
        (
            "pyproject.toml", '[project]\ndynamic = ["dependencies"]\n[tool.setuptools.dynamic]\ndependencies = {file = "more.txt"}',
            (), None, ["tqdm"],
        ),
        (
            "pyproject.toml", POETRY, ("full",), ">=3.8,<4",
            [
                "torch<2,>=1.2.3", "zero<0.3,>=0.2.1", "nil<0.0.4,>=0.0.3", "about<1.5,>=1.4",
                'some[q]<0.5,>=0.4; python_version >= "3.7" and python_version < "3.9"', "far", "any", "exact==1.2", "maybe==1.0",
                'two==1.*; os_name == "nt"', "two<2,>=1", "either",
            ],
        ),
        ("setup.cfg", SETUP, (), ">=3.6", ["a==1", 'b>=2; python_version < "3.8"']),
        ("setup.cfg", SETUP, ("train",), ">=3.6", ["a==1", 'b>=2; python_version < "3.8"', "tqdm"]),
        (
            "environment.yml", CONDA, (), "3.7",
            [
                "numpy==1.19.*", "torch==1.7.1", "librosa", "scipy==1.5.2", "pandas<2,>=1.0", "tqdm==4.*", "odd",
                "transformers==4.5.0", "tqdm",
            ],
        ),
        ("docker/Dockerfile.gpu", DOCKERFILE, (), "3.8", ["torch==1.2.0", "numpy<2,>=1.19", "scipy", "tqdm"]),
    ],
)  # fmt: skip
def test_each_format_is_read(
    tmp_path: Path, path: str, text: str, extras: tuple[str, ...], python: str | None, requirements: list[str]
) -> None:
    found = read(tmp_path, {path: text, "more.txt": "tqdm\n"}, path, extras=extras)
    assert [of.requirement for of in found.lines] == requirements
    assert found.python == python
    left_out = " ".join(found.left_out)
    for word in {
        "environment.yml": ["conda", "cudatoolkit", "libgcc-ng", "odd"],
        "docker/Dockerfile.gpu": ["cuda:11"],
    }.get(path, []):
        assert word in left_out


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pyproject.toml", "[project"), ("setup.cfg", "a = 1"), ("environment.yml", "a: &x [*x]"), ("environment.yml", "- 1"),
        ("pyproject.toml", "a = " + "[" * 5000), ("requirements.txt", "a ; " + "(" * 5000), ("requirements.txt", "-r a\0b"),
        ("pyproject.toml", INJECTED), ("pyproject.toml", "[tool.poetry.dependencies]\n'odd name!' = {git = 'https://example.org'}"),
        ("pyproject.toml", '[project]\ndynamic = ["dependencies"]'), ("requirements.txt", "#" * (2**20 + 1)),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_a_finding(helpers: PackageIndex, tmp_path: Path, path: str, text: str) -> None:
    with pytest.raises(NotBuilt, match=path):
        built(tmp_path, {path: text}, path)


def test_files_that_include_each_other_without_end_are_refused(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"{i}.txt": f"-r {i + 1}.txt\n" for i in range(2000)}
    assert "include each other" in read(tmp_path, files, "0.txt").lines[0].problem


# What a target may say


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"published": {"artifact": "code"}}, "published.path: missing"),
        ({"published": {"artifact": "code", "path": "../x"}}, "'../x' is not a glob inside"),
        ({"published": {"artifact": "code", "path": "/etc/passwd"}}, "published"),
        (
            {"published": {"artifact": "code", "path": "r.txt", "extra": []}},
            "published.extra: unknown key; did you mean extras?",
        ),
        ({"or_else": ["oldest"]}, "or_else is for `published`"),
        ({"published": {"artifact": "code", "path": "r.txt"}, "or_else": ["current", "oldest"]}, "in this order"),
        ({"published": {"artifact": "code", "path": "r.txt"}, "or_else": ["newest"]}, "or_else.0"),
    ],
)
def test_what_is_no_published_environment_is_bad_input(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(EnvironmentSpec, keys, "f")
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("published", "says"),
    [
        ({"path": "absent.txt"}, r"environment\.published\.path: there is no file 'absent.txt' in the artifact code"),
        ({"more": ["absent.txt"]}, r"environment\.published\.more\.0: there is no file 'absent.txt'"),
        ({"path": "setup.py"}, r"environment\.published\.path: setup.py is code"),
        ({"extras": ["train"]}, r"environment\.published\.extras: the files have no group 'train'; there are: none"),
    ],
)
def test_a_slip_about_the_published_files_is_the_target_files_mistake(
    tmp_path: Path, published: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        built(tmp_path, {"requirements.txt": "", "setup.py": ""}, published=published)


def test_a_plan_without_the_new_keys_keeps_its_digest() -> None:
    assert declared(EnvironmentSpec(requirements=("a==1",))) == {"requirements": ["a==1"]}
    assert Environment(python="p", packages={}, version="3").identity() == {
        "python": "3",
        "machine": platform.machine(),
    }


# Built as published


def test_it_is_built_as_published_with_the_authors_additions(helpers: PackageIndex, tmp_path: Path) -> None:
    setup = "[project]\nname = 'own'\nversion = '7'\n[build-system]\nrequires = []\nbuild-backend = 'b'\nbackend-path = ['.']\n"
    backend = (
        "import base64, pathlib\n"
        "def build_wheel(folder, *a, **k):\n"
        f"    data = base64.b64decode({__import__('base64').b64encode(wheel('own', '7'))!r})\n"
        "    pathlib.Path('written').touch()\n"
        "    pathlib.Path(folder, 'own-7-py3-none-any.whl').write_bytes(data)\n"
        "    return 'own-7-py3-none-any.whl'\n"
    )
    text = "helper<4\n-c bounds.txt\n-e .\n--extra-index-url https://u:s3cret@example.org/x\n"
    files: dict[str, str | bytes] = {
        "requirements.txt": text,
        "bounds.txt": "helper<3\n",
        "pyproject.toml": setup,
        "b.py": backend,
    }
    found = built(tmp_path, files, requirements=["other==1.0"])
    assert found.packages == {"helper": "2.0", "other": "1.0", "own": "7"}
    assert (found.rung, found.why) == ("as published", "")
    assert "rung" not in found.identity()
    assert not (tmp_path / "artifact" / "written").exists()  # it is built from a copy
    told = found.findings("rerun")
    assert [(of.stage, of.kind) for of in told] == [("rerun", "environment_left_out")]
    assert "https://example.org/x, which is not among pip's here" in told[0].message
    assert "s3cret" not in told[0].message
    assert built(tmp_path, files, requirements=["other==1.0"]) == found  # from the cache


def test_another_published_list_is_another_environment(helpers: PackageIndex, tmp_path: Path) -> None:
    first = built(tmp_path, {"requirements.txt": "helper==1.0"})
    second = built(tmp_path, {"requirements.txt": "helper==2.0"})
    assert (first.packages, second.packages) == ({"helper": "1.0"}, {"helper": "2.0"})


def test_hashes_are_checked(helpers: PackageIndex, tmp_path: Path) -> None:
    right = helpers.publish("helper", "helper-1.0-py3-none-any.whl", wheel("helper", "1.0"))
    assert built(tmp_path / "a", {"requirements.txt": f"helper==1.0 --hash=sha256:{right}"}).packages == {
        "helper": "1.0"
    }
    with pytest.raises(NotBuilt, match="Hash mismatch for `helper==1.0`"):
        built(tmp_path / "b", {"requirements.txt": f"helper==1.0 --hash=sha256:{'0' * 64}"})


def test_a_line_for_another_system_is_no_obstacle(helpers: PackageIndex, tmp_path: Path) -> None:
    line = "win @ https://example.org/win.whl ; sys_platform == 'win32'\nhelper==1.0\n"
    assert built(tmp_path, {"requirements.txt": line}).packages == {"helper": "1.0"}


# Not built: whose doing is it


UNINSTALLABLE = {
    "wheels for another Python only": (
        "old==1.0", ["old==1.0 has no wheels with a matching Python", f"with Python {HERE} on ", "for Python 3.98 there are versions"]
    ),
    "a pin that is gone": ("helper==1.5\nother==1.0", ["there is no version of helper==1.5 and the release requires helper==1.5"]),
    "a package that needs another Python": ("picky==1.0", ["picky==1.0 requires Python >=3.99"]),
    "a package that does not build": (
        "sources==1.0", ["Failed to build `sources==1.0`", "no compiler", "for Python 3.98 there are versions that fit"]
    ),
    "a project that is gone": ("vanished==1\nhelper", ["vanished was not found in the package registry"]),
    "pins that contradict each other": ("helper==1.0\nhelper==2.0", ["helper==1.0 and helper==2.0"]),
    "a dependency that is gone": ("needs==1.0", ["vanished"]),
    "an address": ("git+https://example.org/x", ["git+https://example.org/x, which is no package of a package index"]),
    "an index that is not asked": (
        "--extra-index-url https://example.org/cu\nhelper==1.5", ["not followed: the package index https://example.org/cu"]
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "says"), UNINSTALLABLE.values(), ids=UNINSTALLABLE)
def test_a_published_environment_that_cannot_be_built_is_a_finding_with_its_cause(
    helpers: PackageIndex, tmp_path: Path, text: str, says: list[str]
) -> None:
    helpers.publish("picky", "picky-1.0-py3-none-any.whl", needing("picky", "1.0", ">=3.99"))
    helpers.publish("sources", "sources-1.0.tar.gz", sdist("sources", "1.0", "raise RuntimeError('no compiler')"))
    helpers.publish("sources", "sources-1.0-cp398-cp398-manylinux1_x86_64.whl", wheel("sources", "1.0"))
    helpers.publish("needs", "needs-1.0-py3-none-any.whl", wheel("needs", "1.0", requires=("vanished",)))
    with pytest.raises(NotBuilt) as finding:
        built(tmp_path, {"requirements.txt": text})
    for words in says:
        assert words in str(finding.value)
    for words in ("\n", "hint:", "cause:", "your requirements", "usually indicate"):
        assert words not in str(finding.value)


def test_a_release_that_names_no_python_is_installed_for_one_that_fits(
    helpers: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, str | bytes] = {"requirements.txt": "old==1.0"}
    with pytest.raises(
        NotBuilt,
        match=rf"for Python {OTHER} there are versions that fit: this machine has no Python {OTHER}; install it",
    ):
        built(tmp_path / "without", files)
    with pytest.raises(NotBuilt) as stated:
        built(tmp_path / "stated", files | {"Dockerfile": f"FROM python:{HERE}"}, published={"more": ["Dockerfile"]})
    assert OTHER not in str(stated.value)
    newest = "3.13"  # and where this machine has such a Python
    helpers.publish("newer", "newer-1.0-cp313-cp313-manylinux1_x86_64.whl", wheel("newer", "1.0"))
    try:
        build(EnvironmentSpec(python=newest), {}, WHERE, "demo")
    except BadInput:
        pytest.skip("this machine has no Python 3.13")
    monkeypatch.setattr(environments, "PYTHONS", (newest,))
    found = built(tmp_path / "found", {"requirements.txt": "newer==1.0"})
    assert found.version.startswith(newest)
    assert found.rung == "as published"
    (finding,) = found.findings("rerun")
    assert finding.kind == "environment_python_chosen"
    assert finding.message.startswith(
        f"what is read of the release names no Python: {found.version} was taken, since with {HERE} newer==1.0 has no"
    )


def test_a_python_that_the_release_asks_for_and_is_not_here_is_no_accusation(
    helpers: PackageIndex, tmp_path: Path
) -> None:
    files: dict[str, str | bytes] = {"environment.yml": f"dependencies: [python={GONE}, helper=1.0]"}
    with pytest.raises(NotBuilt, match=rf"^this machine has no Python {GONE}, which environment.yml asks for"):
        built(tmp_path, files, "environment.yml")
    assert built(tmp_path, files, "environment.yml", python=HERE).packages == {"helper": "1.0"}  # the author's wins


@pytest.mark.parametrize(
    ("text", "keys", "says"),
    [
        ("helper==1.0", {"requirements": ["vanished"]}, r"environment\.requirements: the published environment can be built without"),
        ("helper==1.0", {"requirements": ["helper==2.0"]}, r"environment\.requirements: .*helper==2.0"),
        ("helper==1.0", {"requirements": ["broken"]}, r"environment\.requirements: .*broken"),
        ("git+https://example.org/x", {"python": GONE}, rf"environment\.python: no Python {GONE} on this machine"),
        ("helper==1.0", {"as_of": "2020-01-01"}, r"environment\.as_of: the published"),
        ("helper==1.0", {"as_of": "2020-01-01", "requirements": ["other"]}, r"environment\.requirements and as_of: "),
        ("helper==1.0", {"python": GONE}, rf"environment\.python: no Python {GONE} on this machine; install it \(uv python install {GONE}, or by pyenv\), or name another"),
    ],
)  # fmt: skip
def test_what_the_author_wrote_and_cannot_be_met_is_the_target_files_mistake(
    helpers: PackageIndex, tmp_path: Path, text: str, keys: dict[str, Any], says: str
) -> None:
    helpers.publish("broken", "broken-1.0.tar.gz", sdist("broken", "1.0", "raise RuntimeError"))
    with pytest.raises(BadInput, match=says):
        built(tmp_path, {"requirements.txt": text}, or_else=["oldest", "current"], **keys)


def test_where_both_are_at_fault_it_is_the_releases(helpers: PackageIndex, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match=r"^there is no version of helper==1.5") as finding:
        built(tmp_path, {"requirements.txt": "helper==1.5"}, requirements=["alsogone"], as_of="2025-01-01")
    assert "alsogone" not in str(finding.value)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
@pytest.mark.parametrize("or_else", [[], ["oldest", "current"]], ids=["alone", "ladder"])
def test_an_index_that_refuses_or_fails_is_never_a_finding(
    helpers: PackageIndex, tmp_path: Path, status: int, or_else: list[str]
) -> None:
    """uv takes 401 and 403 for "there is no such package"."""
    helpers.status["/simple/helper/"] = status
    with pytest.raises((UvFault, Unreachable)):
        built(tmp_path, {"requirements.txt": "helper==1.0\nother==1.0"}, or_else=or_else)


def test_a_second_index_that_refuses_is_no_finding_either(
    helpers: PackageIndex, tmp_path: Path, pip_settings: Callable[..., None]
) -> None:
    with PackageIndex() as second:
        second.status["/simple/helper/"] = 403
        pip_settings(PIP_INDEX_URL=helpers.url, PIP_EXTRA_INDEX_URL=second.url)
        with pytest.raises(UvFault, match="HTTP 403"):
            built(tmp_path, {"requirements.txt": "helper==9.9"})


def test_an_index_that_is_none_is_a_fault(
    index: PackageIndex, tmp_path: Path, pip_settings: Callable[..., None]
) -> None:
    with pytest.raises(UvFault, match="none of the published packages is on the package index, and pip is not either"):
        built(tmp_path, {"requirements.txt": "helper==1.0"})
    pip_settings(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    with pytest.raises(UvFault, match="no-index"):
        built(tmp_path, {"requirements.txt": "helper==1.0"})
    pip_settings(PIP_INDEX_URL=f"http://127.0.0.1:{closed_port()}/simple")
    with pytest.raises(UvFault, match="does not answer"):
        built(tmp_path, {"requirements.txt": "helper==1.0"}, or_else=["current"])


# The ladder


def test_the_oldest_versions_that_install_stand_for_those_that_are_gone(helpers: PackageIndex, tmp_path: Path) -> None:
    helpers.publish("sources", "sources-1.0.tar.gz", sdist("sources", "1.0", "raise RuntimeError"))
    helpers.publish("sources", "sources-2.0-py3-none-any.whl", wheel("sources", "2.0"))
    text = "helper==1.5\nother==1.0\nsources==1.0\nlost @ https://example.org/lost\n"
    helpers.publish("lost", "lost-5-py3-none-any.whl", wheel("lost", "5"))
    found = built(tmp_path, {"requirements.txt": text}, or_else=["oldest", "current"])
    # the least at or above what was published, and with a wheel
    assert found.packages == {"helper": "2.0", "other": "1.0", "sources": "2.0", "lost": "5"}
    assert found.rung == found.identity()["rung"] == "oldest that installs"
    (finding,) = found.findings("rerun")
    assert (finding.stage, finding.kind) == ("rerun", "environment_not_as_published")
    for words in ("oldest that installs: the published environment cannot be built: ", "example.org/lost", "helper 2.0 (published: helper==1.5)",
                  "sources 2.0 (published: sources==1.0)"):  # fmt: skip
        assert words in finding.message
    assert "other 1.0" not in finding.message
    assert built(tmp_path, {"requirements.txt": text}, or_else=["oldest", "current"]) == found


def test_a_package_without_wheels_is_built_on_the_oldest_rung(helpers: PackageIndex, tmp_path: Path) -> None:
    data = __import__("base64").b64encode(wheel("plain", "1.0"))
    backend = f"import base64, pathlib\ndef build_wheel(folder, *a, **k):\n    name = 'plain-1.0-py3-none-any.whl'\n    pathlib.Path(folder, name).write_bytes(base64.b64decode({data!r}))\n    return name\n"
    helpers.publish("plain", "plain-1.0.tar.gz", sdist("plain", "1.0", backend))
    found = built(tmp_path, {"requirements.txt": "helper==1.5\nplain==1.0"}, or_else=["oldest"])
    assert found.packages == {"helper": "2.0", "plain": "1.0"}


def test_current_versions_come_last(helpers: PackageIndex, tmp_path: Path) -> None:
    text = "helper==4.0\nother<2"
    found = built(tmp_path, {"requirements.txt": text}, or_else=["oldest", "current"])
    assert (found.rung, found.packages) == ("current versions", {"helper": "3.0", "other": "2.0"})
    assert "oldest that installs: " in found.why
    assert "other 2.0 (published: other<2)" in found.why


def test_the_ladder_replaces_a_python_that_is_not_here(helpers: PackageIndex, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"environment.yml": f"dependencies: [python={GONE}, helper=1.0]"}
    found = built(tmp_path, files, "environment.yml", or_else=["oldest"])
    assert found.packages == {"helper": "1.0"}
    assert f"installed: Python {found.version} (published: {GONE})" in found.why
    files = {
        "environment.yml": f"dependencies: [python={GONE}, cudnn, pip: ['x @ https://example.org/x', helper, 'git+ssh://e.org/y']]"
    }
    helpers.publish("x", "x-1-py3-none-any.whl", wheel("x", "1"))
    found = built(tmp_path, files, "environment.yml", or_else=["current"])
    assert found.packages == {"helper": "3.0", "x": "1"}
    left_out = found.findings("rerun")[1].message
    assert "cudnn, which is not installable by pip" in left_out
    assert "needs git+ssh://e.org/y" in left_out


def test_a_ladder_without_a_foothold_is_a_finding_that_names_every_rung(helpers: PackageIndex, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt) as finding:
        built(tmp_path, {"requirements.txt": "old==1.0\nhelper"}, or_else=["oldest", "current"])
    said = str(finding.value)
    assert (
        said.index("old==1.0 has no wheels") < said.index("oldest that installs: ") < said.index("current versions: ")
    )


def test_what_can_be_built_as_published_never_climbs(
    helpers: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "_oldest", None)
    found = built(tmp_path, {"requirements.txt": "helper==1.0"}, or_else=["oldest", "current"])
    assert (found.rung, found.findings("rerun")) == ("as published", ())


# A whole audit


def test_a_release_that_can_no_longer_be_installed_gets_a_verdict_and_a_report(
    helpers: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path / "project")
    monkeypatch.chdir(project)
    layout = add_release(
        project, "honest", "aged", environment={"published": {"artifact": "code", "path": "requirements.txt"}}
    )
    (project / "releases" / "aged" / "requirements.txt").write_text("old==1.0\nhelper==1.0\n")
    unpinned = yaml.safe_load(layout.target_file.read_text())
    unpinned["artifacts"]["code"]["payload"]["include"] = ["train.py", "README.md", "LICENSE"]
    layout.target_file.write_text(yaml.safe_dump(unpinned))
    assert look_over_target(layout)[1] == []
    verdict = audit(layout)
    assert verdict.outcome is Outcome.NOT_ATTEMPTED
    assert "the published environment cannot be built: old==1.0 has no wheels with a matching Python" in verdict.reason
    assert "old==1.0 has no wheels" in layout.report.read_text()
    # and with a ladder it runs, in what the verdict says is not the published environment
    unpinned["environment"]["or_else"] = ["current"]
    (project / "releases" / "aged" / "requirements.txt").write_text("helper==1.5\n")
    layout.target_file.write_text(yaml.safe_dump(unpinned))
    layout.record("fetch").unlink()
    verdict = audit(layout)
    assert verdict.outcome is not Outcome.NOT_ATTEMPTED, verdict.reason
    told = [of.message for of in verdict.findings if of.kind == "environment_not_as_published"]
    assert len(told) == 1
    assert told[0].startswith(
        "current versions: the published environment cannot be built: there is no version of helper==1.5"
    )
    assert "environment_not_as_published" in layout.report.read_text()
    unpinned["environment"]["published"]["artifact"] = "elsewhere"
    layout.target_file.write_text(yaml.safe_dump(unpinned))
    assert "environment.published.artifact: there is no artifact 'elsewhere'" in look_over_target(layout)[1][0]
