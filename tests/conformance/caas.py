#!/usr/bin/env python3
"""The checks of Conversations' compliance tester, done anew in Python (same ids, same conditions).

  caas.py --port 22012 --domain localhost --user u --password p [--register] [--json out.json]
          [--http http://127.0.0.1:22013] [--direct-tls-port N]

Differences from the original: host and port are given instead of SRV records, and no certificate is
verified.  xep0156 needs --http (host-meta is read there), xep0368 needs --direct-tls-port;
without them these two are reported as skipped.  Exit 0: all checks that are not informational passed.
"""
import argparse
import asyncio
import json
import os
import re
import socket
import sys
import urllib.request
from xml.sax.saxutils import quoteattr

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import scansion  # noqa: E402

DISCO = "http://jabber.org/protocol/disco#"
MAM = {"urn:xmpp:mam:0", "urn:xmpp:mam:1", "urn:xmpp:mam:2"}
PUBOPT = "http://jabber.org/protocol/pubsub#publish-options"
INFORMATIONAL = ("abuse-contact", "xep0077", "xep0156", "xep0363_cors")


class Checks:
    def __init__(self, opts):
        self.o, self.n, self.results = opts, 0, {}

    async def iq(self, type_, payload, to=None):
        self.n += 1
        return await self.link.iq(type_, payload, to, "caas%d" % self.n)

    async def info(self, to, node=None):
        got = await self.iq("get", "<query xmlns='%sinfo'/>" % DISCO, to)
        query = got.child(DISCO + "info", "query")
        kids = query.children if query is not None and got.attrs.get(("", "type")) == "result" else []
        return ({c.attrs.get(("", "var")) for c in kids if c.name == "feature"},
                {(c.attrs.get(("", "category")), c.attrs.get(("", "type"))) for c in kids if c.name == "identity"},
                [c for c in kids if c.ns == "jabber:x:data"])

    async def services(self, feature):
        got = await self.iq("get", "<query xmlns='%sitems'/>" % DISCO, self.o.domain)
        query = got.child(DISCO + "items", "query")
        found = []
        for item in query.children if query is not None else []:
            jid = item.attrs.get(("", "jid"))
            try:
                if jid and feature in (await self.info(jid))[0]:
                    found.append(jid)
            except scansion.Failed:
                pass
        if not found and feature in self.server[0]:
            found.append(self.o.domain)
        return found

    async def check(self, name, test):
        try:
            ok = test() if not asyncio.iscoroutinefunction(test) else await test()
        except Exception as e:  # a check that cannot be done has not passed
            ok = False
            if self.o.verbose:
                print("%s: %s: %s" % (name, type(e).__name__, e), file=sys.stderr)
        self.results[name] = {True: "pass", False: "fail", None: "skip"}[ok if ok is None else bool(ok)]

    async def omemo(self):
        if ("pubsub", "pep") not in self.account[1]:
            return False
        if PUBOPT not in self.account[0]:
            return "eu.siacs.conversations.axolotl.whitelisted" in self.account[0]
        node = "eu.siacs.conversations.axolotl.test%d" % os.getpid()
        form = ("<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>%s</value></field>"
                "<field var='pubsub#access_model'><value>open</value></field></x>" % PUBOPT)
        got = await self.iq("set", "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='%s'><item>"
                            "<bundle xmlns='eu.siacs.conversations.axolotl'/></item></publish><publish-options>%s"
                            "</publish-options></pubsub>" % (node, form))
        if got.attrs.get(("", "type")) != "result":
            return False
        owner = "http://jabber.org/protocol/pubsub#owner"
        got = await self.iq("get", "<pubsub xmlns='%s'><configure node='%s'/></pubsub>" % (owner, node))
        await self.iq("set", "<pubsub xmlns='%s'><delete node='%s'/></pubsub>" % (owner, node))
        return self.field(got, "pubsub#access_model") == "open"

    @staticmethod
    def walk(node):
        yield node
        for c in node.children:
            yield from Checks.walk(c)

    def field(self, node, var):
        for f in self.walk(node):
            if f.name == "field" and f.attrs.get(("", "var")) == var:
                v = [c.text() for c in f.children if c.name == "value"]
                return v[0] if v else ""
        return None

    async def room(self, test):
        muc = await self.services("http://jabber.org/protocol/muc")
        if not muc:
            return False
        room = "caas%d@%s" % (os.getpid(), muc[0])
        self.link.raw("<presence to=%s><x xmlns='http://jabber.org/protocol/muc'/></presence>" % quoteattr(room + "/test"))
        await asyncio.sleep(0.5)
        owner = "http://jabber.org/protocol/muc#owner"
        form = await self.iq("get", "<query xmlns='%s'/>" % owner, room)
        ok = test((await self.info(room))[0], form)
        await self.iq("set", "<query xmlns='%s'><destroy/></query>" % owner, room)
        return ok

    async def cors(self):
        jid = (await self.services("urn:xmpp:http:upload:0"))[0]
        got = await self.iq("get", "<request xmlns='urn:xmpp:http:upload:0' filename='hello.png' size='1234' "
                            "content-type='image/png'/>", jid)
        url = next(n for n in self.walk(got) if n.name == "put").attrs[("", "url")]
        headers = {"Origin": "https://compliance.example", "Access-Control-Request-Method": "PUT",
                   "Access-Control-Request-Headers": "content-type"}
        if self.o.http:
            headers["Host"] = url.split("/")[2]
            url = self.o.http.rstrip("/") + "/" + url.split("/", 3)[3]
        req = urllib.request.Request(url, method="OPTIONS", headers=headers)
        with await asyncio.get_running_loop().run_in_executor(None, lambda: urllib.request.urlopen(
                req, timeout=5, context=scansion.tls_context())) as r:
            have = {k.lower() for k in r.headers}
        return all("access-control-allow-" + k in have for k in ("origin", "methods", "headers"))

    async def altconn(self):
        if not self.o.http:
            return None
        for path in ("/.well-known/host-meta", "/.well-known/host-meta.json"):
            req = urllib.request.Request(self.o.http.rstrip("/") + path, headers={"Host": self.o.domain})
            try:
                with urllib.request.urlopen(req, timeout=5, context=scansion.tls_context()) as r:
                    body = r.read().decode()
                    if r.headers.get("Access-Control-Allow-Origin") == "*" and \
                            re.search(r"urn:xmpp:alt-connections:(xbosh|websocket)", body):
                        return True  # the original also tries the URLs
            except OSError:
                pass
        return False

    def direct_tls(self):
        if not self.o.direct_tls_port:
            return None
        ctx = scansion.tls_context()
        ctx.set_alpn_protocols(["xmpp-client"])
        with socket.create_connection((self.o.host, self.o.direct_tls_port), 5) as s:
            with ctx.wrap_socket(s, server_hostname=self.o.domain) as t:
                t.sendall(("<?xml version='1.0'?><stream:stream to='%s' version='1.0' xml:lang='en' xmlns='jabber:client'"
                           " xmlns:stream='%s'>" % (self.o.domain, scansion.NS_STREAM)).encode())
                return t.recv(5).startswith(b"<?xml")

    async def external(self):
        got = await self.iq("get", "<services xmlns='urn:xmpp:extdisco:2'/>", self.o.domain)
        return [{k[1]: v for k, v in n.attrs.items()} for n in self.walk(got) if n.name == "service"]

    async def run(self):
        o = self.o
        if o.register:
            acc = scansion.Accounts(o, lambda t: None)
            await acc.register(o.user, o.domain, o.password)
        pre = scansion.Link(o, "pre", lambda t: None)
        await pre.open_tcp(o.host, o.port, o.domain)
        before = await pre.features_after_tls(o.domain)
        await pre.close()
        self.link = link = scansion.Link(o, "caas", (lambda t: print(t, file=sys.stderr)) if o.verbose > 1 else lambda t: None)
        after = {}
        orig = link.open_stream

        async def open_stream(domain):
            after["f"] = await orig(domain)
            return after["f"]
        link.open_stream = open_stream
        await link.connect_client(o.host, o.port, o.user, o.domain, o.password, "caas")
        feats = {c.ns for c in after["f"].children}
        self.server, self.account = await self.info(o.domain), await self.info("%s@%s" % (o.user, o.domain))
        for name, where, want in (
                ("xep0191", self.server, {"urn:xmpp:blocking"}), ("xep0280", self.server, {"urn:xmpp:carbons:2"}),
                ("xep0160", self.server, {"msgoffline"}), ("xep0313", self.account, MAM),
                ("xep0357", self.account, {"urn:xmpp:push:0"}),
                ("xep0398", self.account, {"urn:xmpp:pep-vcard-conversion:0"}),
                ("xep0411", self.account, {"urn:xmpp:bookmarks-conversion:0"})):
            await self.check(name, lambda: bool(want & where[0]))
        await self.check("xep0163", lambda: ("pubsub", "pep") in self.account[1])
        await self.check("xep0384", self.omemo)
        for name, ns in (("xep0115", {"http://jabber.org/protocol/caps"}), ("xep0198", {"urn:xmpp:sm:2", "urn:xmpp:sm:3"}),
                         ("xep0352", {"urn:xmpp:csi:0"}), ("roster_versioning", {"urn:xmpp:features:rosterver"})):
            await self.check(name, lambda: bool(ns & feats))
        for name, ns in (("xep0045", "http://jabber.org/protocol/muc"), ("xep0065", "http://jabber.org/protocol/bytestreams"),
                         ("xep0363", "urn:xmpp:http:upload:0")):
            async def service():
                return bool(await self.services(ns))
            await self.check(name, service)

        async def mam_muc():
            return await self.room(lambda f, form: bool(MAM & f) or any(self.field(form, v) is not None for v in (
                "mam", "muc#roomconfig_mam", "muc#roomconfig_enablearchiving")))

        async def vcard_muc():
            return await self.room(lambda f, form: "vcard-temp" in f)

        async def stun():
            return any(s.get("host") and s.get("port") and s.get("transport") in ("tcp", "udp")
                       and s.get("type") in ("stun", "stuns") for s in await self.external())

        async def turn():
            return any(s.get("host") and s.get("port") and s.get("transport") in ("tcp", "udp") and s.get("username")
                       and s.get("password") and s.get("type") in ("turn", "turns") for s in await self.external())
        for name, test in (("xep0313muc", mam_muc), ("vcard_muc", vcard_muc), ("stun", stun), ("turn", turn)):
            await self.check(name, test)
        await self.check("abuse-contact", lambda: any(self.field(x, "abuse-addresses") for x in self.server[2]))
        await self.check("xep0077", lambda: before.child("http://jabber.org/features/iq-register", "register") is not None)
        await self.check("xep0156", self.altconn)
        await self.check("xep0363_cors", self.cors)
        await self.check("xep0368", self.direct_tls)
        await link.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--host", default="127.0.0.1")
    ap.add_argument("--port", type=int, default=5222)
    ap.add_argument("--domain", default="localhost")
    ap.add_argument("--user", default="caas")
    ap.add_argument("--password", default="password")
    ap.add_argument("--register", action="store_true", help="register the account first (XEP-0077)")
    ap.add_argument("--http")
    ap.add_argument("--direct-tls-port", type=int)
    ap.add_argument("--tls", choices=("auto", "starttls", "direct", "plain"), default="auto")
    ap.add_argument("--sasl", default="SCRAM-SHA-256,SCRAM-SHA-1,PLAIN")
    ap.add_argument("--connect-timeout", type=float, default=10)
    ap.add_argument("--close-timeout", type=float, default=1)
    ap.add_argument("--json")
    ap.add_argument("-v", "--verbose", action="count", default=0)
    o = ap.parse_args()
    c = Checks(o)
    try:
        asyncio.run(c.run())
    except scansion.Failed as e:
        print("cannot run: %s" % e, file=sys.stderr)
        return 2
    for name, res in sorted(c.results.items()):
        print("%-18s %s%s" % (name, res.upper(), " (informational)" if name in INFORMATIONAL else ""))
    n = {k: sum(r == k for r in c.results.values()) for k in ("pass", "fail", "skip")}
    print("%(pass)d passed, %(fail)d failed, %(skip)d skipped" % n)
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump({"counts": n, "results": {"caas/" + k: v for k, v in sorted(c.results.items())}}, f, indent=1)
    return 1 if any(r == "fail" and k not in INFORMATIONAL for k, r in c.results.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
