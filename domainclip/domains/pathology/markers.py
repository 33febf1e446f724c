"""Which names of channels are names of markers: those in a file are free text, and free text may name people.

The list is of common stains, fluorophores and antigens; what it lacks the owner names once (``reading.channels``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_STEMS = r"""
dapi hoechst draq sytox dna fitc tritc texas cy\d(\.5)? opal polaris alexa fluor af atto pe apc bv gfp yfp rfp cfp mcherry tdtomato
bodipy rhodamine coumarin dylight
cd\d{1,3}[a-e]? (pan-?)?(ck|cytokeratin|keratin) ki-?67 foxp3 pd-?l?\d lag-?\d tim-?\d ctla-?4 icos tigit gzm[ab]? granzyme[ab]?
a?sma smooth muscle actin vim(entin)? desmin collagen fibronectin [ben]-?cadherin [ben]cad (\u03b2|beta|b)-?catenin
her2 egfr er pr ar p\d{2} erg psma psa sox s100[ab]? melan-?a mart ttf-?1 napsin gata pax tcf t-?bet hla hla-?dr mhc b2m ig[agmde]
kappa lambda mpo tryptase mct iba gfap neun map2 olig nestin tubulin lamin histone h3 na\+?k\+?(atpase)? atpase podoplanin d2-?40
lyve vegf caix glut mitochondria chromogranin synaptophysin insulin glucagon
autofluorescence sample background blank empty brightfield bf control nucle(i|us|ar) membrane cytoplasm channel ch cycle marker dye
anti nm em ex far red green blue cyan yellow magenta orange gr[ae]y
"""
_KNOWN = re.compile(rf"({'|'.join(_STEMS.split())})\d{{0,5}}", re.IGNORECASE)
_BETWEEN = re.compile(r"\d{1,5}|[a-z]\d?", re.IGNORECASE)
"""Numbers of dyes (Hoechst 33342), wavelengths and cycles; single letters (C1)."""
_DATE = re.compile(r"\d+[-./]\d+[-./]\d+")
_LONGEST = 48


def look_like_markers(names: Sequence[str]) -> bool:
    """Says whether each name is made of names of markers, with numbers and single letters between.

    Args:
        names: As the file has them.
    """
    return all(len(name) <= _LONGEST and not _DATE.search(name) and _looks(name) for name in names)


def _looks(name: str) -> bool:
    words: list[str] = []
    for word in re.split(r"[\s()\[\]/_:,;]+", name):
        words += [word] if _KNOWN.fullmatch(word) else word.split("-")
    words = [word for word in words if word]
    return any(_KNOWN.fullmatch(word) for word in words) and all(_KNOWN.fullmatch(w) or _BETWEEN.fullmatch(w) for w in words)
