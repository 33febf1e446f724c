"""Remote sensing: scenes with named bands, and aerial pictures."""

from __future__ import annotations

from domainclip.domains.base import Domain
from domainclip.domains.remote_sensing.domain import RemoteSensing

DOMAIN: Domain = RemoteSensing()
