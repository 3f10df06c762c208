from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from xmpp_server.config import Change, Config, ConfigError, Mistake, Overrides, changes, load
from xmpp_server.module import Module
from xmpp_server.port import Component, ComponentOptions


class EchoOptions(msgspec.Struct, frozen=True):
    loud: bool = False
    times: int = 1


class Echo(Module):
    name = "echo"
    Options = EchoOptions


class Core(Module):
    name = "core"
    optional = False


class RoomsOptions(ComponentOptions):
    subdomain: str = "rooms"
    most: int = 5


class Rooms(Component):
    name = "rooms"
    title = "Rooms"
    Options = RoomsOptions


KNOWN: dict[str, type[Module]] = {"echo": Echo, "core": Core}
COMPONENTS: dict[str, type[Component]] = {"rooms": Rooms}


def read(tmp_path: Path, text: str, overrides: Overrides | None = None) -> Config:
    file = tmp_path / "server.toml"
    file.write_text(text)
    return load(file, KNOWN, overrides, COMPONENTS)


def mistakes(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return {mistake.key: mistake.text for mistake in caught.value.mistakes}


def test_without_a_file_the_server_serves_localhost_on_loopback() -> None:
    config = load(None, KNOWN)
    assert list(config.hosts) == ["localhost"]
    assert config.options.listen.addresses == ("127.0.0.1", "::1")
    assert (config.options.listen.c2s.port, config.options.listen.direct_tls.port) == (5222, 5223)


def test_every_mistake_of_a_file_is_reported_at_once_with_file_key_and_what_was_expected(tmp_path: Path) -> None:
    text = """
        colour = "red"
        [server]
        data = 5
        [limits]
        depth = "deep"
        attributes = 1
        stanza_byte = 20000
        [log]
        level = "loud"
        [listen]
        addresses = ["127.0.0.1", "here"]
        c2s.port = 70000
        [hosts."a.example"]
        certificate = "a.crt"
    """
    assert mistakes(tmp_path, text) == {
        "colour": (
            "unknown option, expected one of: "
            "components, database, hosts, http, limits, listen, log, modules, outside, sasl, server, tls"
        ),
        "server.data": "expected text, got 5",
        "limits.depth": 'expected a whole number from 8 to 250, got "deep"',
        "limits.attributes": "expected a whole number, 16 or more, got 1",
        "limits.stanza_byte": "unknown option, did you mean stanza_bytes?",
        "log.level": 'expected "debug" or "info" or "warning" or "error", got "loud"',
        "listen.addresses": "expected IP addresses, got 'here'",
        "listen.c2s.port": "expected a whole number from 0 to 65535, got 70000",
        'hosts."a.example".certificate': "expected together with key",
    }


@pytest.mark.parametrize(
    ("paths", "option", "expected"),
    [
        ("bosh = '/a'\nwebsocket = '/a'", "bosh", "expected another path than that of websocket, got '/a'"),
        ("bosh = '/xmpp-websocket'", "bosh", "expected another path than that of websocket, got '/xmpp-websocket'"),
        (
            "websocket = '/.well-known/host-meta'",
            "websocket",
            "expected a path outside of /.well-known/, got '/.well-known/host-meta'",
        ),
    ],
)
def test_two_things_at_one_path_are_a_mistake(tmp_path: Path, paths: str, option: str, expected: str) -> None:
    assert mistakes(tmp_path, f"[http]\n{paths}") == {f"http.{option}": expected}


def test_nothing_is_served_at_no_path(tmp_path: Path) -> None:
    options = read(tmp_path, "[http]\nbosh = ''\nwebsocket = ''").options.http
    assert (options.bosh, options.websocket) == ("", "")


def test_a_mistake_is_printed_after_the_name_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "[sasl]\niterations = 4096")
    assert str(caught.value) == (
        f"{tmp_path}/server.toml: sasl.iterations: expected a whole number, 10000 or more, got 4096"
    )


def test_a_syntax_error_is_reported_with_its_line(tmp_path: Path) -> None:
    assert "line 2" in mistakes(tmp_path, "[log]\nlevel = \n")[""]


def test_a_file_that_is_absent_or_no_utf_8_is_a_mistake_like_others(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml", KNOWN)
    (tmp_path / "latin.toml").write_bytes(b'[server]\ndata = "\xe9"')
    with pytest.raises(ConfigError, match="expected UTF-8"):
        load(tmp_path / "latin.toml", KNOWN)


def test_a_section_in_the_place_of_an_option_and_the_reverse_are_mistakes(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "log = 3\n[server.data]\nx = 1") == {
        "log": "expected a section, got 3",
        "server.data": "expected text, got a section",
    }
    assert mistakes(tmp_path, "hosts = 3") == {"hosts": "expected a section, each value of it a section, got 3"}
    assert mistakes(tmp_path, "listen = 3\nhosts.localhost = 4") == {
        "listen": "expected a section, got 3",
        "hosts.localhost": "expected a section, got 4",
    }


def test_the_text_of_a_refused_database_url_is_not_repeated_since_it_may_hold_a_password(tmp_path: Path) -> None:
    found = mistakes(tmp_path, '[database]\nurl = "mysql://user:geheim@host/name"')
    assert found == {"database.url": "expected sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"}


def test_a_hosts_section_changes_options_of_modules_for_this_host_alone(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        [modules.echo]
        times = 2
        [hosts."a.example".modules.echo]
        loud = true
        [hosts."b.example".modules.echo]
        enabled = false
        """,
    )
    assert config.hosts["a.example"].modules["echo"].options == EchoOptions(loud=True, times=2)
    assert config.hosts["b.example"].modules["echo"].options == EchoOptions(loud=False, times=2)
    assert [host.modules["echo"].enabled for host in config.hosts.values()] == [True, False]
    assert all(host.modules["core"].enabled for host in config.hosts.values())


def test_mistakes_in_modules_are_reported_where_they_stand(tmp_path: Path) -> None:
    text = """
        [modules.ecko]
        [modules.core]
        enabled = false
        [modules.echo]
        enabled = "yes"
        times = "often"
        [hosts."a.example".modules]
        core = 1
        echo.lout = true
    """
    assert mistakes(tmp_path, text) == {
        "modules.ecko": "unknown module, did you mean echo?",
        "modules.core.enabled": "this module cannot be disabled",
        "modules.echo.enabled": 'expected true or false, got "yes"',
        "modules.echo.times": 'expected a whole number, got "often"',
        'hosts."a.example".modules.core': "expected a section, got 1",
        'hosts."a.example".modules.echo.lout': "unknown option, did you mean loud?",
    }


def test_a_host_is_a_domain_and_stands_once(tmp_path: Path) -> None:
    assert mistakes(tmp_path, '[hosts."user@a.example"]\n[hosts."b.example"]\n[hosts."B.example"]') == {
        'hosts."user@a.example"': 'expected a domain, got "user@a.example"',
        'hosts."B.example"': "the host b.example stands twice",
    }


def test_names_of_admins_are_completed_by_their_host(tmp_path: Path) -> None:
    config = read(tmp_path, '[hosts."a.example"]\nadmins = ["ann", "bob@b.example"]')
    assert config.hosts["a.example"].admins == ("ann@a.example", "bob@b.example")


def test_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    overrides = Overrides(
        data="/srv/other", domain="c.example", addresses=("::",), port=5333, direct_tls_port=0, admin="ann"
    )
    config = read(tmp_path, '[server]\ndata = "here"\n[listen.c2s]\nport = 1\n[hosts."a.example"]', overrides)
    assert config.data == Path("/srv/other")
    assert list(config.hosts) == ["a.example", "c.example"]
    assert config.hosts["c.example"].admins == ("ann@c.example",)
    listen = config.options.listen
    assert (listen.addresses, listen.c2s.port, listen.direct_tls.port) == (("::",), 5333, 0)


def test_relative_paths_start_where_the_documentation_says(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        f"""
        [server]
        data = "{tmp_path}/d"
        [database]
        url = "sqlite:///x/y.sqlite"
        [hosts."a.example"]
        [hosts."b.example"]
        certificate = "b.pem"
        key = "/etc/b.key"
        """,
    )
    assert config.database_url == f"sqlite:///{tmp_path}/d/x/y.sqlite"
    assert config.certificate_files("a.example") == (
        tmp_path / "d/certificates/a.example.crt",
        tmp_path / "d/certificates/a.example.key",
    )
    assert config.certificate_files("b.example") == (tmp_path / "d/b.pem", Path("/etc/b.key"))
    assert load(None, KNOWN).data == Path.cwd() / "data"


def test_absolute_paths_and_other_databases_stay_as_they_are(tmp_path: Path) -> None:
    assert read(tmp_path, '[database]\nurl = "sqlite:////var/x.sqlite"').database_url == "sqlite:////var/x.sqlite"
    assert read(tmp_path, '[database]\nurl = "postgresql://u@h/n"').database_url == "postgresql://u@h/n"


def test_a_reload_reads_the_same_file_with_the_same_overrides(tmp_path: Path) -> None:
    config = read(tmp_path, "[limits]\ndepth = 50", Overrides(port=5333))
    (tmp_path / "server.toml").write_text("[limits]\ndepth = 60")
    again = config.again()
    assert (again.options.limits.depth, again.options.listen.c2s.port) == (60, 5333)
    assert changes(config, again).live == (Change("limits.depth", 50, 60),)
    (tmp_path / "server.toml").write_text("[limits]\ndepth = 0")
    with pytest.raises(ConfigError):
        config.again()


def test_changes_tell_what_applies_live_and_what_waits_for_a_restart(tmp_path: Path) -> None:
    old = read(tmp_path, '[modules.echo]\ntimes = 1\n[hosts."a.example"]\n[hosts."b.example"]')
    assert not changes(old, old)
    new = read(
        tmp_path,
        """
        [log]
        level = "debug"
        [listen.c2s]
        port = 5333
        [listen.direct_tls]
        enabled = false
        [server]
        data = "elsewhere"
        [modules.echo]
        times = 3
        [hosts."a.example"]
        certificate = "a.crt"
        key = "a.key"
        [hosts."c.example"]
        """,
    )
    found = changes(old, new)
    assert [change.key for change in found.live] == [
        'hosts."a.example".certificate',
        'hosts."a.example".key',
        'hosts."a.example".modules.echo.options.times',
        "log.level",
    ]
    assert [change.key for change in found.restart] == ["listen.c2s.port", "listen.direct_tls.enabled", "server.data"]
    assert (found.hosts_added, found.hosts_removed) == (("c.example",), ("b.example",))


def test_a_mistake_of_the_file_as_a_whole_has_no_key() -> None:
    assert str(Mistake("", "cannot be read")) == "cannot be read"


def test_components_have_options_for_all_hosts_and_for_one(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        [components.rooms]
        most = 7
        [hosts."a.example".components.rooms]
        subdomain = "chat"
        [hosts."b.example".components.rooms]
        enabled = false
        """,
    )
    assert config.hosts["a.example"].components["rooms"].options == RoomsOptions(subdomain="chat", most=7)
    assert not config.hosts["b.example"].components["rooms"].enabled


def test_the_domain_of_a_component_is_a_domain_and_nobody_elses(tmp_path: Path) -> None:
    taken = '[hosts."a.example"]\n[hosts."rooms.a.example".components.rooms]\nenabled = false'
    assert mistakes(tmp_path, taken) == {
        "components.rooms.subdomain": "rooms.a.example is the domain of the host already"
    }
    assert (
        "expected a domain" in mistakes(tmp_path, "[components.rooms]\nsubdomain = 'a@b'")["components.rooms.subdomain"]
    )
    assert mistakes(tmp_path, "[components.romms]") == {"components.romms": "unknown component, did you mean rooms?"}


def test_a_component_outside_has_a_secret_and_a_domain_of_its_own(tmp_path: Path) -> None:
    text = """
        [outside."irc.localhost"]
        secret = "short"
        [outside."a@b"]
        secret = "fair is foul, and foul is fair"
    """
    assert mistakes(tmp_path, text) == {
        'outside."irc.localhost".secret': "expected 16 characters at least",
        'outside."a@b"': 'expected a domain, got "a@b"',
    }
    text = """
        [hosts."localhost"]
        [outside."localhost"]
        secret = "fair is foul, and foul is fair"
    """
    assert mistakes(tmp_path, text) == {"outside.localhost": "this is the domain of the host already"}
