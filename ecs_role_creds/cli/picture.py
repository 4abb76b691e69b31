"""The picture that the demo uploads, drawn without a file or an image library."""

from __future__ import annotations

import math
import struct
import zlib


def draw_picture(width: int = 480, height: int = 320) -> bytes:
    """Return a PNG of interfering waves."""
    rows = b"".join(b"\0" + _row(y, width, height) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8-bit RGB
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def _row(y: int, width: int, height: int) -> bytes:
    row = bytearray()
    for x in range(width):
        left = math.hypot(x - width * 0.3, y - height * 0.5)
        right = math.hypot(x - width * 0.7, y - height * 0.5)
        wave = (math.cos(left / 9) + math.cos(right / 9) + 2) / 4
        row += bytes((int(255 * wave), int(90 + 80 * wave), int(40 + 160 * (y / height))))
    return bytes(row)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
