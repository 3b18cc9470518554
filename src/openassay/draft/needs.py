"""What a command's code asks for: packages, seeds and downloads, by its text alone."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from openassay.draft.commands import imports_of
from openassay.faults import BadInput
from openassay.published.code_options import calls, last_name
from openassay.published.files import Code, PublishedFiles
from openassay.published_requirements import PublishedEnvironment, PublishedRequirements, read_published

SEEDERS = {"seed", "manual_seed", "manual_seed_all", "set_seed", "seed_everything", "set_random_seed", "PRNGKey"}
DOWNLOADERS = {
    "get", "urlretrieve", "urlopen", "download", "read_csv", "download_url", "get_file", "retrieve", "system", "run",
}  # fmt: skip
_BY_NAME = {"load_dataset", "snapshot_download", "fetch_openml", "load_data", "fetch_20newsgroups", "from_pretrained"}
ADDRESS = re.compile(r"https?://[^\s'\"<>|;()]{4,500}", re.ASCII)
_PACKAGES = {
    "sklearn": "scikit-learn sklearn", "PIL": "pillow", "cv2": "opencv-python opencv-python-headless opencv-contrib-python",
    "yaml": "pyyaml", "skimage": "scikit-image", "tensorflow": "tensorflow tensorflow-gpu tensorflow-cpu", "torch": "torch",
    "keras": "keras", "jax": "jax", "torch.utils.tensorboard": "tensorboard", "pytorch_lightning": "pytorch-lightning",
    "bs4": "beautifulsoup4", "dateutil": "python-dateutil", "dotenv": "python-dotenv", "attr": "attrs", "absl": "absl-py",
    "hydra": "hydra-core", "faiss": "faiss-cpu faiss-gpu", "git": "gitpython", "umap": "umap-learn", "Bio": "biopython",
    "mpl_toolkits": "matplotlib", "pkg_resources": "setuptools", "community": "python-louvain",
    "Levenshtein": "levenshtein python-levenshtein", "igraph": "igraph python-igraph", "OpenGL": "pyopengl",
    "Crypto": "pycryptodome",
}  # fmt: skip
"""Packages by what is imported of them, where the names differ: the one to name first, then others that bring the same."""
_KINDS = (
    r"requirements\.txt", r"(?!.*(dev|test|doc|lint|rpi))([\w.-]+[-_])?requirements[\w.-]*\.txt", r"environment[\w.-]*\.ya?ml",
    r"pyproject\.toml", r"setup\.cfg", r"dockerfile",
)  # fmt: skip
"""Names of files that say what must be installed, the surest first."""


def published(release: PublishedFiles, top: Path, folders: list[str]) -> tuple[str, PublishedRequirements] | None:
    """The file that says what must be installed, and what it says; None where there is none.

    folders: where the commands run, from the inner to the outer; a file elsewhere is taken where there is none.
    """

    def order(path: str) -> tuple[int, int, int, str] | None:
        folder, _, name = path.rpartition("/")
        kind = next((i for i, of in enumerate(_KINDS) if re.fullmatch(of, name.lower())), None)
        if kind is None or set(path) & set("*?[]") or re.search(r"(?i)(^|/)(docs?|tests?|ci)/", path):
            return None
        return folders.index(folder) if folder in folders else len(folders), kind, path.count("/"), path

    for path in [of[3] for of in sorted(filter(None, (order(file.path) for file in release.files)))][:20]:
        try:
            found = read_published(PublishedEnvironment(artifact="code", path=path), top, path)
        except (BadInput, ValueError):
            continue
        if found.folders or any(line.requirement for line in found.lines):
            return path, found
    return None


def stated_by_setup(release: PublishedFiles) -> list[str]:
    """The requirements that stand in setup.py word by word."""
    setup = release.code_by_path.get("setup.py")
    given = (
        (one.value for call in calls(setup) for one in call.keywords if one.arg == "install_requires") if setup else ()
    )
    words = (str(one.value) for listing in given for one in ast.walk(listing) if isinstance(one, ast.Constant))
    found: dict[str, str] = {}
    for word in words:
        try:
            parsed = Requirement(word)
        except InvalidRequirement:
            continue
        if not parsed.url:
            found.setdefault(canonicalize_name(parsed.name), str(parsed))
    return list(found.values())


def canonical(requirement: str) -> str:
    """The name of a requirement, as indexes compare it."""
    return canonicalize_name(Requirement(requirement).name)


def imported(release: PublishedFiles, codes: list[Code], held: set[str]) -> list[str]:
    """The packages that code imports as it starts, by their usual names, without those that are `held`."""
    own = {PurePosixPath(code.path).stem for code in release.code}
    own |= {part for code in release.code if code.name == "__init__.py" for part in code.folder.split("/")}
    paths = [PurePosixPath(code.path) for code in release.code]
    folders = {PurePosixPath(), *(PurePosixPath(code.folder) for code in codes)}
    beside = {path.relative_to(of).parts[0] for of in folders for path in paths if path.is_relative_to(of)}
    found = set()
    for module in (module for code in codes for module in imports_of(code.tree.body)):
        top = module.partition(".")[0]
        known = _PACKAGES.get(module) or _PACKAGES.get(top, top)
        ours = top in own or (top in beside and top not in _PACKAGES) or top in sys.stdlib_module_names
        if not ours and not {canonicalize_name(name) for name in known.split()} & held:
            found.add(known.split()[0])
    return sorted(found, key=str.lower)[:50]


def seeds_set(codes: list[Code]) -> list[tuple[str, str]]:
    """Where code sets a seed by itself, as (place, what it calls)."""
    found = [
        (f"{code.path}:{call.lineno}", last_name(call.func))
        for code in codes for call in calls(code) if last_name(call.func) in SEEDERS and (call.args or call.keywords)
    ]  # fmt: skip
    return found + [
        (f"{code.path}:{call.lineno}", "random_state")
        for code in codes for call in calls(code) for given in call.keywords
        if given.arg in {"random_state", "seed"} and isinstance(given.value, ast.Constant) and isinstance(given.value.value, int)
    ]  # fmt: skip


def downloads(codes: list[Code]) -> dict[str, str]:
    """The addresses that code downloads from, each with its place."""
    found: dict[str, str] = {}
    for code in codes:
        texts = {
            target.id: node.value.value
            for node in code.nodes if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }  # fmt: skip
        for call in (call for call in calls(code) if last_name(call.func) in DOWNLOADERS):
            for given in [*call.args[:3], *(of.value for of in call.keywords)]:
                text = given.value if isinstance(given, ast.Constant) else texts.get(getattr(given, "id", ""))
                if isinstance(text, str) and (at := ADDRESS.search(text[:2000])) and at[0].isprintable():
                    found.setdefault(at[0], f"{code.path}:{call.lineno}")
    return found


def own_downloads(codes: list[Code]) -> list[str]:
    """Where a library downloads data by a name, whose address is not to be seen."""
    own = {node.name for code in codes for node in code.nodes if isinstance(node, ast.FunctionDef)}
    return [
        f"{code.path}:{call.lineno}: {last_name(call.func) or 'it'}"
        for code in codes for call in calls(code)
        if last_name(call.func) in _BY_NAME - own
        or any(of.arg == "download" and getattr(of.value, "value", True) is True for of in call.keywords)
    ]  # fmt: skip
