"""Makes the docs site of what stands in the repository: README.md is a page, links lead where they lead on GitHub.

The catalogue of the committed audits is a folder of it (`audits/`), and so are the schemas (`schemas/`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from openassay.catalogue import pages, read_catalogue
from openassay.schemas import schemas

REPO = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "experiments/README.md": "audits/index.html",
}
"""File of the repository → page of the site."""

_CODE_OR_LINK = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]+`)|\[(?P<text>(?:`[^`\n]*`|[^\[\]`])*)\]\((?P<link>[^)\s]+)\)",
    re.DOTALL | re.MULTILINE,
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision into the navigation."""
    decisions = sorted(f"decisions/{path.name}" for path in (REPO / "docs/decisions").glob("[0-9]*.md"))

    def filled(item: Any) -> Any:
        if isinstance(item, dict):
            return {title: filled(of) for title, of in item.items()}
        if isinstance(item, list):
            return [filled(of) for of in item]
        return ["decisions/README.md", *decisions] if item == "decisions/" else item

    config.nav = filled(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/, the catalogue of the committed audits, and the schemas."""
    for source, page in PAGES.items():
        if page.endswith(".md"):
            files.append(File.generated(config, page, abs_src_path=str(REPO / source)))
    entries, problems = read_catalogue(REPO, own=False)
    if problems:
        raise PluginError(problems[0])
    for path, data in pages(entries, f"{config.site_url.rstrip('/')}/audits" if config.site_url else "").items():
        files.append(File.generated(config, f"audits/{path}", content=data))
    for name, schema in schemas().items():
        files.append(File.generated(config, f"schemas/{name}.json", content=schema))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to the repository's files into links to pages, else to the repository, else into their text."""
    here = page.file.src_uri
    source = next((Path(name) for name, uri in PAGES.items() if uri == here), Path("docs", here))

    def turned(found: re.Match[str]) -> str:
        link = found["link"]
        if found["code"] or re.match(r"[a-z]+:|#", link):
            return found[0]
        path, hash_sign, anchor = link.partition("#")
        wanted = Path(os.path.normpath(source.parent / unquote(path)))
        report = re.fullmatch(r"experiments/(\w+)/published/report\.html", wanted.as_posix())
        known = f"audits/{report[1]}/report.html" if report else PAGES.get(str(wanted))
        uri = known or (wanted.relative_to("docs").as_posix() if wanted.is_relative_to("docs") else "")
        if files.get_file_from_path(uri):
            return f"[{found['text']}]({os.path.relpath(uri, Path(here).parent)}{hash_sign}{anchor})"
        if not (REPO / wanted).exists():
            return found[0]  # mkdocs says that it is broken
        kind = "tree" if (REPO / wanted).is_dir() else "blob"
        return (
            f"[{found['text']}]({config.repo_url}/{kind}/HEAD/{wanted.as_posix()})"
            if config.repo_url
            else found["text"]
        )

    # A comment ends a paragraph on GitHub; here only an empty line does.
    return _CODE_OR_LINK.sub(turned, re.sub(r"-->\n(?=\|)", "-->\n\n", markdown))
