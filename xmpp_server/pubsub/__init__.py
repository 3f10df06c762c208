"""Publish-subscribe, once for its two faces: every account (`modules/pep.py`) and services (`components/pubsub`)."""
