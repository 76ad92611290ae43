"""XML whose elements know their line, without entities."""

from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException


class _WithLines(TreeBuilder):
    """Notes the line of each element in its attribute `line`."""

    expat: Any = None

    def start(self, tag: Any, attrs: Any, /) -> Element:
        return super().start(tag, {**attrs, "line": str(self.expat.CurrentLineNumber)})


def parse(read: Callable[[], bytes]) -> Element:
    """The first element of a file. read: gives its content.

    Raises ValueError for a file that is no XML or declares entities; the message goes on after the file's name.
    """
    builder = _WithLines()
    parser = ElementTree.XMLParser(target=builder)
    builder.expat = parser.parser
    try:
        parser.feed(read())
        root: Element = parser.close()
    except (OSError, ParseError, DefusedXmlException, ValueError, LookupError) as error:  # the last: odd encodings
        raise ValueError(f"is no readable XML ({error})") from error
    return root


def line_of(element: Element) -> int | None:
    text = element.get("line", "")
    return int(text) if text else None
