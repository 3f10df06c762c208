"""XEP-0157: whom to turn to."""

from __future__ import annotations

from xmpp_server.protocol.disco import Info

from .conftest import MakeWorld
from .world import World

INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
CONTACTS = """
[modules.contact]
abuse = ["mailto:abuse@localhost", "xmpp:abuse@localhost"]
admin = ["mailto:admin@localhost", "xmpp:admin@localhost"]
status = ["gopher://status.localhost"]
"""


async def test_the_addresses_are_in_the_info_of_the_host(make_world: MakeWorld) -> None:
    """§4, example 2"""
    world = await make_world(CONTACTS)
    romeo = await world.login("romeo@localhost/orchard")
    romeo.send(f"<iq type='get' id='lx2' to='localhost'>{INFO}</iq>")
    answer = await romeo.receives("""
        <iq from='localhost' id='lx2' type='result'>
          <query xmlns='http://jabber.org/protocol/disco#info'>
            <x xmlns='jabber:x:data' type='result'>
              <field type='hidden' var='FORM_TYPE'>
                <value>http://jabber.org/network/serverinfo</value>
              </field>
              <field type='list-multi' var='abuse-addresses'>
                <value>mailto:abuse@localhost</value>
                <value>xmpp:abuse@localhost</value>
              </field>
              <field type='list-multi' var='admin-addresses'>
                <value>mailto:admin@localhost</value>
                <value>xmpp:admin@localhost</value>
              </field>
              <field type='list-multi' var='status-addresses'>
                <value>gopher://status.localhost</value>
              </field>
            </x>
          </query>
        </iq>""")
    (query,) = answer
    (form,) = Info.parse(query).forms
    assert form.get("sales-addresses") is None


async def test_without_addresses_there_is_no_form(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    (query,) = await romeo.request("get", INFO, "localhost")
    assert Info.parse(query).forms == ()


async def test_accounts_have_no_form(make_world: MakeWorld) -> None:
    world = await make_world(CONTACTS)
    romeo = await world.login("romeo@localhost/orchard")
    (query,) = await romeo.request("get", INFO)
    assert Info.parse(query).forms == ()


async def test_hosts_may_have_different_addresses(make_world: MakeWorld) -> None:
    own = '[hosts."capulet.example".modules.contact]\nabuse = ["mailto:nurse@capulet.example"]'
    world = await make_world(CONTACTS + own)
    juliet = await world.login("juliet@capulet.example/balcony")
    (query,) = await juliet.request("get", INFO, "capulet.example")
    (form,) = Info.parse(query).forms
    assert form.texts("abuse-addresses") == ["mailto:nurse@capulet.example"]
