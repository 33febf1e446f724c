"""Finds images that show the same picture: re-encoded, resized, turned, mirrored, zoomed or stained anew.

Four steps, each on what the one before leaves: a global descriptor names candidates (``descriptor``, ``candidates``), their
log-polar views are laid onto each other (``polar``), then small pictures (``overlay``), and local features must agree on one
affine map (``keypoints``).
How well that does, and what it costs: ``docs/duplicates.md``.
"""

from domainclip.data.duplicates.find import Duplicates, find_duplicates
from domainclip.data.duplicates.keypoints import Match

__all__ = ["Duplicates", "Match", "find_duplicates"]
