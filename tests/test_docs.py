"""Links in the documentation and the API pages lead somewhere; the API pages hold what the documentation imports."""

import functools
import posixpath
import re
import shlex
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from get3d import cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page: lower case, without punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = page.parent / unquote(parts.path) if parts.path else page
        if not target.exists() or (parts.fragment and parts.fragment not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_the_documentation_lead_somewhere(page):
    assert not broken_links(page)


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Here it is!\n[a](#here-it-is) [b](#there) [c](none.md) ![d](none.png)\n```\n[e](no-link)\n```\n")
    assert broken_links(page) == ["#there", "none.md", "none.png"]


def commands_of(page: Path) -> list[str]:
    """The command lines of get3d in the blocks of shell commands, without those that have placeholders."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("get3d ") and "…" not in line]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documentation_are_accepted(page, monkeypatch, capsys):
    for name, command in list(cli.COMMANDS.items()):
        monkeypatch.setitem(cli.COMMANDS, name, functools.wraps(command)(lambda *_, **__: None))
    refused = []
    for line in commands_of(page):
        monkeypatch.setattr(sys, "argv", shlex.split(line, comments=True))
        try:
            cli.main()
        except SystemExit as end:
            if end.code != 0:
                refused.append(f"{line}: {capsys.readouterr().err}")
    assert not refused


def test_wrong_commands_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("`get3d runs`\n```sh\nget3d synth chair \\\n  --no-such 1  # why\nget3d models …\n```\n")
    assert commands_of(page) == ["get3d synth chair    --no-such 1  # why"]


class Page(HTMLParser):
    """The links and the anchors of an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links |= {value for name in ("href", "src") if (value := values.get(name))}
        self.anchors |= {value for name in ("id", "name") if (value := values.get(name))}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[Path, Page]:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-W", "error", str(ROOT / "docs" / "api_page.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path.relative_to(folder): Page(path.read_text()) for path in folder.rglob("*.html")}


@pytest.mark.slow
def test_links_of_the_api_pages_lead_somewhere(site):
    broken = []
    for path, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = Path(posixpath.normpath(path.parent / parts.path)) if parts.path else path
            if target not in site or (parts.fragment and unquote(parts.fragment) not in site[target].anchors):
                broken.append(f"{path}: {link}")
    assert not broken
    assert sum(len(page.links) for page in site.values()) > 400


@pytest.mark.slow
def test_the_api_pages_have_what_the_documentation_imports(site):
    code = "\n".join("\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)) for page in PAGES)
    missing = []
    for module, names in re.findall(r"^from (get3d[\w.]*) import (.+)$", code, flags=re.MULTILINE):
        page = site.get(Path(module.replace(".", "/") + ".html"))
        missing += [f"{module}.{name}" for name in names.split(", ") if page is None or name not in page.anchors]
    assert not missing
    assert {"Generator.render", "load"} <= site[Path("get3d.html")].anchors
    private = {anchor for page in site.values() for anchor in page.anchors if re.search(r"(^|\.)_(?!_init__)", anchor)}
    assert not private


@pytest.mark.slow
@pytest.mark.parametrize("package", ["get3d", "get3d.checkpoints", "get3d.metrics", "get3d.networks"])
def test_every_public_name_of_a_package_can_be_imported(package):
    code = f"import {package} as room; print(*[name for name in room.__all__ if not hasattr(room, name)])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
