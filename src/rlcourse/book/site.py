"""Where the book's facts stand: its pages in reading order and its one repository address."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CONFIG = "_config.yml"
URL = re.compile(r"^(repository:\n(?:  #.*\n)*  url: *)(\S+)", re.M)
GITHUB = "https://github.com/"


class Book(NamedTuple):
    """The book of one checkout. url: its repository; pages: names without suffix, as read."""

    root: Path
    url: str
    branch: str
    pages: tuple[str, ...]

    def source(self, page: str) -> str:
        return (self.root / f"{page}.md").read_text("utf-8")

    @property
    def notebooks(self) -> list[str]:
        """The pages that hold cells to run."""
        return [page for page in self.pages if header(self.source(page)).get("jupytext")]

    def link(self, page: str) -> str:
        """The address of a page: in Colab where that can open it, else in the repository."""
        suffix = ".ipynb" if page in self.notebooks else ".md"
        at = f"blob/{self.branch}/{page}{suffix}"
        if suffix == ".ipynb" and self.url.startswith(GITHUB):
            return f"https://colab.research.google.com/github/{slug(self.url)}/{at}"
        return f"{self.url}/{at}"


def read_book(root: Path) -> Book:
    """The book whose _config.yml and _toc.yml stand in `root`; ValueError where they do not."""
    if not (root / CONFIG).is_file():
        raise ValueError(f"root must hold {CONFIG}, got {root}: run this in the repository's root")
    place = yaml.safe_load((root / CONFIG).read_text("utf-8"))["repository"]
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    return Book(root, place["url"], place["branch"], tuple(_files(toc)))


def header(text: str) -> dict[str, Any]:
    """The YAML between the page's first two lines of dashes."""
    match = re.match(r"---\n(.*?)\n---\n", text, re.S)
    return dict(yaml.safe_load(match[1])) if match else {}


def slug(url: str) -> str:
    """owner/name of a repository's address."""
    return "/".join(url.removesuffix(".git").rstrip("/").split("/")[-2:])


def set_repository(root: Path, url: str) -> list[Path]:
    """Write the address into _config.yml, README and CITATION; the files that changed."""
    url = url.removesuffix("/").removesuffix(".git") if url.startswith("http") else url
    if not re.match(r"(https?|file|ssh|git)://\S+/\S+$", url):
        raise ValueError(f"url must be a git address like https://github.com/me/it, got {url!r}")
    old = read_book(root).url
    changed = []
    for path in [root / name for name in (CONFIG, "README.md", "CITATION.cff")]:
        text = path.read_text("utf-8") if path.is_file() else ""
        new = text.replace(f"/github/{slug(old)}/", f"/github/{slug(url)}/").replace(old, url)
        if new != text:
            path.write_text(new, "utf-8")
            changed.append(path)
    return changed


def _files(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _files(item)]
    if not isinstance(node, dict):
        return []
    own = [node[key] for key in ("root", "file") if key in node]
    return own + [name for value in node.values() for name in _files(value)]
