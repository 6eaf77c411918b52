"""Pages as they are written: their fenced blocks, the text between them, links and anchors. Runs nothing.

What may stand behind the three backticks of a block:

    sh                 run, in order, in the page's own empty directory (shell.py)
    sh server          the same, but its command stays up until the page ends: "in another terminal"
    sh skip=REASON     not run, since it needs what no test has (REASONS); its bearerd commands are still looked at
    text output        what the block before it prints, line by line; … stands for anything
    toml               a whole configuration: `bearerd check` accepts it, with secrets made up
    toml file=NAME     the same, and the blocks of the page find it in their directory by that name
    toml fragment      a piece of one: every key is known and every value is one that it takes
    toml … otel        the same, where the binary was built without traces: that alone may be against it
    yaml, json         can be parsed
    others of PLAIN    only looked at by people
"""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]

REASONS = {
    "build": "compiles something, or needs a checkout",
    "docker": "needs Docker",
    "helm": "needs Helm and a cluster",
    "host": "changes the machine: sudo, systemctl, packages",
    "java": "needs a JDK and the reader's own program",
    "kubectl": "needs a cluster",
    "long": "takes minutes",
    "network": "needs a real API or authorization server",
}
CHECKED = {"sh", "toml", "yaml", "json"}
PLAIN = {"text", "ini", "java", "http", "dockerfile", "promql"}


@dataclasses.dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    def value(self, name):
        """What stands behind NAME= in its first line."""
        return next((word.split("=", 1)[1] for word in self.words if word.startswith(name + "=")), None)

    @property
    def where(self):
        return f"{self.page}:{self.line}"


class Page:
    def __init__(self, path, text):
        self.path = path
        self.name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
        self.text = text
        self.blocks, self.prose = _split(self.name, text)

    def anchors(self):
        """What a link to this page may have behind its #, as GitHub makes it of headings."""
        found, seen = set(re.findall(r'<a id="([^"]+)">', self.prose)), {}
        for heading in re.findall(r"^#{1,6} +(.+?) *#*$", self.prose, re.M):
            shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
            slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            number = seen.get(slug, 0)
            seen[slug] = number + 1
            found.add(f"{slug}-{number}" if number else slug)
        return found

    def links(self):
        """(line, target) of every link in the text."""
        for number, line in enumerate(self.prose.splitlines(), 1):
            bare = re.sub(r"`[^`]*`", lambda code: "x" * len(code.group()), line)
            for match in re.finditer(r"\]\(([^)\s]+)\)", bare):
                yield number, line[match.start(1) : match.end(1)]

    def code_spans(self):
        """(line, text) of what stands between single backticks."""
        for number, line in enumerate(self.prose.splitlines(), 1):
            for span in re.findall(r"`([^`]+)`", line):
                yield number, span


def read(path):
    return Page(path, path.read_text())


def all_pages():
    return [read(ROOT / "README.md"), *(read(path) for path in sorted((ROOT / "docs").rglob("*.md")))]


def mistakes_of_form(page):
    """Blocks whose first line says what nobody understands."""
    for block in page.blocks:
        allowed = {"sh": {"server"}, "toml": {"fragment", "otel"}, "text": {"output"}}.get(block.language, set())
        if block.language not in CHECKED | PLAIN:
            yield f"{block.where}: unknown kind of block {block.language!r}"
        for word in block.words:
            reason = block.value("skip") if block.language == "sh" else None
            if word in allowed or (block.language == "toml" and word.startswith("file=")) or reason in REASONS:
                continue
            yield f"{block.where}: nobody understands {word!r} behind {block.language!r}"


def broken_links(page, pending=frozenset()):
    """Relative links that lead nowhere; those of the wide web are not asked."""
    for line, target in page.links():
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        other = (page.path.parent / file).resolve() if file else page.path
        if other.is_relative_to(ROOT) and str(other.relative_to(ROOT)) in pending:
            continue
        if other != page.path and not other.exists():
            yield f"{page.name}:{line}: {target}: there is no such file"
        elif anchor and other.suffix == ".md" and anchor not in (page if other == page.path else read(other)).anchors():
            yield f"{page.name}:{line}: {target}: there is no such heading"


def _split(name, text):
    """The blocks, and the text with them blanked out, so that lines keep their numbers."""
    blocks, prose, inside = [], [], None
    for number, line in enumerate(text.splitlines(), 1):
        fence = re.match(r"^( *)```(.*)$", line)
        if inside is None and fence:
            kind, *words = fence[2].split() or [""]
            inside = (number, kind, tuple(words), len(fence[1]), [])
            line = ""
        elif inside and fence and not fence[2].strip():
            start, kind, words, _, body = inside
            blocks.append(Block(name, start, kind, words, "\n".join(body) + "\n"))
            inside, line = None, ""
        elif inside:
            inside[4].append(line[inside[3] :])
            line = ""
        prose.append(line)
    if inside:
        raise ValueError(f"{name}:{inside[0]}: this block never ends")
    return blocks, "\n".join(prose)
