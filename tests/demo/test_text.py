from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwatch.demo.text import camel_parts, compound_parts, query_words, sentences, stem, words


@pytest.mark.parametrize("name", ["copy_tree", "CopyTree", "copyTree"])
def test_the_words_of_an_identifier_are_found(name: str) -> None:
    assert {"copy", "tree"} <= {*words(name), *camel_parts(name)}


def test_a_compound_is_cut_into_the_most_even_words() -> None:
    known = {"base", "name", "basen", "ame"}
    assert compound_parts("basename", known) == ["base", "name"]


def test_stop_words_are_kept_where_nothing_else_is_asked() -> None:
    assert query_words("What is it?") == ["what", "is", "it"]
    assert query_words("???") == []


@given(st.text())
def test_any_text_can_be_cut(text: str) -> None:
    assert all(word for word in words(text))
    assert all(stem(word) for word in query_words(text))
    assert all(part == " ".join(part.split()) for part in sentences(text))
