#!/bin/bash
# start.sh DIR PORT : start one server with all its data in DIR (empty, or from an earlier call) on 127.0.0.1:PORT, return
# when the port answers, print the server's pid as the last word. `make install` comes before. It is the default
# configuration with the changes below and no others.
# env: ADMIN_PASSWORD (password): of admin@localhost, taken when DIR is empty
#      DATABASE_URL: as the option database.url; without it SQLite in DIR
#      DIRECT_TLS_PORT: without it there is no such port
#      HTTP_PORT, HTTPS_PORT: without them there are no such ports
#      MAM=0|1: the archive, off without it
#      TURN_SECRET: of the TURN services; without it they have the name and the password that a play expects, for ever
set -euo pipefail
[ $# = 2 ] || { echo "usage: start.sh DIR PORT" >&2; exit 2; }
SERVER="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/xmpp-server"
[ -x "$SERVER" ] || { echo "$SERVER is missing: run make install first" >&2; exit 1; }
mkdir -p "$1"; D=$(cd "$1" && pwd); PORT=$2
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for i in $(seq 100); do answers "$PORT" || break; sleep 0.1; [ "$i" = 100 ] && { echo "port $PORT is in use" >&2; exit 1; }; done

DIRECT_TLS="enabled = false"; [ -z "${DIRECT_TLS_PORT:-}" ] || DIRECT_TLS="port = $DIRECT_TLS_PORT"
ARCHIVE=false; [ "${MAM:-0}" = 0 ] || ARCHIVE=true
HTTP="enabled = false"; [ -z "${HTTP_PORT:-}" ] || HTTP="port = $HTTP_PORT"
HTTPS="enabled = false"; [ -z "${HTTPS_PORT:-}" ] || HTTPS="port = $HTTPS_PORT"
JOHN="username = 'john'
password = 'password'"
JANE=${JOHN/john/jane}
[ -z "${TURN_SECRET:-}" ] || JOHN="secret = '$TURN_SECRET'" JANE="secret = '$TURN_SECRET'"
DATABASE=""; [ -z "${DATABASE_URL:-}" ] || DATABASE="url = '$DATABASE_URL'"
(umask 077; cat > "$D/xmpp-server.toml" <<TOML
[server]
data = '$D'
[database]
$DATABASE
[listen]
addresses = ["127.0.0.1"]
[listen.c2s]
port = $PORT
[listen.direct_tls]
$DIRECT_TLS
[listen.http]
$HTTP
[listen.https]
$HTTPS
[tls]
starttls = "optional"

# Tests come from one address, and all at once.
[limits]
connections_per_address = 50000
bytes_per_second = 0
login_seconds = 3600  # a suite keeps a connection for registering accounts

[modules.register]
open = true
per_address = 0
per_hour = 0
reserved = []

# The load generator's users are in nobody's roster.
[modules.offline]
strangers = 10000

[modules.archive]
enabled = $ARCHIVE

[components.muc]
create = "anyone"
rooms_per_hour = 0
joins_per_minute = 0
list_occupants = true
searches_per_minute = 10000
archive = $ARCHIVE

# The plays compare the form of a node's configuration, in which the bound stands.
[modules.pep]
items = 256
[components.pubsub]
items = 256
collections = true
multi_subscribe = true

# The limits of the suites.
[components.http_upload]
max_bytes = 10000000
types = ["application/octet-stream", "text/plain", "image/*"]
slots = 5
slots_seconds = 0.6

[components.proxy65]
port = 0

[modules.contact]
abuse = ["mailto:abuse@localhost", "xmpp:abuse@localhost"]
admin = ["mailto:admin@localhost", "xmpp:admin@localhost"]
feedback = ["http://localhost/feedback.html", "mailto:feedback@localhost", "xmpp:feedback@localhost"]
sales = ["xmpp:sales@localhost"]
security = ["xmpp:security@localhost"]
status = ["gopher://status.localhost"]
support = ["https://localhost/support.html", "xmpp:support@localhost"]

# Names of a test's own: nobody is asked there.
[[modules.external_services.services]]
type = "stun"
host = "default.example"
port = 9876
[[modules.external_services.services]]
type = "turn"
host = "default.example"
port = 9876
$JOHN
[[modules.external_services.services]]
type = "turn"
host = "default.example"
port = 9876
$JANE
[[modules.external_services.services]]
type = "ftp"
host = "default.example"
port = 2121
transport = "tcp"
username = "john"
password = "password"
[[modules.external_services.services]]
type = "ftp"
host = "ftp.example.com"
port = 21
transport = "tcp"
username = "john"
password = "password"

[hosts.localhost]
admins = ["admin"]
TOML
)
if [ ! -f "$D/.admin" ]; then
  printf '%s\n' "${ADMIN_PASSWORD:-password}" |
    "$SERVER" account create admin@localhost --password-stdin --config "$D/xmpp-server.toml" >>"$D/out.log" 2>&1 ||
    { cat "$D/out.log" >&2; exit 1; }
  touch "$D/.admin"
fi

ulimit -n "$(ulimit -Hn)"
cd "$D"
setsid "$SERVER" serve --config "$D/xmpp-server.toml" </dev/null >>"$D/out.log" 2>&1 &
P=$!
for i in $(seq 300); do
  answers "$PORT" && { echo $P; exit 0; }
  kill -0 $P 2>/dev/null || { tail -20 "$D/out.log" >&2; exit 1; }
  sleep 0.1
done
echo "no answer on port $PORT" >&2; exit 1
