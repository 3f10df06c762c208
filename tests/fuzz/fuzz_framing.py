"""Coverage-guided fuzzing of the framer.

    python -m tests.fuzz.fuzz_framing -max_total_time=60

Further arguments are libFuzzer's. The project's corpus is read; new inputs go to the folder that is given, or to
`build/fuzz`, as does the input of a failure. `--plant NAME` puts a bug in, to see that it is found
(`tests/fuzz/planted.py`).

An input's first byte chooses the stream header, the next three where the stream is cut; the rest follows the header.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from xml.parsers import expat

import atheris

with atheris.instrument_imports(include=["xmpp_server.stream", "xmpp_server.protocol"]):
    from xmpp_server.stream import scanner
    from xmpp_server.stream.framing import Limits

from tests.fuzz.judge import judge
from tests.fuzz.mutants import HEADERS, SEEDS, TOKENS

CORPUS = Path(__file__).parent / "corpus" / "framing"
FOUND = Path("build/fuzz")
DICTIONARY = Path(__file__).parent / "framing.dict"


def one_input(data: bytes) -> None:
    """Judge one input."""
    if len(data) < 4:
        return
    header = [*HEADERS, b""][data[0] % (len(HEADERS) + 1)]
    stream = header + data[4:]
    cuts = sorted(at * len(stream) // 256 for at in data[1:4])
    judge(stream, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)])


def _processing_instructions_pass() -> None:
    forbid = scanner.forbid

    def lenient(parser: expat.XMLParserType) -> None:
        forbid(parser)
        parser.ProcessingInstructionHandler = None

    scanner.forbid = lenient


def _no_depth_is_too_deep() -> None:
    scan = scanner.Scanner.scan

    def lenient(self: scanner.Scanner, data: bytes, limits: Limits, lang: str) -> bytes:
        return scan(self, data, Limits(limits.max_bytes, 1_000_000, limits.max_attributes), lang)

    scanner.Scanner.scan = lenient  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    "processing-instructions": _processing_instructions_pass,
    "depth": _no_depth_is_too_deep,
}


def write_corpus() -> None:
    """Write the inputs to begin with, and the tokens that are put into them."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS):
        for header in (number % len(HEADERS), 0):
            (CORPUS / f"{number:02}-{header}").write_bytes(bytes((header, 60, 120, 200)) + seed)
    (CORPUS / "header").write_bytes(bytes((len(HEADERS), 60, 120, 200)) + HEADERS[0] + SEEDS[2])
    lines = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS)
    DICTIONARY.write_text("".join(f'"{line}"\n' for line in lines))


def main() -> None:
    """Fuzz until an input is found or the time is over."""
    arguments = sys.argv[1:]
    if arguments == ["--write-corpus"]:
        write_corpus()
        return
    if "--plant" in arguments:
        at = arguments.index("--plant")
        PLANTS[arguments[at + 1]]()
        del arguments[at : at + 2]
    if all(argument.startswith("-") for argument in arguments):
        FOUND.mkdir(parents=True, exist_ok=True)
        arguments += [str(FOUND), f"-artifact_prefix={FOUND}/"]
    arguments += [f"-dict={DICTIONARY}", "-max_len=1024", "-timeout=10", str(CORPUS)]
    atheris.Setup([sys.argv[0], *arguments], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
