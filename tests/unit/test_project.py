"""A project of one's own: how it is made, what its settings are, and which target a word means."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import typer
import yaml
from releases.miniature import REPO, add_release, make_project, target, write_index, write_target

from openassay import __version__, cli
from openassay.cli.reviews import sync
from openassay.faults import BadInput, Fault
from openassay.layout import GROUPS, OUR_CONF, Layout, find_root, is_path, named_target
from openassay.new_project import FILES, IF_NONE, init, project_for, publish
from openassay.pipeline import link_package, write_pipeline
from openassay.plan import make_plan, write_plan
from openassay.project import SCHEMA_VERSION, index, layouts, target_names
from openassay.records import file_digest
from openassay.seals import seal
from openassay.settings import JudgeConfig, Profile, Scale, compose, option_file
from openassay.stage_code import PACKAGE
from openassay.target import read_target

BIN = Path(sys.executable).parent


def below(folder: Path) -> dict[str, bytes | None]:
    """All that lies in a folder, beside what git keeps for itself: contents of files, None for folders."""
    paths = [path for path in folder.rglob("*") if ".git" not in path.relative_to(folder).parts]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


def dvc_works(root: Path) -> bool:
    """Whether DVC finds its own settings and the project's pipeline."""
    done = subprocess.run(
        [str(BIN / "dvc"), "status"], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode == 0


# openassay init


def test_an_empty_folder_becomes_a_project(tmp_path: Path) -> None:
    root = tmp_path / "new" / "audits"
    written = init(root)
    assert written == sorted([*FILES, *IF_NONE])
    assert find_root(root / "conf" / "target" / "glue") == root
    assert index(root) == []
    assert compose(root) == compose(None)  # what it names is what OpenAssay takes itself
    assert all((root / name).read_text().strip() for name in written)
    assert f"openassay=={__version__}" in (root / ".github/workflows/openassay.yml").read_text()
    assert (root / ".openassay" / "conf" / "judge" / "strict.yaml").is_file()
    assert {path.name for path in (root / ".openassay" / "code").iterdir()} >= {"python", "replay", "none"}
    settings = (root / ".dvc" / "config").read_text()
    assert "no_scm = True" in settings
    assert "analytics = False" in settings
    assert dvc_works(root)


def test_a_git_repository_becomes_a_project_and_nothing_of_this_machine_is_committed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    written = init(tmp_path)
    assert "no_scm" not in (tmp_path / ".dvc" / "config").read_text()
    add_release(tmp_path, "honest")
    git(tmp_path, "add", "-A")
    committed = git(tmp_path, "diff", "--cached", "--name-only").splitlines()
    assert set(written) <= set(committed)
    assert not [name for name in committed if name.startswith(".openassay") or str(tmp_path) in name]
    assert not [name for name in committed if (tmp_path / name).is_symlink()]
    assert dvc_works(tmp_path)


@pytest.mark.parametrize("scm", [True, False])
def test_the_command_says_what_it_wrote_and_nothing_of_dvc(scm: bool, tmp_path: Path) -> None:
    if scm:
        git(tmp_path, "init", "-q")
    done = subprocess.run(
        [str(BIN / "openassay"), "init"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"created a project in {tmp_path}: {', '.join(sorted([*FILES, *IF_NONE]))}"
    assert [line.split(" ")[0] for line in lines[1:]] == ["next:", "or"]


def test_a_subfolder_of_a_git_repository_becomes_a_project(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "README.md").write_text("the repository's own\n")
    root = tmp_path / "audits" / "of others"
    init(root)
    assert not (tmp_path / ".dvc").exists()
    assert "no_scm" not in (root / ".dvc" / "config").read_text()
    assert (tmp_path / "README.md").read_text() == "the repository's own\n"
    assert find_root(root) == root
    with pytest.raises(BadInput, match="not inside an OpenAssay project"):
        find_root(tmp_path)
    assert dvc_works(root)


def test_a_folder_where_dvc_is_set_up_keeps_its_settings(tmp_path: Path) -> None:
    subprocess.run([str(BIN / "dvc"), "init", "-q", "--no-scm"], cwd=tmp_path, check=True, timeout=120)
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = True\n    remote = ours\n")
    init(tmp_path)
    assert "remote = ours" in (tmp_path / ".dvc" / "config").read_text()


@pytest.mark.parametrize("place", ["", "conf", "somewhere/deep"])
def test_inside_a_project_none_is_made(place: str, tmp_path: Path) -> None:
    root = make_project(tmp_path)
    before = below(root)
    with pytest.raises(BadInput, match=rf"{re.escape(str(root))} is an OpenAssay project already; nothing was written"):
        init(root / place)
    assert below(root) == before


@pytest.mark.parametrize("name", [*FILES, "conf/target"])
def test_what_lies_there_is_not_overwritten_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "conf/target":
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("somebody's own\n")
    before = below(tmp_path)
    with pytest.raises(BadInput, match=rf"{re.escape(name)} is there already; move it, or choose another folder"):
        init(tmp_path)
    assert below(tmp_path) == before


@pytest.mark.parametrize("name", ["", "conf", "experiments", ".github", ".github/workflows", ".openassay"])
def test_a_file_where_a_folder_is_needed_is_named_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("a file\n")
    before = below(tmp_path)
    with pytest.raises(BadInput, match=rf"^{re.escape(str(root / name))}: a folder is needed here"):
        init(root)
    assert below(tmp_path) == before


def test_readme_and_gitignore_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in IF_NONE:
        (tmp_path / name).write_text(f"our own {name}\n")
    cli.init(tmp_path)
    said = capsys.readouterr().out
    for name in IF_NONE:
        assert (tmp_path / name).read_text() == f"our own {name}\n"
        assert f"{name} was there and is left as it is" in said
    assert set(FILES) <= set(below(tmp_path))


def without_roots_rights() -> tuple[str, ...]:
    """What to put before a command so that modes of files hold for root too."""
    if os.geteuid() != 0:
        return ()
    taken = "-dac_override,-dac_read_search"
    prefix = ("setpriv", f"--bounding-set={taken}", f"--inh-caps={taken}")
    if (
        not shutil.which("setpriv")
        or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("the rights of root cannot be taken away here")
    return prefix


@pytest.mark.parametrize("locked", ["", "experiments", ".github"])
def test_a_folder_that_may_not_be_written_to_is_named_and_nothing_is_written(locked: str, tmp_path: Path) -> None:
    root = tmp_path / "project"
    folder = root / locked
    folder.mkdir(parents=True)
    before = below(root)
    folder.chmod(0o555)
    try:
        done = subprocess.run(
            [*without_roots_rights(), str(BIN / "openassay"), "init", str(root)], cwd=tmp_path, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
    finally:
        folder.chmod(0o755)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", f"error: {folder}: Permission denied\n")
    assert below(root) == before


def test_a_new_project_links_to_what_runs_and_again_where_another_is_installed(tmp_path: Path) -> None:
    init(tmp_path)
    link = tmp_path / ".openassay" / "conf"
    assert Path(os.readlink(link)) == OUR_CONF.absolute()
    link.unlink()
    link.symlink_to(tmp_path / "another version")
    link_package(tmp_path)
    assert Path(os.readlink(link)) == OUR_CONF.absolute()


# The index


@pytest.mark.parametrize("version", [None, 0, 2, "1", "one", [1]])
def test_a_project_of_another_version_says_how_to_go_on(version: object, tmp_path: Path) -> None:
    root = make_project(tmp_path)
    settings = {"targets": [], "profile": "cpu"} | ({} if version is None else {"schema_version": version})
    (root / "conf" / "pipeline.yaml").write_text(yaml.safe_dump(settings))
    says = rf"schema_version: expected {SCHEMA_VERSION}, found {re.escape(str(version))}: another version made this project"
    with pytest.raises(BadInput, match=rf"^conf/pipeline\.yaml: {says}.*`openassay init` in an empty folder"):
        index(root)


def test_an_index_names_targets_of_the_project_once(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    add_release(root, "honest")
    for targets, says in (
        (["honest", "honest"], "targets.1: 'honest' stands twice; remove one"),
        (["nobody"], "targets.0: conf/target/nobody.yaml does not exist"),
        (["catalogue:grok1"], "targets.0: 'catalogue:grok1' is not a name"),
    ):
        write_index(root, targets)
        with pytest.raises(BadInput, match=rf"^conf/index\.yaml: {re.escape(says)}"):
            index(root)


def test_a_project_is_checked_with_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_project(tmp_path)
    add_release(root, "honest")
    write_index(root, ["nobody"])
    monkeypatch.chdir(root)
    cli.check(["honest"])
    assert capsys.readouterr().err == ""
    with pytest.raises(typer.Exit) as ended:
        cli.check()
    assert ended.value.exit_code == 2
    said = capsys.readouterr()
    assert said.out.startswith("honest: well formed")
    assert said.err == "error: conf/index.yaml: targets.0: conf/target/nobody.yaml does not exist\n"


# Which target is meant


def test_a_target_of_the_catalogue_needs_no_file_in_the_project(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    for name in target_names(REPO):
        (layout,) = layouts(root, [f"catalogue:{name}"])
        assert (layout.target, layout.reference) == (name, f"catalogue:{name}")
        assert layout.target_file.samefile(REPO / "conf" / "target" / f"{name}.yaml")
        assert layout.folder == root / "experiments" / name
        assert Layout.named(root, layout.reference) == layout
        assert layout.shown(layout.target_file) == f"catalogue:{name}"
    with pytest.raises(BadInput, match="no target yet"):
        target_names(root)
    with pytest.raises(
        BadInput, match=r"^grok1: there is no target of that name in conf/target/; did you mean catalogue:grok1\?"
    ):
        layouts(root, ["grok1"])


def test_a_target_of_the_catalogue_brings_its_script(tmp_path: Path) -> None:
    with_script = next(name for name in target_names(REPO) if read_target(Layout(REPO, name)).glue)
    (layout,) = layouts(make_project(tmp_path), [f"catalogue:{with_script}"])
    ours, theirs = make_plan(layout, ["profile=smoke"]), make_plan(Layout(REPO, with_script), ["profile=smoke"])
    assert ours.glue == theirs.glue is not None
    assert ours.digest == theirs.digest


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("catalogue:grok", "catalogue:grok: there is no target of that name in the catalogue; did you mean grok1?"),
        ("catalogue:", "target: '' is not a name"),
        ("catalogue:../judge/strict", "target: '../judge/strict' is not a name"),
        ("catalogue:catalogue:grok1", "target: 'catalogue:grok1' is not a name"),
        ("catalogue:grok1.yaml", "target: 'grok1.yaml' is not a name"),
        ("nowhere/mini.yaml", "nowhere/mini.yaml: there is no such file"),
        ("conf/target/honest", "conf/target/honest: there is no such file"),
        ("Honest.yaml", "Honest.yaml: 'Honest' is not a name"),
        ("honets", "honets: there is no target of that name in conf/target/; did you mean honest?"),
    ],
)
def test_a_target_that_is_not_there_is_named(
    reference: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(tmp_path)
    add_release(root, "honest")
    monkeypatch.chdir(root)
    with pytest.raises(BadInput, match=f"^{re.escape(says)}"):
        layouts(root, [reference])


def test_one_name_is_one_target_since_records_lie_by_name(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    write_target(root, target(add_release(root, "honest", "elsewhere").root, "elsewhere", 0.9) | {"name": "grok1"})
    says = "another target is called grok1 here; rename one, because records are stored by name"
    assert layouts(root, ["grok1"]) == [Layout(root, "grok1")]
    with pytest.raises(BadInput, match=f"^catalogue:grok1: {says}"):
        layouts(root, ["catalogue:grok1"])
    own = root / "conf" / "target" / "grok1.yaml"
    assert layouts(root, [str(own), "grok1"]) == [Layout(root, "grok1")]  # the same, by its path
    copy = Path(shutil.copy(own, tmp_path))
    with pytest.raises(BadInput, match=f"{re.escape(str(copy))}: {says}"):
        layouts(root, [str(copy)])
    own.unlink()
    assert layouts(root, ["catalogue:grok1", "catalogue:grok1"])[0].reference == "catalogue:grok1"
    with pytest.raises(BadInput, match=says):
        layouts(root, ["catalogue:grok1", str(copy)])


@pytest.mark.parametrize(
    "way", ["conf/target/honest.yaml", "./conf/target/honest.yaml", "releases/../conf/target/honest.yaml"]
)
def test_a_file_of_the_project_is_the_same_target_whatever_way_leads_to_it(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = add_release(make_project(tmp_path), "honest")
    monkeypatch.chdir(tmp_path)
    assert layouts(tmp_path, [way]) == [layout]
    monkeypatch.chdir(tmp_path / "conf")
    assert layouts(tmp_path, [f"../{way}"]) == [layout]
    assert layouts(tmp_path, [f"../{way}"])[0].reference == "honest"


def test_a_path_in_a_command_says_where_a_file_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_project(tmp_path / "project")
    layout = add_release(root, "honest")
    there = tmp_path / "it's $HOME & [co]"
    there.mkdir()
    copy = Path(shutil.copy(layout.target_file, there / "mini.yaml"))
    monkeypatch.chdir(there)
    assert is_path("mini.yaml")
    (found,) = layouts(root, ["mini.yaml"])
    assert (found.target, found.file, found.reference) == ("mini", copy, str(copy))
    assert found.glue_folder == there / "glue"
    text = layout.target_file.read_text().replace("name: honest", "name: mini")
    copy.write_text(text)
    write_pipeline(found, read_target(found))
    data = yaml.safe_load(found.pipeline.read_text())
    for stage in data["stages"].values():
        assert shlex.split(stage["cmd"])[5] == str(copy)
    assert str(copy) in data["stages"]["plan"]["deps"]


def test_a_name_that_dvc_would_read_more_into_is_refused(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    layout = add_release(root, "honest")
    there = tmp_path / "${target}"
    there.mkdir()
    copy = Path(shutil.copy(layout.target_file, there / "honest.yaml"))
    with pytest.raises(BadInput, match=r"without \$\{"):
        write_pipeline(Layout(root, "honest", copy), read_target(layout))


def test_a_file_outside_of_a_project_gets_a_project_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENASSAY_CACHE", str(tmp_path / "cache"))
    data = target(add_release(make_project(tmp_path / "project"), "honest").root, "honest", 0.9)
    roots = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        Path("mini.yaml").write_text(yaml.safe_dump(data | {"name": "mini"}))
        root = project_for(["mini.yaml"])
        assert f"Outside of a project: the records are kept in {root}.\n" == capsys.readouterr().err
        assert project_for(["./mini.yaml"]) == root  # found again
        capsys.readouterr()
        assert root.parent == tmp_path / "cache" / "projects"
        (layout,) = layouts(root, ["mini.yaml"])
        assert layout.target_file == tmp_path / name / "mini.yaml"
        assert layout.folder == root / "experiments" / "mini"
        assert read_target(layout).name == "mini"
        assert index(root) == []
        assert below(tmp_path / name).keys() == {"mini.yaml"}
        roots.append(root)
    assert roots[0] != roots[1]  # files of one name in two folders


@pytest.mark.parametrize("words", [[], ["honest"], ["catalogue:grok1"], ["nowhere.yaml"], ["mini.yaml", "honest"]])
def test_outside_of_a_project_only_the_path_of_a_file_is_audited(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("mini.yaml").write_text("schema_version: 1\n")
    with pytest.raises(BadInput, match="not inside an OpenAssay project"):
        project_for(words)
    assert not (tmp_path / "cache").exists()


def test_inside_a_project_a_file_is_audited_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_project(tmp_path / "project")
    (tmp_path / "mini.yaml").write_text("schema_version: 1\n")
    monkeypatch.chdir(root / "conf")
    assert project_for(["../../mini.yaml"]) == root


# Settings


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("profil=smoke", "there is no group 'profil'; did you mean profile?"),
        ("targets=[honest]", "there is no group 'targets'; there are: profile, judge, "),
        ("schema_version=2", "there is no group 'schema_version'; there are: profile, "),
        ("hydra.run.dir=x", "there is no group 'hydra'; there are: "),
        ("hydra/launcher=x", "there is no group 'hydra/launcher'; there are: "),
        ("=smoke", "there is no group ''; there are: "),
        ("profile=smok", "profile: there is no option 'smok'; did you mean smoke?"),
        ("isolation=docker", "isolation: there is no option 'docker'; there are: bubblewrap, none"),
        ("profile=", "profile: '' is not a name"),
        ("profile=../smoke", "profile: '../smoke' is not a name"),
        ("profile=[smoke]", "profile: '[smoke]' is not a name"),
        ("profile.run=3", "there is no profile.run; did you mean profile.runs?"),
        ("profile.runs.x=3", "there is no profile.runs.x; did you mean profile.runs?"),
        ("judge.name=ours", "there is no judge.name; "),
        ("execution.gpus=2", "there is no execution.gpus; "),
        ("profile.runs=many", "profile.runs: should be a valid integer, found 'many'"),
        ("profile.runs=1.5", "profile.runs: should be a valid integer, found '1.5'"),
        ("profile.runs=", "profile.runs: should be a valid integer, found ''"),
        ("profile.runs=null", "profile.runs: should be a valid integer"),
        ("profile.runs=true", "profile.runs: should be a valid integer, found 'True'"),
        ("profile.runs=[1]", "profile.runs: should be a valid integer"),
        ("profile.runs=0", "profile.runs: should be greater than or equal to 2, found '0'"),
        ("judge.alpha=0.5", "judge.alpha: should be less than or equal to 0.1, found '0.5'"),
        ("judge.alpha=nan", "finite numbers are needed"),
        ("profile.budget_s=inf", "finite numbers are needed"),
        ("judge.rationale=5", "judge.rationale: should be a valid string, found '5'"),
        ("execution.device=tpu", "execution.device: should be 'auto', 'cpu' or 'cuda', found 'tpu'"),
        ("isolation.kind=docker", "isolation.kind: should be 'none' or 'bubblewrap', found 'docker'"),
    ],
)
def test_a_setting_that_does_not_exist_or_fit_is_named(word: str, says: str, tmp_path: Path) -> None:
    for root in (None, make_project(tmp_path)):
        with pytest.raises(BadInput) as refused:
            compose(root, [word])
        assert str(refused.value).startswith(f"settings ({word}): {says}")
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "word",
    [
        "profile.runs=4,8", "judge=strict,default", "profile.runs=range(2,9)", "profile.runs=choice(4,8)", "profile=glob(*)",
        "~profile", "~profile.runs", "~profile.runs=4", "+profile.more=1", "++profile.runs=4", "profile@judge=smoke",
        "profile.runs=$(touch x)", "profile=smoke;touch x", "profile=smoke&&touch x", "profile=`touch x`", "profile=smoke|x",
        "judge.rationale='a b'", "judge.rationale=a b", 'judge.rationale="a"', "judge.rationale=a\\b", "judge.rationale=a\nb",
        "profile.runs=${oc.env:HOME}", "judge.rationale=${judge.alpha}", "profile={a:1}", "profile.runs=4 #", "profile=smoke\n",
        "profile..runs=4", ".profile=smoke", "--config-dir=/x", "profile", "judge.rationale=caf\u00e9", "judge.rationale=" + "a" * 300,
    ],
)  # fmt: skip
def test_sweeps_deletions_and_what_a_shell_reads_are_refused(word: str) -> None:
    with pytest.raises(BadInput) as refused:
        compose(None, [word])
    assert str(refused.value).endswith(
        ": expected group=option or group.key=value, of letters, digits and _ . , : + - / = [ ]"
    )


def test_what_is_taken_reaches_a_shell_as_one_word() -> None:
    for word in (
        "tracking.uri=http://127.0.0.1:5000/x",
        "judge.rationale=[a]",
        "profile.budget_s=1e-6",
        "judge.alpha=+0.02",
    ):
        assert shlex.split(word) == [word]


def values_of(group: str, name: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((OUR_CONF / group / f"{name}.yaml").read_text())
    return found


PAIRS = [
    (group, path.stem, key)
    for group in ("profile", "judge", "scale")
    for path in sorted((OUR_CONF / group).glob("*.yaml"))
    for key in yaml.safe_load(path.read_text())
    if key != "rationale"
]


@pytest.mark.parametrize(("group", "name", "key"), PAIRS)
def test_an_overridden_value_keeps_neither_the_name_nor_the_rationale_of_its_option(
    group: str, name: str, key: str
) -> None:
    said = values_of(group, name)[key]
    value: object = {"estimand": "recipe", "alpha": 0.03, "steps": 0.25}.get(key, 7)
    plain = getattr(compose(None, [f"{group}={name}"]), group)
    for words in ([f"{group}={name}", f"{group}.{key}={value}"], [f"{group}.{key}={value}", f"{group}={name}"]):
        found = getattr(compose(None, words), group)
        assert plain.name == name
        assert getattr(plain, key) == said
        assert getattr(found, key) == value
        assert found.name == f"{name}, {key} {value}"
        if group == "judge":
            assert plain.rationale == values_of(group, name)["rationale"]
            assert found.rationale == f"Asked for: {key} {value}."


def test_a_rationale_that_is_given_stands_and_is_named() -> None:
    found = compose(None, ["judge=strict", "judge.alpha=0.02", "judge.rationale=agreed"]).judge
    assert (found.name, found.rationale) == ("strict, alpha 0.02, rationale agreed", "agreed")
    with pytest.raises(BadInput, match=r"profile\.runs is asked for twice; give one value"):
        compose(None, ["profile.runs=4", "profile.runs=8"])


def test_no_option_states_a_name_of_its_own() -> None:
    for group, kind in (("profile", Profile), ("judge", JudgeConfig), ("scale", Scale)):
        assert "name" in {of.name for of in fields(kind)}
        for path in (OUR_CONF / group).glob("*.yaml"):
            assert "name" not in yaml.safe_load(path.read_text())


ODD = "it's $HOME & [co], a=b {c} \\ ü"


def test_options_of_a_project_are_found_beside_ours(tmp_path: Path) -> None:
    root = make_project(tmp_path / ODD)
    for group in GROUPS:
        name = next(path.stem for path in sorted((OUR_CONF / group).glob("*.yaml")))
        (root / "conf" / group).mkdir()
        shutil.copy(OUR_CONF / group / f"{name}.yaml", root / "conf" / group / "ours.yaml")
        assert option_file(root, group, "ours") == root / "conf" / group / "ours.yaml"
        assert option_file(root, group, name) == OUR_CONF / group / f"{name}.yaml"
    (root / "conf" / "profile" / "ours.yaml").write_text("runs: 9\nbudget_s: 60\nexpensive_s: 6\ncontrol_runs: 3\n")
    found = compose(root, [f"{group}=ours" for group in GROUPS])
    assert (found.profile.name, found.profile.runs) == ("ours", 9)
    assert compose(root, ["profile=ours", "profile.runs=5"]).profile.name == "ours, runs 5"
    assert compose(root).profile.name == "smoke"  # what conf/pipeline.yaml chooses
    write_index(root, [], profile="ours")
    assert compose(root).profile.name == "ours"
    with pytest.raises(BadInput, match=r"there is no option 'mine'; there are: cpu, full, gpu, ours, smoke"):
        compose(root, ["profile=mine"])
    with pytest.raises(BadInput, match="there is no option 'ours'"):
        compose(None, ["profile=ours"])


def test_an_option_of_a_project_with_the_name_of_one_of_ours_is_refused(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    (root / "conf" / "judge").mkdir()
    (root / "conf" / "judge" / "strict.yaml").write_text("alpha: 0.1\nestimand: number\nrationale: not strict at all\n")
    says = r"^conf/judge/strict\.yaml: OpenAssay has an option of that name; give yours another one"
    with pytest.raises(BadInput, match=says):
        compose(root, ["judge=strict"])
    assert compose(root).judge.name == "default"
    write_index(root, [], judge="strict")
    with pytest.raises(BadInput, match=says):
        compose(root)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("runs: 9\n", "profile.(budget_s|control_runs|expensive_s): missing"),
        ("runs: 9\nbudget_s: 60\nexpensive_s: 6\ncontrol_runs: 3\nmore: 1\n", "profile.more: unknown key"),
        ("runs: .nan\nbudget_s: 60\nexpensive_s: 6\ncontrol_runs: 3\n", "(finite numbers are needed|profile.runs: )"),
        ("runs: [\n", ""),
        ("- 9\n", "expected keys with values"),
        ("", "expected keys with values"),
    ],
)
def test_a_broken_option_of_a_project_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    root = make_project(tmp_path)
    (root / "conf" / "profile").mkdir()
    (root / "conf" / "profile" / "ours.yaml").write_text(text)
    with pytest.raises(BadInput) as refused:
        compose(root, ["profile=ours"])
    assert re.match(rf"(settings \(profile=ours\)|conf/profile/ours\.yaml).*: {says}", str(refused.value))
    assert "\n" not in str(refused.value)


def test_settings_that_are_asked_for_stand_in_the_plan_and_its_command(tmp_path: Path) -> None:
    layout = add_release(make_project(tmp_path), "honest")
    asked = ("judge.alpha=0.02", "profile=full")
    plan = make_plan(layout, asked)
    assert (plan.judge.alpha, plan.profile.name, plan.isolation.kind) == (0.02, "full", "none")
    assert make_plan(layout, asked[::-1]).digest == plan.digest
    assert make_plan(layout).digest != plan.digest
    write_pipeline(layout, read_target(layout), asked)
    data = yaml.safe_load(layout.pipeline.read_text())
    assert data["stages"]["plan"]["cmd"].endswith(" honest judge.alpha=0.02 profile=full")
    assert "../../.openassay/conf/profile/full.yaml" in data["stages"]["plan"]["deps"]
    assert "../../.openassay/conf/judge/${judge}.yaml" in data["stages"]["plan"]["deps"]


# What is shown to others


def test_only_what_was_audited_is_published(tmp_path: Path) -> None:
    layout = add_release(make_project(tmp_path), "honest")
    with pytest.raises(BadInput, match="honest: not audited yet; run `openassay audit honest` first"):
        publish(layout)
    assert not layout.published.exists()
    ours = Layout(layout.root, "mnist1d_logistic")
    shutil.copytree(Layout(REPO, ours.target).published, ours.folder)
    with pytest.raises(BadInput, match=r"mnist1d_logistic/plan\.yaml: it bears no seal of this machine"):
        publish(ours)
    for stage, files in {
        "plan": ["plan.yaml"],
        "judge": ["verdict.json", "metrics.json"],
        "report": ["report.html"],
    }.items():
        seal(ours, stage, {name: file_digest(ours.folder / name) for name in files}, {})
    kept = publish(ours)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == {
        name: (ours.folder / name).read_bytes() for name in ("plan.yaml", "verdict.json", "metrics.json", "report.html")
    }
    assert issubclass(BadInput, Fault)


def test_a_plan_and_a_verdict_of_two_audits_are_not_published(tmp_path: Path) -> None:
    layout = add_release(make_project(tmp_path), "honest")
    write_plan(layout.plan, make_plan(layout))
    seal(layout, "plan", {"plan.yaml": file_digest(layout.plan)}, {})
    shutil.copy(Layout(REPO, "mnist1d_logistic").published / "verdict.json", layout.verdict)
    seal(layout, "judge", {"verdict.json": file_digest(layout.verdict)}, {"plan.yaml": "0" * 64})
    with pytest.raises(
        BadInput, match=r"verdict\.json: .*/plan\.yaml is another than it was made from; run `openassay audit"
    ):
        publish(layout)
    layout.verdict.write_text("{")
    with pytest.raises(Fault, match=r"verdict\.json: it was edited"):
        publish(layout)
    assert not layout.published.exists()


@pytest.mark.parametrize(
    "text", ["defaults: [smoke]\nruns: 6\n", "runs: ${oc.env:HOME}\n", "runs: 6\nbudget_s: '${runs}'\n"]
)
def test_an_option_of_ones_own_says_its_values_itself(text: str, tmp_path: Path) -> None:
    """What it took from elsewhere could change, and nothing would be stale."""
    root = make_project(tmp_path)
    (root / "conf/profile").mkdir()
    (root / "conf/profile/mine.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"^conf/profile/mine\.yaml: defaults and \$\{\.\.\.\} are not taken"):
        compose(root, ["profile=mine"])


def test_a_stage_refuses_to_run_with_another_installation_than_dvc_looks_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(tmp_path)
    add_release(root, "honest")
    monkeypatch.chdir(root)
    link_package(root)
    assert named_target(["plan", "honest"]).target == "honest"
    (root / ".openassay/conf").unlink()
    (root / ".openassay/conf").symlink_to(tmp_path / "another")
    with pytest.raises(BadInput, match="another installation of OpenAssay here; run `openassay sync` first"):
        named_target(["plan", "honest"])
    link_package(root)
    assert named_target(["plan", "honest"]).target == "honest"


def test_sync_names_the_pipelines_of_targets_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_project(tmp_path)
    layout = add_release(root, "honest")
    write_index(root, ["honest"])
    monkeypatch.chdir(root)
    sync()
    ours = Layout.named(root, "catalogue:mnist1d_logistic")
    write_pipeline(ours, read_target(ours))
    assert capsys.readouterr().out == "written: experiments/honest/dvc.yaml\n"
    sync()
    assert capsys.readouterr().out == ""
    layout.target_file.unlink()
    write_index(root, [])
    sync()
    assert capsys.readouterr().out.startswith("experiments/honest: its target is gone. Delete this folder")


def test_nothing_that_comes_with_the_package_is_a_pipeline_to_dvc() -> None:
    """An environment may lie in the project, where plain DVC looks for pipelines."""
    assert not [path for path in PACKAGE.rglob("*") if path.name == "dvc.yaml" or path.suffix == ".dvc"]


@pytest.mark.parametrize("where", ["bare", "inside"])
def test_init_where_git_cannot_be_used_writes_nothing(where: str, tmp_path: Path) -> None:
    bare = ["--bare"] if where == "bare" else []
    subprocess.run(["git", "init", "-q", *bare, str(tmp_path / "repository")], check=True)
    folder = tmp_path / "repository" / ("" if bare else ".git")
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(BadInput, match="it is inside a git repository, but not in its working tree"):
        init(folder)
    assert sorted(path.name for path in folder.iterdir()) == before
