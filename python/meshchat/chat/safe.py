"""Text from the network, made safe for terminals."""

from __future__ import annotations

import re

# Control characters but for tab and newline; marks that reorder a line or break it in some terminals.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str) -> str:
    """`text` without what a terminal would obey; a newline becomes a continuation line, which is indented."""
    return _UNSAFE.sub("\ufffd", text.replace("\r\n", "\n")).replace("\n", "\n  ")
