"""Writes the documentation that is taken from the code; `--check` writes nothing and fails where it is out of date.

What a feature implements stands at the end of its file's docstring, `XEP: 0280 (1.0.1) complete`, with a note after it
if there is more to say; what an option is for stands below the option.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from components import all_components
from xmpp_server import __version__
from xmpp_server.config.reference import EXAMPLE_DOMAIN, Option, sections
from xmpp_server.modules import all_modules
from xmpp_server.stream import states

ROOT = Path(__file__).resolve().parent.parent
LINE = re.compile(r"^XEP: (\d{4}) \((\d+(?:\.\d+)*)\) (complete|partial)(?:[:,;.]? (.+))?$", re.MULTILINE)
RFCS = (6120, 6121, 7590, 7622)
EXAMPLE_HEAD = """\
Every option of the server, with its default. To change some, copy the file and take away the # in front of them;
`make run` takes `config/local.toml`. `xmpp-server check-config` tells whether all is right, and on SIGHUP the
server takes most changes without a restart.

Written by `make docs`."""
CONFIGURATION_HEAD = f"""\
# Configuration

One TOML file: what `--config` names, or else `config/local.toml`, if there is one. `config/xmpp-server.toml` is an
example with every option.

`xmpp-server check-config` reports every mistake with its key and what was expected, `xmpp-server explain config`
shows what is in force. On SIGHUP the server reads the file and the certificates once more; a file with a mistake
changes nothing. What needs a restart is marked with ↻. Options of a module can be changed for one host, in
`[hosts."{EXAMPLE_DOMAIN}".modules.NAME]`.

Written by `make docs`.
"""


@dataclass(frozen=True, slots=True)
class Implementation:
    """What the code says of one XEP: all files of it say the same version; it is complete if none calls it partial."""

    number: str
    version: str
    status: str
    notes: tuple[str, ...]
    files: tuple[str, ...]


def implementations(root: Path = ROOT) -> list[Implementation]:
    """All XEPs that docstrings name, by number."""
    found: dict[str, Implementation] = {}
    for path in sorted([*(root / "xmpp_server").rglob("*.py"), *(root / "components").rglob("*.py")]):
        file = path.relative_to(root).as_posix()
        for number, version, status, note in _lines(file, ast.get_docstring(ast.parse(path.read_text())) or ""):
            entry = found.setdefault(number, Implementation(number, version, status, (), ()))
            if entry.version != version:
                raise SystemExit(f"{file}: version {version} of XEP-{number}, but {entry.version} in {entry.files[0]}")
            found[number] = replace(
                entry,
                status="partial" if "partial" in (entry.status, status) else "complete",
                notes=(*entry.notes, note) if note else entry.notes,
                files=(*entry.files, file),
            )
    return [found[number] for number in sorted(found)]


def _lines(file: str, docstring: str) -> list[tuple[str, str, str, str]]:
    for line in docstring.splitlines():
        if line.startswith("XEP:") and not LINE.match(line):
            raise SystemExit(f"{file}: expected `XEP: 0280 (1.0.1) complete`, got `{line}`")
    return LINE.findall(docstring)


def xeps() -> str:
    """docs/xeps.md"""
    lines = [
        "# Extensions",
        "",
        "Written by `make docs` from what stands at the end of each feature's file.",
        "",
        "| XEP | version | status | where |",
        "|---|---|---|---|",
    ]
    for entry in implementations():
        link = f"[{entry.number}](https://xmpp.org/extensions/xep-{entry.number}.html)"
        status = ": ".join((entry.status, *filter(None, ["; ".join(entry.notes)])))
        files = ", ".join(f"[{file}](../{file})" for file in entry.files)
        lines.append(f"| {link} | {entry.version} | {status} | {files} |")
    return "\n".join(lines) + "\n"


def doap() -> str:
    """docs/doap.xml, in the form of XEP-0453"""
    lines = [
        "<?xml version='1.0' encoding='UTF-8'?>",
        "<!-- Written by `make docs`. -->",
        "<rdf:RDF xmlns='http://usefulinc.com/ns/doap#' xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'"
        " xmlns:xmpp='https://linkmauve.fr/ns/xmpp-doap#'>",
        "  <Project>",
        "    <name>xmpp-server</name>",
        "    <shortdesc xml:lang='en'>A messenger for everybody's own server, on open standards</shortdesc>",
        "    <programming-language>Python</programming-language>",
        "    <category rdf:resource='https://linkmauve.fr/ns/xmpp-doap#category-server'/>",
        f"    <release><Version><revision>{__version__}</revision></Version></release>",
    ]
    lines += [f"    <implements rdf:resource='https://xmpp.org/rfcs/rfc{rfc}.html'/>" for rfc in RFCS]
    for entry in implementations():
        resource = quoteattr(f"https://xmpp.org/extensions/xep-{entry.number}.html")
        note = [f"        <xmpp:note xml:lang='en'>{escape('; '.join(entry.notes))}</xmpp:note>"] if entry.notes else []
        lines += [
            "    <implements>",
            "      <xmpp:SupportedXep>",
            f"        <xmpp:xep rdf:resource={resource}/>",
            f"        <xmpp:version>{entry.version}</xmpp:version>",
            f"        <xmpp:status>{entry.status}</xmpp:status>",
            *note,
            "      </xmpp:SupportedXep>",
            "    </implements>",
        ]
    return "\n".join([*lines, "  </Project>", "</rdf:RDF>"]) + "\n"


def streams() -> str:
    """docs/streams.md: the diagram of a client's stream"""
    lines = [
        "# A client's stream",
        "",
        "Drawn by `make docs` from the tables in `xmpp_server/stream/states.py`. Arrows are what the client sends or,",
        "in parentheses, what the server answers for it; whatever stands at no arrow ends the stream with an error.",
        "From every state it can be closed.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> OPENING",
    ]
    lines += [f"    {state.name}: {state.name}, {state.value}" for state in states.State]
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, inputs in states.TRANSITIONS.items():
        for name, (_, following) in inputs.items():
            for other in following:
                arrows.setdefault((state.name, other.name), []).append(name)
    for state, answers in states.ANSWERS.items():
        for name, following in answers.items():
            for other in following:
                arrows.setdefault((state.name, other.name), []).append(f"({name})")
    lines += [f"    {start} --> {end}: {', '.join(names)}" for (start, end), names in arrows.items()]
    return "\n".join([*lines, "    CLOSED --> [*]", "```"]) + "\n"


def example() -> str:
    """config/xmpp-server.toml: every option with its default, as a comment"""
    parts = [_comment(EXAMPLE_HEAD)]
    for section in sections(all_modules(), all_components()):
        if not section.options:
            continue
        # A section of the example domain stays a comment: it would make the server serve that domain.
        mark = "#" if EXAMPLE_DOMAIN in section.path else ""
        lines = [_comment(section.text), f"{mark}[{section.path}]"]
        for option in section.options:
            lines += [_comment(_described(option)), f"#{option.key} = {_toml(option.default)}", ""]
        parts.append("\n".join(lines).rstrip())
    return "\n\n\n".join(parts) + "\n"


def configuration() -> str:
    """docs/configuration.md"""
    parts = [CONFIGURATION_HEAD]
    for section in sections(all_modules(), all_components()):
        lines = [f"## `[{section.path}]`", "", section.text, ""]
        if section.options:
            lines += ["| option | expected | default | |", "|---|---|---|---|", *map(_row, section.options), ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _row(option: Option) -> str:
    mark = " ↻" if option.restart else ""
    return f"| `{option.key}`{mark} | {option.expected} | `{_toml(option.default)}` | {option.text} |"


def _described(option: Option) -> str:
    restart = " Needs a restart." if option.restart else ""
    return f"{option.text}{restart} Expected: {option.expected}."


def _comment(text: str) -> str:
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n#\n".join(textwrap.fill(part, 118, initial_indent="# ", subsequent_indent="# ") for part in paragraphs)


def _toml(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


FILES: dict[str, Callable[[], str]] = {
    "docs/xeps.md": xeps,
    "docs/doap.xml": doap,
    "docs/streams.md": streams,
    "docs/configuration.md": configuration,
    "config/xmpp-server.toml": example,
}


def stale() -> Iterator[tuple[Path, str]]:
    """The files that are not as they would be written, with what they would be."""
    for name, render in FILES.items():
        path = ROOT / name
        text = render()
        if not path.exists() or path.read_text() != text:
            yield path, text


def main() -> int:
    """The command: 1 if `--check` found something."""
    check = "--check" in sys.argv[1:]
    found = list(stale())
    for path, text in found:
        if check:
            print(f"{path.relative_to(ROOT)} is out of date: make docs", file=sys.stderr)
        else:
            path.write_text(text)
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
