"""Who ran what, where and when: values of the machine and the moment. They are evidence, never identity."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "numpy", "scipy", "dvc", "mlflow", "hydra-core")


def now() -> str:
    """The time in UTC, to the second (ISO 8601)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def package_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Installed versions of the packages that bear on a result."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """Commit of the project and whether tracked files differ from it; (None, None) outside git."""
    commit = git(root, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    # The audit's own records change while it runs; only what decides the result counts.
    status = git(root, "status", "--porcelain", "--untracked-files=no", "--", "src", "conf", "pipelines", "dvc.yaml")
    return commit, bool(status)


def git(root: Path, *arguments: str) -> str | None:
    """The output of git in a folder; None where it fails, or is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def name_user() -> None:
    """Set `$USER` where this user has no entry in the system's list of users: DVC asks for a name, and fails without one."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid-{os.getuid()}"


def machine() -> dict[str, str]:
    """The machine in a few words."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "machine": platform.machine(),
        "cores": str(os.cpu_count()),
    }
