"""Names in strings are edited where a call says what they are; `test_source` has the forms."""

from __future__ import annotations

import libcst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

from kart_runtime.migrate.strings import mentions, string_edits

SOURCE = b"import gokart\nfrom gokart import x\npatch('gokart.x')\nlog('gokart')\n"


def parsed():
    module = libcst.parse_module(SOURCE.decode())
    spans = MetadataWrapper(module, unsafe_skip_copy=True).resolve(ByteSpanPositionProvider)
    return module, lambda node: (spans[node].start, spans[node].start + spans[node].length)


def test_only_the_name_at_the_beginning_of_a_string_is_edited():
    edits = string_edits(*parsed())
    assert [(edit.start, SOURCE[edit.start : edit.end]) for edit in edits] == [(42, b"gokart")]


def test_mentions_are_all_strings_that_begin_with_the_name():
    assert [node.value for node in mentions(parsed()[0])] == ["'gokart.x'", "'gokart'"]
