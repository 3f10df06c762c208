from __future__ import annotations

import io
from pathlib import Path

import pytest

from xmpp_server.cli import main


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def account(*arguments: str) -> int:
    return main(["account", *arguments, "--data", "d"])


def test_accounts_are_made_listed_disabled_enabled_and_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    assert account("create", "Ann@localhost", "--generate") == 0
    made, password = capsys.readouterr().out.splitlines()
    assert made == "ann@localhost is made."
    assert len(password.removeprefix("Password: ")) == 20
    assert account("disable", "ann@localhost") == 0
    capsys.readouterr()
    assert account("list") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[0::4] == ["ann@localhost", "disabled"]
    assert account("enable", "ann@localhost") == 0
    assert account("list", "--domain", "localhost") == 0
    assert "disabled" not in capsys.readouterr().out
    assert account("delete", "ann@localhost", "--yes") == 0
    assert account("list") == 0
    assert "ann" not in capsys.readouterr().out.splitlines()[-1]


def test_what_kind_an_account_is_and_how_long_it_is_archived_can_be_chosen_and_is_listed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[modules.archive]\nkinds = { bot = 7 }")
    assert account("create", "ann@localhost", "--generate") == 0
    assert account("kind", "ann@localhost", "bot") == 1
    assert "does not name bot: there are none" in capsys.readouterr().err
    assert account("kind", "ann@localhost", "bot", "--config", str(file)) == 0
    assert account("archive-days", "ann@localhost", "90") == 0
    assert account("list") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("never             bot  archive: 90 days")
    assert account("kind", "ann@localhost", "none") == 0
    assert account("archive-days", "ann@localhost", "default") == 0
    assert account("list") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("never")
    assert account("archive-days", "bob@localhost", "1") == 1
    for action, value in (("archive-days", "-1"), ("archive-days", "1.5"), ("archive-days", "9" * 6), ("kind", "a b")):
        with pytest.raises(SystemExit):
            account(action, "ann@localhost", value)


def test_a_password_is_read_from_one_line_of_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("geheim \nmore\n"))
    asked: list[str] = []
    monkeypatch.setattr(
        "xmpp_server.cli.account.make_verifiers", lambda password, iterations: asked.append(password) or {}
    )
    assert account("create", "ann@localhost", "--password-stdin") == 0
    assert asked == ["geheim "]


def test_a_password_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter(["one", "two", "one", "one"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    assert account("create", "ann@localhost") == 1
    assert "differ" in capsys.readouterr().err
    assert account("create", "ann@localhost") == 0


def test_an_empty_password_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert account("create", "ann@localhost", "--password-stdin") == 1
    assert capsys.readouterr().err == "xmpp-server: the password is refused: empty or too long\n"


def test_no_command_takes_a_password_as_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("create", "password"):
        with pytest.raises(SystemExit):
            account(action, "ann@localhost", "geheim")
        with pytest.raises(SystemExit):
            account(action, "ann@localhost", "--password", "geheim")


def test_a_host_that_the_server_was_started_with_is_known_by_its_accounts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`serve --domain chat.example --admin admin`, and the configuration names no host"""
    file = tmp_path / "a.toml"
    file.write_text("[hosts.'chat.example']")
    assert account("create", "admin@chat.example", "--generate", "--config", str(file)) == 0
    assert account("create", "ann@CHAT.example", "--generate") == 0
    assert account("invite", "chat.example") == 0
    assert "https://chat.example:5281/invite/" in capsys.readouterr().out
    assert account("create", "ann@localhost", "--generate") == 0
    capsys.readouterr()
    assert account("list") == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == ["ACCOUNT", "admin@chat.example", "ann@chat.example", "ann@localhost"]
    assert account("create", "ann@chat.exampel", "--generate") == 1


def test_what_cannot_be_done_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    account("create", "ann@localhost", "--generate")
    capsys.readouterr()
    for arguments, text in (
        (("create", "ann@localhost", "--generate"), "ann@localhost exists"),
        (
            ("create", "ann@elsewhere.example", "--generate"),
            "elsewhere.example is not served; the hosts are: localhost",
        ),
        (("create", "ann", "--generate"), "expected an address such as ann@localhost, got ann"),
        (("create", f"{'n' * 256}@localhost", "--generate"), "a name has at most 255 octets"),
        (("password", "bob@localhost", "--generate"), "bob@localhost does not exist"),
        (("disable", "bob@localhost"), "bob@localhost does not exist"),
        (("delete", "bob@localhost", "--yes"), "bob@localhost does not exist"),
    ):
        assert account(*arguments) == 1
        assert capsys.readouterr().err == f"xmpp-server: {text}\n"


def test_an_account_is_deleted_only_when_its_address_is_written_once_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account("create", "ann@localhost", "--generate")
    monkeypatch.setattr("builtins.input", lambda prompt: "yes")
    assert account("delete", "ann@localhost") == 1
    monkeypatch.setattr("builtins.input", lambda prompt: "ann@localhost")
    assert account("delete", "ann@localhost") == 0


def test_check_config_reports_mistakes_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    Path("good.toml").write_text('[hosts."a.example"]')
    assert main(["check-config", "--config", "good.toml"]) == 0
    assert capsys.readouterr().out == "good.toml: no mistake; serves a.example\n"
    Path("bad.toml").write_text("[limits]\ndepth = 0\nbreadth = 1")
    assert main(["check-config", "--config", "bad.toml"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_without_a_config_argument_the_local_file_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config").mkdir()
    Path("config/local.toml").write_text('[hosts."a.example"]')
    assert main(["check-config"]) == 0
    assert "config/local.toml: no mistake; serves a.example" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--listen", "here"], ["--domain", "ann@localhost"], ["--port", "x"]]
)
def test_wrong_arguments_say_what_was_expected(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["serve", *arguments])
    assert stopped.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_explain_shows_hooks_routes_and_the_configuration_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.toml").write_text('[database]\nurl = "postgresql://u:geheim@h/n"\n[hosts."a.example"]')
    assert main(["explain", "hooks", "--config", "a.toml"]) == 0
    assert "a.example\n  message_out\n" in capsys.readouterr().out
    assert main(["explain", "routes", "--config", "a.toml"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "local"
    assert main(["explain", "config", "--config", "a.toml"]) == 0
    shown = capsys.readouterr().out
    assert 'url = "postgresql://…@h/n"' in shown
    assert "geheim" not in shown
    assert '[hosts."a.example"]' in shown


def test_an_invitation_is_printed_as_links(capsys: pytest.CaptureFixture[str]) -> None:
    assert account("invite", "localhost") == 0
    browser, app, until = capsys.readouterr().out.splitlines()
    token = app.rpartition("preauth=")[2]
    assert len(token) == 24
    assert browser.split() == ["In", "a", "browser:", f"https://localhost:5281/invite/{token}"]
    assert app.split()[-1] == f"xmpp:localhost?register;preauth={token}"
    assert until.endswith(" UTC")
    assert account("invite", "ann@localhost", "--days", "1") == 0
    assert "xmpp:ann@localhost?register;preauth=" in capsys.readouterr().out


def test_an_invitation_may_come_from_somebody(capsys: pytest.CaptureFixture[str]) -> None:
    assert account("create", "ann@localhost", "--generate") == 0
    assert account("invite", "localhost", "--contact", "ann@localhost", "--uses", "3") == 0
    app = capsys.readouterr().out.splitlines()[-2]
    assert app.split()[-1].startswith("xmpp:ann@localhost?roster;preauth=")
    assert app.endswith(";ibr=y")


def test_whom_nobody_can_invite_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    account("create", "ann@localhost", "--generate")
    account("invite", "bob@localhost")
    capsys.readouterr()
    for arguments, text in (
        (("ann@localhost",), "ann@localhost exists"),
        (("bob@localhost",), "somebody is invited as bob@localhost"),
        (("ben@localhost", "--uses", "2"), "only one can be ben@localhost"),
        (("localhost", "--contact", "ben@localhost"), "ben@localhost does not exist"),
        (("elsewhere.example",), "elsewhere.example is not served; the hosts are: localhost"),
        (("ann@localhost/x",), "expected an address such as ann@localhost, got ann@localhost/x"),
    ):
        assert account("invite", *arguments) == 1
        assert capsys.readouterr().err == f"xmpp-server: {text}\n"
