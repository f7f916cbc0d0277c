"""An authenticator app: RFC 6238 with SHA-1, 6 digits, 30 seconds."""

import base64
import hashlib
import hmac
import struct
import time


def code(secret: str, steps_ahead: int = 0) -> str:
    """The code an app shows, or will show `steps_ahead` steps from now."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    counter = int(time.time()) // 30 + steps_ahead
    digest = hmac.new(key, struct.pack(">Q", counter), hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"
