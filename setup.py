"""The wheel brings a digest of the code that each stage uses (`openassay/code/`): another version makes stale what it changes.

All else stands in pyproject.toml.
"""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithCodeDigests(build_py):
    """Builds as usual, then writes the digests beside the package; an editable install has none, and finds them itself."""

    def run(self) -> None:
        """Build."""
        super().run()
        if not self.editable_mode:
            package = Path(self.build_lib) / "openassay"
            runpy.run_path(str(package / "stage_code.py"))["write"](package / "code")


setup(cmdclass={"build_py": WithCodeDigests})
