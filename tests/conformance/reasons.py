"""Why cases do not pass here: what the text of the specification says, or what is not built."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

_NO_ROSTER: Final = "The service has no rosters that such access could depend on; the nodes of accounts have it."
_ADMIN: Final = "not built yet: service administration"
_OBJECTS: Final = (
    "The case compares the stanza that it sent with the one that it received as objects, and those of Smack are equal "
    "to nothing else. It is not possible on a server that sends the whole roster instead (RFC 6121 §2.6.3 has both)."
)
_PLAY_OF_PEP: Final = "The roster's version is a number that the play expects to be 1; RFC 6121 §2.6.1: it is opaque."

# By case; the first that fits.
REASONS: Final = {
    "ServiceAdministrationIntegrationTest.*": _ADMIN,
    "CsiIntegrationTest.*": "not built yet: client state indication",
    "caas/xep0352": "not built yet: client state indication",
    "caas/xep0357": "not built yet: push",
    "IoTDiscoveryIntegrationTest.*": "not built yet: a registry of things",
    "RFC6121Section2_6a_*.testRosterPushOrder": _OBJECTS,
    "RFC6121Section2_6a_*.testRosterInterimPushesAreCondensed": _OBJECTS,
    "PingServerIntegrationTest.pingServerWithoutSupport*": (
        "Asks what a server without XEP-0199 does; this one has it (the cases with support pass)."
    ),
    "MultiUserChatOwnerIntegrationTest.testRoomHasOwnerAfterOriginalOwnerLeaves": (
        "Somebody who is no owner asks for the owners of a semi-anonymous room, and expects them. XEP-0045 §10.5: “the "
        "service MUST return a <forbidden/> error to the sender in semi-anonymous rooms”."
    ),
    "ExternalServiceDiscoveryIntegrationTest.requestSelectedServicesTest": (
        "Wants the attribute `type` on the answer, which only an example of XEP-0215 has; the play `extdisco` wants it "
        "to be absent."
    ),
    "ExtendedChannelSearchIntegrationTest.testSubmitNoFields": (
        "Not possible where the form has default values. XEP-0433 §5: “the Search Service MUST include all fields it "
        "supports with their respective default values”."
    ),
    "HttpFileUploadExtIntegrationTest.testRetryError": "Wants ten small files to be too many; the quota is larger.",
    "PubSubExtIntegrationTest.subscribeMultipleSubscriptionNotSupportedTest": (
        "Asks what a service without multi-subscribe does; this one is started with it (the cases with it pass)."
    ),
    "PubSubExtIntegrationTest.subscribeNotInRosterGroupTest": _NO_ROSTER,
    "PubSubExtIntegrationTest.subscribePresence*": _NO_ROSTER,
    "EntityCapabilitiesOptimization*": "not built: XEP-0115 §8.4, which is OPTIONAL, leaves out capabilities that stay",
    "OmemoMamDecryptionTest.*": "Counts all that is in the archive, the messages of cases before it too.",
    "UserSearchManagerIntegrationTest.*": "not built: user search (XEP-0055), which tells strangers who has an account",
    "EntityCapsTest.testLocalEntityCaps": (
        "Takes the first presence after a subscription for the next one; which comes first is chance."
    ),
    "MultiUserChat*RemovesRegisteredNickname": (
        "Registers with a room as somebody whom nobody invited; the play `muc_register` wants that to be an error, and "
        "XEP-0045 §7.10 leaves it to the service."
    ),
    "plays/http_upload": (
        "Wants Prosody's words for people in each error, its limit of 10 MB and its list of types; XEP-0363 names the "
        "conditions alone, which are those."
    ),
    "plays/issue978-multi": (
        "Of two sessions with one nickname either may be shown to moderators (XEP-0045 leaves it open); the play wants "
        "the other."
    ),
    "plays/muc_nickname_robotface": (
        "Wants Prosody's words, and the error to come from the address that is malformed."
    ),
    "plays/tombstones": "Of no specification: Prosody keeps in mind which accounts were removed; here nothing is left.",
    "plays/pep_publish_subscribe": _PLAY_OF_PEP,
    "plays/pep_itemreply": _PLAY_OF_PEP,
    "plays/pubsub_advanced": (
        "Wants a subscription without a SubID. XEP-0060 §6.1.6, of a service that allows several: “the SubID MUST be "
        "present on the <subscription/> element any time it is sent to the subscriber”."
    ),
    "plays/pubsub_*": "The node's form is not Prosody's, label by label; XEP-0060 §8.2 leaves labels to the server.",
}


def reason(case: str) -> str:
    """Why it does not pass; empty if nobody knows."""
    return next((why for pattern, why in REASONS.items() if fnmatchcase(case, pattern)), "")
