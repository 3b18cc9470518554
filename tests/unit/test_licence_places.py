"""Every place that declares a release's terms, what it covers, and which of them contradict each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from licence_texts import spdx_texts
from releases.small import APACHE, MIT, Files, release

from openassay.checks.check import answer
from openassay.checks.registry import CONSISTENCY
from openassay.published.files import PublishedFiles, Text
from openassay.published.licences import declarations, meant

DIFFER = next(check for check in CONSISTENCY if check.kind == "licences_differ")
SETUP = "from setuptools import setup\nsetup(name='x', {said})\n"
NC_SA = spdx_texts()["CC-BY-NC-SA-4.0"]
NC = spdx_texts()["CC-BY-NC-4.0"]
DATA = "---\nlicense: cc-by-4.0\ntask_categories:\n- text-classification\n---\n"
CRAMMING = "# x\n\nThe code is licensed under the MIT license.\n\n## License\n\nThe model weights are released under the CreativeML OpenRAIL-M.\n"

CONFLICTS: dict[str, tuple[Files, str]] = {
    "setup.py against LICENSE": ({"LICENSE": APACHE, "setup.py": SETUP.format(said="license='MIT'")}, "setup.py (package metadata) says MIT; they cover the whole and the code"),
    "a classifier of setup.py": ({"LICENSE": APACHE, "setup.py": SETUP.format(said="classifiers=['License :: OSI Approved :: MIT License']")}, "setup.py (package classifier) says MIT"),
    "card against README and LICENSE": ({"LICENSE": NC_SA, "README.md": DATA + "# x\n\nThis dataset is licensed under CC-BY-NC.\n"}, "README.md (card's front matter) says CC-BY-4.0"),
    "README against LICENSE": ({"LICENSE": MIT, "README.md": "# x\n\nThis project is licensed under the Apache 2.0 License.\n"}, "README.md (README) says Apache-2.0"),
    "a conda recipe against LICENSE": ({"LICENSE": MIT, "conda/meta.yaml": "package:\n  name: x\nabout:\n  license: Apache-2.0\n"}, "conda/meta.yaml (conda recipe) says Apache-2.0"),
    "a conda recipe that is a template": ({"LICENSE": MIT, "conda/meta.yaml": "{% set version = '1' %}\npackage:\n  version: {{ version }}\nabout:\n  license: Apache-2.0\n"}, "says Apache-2.0"),
    "setup.cfg": ({"LICENSE": APACHE, "setup.cfg": "[metadata]\nname = x\nlicense = MIT\n"}, "setup.cfg (package metadata) says MIT"),
    "a section of the README against LICENSE": ({"LICENSE": APACHE, "README.md": "# x\n\n## License\n\nMIT\n"}, "README.md (README) says MIT"),
    "a link of that section": ({"LICENSE": MIT, "README.md": "# x\n\n## 📜 License\n\n[Apache 2.0](LICENSE)\n"}, "README.md (README) says Apache-2.0"),
    "an address of that section": ({"LICENSE": MIT, "README.md": "# x\n\n## License\n\nSee [here](https://creativecommons.org/licenses/by-nc/4.0/).\n"}, "README.md (README) says CC-BY-NC-4.0"),
    "CITATION.cff": ({"LICENSE": MIT, "CITATION.cff": "cff-version: 1.2.0\nlicense: GPL-3.0-only\n"}, "CITATION.cff (citation file) says GPL-3.0"),
    "poetry": ({"LICENSE": MIT, "pyproject.toml": "[tool.poetry]\nname = 'x'\nlicense = 'Apache-2.0'\n"}, "pyproject.toml (package metadata) says Apache-2.0"),
    "the name behind other": ({"LICENSE": MIT, "README.md": "---\nlicense: other\nlicense_name: cc-by-nc-4.0\n---\n# x\n"}, "says CC-BY-NC-4.0"),
    "two files for the data": ({"LICENSE-DATA": NC, "CITATION.cff": "type: dataset\nlicense: CC-BY-4.0\n"}, "they cover the data"),
}  # fmt: skip

NONE: dict[str, Files] = {
    "the weights' terms in the README beside the code's": {"LICENSE": MIT, "README.md": CRAMMING},
    "a card beside the code of a package": {"LICENSE": APACHE, "setup.py": SETUP.format(said="license='Apache-2.0'"), "README.md": "---\nlicense: openrail\npipeline_tag: text-generation\n---\n# x\n"},
    "files for the code and the model": {"LICENSE-CODE": MIT, "LICENSE-MODEL": NC, "setup.py": SETUP.format(said="license='MIT'")},
    "Llama's terms": {"LICENSE": "LLAMA 2 COMMUNITY LICENSE AGREEMENT\n\nLlama 2 is licensed under it.\n", "README.md": "---\nlicense: llama2\n---\n# x\n"},
    "Llama's terms in a section": {"LICENSE": APACHE, "README.md": "# x\n\n## License\n\nThe models are under the [Llama 3 license](https://llama.example/license).\n"},
    "a choice": {"LICENSE": MIT, "setup.py": SETUP.format(said="license='Apache-2.0 OR MIT'")},
    "files of both": {"LICENSE": MIT, "COPYING": APACHE, "setup.py": SETUP.format(said="license='Apache-2.0'")},
    "a list in a card": {"LICENSE": APACHE, "README.md": "---\nlicense:\n- mit\n- apache-2.0\n---\n# x\n"},
    "classifiers of both": {"LICENSE": APACHE, "setup.py": SETUP.format(said="classifiers=['License :: OSI Approved :: MIT License', 'License :: OSI Approved :: Apache Software License']")},
    "or later": {"LICENSE": spdx_texts()["GPL-3.0"], "setup.py": SETUP.format(said="license='GPL-2.0-or-later'")},
    "only": {"LICENSE": spdx_texts()["GPL-3.0"], "setup.py": SETUP.format(said="license='GPL-3.0-only'")},
    "see LICENSE": {"LICENSE": APACHE, "setup.py": SETUP.format(said="license='see LICENSE'"), "README.md": "# x\n\n## License\n\nSee [LICENSE](LICENSE).\n"},
    "other": {"LICENSE": APACHE, "README.md": "---\nlicense: other\nlicense_name: ours\nlicense_link: LICENSE\n---\n# x\n"},
    "a variable": {"LICENSE": APACHE, "setup.py": "from setuptools import setup\nTERMS = 'MIT'\nsetup(license=TERMS)\n"},
    "a section that tells parts apart": {"LICENSE": APACHE, "README.md": "# x\n\n## License\n\nMIT\n\nThe dataset is under CC0.\n"},
    "a section on the data": {"LICENSE": APACHE, "README.md": "# x\n\n## Dataset License\n\nMIT\n"},
    "a recipe of another package": {"LICENSE": APACHE, "vendor/meta.yaml": "about:\n  license: MIT\n"},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFLICTS)
def test_places_that_contradict_each_other_are_found(name: str, tmp_path: Path) -> None:
    files, message = CONFLICTS[name]
    found = answer(DIFFER, release(tmp_path, files))
    assert found.outcome == "fail", found
    assert message in " | ".join(problem.message for problem in found.problems)


def test_three_places_are_compared_in_pairs(tmp_path: Path) -> None:
    files, _ = CONFLICTS["card against README and LICENSE"]
    found = answer(DIFFER, release(tmp_path, files))
    assert len(found.problems) == 3


@pytest.mark.parametrize("name", NONE)
def test_other_terms_for_another_part_are_no_contradiction(name: str, tmp_path: Path) -> None:
    found = answer(DIFFER, release(tmp_path, NONE[name]))
    assert found.outcome != "fail", found.problems


@pytest.mark.parametrize(
    ("words", "licences"),
    [
        ("CC BY-NC-SA 4.0", {"CC-BY-NC-SA-4.0"}),
        ("Creative Commons Attribution-NonCommercial 4.0 International", {"CC-BY-NC-4.0"}),
        ("cc-by-3.0", {"CC-BY-3.0"}),
        ("CC-BY", {"CC-BY-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0"}),
        ("CC BY-NC-SA-ND", set()),
        ("GPLv2+", {"GPL-2.0", "GPL-3.0"}),
        ("LGPL-2.1-or-later", {"LGPL-2.1", "LGPL-3.0"}),
        ("MIT AND Apache-2.0", {"MIT", "Apache-2.0"}),
        ("attributions", set()),
        ("see LICENSE", set()),
    ],
)
def test_words_mean_the_licences_that_they_name(words: str, licences: set[str]) -> None:
    assert meant(words) == licences


@pytest.mark.parametrize(
    ("path", "content", "licences"),
    [
        ("setup.cfg", "[metadata]\nname = x\nlicense = MIT\n[tool]\nlicense = Apache-2.0\n", [{"MIT"}]),
        ("setup.cfg", "[metadata]\nclassifiers =\n    License :: OSI Approved :: MIT License\n", [{"MIT"}]),
        ("setup.cfg", "[metadata]\nlicense = file: LICENSE\nlicense_files = MIT\n", []),
        (
            "conda/meta.yaml",
            "{% set v = '1' %}\nabout:\n  license: Apache-2.0  # ours\n  license_file: LICENSE\n",
            [{"Apache-2.0"}],
        ),
        ("conda/meta.yaml", "about:\n  license: {{ terms }}\n", []),
        ("other/meta.yaml", "about:\n  license: MIT\n", []),
    ],
)
def test_settings_of_packages_are_read_by_their_lines(path: str, content: str, licences: list[set[str]]) -> None:
    text = Text(path=path, lines=tuple(content.splitlines()))
    found = declarations(PublishedFiles(name="x", files=(), texts=[text]))
    assert [of.licences for of in found] == licences
    assert {of.covers for of in found} <= {"code"}
