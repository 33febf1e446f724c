"""Radiology: DICOM, grey and in colour, and pictures saved as PNG or JPEG."""

from domainclip.domains.radiology.domain import DOMAIN, Radiology

__all__ = ["DOMAIN", "Radiology"]
