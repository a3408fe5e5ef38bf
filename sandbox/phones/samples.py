"""Small files that a phone can send when nobody has one at hand. All are made here."""

import struct
import zlib

from sandbox.files import File

AMR_SILENCE = b"\x7c"
"""A frame of AMR narrow band that says nothing; 50 of them make a second."""


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _drawn(size: int = 160) -> bytes:
    """A PNG of an evening sky, so that a picture on the page looks like one."""
    rows = bytearray()
    for y in range(size):
        rows.append(0)
        for x in range(size):
            sun = (x - size * 0.68) ** 2 + (y - size * 0.6) ** 2 < (size * 0.13) ** 2
            sky = (250 - y // 3, 190 - y // 2, 120 + y // 2)
            rows += bytes((255, 236, 170) if sun and y < size * 0.72 else sky)
            if y >= size * 0.72:
                rows[-3:] = bytes((38 + y // 8, 70 + (x + y) % 7, 92 + y // 6))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    parts = _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(bytes(rows), 9))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + _chunk(b"IEND", b"")


PICTURE = File("evening.png", "image/png", _drawn())
VOICE = File("voice.amr", "audio/amr", b"#!AMR\n" + AMR_SILENCE * 100)
VIDEO = File("video.mp4", "video/mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x08mdat")
DOCUMENT = File("order.txt", "text/plain", "订单 2026-1121：台灯一盏，灯泡两只。\n".encode())
