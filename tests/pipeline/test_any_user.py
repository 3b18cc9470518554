"""An audit runs for any user in any folder: without a git identity, in a path with spaces, without a name of the user's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from releases.commands import LONG_S
from releases.miniature import REPO, add_release, write_index

UNNAMED = ("unshare", "--user", "--map-user=12345", "--map-group=12345")
"""Runs a command as a user whom the system's list of users does not hold."""


def unnamed_users_work() -> bool:
    asked = "import os, pwd; assert os.getuid() == 12345; assert 12345 not in {of.pw_uid for of in pwd.getpwall()}"
    try:
        return subprocess.run([*UNNAMED, sys.executable, "-c", asked], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_an_audit_needs_no_git_identity_no_plain_path_and_no_entry_in_the_list_of_users(
    tmp_path: Path, session_cache: Path
) -> None:
    unnamed = unnamed_users_work()
    home, root = tmp_path / "home", tmp_path / "a lab" / "my project"
    home.mkdir()
    root.mkdir(parents=True)
    kept = {name: os.environ[name] for name in ("LANG", "SSL_CERT_FILE", "PIP_CONFIG_FILE") if name in os.environ}
    environment = kept | {
        "HOME": str(home), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPO / "src"), "OPENASSAY_CACHE": str(session_cache), "GIT_CONFIG_NOSYSTEM": "1",
    }  # fmt: skip

    def run(*command: str) -> str:
        whole = [*(UNNAMED if unnamed else ()), *command]
        done = subprocess.run(
            whole, cwd=root, env=environment, capture_output=True, text=True, timeout=LONG_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("git", "init", "-q")
    assert subprocess.run(["git", "config", "user.email"], cwd=root, env=environment, check=False).returncode == 1
    openassay = (sys.executable, "-P", "-m", "openassay")
    assert ".dvc" not in run(*openassay, "init")
    add_release(root, "honest")
    write_index(root, ["honest"])
    said = run(*openassay, "audit", "honest", "profile=smoke", "tracking=sqlite", "execution=cpu")
    assert "\nREPRODUCED honest · self-reported, unprotected" in said
    assert re.search(r"^MLflow dashboard: ", said, re.MULTILINE)
    assert (root / "mlflow.db").is_file()
    assert run(*openassay, "sync") == "written: experiments/honest/dvc.yaml\n"  # without what was asked for once
    if not unnamed:
        pytest.skip("all but the missing entry was tested: that needs `unshare --user`, which this system refuses")
