"""Values deep inside a JSON object of a stranger: of the type asked for, or absent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from collector.decoding.texts import TEXT_BYTES, is_unicode

# Three numbers with dots: 1.42.0, v2.0.1-rc.3. A branch is hardly ever called so, a tag mostly.
_VERSION: Final = re.compile(r"v?\d+\.\d+\.\d+(?:[-+.][0-9A-Za-z.+-]*)?")
_TAGS: Final = "refs/tags/"
_DIGEST_BYTES: Final = 12


def inner(fields: object, *path: str) -> Mapping[str, object]:
    """The object at a path, or an empty one."""
    found = value(fields, *path)
    return found if isinstance(found, dict) else {}


def text(fields: object, *path: str) -> str:
    """The text at a path, or an empty one."""
    found = value(fields, *path)
    return found if isinstance(found, str) and is_unicode(found) else ""


def word(fields: object, *path: str) -> str:
    """The text or the whole number at a path as a text, or an empty one: many ids are numbers."""
    found = value(fields, *path)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found) if abs(found) < 2**64 else ""
    return text(fields, *path)


def value(fields: object, *path: str) -> object:
    """Whatever lies at a path; None if nothing does."""
    for name in path:
        if not isinstance(fields, dict):
            return None
        fields = fields.get(name)
    return fields


def name(*parts: str) -> str:
    """A name made of parts, within the limit of every text; a long one ends in its digest.

    >>> name("github", "acme/orders", "42")
    'github/acme/orders/42'
    """
    whole = "/".join(parts)
    raw = whole.encode(errors="surrogatepass")
    if len(raw) <= TEXT_BYTES:
        return whole
    digest = blake2b(raw, digest_size=_DIGEST_BYTES).hexdigest()
    return f"{raw[: TEXT_BYTES - len(digest) - 1].decode(errors='ignore')}/{digest}"


def version_of(ref: str, commit: str) -> str:
    """The version that a git ref names if it is a tag's, else the commit.

    >>> version_of("refs/tags/rc-7", "f95f852b"), version_of("v1.42.0", "f95f852b")
    ('rc-7', 'v1.42.0')
    >>> version_of("main", "f95f852b")
    'f95f852b'
    """
    if ref.startswith(_TAGS):
        return ref.removeprefix(_TAGS)
    return ref if _VERSION.fullmatch(ref) else commit


def last_segment(address: str) -> str:
    """The last part of a path, an address or a URN.

    >>> last_segment("https://erp.example/order-api"), last_segment("urn:service:order-api")
    ('order-api', 'order-api')
    """
    path = address.partition("#")[0].partition("?")[0].rstrip("/").rpartition("/")[2]
    return path.rpartition(":")[2] if address.startswith("urn:") else path
