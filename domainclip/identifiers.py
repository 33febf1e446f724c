"""Identifiers of people and files become keyed hashes; the key belongs to the owner of the data and never enters a set. Layer 0."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets

from domainclip.errors import UsageError
from domainclip.resources import owner_folder

KEY_BYTES = 32
_HASH_CHARACTERS = 20


def keyed_hash(text: str, key: bytes) -> str:
    """Returns the first 20 hexadecimal characters (80 bits) of HMAC-SHA256 of the text in UTF-8.

    Without the key nobody can tell whose hash it is by hashing all candidates, which plain SHA-256 of a patient number allows.

    Args:
        text: An identifier or a path.
        key: At least 16 secret bytes, e.g. of ``owner_key``.

    Raises:
        ValueError: The key is too short to be one.
    """
    if len(key) < 16:
        raise ValueError("A key of at least 16 bytes is needed.")
    return hmac.new(key, text.encode("utf-8", errors="surrogatepass"), hashlib.sha256).hexdigest()[:_HASH_CHARACTERS]


def owner_key() -> bytes:
    """Returns the owner's 32 random bytes (``hash_key`` in ``owner_folder()``, mode 0600); makes them once.

    Processes that start at the same time all get the same key: the finished file is linked into place, and the first one stays.

    Raises:
        UsageError: The file is damaged, or its folder cannot hold it.
    """
    path = owner_folder() / "hash_key"
    asked = "The owner's key of hashed identifiers was to be read."
    if not path.exists():
        draft = path.with_name(f".hash_key.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            path.hardlink_to(draft)
        except FileExistsError:
            pass  # Another process was first; its key is read below.
        except OSError as error:
            found = f"It cannot be made in {path.parent} ({error.strerror})."
            raise UsageError(asked, found, "Set DOMAINCLIP_HOME to a folder on a local disk that you can write to.") from error
        finally:
            draft.unlink(missing_ok=True)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        found = f"{path} holds {len(key)} bytes instead of {KEY_BYTES}."
        raise UsageError(
            asked, found, "Restore it from a backup; or remove it, and hashes made before cannot be traced back any more."
        )
    return key
