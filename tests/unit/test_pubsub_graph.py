"""XEP-0248 §4.1: collections link nodes in a directed graph without cycles."""

from __future__ import annotations

import pytest

from xmpp_server.pubsub.graph import Graph
from xmpp_server.storage.pubsub_links import Links


def test_all_collections_are_found_with_the_fewest_steps_to_each() -> None:
    graph = Graph([("a", "b"), ("b", "leaf"), ("a", "leaf"), ("top", "a"), ("other", "elsewhere")])
    assert graph.above("leaf") == {"b": 1, "a": 1, "top": 2}
    assert list(graph.above("b")) == ["a", "top"]
    assert graph.above("top") == graph.above("unknown") == {}
    assert graph.parents("leaf") == ["a", "b"]
    assert graph.children("a") == ["b", "leaf"]


def test_a_change_is_tried_and_leaves_no_trace() -> None:
    graph = Graph([("a", "b"), ("b", "leaf")])
    with graph.tried(Links((("leaf", "a"),), (("b", "leaf"),))):
        assert graph.above("a") == {"leaf": 1}
    assert graph.above("leaf") == {"b": 1, "a": 2}
    with pytest.raises(ValueError, match="refused"), graph.tried(Links((("c", "a"),))):
        raise ValueError("refused")
    assert graph.parents("a") == []


@pytest.mark.parametrize("link", [("a", "a"), ("b", "a"), ("leaf", "a"), ("leaf", "b")])
def test_who_is_above_itself_is_in_a_cycle(link: tuple[str, str]) -> None:
    graph = Graph([("a", "b"), ("b", "leaf")])
    assert not any(node in graph.above(node) for node in ("a", "b", "leaf"))
    with graph.tried(Links((link,))):
        assert link[1] in graph.above(link[1])


def test_what_was_in_a_collection_that_is_gone_stays_in_the_others() -> None:
    graph = Graph([("a", "leaf"), ("b", "leaf"), ("top", "a")])
    graph.forget("a")
    assert (graph.parents("leaf"), graph.children("top"), graph.children("a")) == (["b"], [], [])
    graph.forget("unknown")
    graph.forget("leaf")
    assert graph.children("b") == []
