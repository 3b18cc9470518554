"""Write the miniature releases: `python tests/releases/build.py --out FOLDER [--hub] [NAME ...]`.

FOLDER/NAME/ARTIFACT/... holds what would be published of it. With --hub, the folder is one that `python -m tests.hub FOLDER` serves: the
step branches of models/mini/NAME, datasets/mini/NAME-tokens, and the git repository mini/NAME. Without names: the honest ones in
Pythia's and in OLMo's format, the one that is called deduplicated and was not, and every defective one.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from releases import defective, olmo, pythia
from releases.pythia import Files


def called_deduplicated(size: pythia.Size = pythia.TINY, keep: tuple[int, ...] = (0, 8, 16)) -> Files:
    """Trained on the standard data; published beside its deduplicated variant, as `tokens`. `standard` is what it was fed."""
    standard = pythia.items(size)
    files = pythia.make(
        size=size, keep=keep, published=pythia.items(size, deduplicated=True), fed=pythia.in_order(standard)
    )
    return files | {"standard": pythia.tokens_files(standard)}


def releases() -> dict[str, Callable[[], Files]]:
    """Every release by its name."""
    found: dict[str, Callable[[], Files]] = {
        "pythia": pythia.make,
        "olmo": partial(olmo.make, olmo.Olmo(generation=1)),
        "olmo2": partial(olmo.make, olmo.Olmo(generation=2)),
        "called_deduplicated": called_deduplicated,
    }
    return found | {f"defective/{of.name}": partial(defective.release, of.name) for of in defective.DEFECTS}


def write(files: Files, folder: Path) -> dict[str, str]:
    """The artifacts' files; gives their folders by name."""
    for artifact, inside in files.items():
        for path, content in inside.items():
            (folder / artifact / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / artifact / path).write_bytes(content)
    return {artifact: str(folder / artifact) for artifact in files}


def for_hub(files: Files, name: str) -> Files:
    """The same files, by the folders of a hub."""
    short = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")

    def folder_of(artifact: str) -> str:
        if artifact == "code":
            return f"git/mini/{short}"
        model = artifact.startswith("step")
        return f"models/mini/{short}/{artifact}" if model else f"datasets/mini/{short}-{artifact}/main"

    return {folder_of(artifact): inside for artifact, inside in files.items()}


def main() -> None:
    """Write them, and say where."""
    known = releases()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hub", action="store_true", help="in the folders that `python -m tests.hub` serves")
    asked = parser.parse_args()
    if odd := sorted(set(asked.names) - set(known)):
        parser.error(f"there is no release {odd[0]!r}")
    for name in asked.names or known:
        files = known[name]()
        folders = write(for_hub(files, name), asked.out) if asked.hub else write(files, asked.out / name)
        print(f"{name}: {', '.join(folders.values())}")


if __name__ == "__main__":
    main()
