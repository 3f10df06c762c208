"""`python -m xmpp_server`: the same as the command `xmpp-server`."""

import sys

from xmpp_server.cli import main

sys.exit(main())
