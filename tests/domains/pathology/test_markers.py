"""Names of channels that enter a set by themselves, and such that the owner must give."""

import pytest

from domainclip.domains.pathology.markers import look_like_markers

MARKERS = (
    "DAPI", "DAPI (Polaris)", "Opal 520", "Opal 520 (CD8)", "CD3-AF488", "Hoechst 33342", "Hoechst33258", "E-Cadherin/Vimentin",
    "Ki-67", "PD-L1", "\u03b2-catenin", "Cy5.5", "Autofluorescence", "Sample AF", "Channel 3", "C1-DAPI", "Alexa Fluor 488",
    "HLA-DR", "pan-CK", "Na+K+ATPase", "S100B", "CD11c", "p53", "488 nm", "FOXP3 (Opal 620)", "anti-CD20", "GFAP", "red",
)  # fmt: skip
OTHERS = (
    "Doe Jane", "Doe, Jane", "DAPI Doe", "Doe", "MRN 00412377", "Channel 19610312", "Channel 1961-03-12", "DAPI 12.03.1961",
    "C. Miller", "Will Green", "Dr. Gray", "a b", "12345", "", " ", "DAPI" + " 1" * 40, "scan of Red Cross hospital", "J", "\u03b2",
)  # fmt: skip


@pytest.mark.parametrize("name", MARKERS)
def test_markers_are_taken(name):
    assert look_like_markers([name])


@pytest.mark.parametrize("name", OTHERS)
def test_what_may_name_a_person_is_asked_for(name):
    assert not look_like_markers([name])
    assert not look_like_markers(["DAPI", name])
