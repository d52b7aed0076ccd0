"""Text, lines, XML and bytes come back; into files of bytes and, for code of gokart, of text."""

from __future__ import annotations

import gzip
import io
import xml.etree.ElementTree as ET

import luigi
import pytest

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs.texts import Binary, Gzip, Text, Xml


def dumped(codec, value):
    file = io.BytesIO()
    codec.dump(value, file)
    return file.getvalue()


def through(codec, value, as_type=None):
    return codec.load(io.BytesIO(dumped(codec, value)), as_type)


@pytest.mark.parametrize("codec", [Text(), Gzip()])
def test_text_gives_lines_and_text_to_a_task_that_stores_text(codec):
    assert through(codec, ["a", 1, "é"]) == ["a", "1", "é"]
    assert through(codec, "one\ntwo  \n") == ["one", "two"]
    assert through(codec, "one\ntwo  \n", str) == "one\ntwo  \n"
    assert through(codec, []) == []


@pytest.mark.parametrize("value", [{"a": 1}, 5, None, b"x", ("a", "b"), [{"a": 1}], [None], object(), "\ud800"])
@pytest.mark.parametrize("codec", [Text(), Gzip()])
def test_what_is_no_text_is_refused(codec, value):
    with pytest.raises(CannotEncode, match="text"):
        dumped(codec, value)


def test_gzip_is_gzip_and_equal_for_equal_text():
    assert gzip.decompress(dumped(Gzip(), ["a", "b"])) == b"a\nb\n"
    assert dumped(Gzip(), "x") == dumped(Gzip(), "x")


def test_line_ends_of_other_systems_are_line_ends():
    assert Text().load(io.BytesIO(b"a\r\nb\rc\n")) == ["a", "b", "c"]


def test_xml_trees_come_back():
    tree = ET.ElementTree(ET.fromstring('<a n="1">é<b/></a>'))
    assert ET.tostring(through(Xml(), tree).getroot()) == ET.tostring(tree.getroot())
    assert through(Xml(), ET.ElementTree()).getroot() is None
    with pytest.raises(CannotEncode, match="ElementTree"):
        dumped(Xml(), "<a/>")
    with pytest.raises(ET.ParseError):
        Xml().load(io.BytesIO(b"<a>"))


def test_bytes_are_bytes():
    assert through(Binary(), b"\x00\xff") == b"\x00\xff"
    with pytest.raises(CannotEncode, match="bytes"):
        dumped(Binary(), "text")


@pytest.mark.parametrize(
    ("codec", "value"),
    [(Text(), ["a", "é"]), (Gzip(), ["a", "é"]), (Binary(), b"a"), (Xml(), ET.ElementTree(ET.fromstring("<a/>")))],
)
def test_files_of_luigi_are_taken(codec, value):
    target = luigi.LocalTarget("x", format=codec.format())
    with target.open("w") as file:
        codec.dump(value, file)
    with target.open("r") as file:
        read = codec.load(file)
    assert read == value or ET.tostring(read.getroot()) == b"<a />"
