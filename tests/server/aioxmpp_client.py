"""A client on aioxmpp, run by aioxmpp's own environment: a command is a line of JSON on standard input, an event is a
line of JSON on standard output. Ends with its input.

    python aioxmpp_client.py ADDRESS HOST PORT starttls|direct CERTIFICATE <<< '{"do": "password", "password": "..."}'
"""

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path

import aioxmpp
import dns.resolver
from aioxmpp.security_layer import CertificateVerifier, make
from OpenSSL import crypto


def tell(event, **values):
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


class Pinned(CertificateVerifier):
    """Takes this certificate and no other. (What aioxmpp has for names does not work with today's pyOpenSSL.)"""

    def __init__(self, certificate):
        super().__init__()
        self.certificate = crypto.load_certificate(crypto.FILETYPE_PEM, certificate)

    def verify_callback(self, connection, certificate, error, depth, ok):
        return certificate.digest("sha256") == self.certificate.digest("sha256")

    async def post_handshake(self, transport):
        pass


PAUSE = 0.1  # seconds until it tries to connect again


class Client:
    def __init__(self, address, host, port, tls, certificate, password):
        connectors = {
            "starttls": aioxmpp.connector.STARTTLSConnector,
            "direct": aioxmpp.connector.XMPPOverTLSConnector,
        }
        self.client = aioxmpp.PresenceManagedClient(
            aioxmpp.JID.fromstr(address),
            make(password)._replace(certificate_verifier_factory=lambda: Pinned(Path(certificate).read_bytes())),
            override_peer=[(host, int(port), connectors[tls]())],
            max_initial_attempts=1,
        )
        self.client.backoff_start = self.client.backoff_cap = timedelta(seconds=PAUSE)
        self.was_online = False
        self.said = []  # messages with what tells whether they were acknowledged
        self.ready = False  # whether what was not acknowledged before has its turn behind it
        self.client.on_stream_established.connect(self.say_again)
        self.client.on_stream_resumed.connect(self.on_resumed)
        self.client.on_stream_destroyed.connect(self.on_destroyed)
        summon = self.client.summon
        self.roster = summon(aioxmpp.RosterClient)
        self.blocking = summon(aioxmpp.BlockingClient)
        self.carbons = summon(aioxmpp.CarbonsClient)
        self.disco = summon(aioxmpp.DiscoClient)
        self.muc = summon(aioxmpp.MUCClient)
        self.rooms = {}
        self.receipts = summon(aioxmpp.DeliveryReceiptsService)
        presence = summon(aioxmpp.PresenceClient)
        messages = summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        messages.register_callback(None, None, self.on_message)
        presence.on_available.connect(lambda jid, stanza: tell("available", jid=str(jid)))
        presence.on_unavailable.connect(lambda jid, stanza: tell("unavailable", jid=str(jid)))
        self.roster.on_subscribe.connect(lambda stanza: tell("subscribe", jid=str(stanza.from_)))
        self.roster.on_subscribed.connect(lambda stanza: tell("subscribed", jid=str(stanza.from_)))
        self.roster.on_entry_subscription_state_changed.connect(
            lambda item: tell("subscription", jid=str(item.jid), subscription=item.subscription)
        )
        self.client.on_failure.connect(self.on_failure)

    def on_failure(self, error):
        """aioxmpp tries again by itself, unless the connection was lost amid TLS, SASL, bind or stream management."""
        tell("failed", reason=f"{type(error).__name__}: {error}")
        if self.was_online:
            asyncio.get_running_loop().call_later(PAUSE, self.client.start)

    def on_message(self, message):
        copied = message.xep0280_sent or message.xep0280_received
        if copied is not None:
            inner = copied.stanza
            tell("copy", sender=str(inner.from_), to=str(inner.to), body=inner.body.any() if inner.body else "")
        elif message.type_ == aioxmpp.MessageType.ERROR:
            tell("error", jid=str(message.from_), condition=message.error.condition.name)
        elif message.body:
            delay = message.xep0203_delay[0].stamp.isoformat() if message.xep0203_delay else ""
            ids = [each.id_ for each in message.xep0359_stanza_ids]
            tell(
                "message",
                sender=str(message.from_),
                body=message.body.any(),
                delay=delay,
                stanza_id=ids[0] if ids else "",
            )
            if message.xep0184_request_receipt:
                self.client.enqueue(aioxmpp.mdr.compose_receipt(message))

    def on_groupchat(self, message, member, source, **_):
        if message.body:
            tell("groupchat", nick=member.nick, body=message.body.any())

    def say(self, message):
        """aioxmpp would take it as soon as it is bound, before it tells that it is."""
        self.said.append((message, self.client.enqueue(message) if self.ready else None))

    def on_destroyed(self):
        self.ready = False

    def on_resumed(self):
        """If the link was lost before aioxmpp could tell that a new session has begun, it does not tell it any more."""
        if not self.ready:
            self.say_again()

    def say_again(self):
        """Send what was not acknowledged: a new session has begun, and aioxmpp forgets what it had sent."""
        self.ready = True
        acknowledged = aioxmpp.stream.StanzaState.ACKED
        messages = [message for message, token in self.said if token is None or token.state != acknowledged]
        self.said.clear()
        for message in messages:
            self.say(message)

    async def do(self, command):
        what = command.pop("do")
        jid = aioxmpp.JID.fromstr(command["to"]) if "to" in command else None
        if what == "send":
            message = aioxmpp.Message(to=jid, type_=aioxmpp.MessageType.CHAT)
            message.body[None] = command["body"]
            message.autoset_id()
            tracker = self.receipts.attach_tracker(message)
            tracker.on_state_changed.connect(
                lambda state, _: state.name == "DELIVERED_TO_RECIPIENT" and tell("receipt", body=command["body"])
            )
            self.client.enqueue(message)
        elif what == "join":
            room, joined = self.muc.join(jid, command["nick"], history=aioxmpp.muc.xso.History(maxstanzas=0))
            room.on_message.connect(self.on_groupchat)
            self.rooms[jid] = room
            await joined
        elif what == "say_in_room":
            message = aioxmpp.Message(to=jid, type_=aioxmpp.MessageType.GROUPCHAT)
            message.body[None] = command["body"]
            self.rooms[jid].send_message(message)
        elif what == "say":
            message = aioxmpp.Message(to=jid, type_=aioxmpp.MessageType.CHAT)
            message.body[None] = command["body"]
            message.autoset_id()
            message.xep0359_origin_id = aioxmpp.misc.OriginID()
            message.xep0359_origin_id.id_ = message.id_
            self.say(message)
        elif what == "subscribe":
            await self.roster.set_entry(jid, name=command.get("name", ""))
            self.roster.subscribe(jid)
        elif what == "approve":
            self.roster.approve(jid)
        elif what == "block":
            await self.blocking.block_jids([jid])
        elif what == "enable carbons":
            await self.carbons.enable()
        elif what == "disco":
            info = await self.disco.query_info(jid)
            tell("info", features=sorted(info.features))
            return
        elif what == "ping":
            await aioxmpp.ping.ping(self.client, jid)
        elif what == "show":
            self.client.presence = aioxmpp.PresenceState(True, aioxmpp.PresenceShow(command["show"]))
        else:
            raise ValueError(what)
        tell("done", what=what)

    async def run(self, commands):
        async with self.client.connected():
            self.was_online = True
            tell("online", jid=str(self.client.local_jid))
            while line := await commands.readline():
                await self.do(json.loads(line))


async def main():
    # when the server does not answer, aioxmpp looks for another one: for a minute, and if there is none it gives up
    aioxmpp.network.set_resolver(dns.resolver.Resolver(configure=False))
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    password = json.loads(await commands.readline())["password"]
    await Client(*sys.argv[1:6], password).run(commands)


asyncio.run(main())
