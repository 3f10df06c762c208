"""The example file and the lists that are made from the code."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from components import all_components
from xmpp_server.config import Config, load
from xmpp_server.config.reference import sections
from xmpp_server.modules import all_modules

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config/xmpp-server.toml"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def read(file: Path | None) -> Config:
    return load(file, all_modules(), components=all_components())


def test_the_example_file_loads_to_the_defaults() -> None:
    example, defaults = read(EXAMPLE), read(None)
    assert example.hosts == defaults.hosts
    for section in ("server", "log", "database", "listen", "tls", "limits", "sasl"):
        assert getattr(example.options, section) == getattr(defaults.options, section)


def test_the_example_file_loads_to_the_defaults_with_every_option_taken_out_of_its_comment(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    text = re.sub(r"^#(?=[\w\[])", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    file.write_text(text.replace('secret = ""', 'secret = "0123456789abcdef"'))  # which has to be chosen
    everything, defaults = read(file), read(None)
    assert everything.hosts["chat.example"] == defaults.hosts["localhost"]
    assert everything.options.limits == defaults.options.limits
    table = tomllib.loads(file.read_text())
    for section in sections(all_modules(), all_components()):
        here = table
        for key in re.findall(r'"[^"]+"|[^.]+', section.path) if section.options else ():
            here = here[key.strip('"')]
        assert {option.key for option in section.options} <= here.keys() or not section.options


def test_every_option_says_what_it_is_for() -> None:
    silent = [
        f"{section.path}.{option.key}"
        for section in sections(all_modules(), all_components())
        for option in section.options
        if not option.text
    ]
    assert silent == []


def test_what_needs_a_restart_is_told() -> None:
    restart = {
        f"{section.path}.{option.key}" for section in sections({}, {}) for option in section.options if option.restart
    }
    assert restart == {
        "server.data",
        "database.url",
        "listen.addresses",
        "http.websocket",
        "http.bosh",
        *(
            f"listen.{kind}.{key}"
            for kind in ("c2s", "components", "direct_tls", "http", "https")
            for key in ("enabled", "port", "addresses")
        ),
    }


def test_the_list_of_extensions_is_taken_from_the_ends_of_docstrings(generate: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "components").mkdir()
    modules = tmp_path / "xmpp_server/modules"
    modules.mkdir(parents=True)
    (modules / "a.py").write_text('"""A.\n\nXEP: 0280 (1.0.1) complete\nXEP: 0191 (1.3) partial: no <unblock/>\n"""')
    (modules / "b.py").write_text('"""B.\n\nXEP: 0191 (1.3) complete\n"""')
    found = {entry.number: entry for entry in generate.implementations(tmp_path)}
    assert list(found) == ["0191", "0280"]
    assert (found["0191"].status, found["0191"].notes) == ("partial", ("no <unblock/>",))
    assert found["0191"].files == ("xmpp_server/modules/a.py", "xmpp_server/modules/b.py")


@pytest.mark.parametrize("line", ["XEP: 280 (1.0.1) complete", "XEP: 0280 complete", "XEP: 0280 (1.0.1) done"])
def test_a_line_in_another_form_is_refused(generate: ModuleType, tmp_path: Path, line: str) -> None:
    (tmp_path / "xmpp_server").mkdir()
    (tmp_path / "components").mkdir()
    (tmp_path / "xmpp_server/a.py").write_text(f'"""A.\n\n{line}\n"""')
    with pytest.raises(SystemExit, match="expected `XEP: 0280"):
        generate.implementations(tmp_path)
