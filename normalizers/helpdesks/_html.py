"""Agents' rich text as plain text: without signatures and quotations of what was said before."""

from selectolax.lexbor import LexborHTMLParser

from hub.html import text_of

__all__ = ["agent_text"]

LEFT_OUT = '[data-signature="true"], .js-signatureMarker, blockquote[type="cite"]'


def agent_text(html: str) -> str:
    """What an agent wrote, from the HTML of an editor."""
    tree = LexborHTMLParser(html)
    for node in tree.css(LEFT_OUT):
        node.decompose()
    return text_of(tree.html or "").strip()
