"""Imports are edited once each; `test_source` has the forms."""

from __future__ import annotations

import libcst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

from kart_runtime.migrate.imports import import_edits

SOURCE = b"import gokart\nfrom gokart import x\npatch('gokart.x')\nlog('gokart')\n"


def parsed():
    module = libcst.parse_module(SOURCE.decode())
    spans = MetadataWrapper(module, unsafe_skip_copy=True).resolve(ByteSpanPositionProvider)
    return module, lambda node: (spans[node].start, spans[node].start + spans[node].length)


def test_each_import_is_one_edit_of_the_name_alone():
    edits = import_edits(*parsed(), SOURCE)
    assert [SOURCE[edit.start : edit.end] for edit in edits] == [b"gokart", b"gokart"]
