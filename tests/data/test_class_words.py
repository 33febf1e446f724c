"""Codes of published classes against their published words, in captions and in prompts, card by card.

The words are those of the publications, written down here from the evidence and not from the cards' own tables; each text of a
code must hold the words of that code and of no other. A code that is swapped with another is found whatever the set's images say.
"""

import re

import pytest

from domainclip.data.cards import card_names, load_card
from domainclip.data.operations import Map

COLON = {
    "ADI": "adipose", "BACK": "background", "DEB": "debris", "LYM": "lymphocyte", "MUC": "mucus", "MUS": "smooth muscle",
    "NORM": "(normal|healthy) colon mucosa", "STR": "cancer-associated stroma", "TUM": "(adenocarcinoma|cancer) epithelium",
}  # fmt: skip
LUNG = {"lung_n": "(benign|normal) lung", "lung_aca": "lung adenocarcinoma", "lung_scc": "lung squamous cell carcinoma"}
GLEASON = {
    "NC": "non-cancerous|benign", "G3": "grade 3|atrophic well differentiated", "G4": "grade 4|cribriform, ill-formed, large-fused",
    "G5": "grade 5|isolated cells",
}  # fmt: skip
EUROSAT = {
    "AnnualCrop": "annual crop", "Forest": "forest", "HerbaceousVegetation": "herbaceous", "Highway": "highway|road",
    "Industrial": "industrial", "Pasture": "pasture", "PermanentCrop": "permanent crop", "Residential": "residential",
    "River": "river", "SeaLake": "sea|lake",
}  # fmt: skip
SKIN = {
    "nontumor_skin_necrosis_necrosis": "necrosis", "nontumor_skin_muscle_skeletal": "skeletal muscle",
    "nontumor_skin_sweatglands_sweatglands": "sweat gland", "nontumor_skin_vessel_vessel": "vessel",
    "nontumor_skin_elastosis_elastosis": "elastosis", "nontumor_skin_chondraltissue_chondraltissue": "chondral|cartilage",
    "nontumor_skin_hairfollicle_hairfollicle": "hair follicle", "nontumor_skin_epidermis_epidermis": "epidermis",
    "nontumor_skin_nerves_nerves": "nerve", "nontumor_skin_subcutis_subcutis": "subcut", "nontumor_skin_dermis_dermis": "^dermis",
    "nontumor_skin_sebaceousglands_sebaceousglands": "sebaceous", "tumor_skin_epithelial_sqcc": "squamous cell carcinoma",
    "tumor_skin_melanoma_melanoma": "melanoma", "tumor_skin_epithelial_bcc": "basal cell carcinoma",
    "tumor_skin_naevus_naevus": "na?evus",
}  # fmt: skip
DERMATOSCOPY = (
    "actinic keratos",
    "basal cell carcinoma",
    "benign keratosis",
    "dermatofibroma",
    "melanoma",
    "nev(us|i)$",
    "vascular",
)
BLOOD = ("basophil", "eosinophil", "erythroblast", "granulocyte", "lymphocyte", "monocyte", "neutrophil", "platelet")
KIDNEY = ("collecting", "distal", "glomerular", "interstitial", "leukocyte", "podocyte", "proximal", "thick ascending")
ORGANS = (
    "bladder", "left femur|femur-left", "right femur|femur-right", "heart", "left kidney|kidney-left", "right kidney|kidney-right",
    "liver", "left lung|lung-left", "right lung|lung-right", "pancreas", "spleen",
)  # fmt: skip


def numbered(flag, words):
    return {f"{flag}:{number}": word for number, word in enumerate(words)}


WORDS = [
    ("nct-crc-he-100k", COLON),
    ("mhist", {"HP": "hyperplastic polyp", "SSA": "sessile serrated"}),
    ("lc25000", LUNG | {"colon_n": "(benign|normal) colon", "colon_aca": "colon adenocarcinoma"}),
    ("lc25000-lung", LUNG),
    ("breakhis", {
        "A": "^adenosis", "F": "fibroadenoma", "PT": "phyllodes", "TA": "tubular adenoma", "DC": "ductal", "LC": "lobular",
        "MC": "mucinous", "PC": "papillary",
    }),
    ("kather-texture-2016", {
        "01_TUMOR": "tumou?r epithelium", "02_STROMA": "simple stroma", "03_COMPLEX": "complex stroma", "04_LYMPHO": "immune cell",
        "05_DEBRIS": "debris", "06_MUCOSA": "mucosal gland", "07_ADIPOSE": "adipose", "08_EMPTY": "background",
    }),
    ("sicapv2", GLEASON),
    ("sicapv2", dict(zip(("1000", "0100", "0010", "0001"), GLEASON.values(), strict=True))),
    ("skin-cancer", SKIN),
    ("renal-cell", {
        "blood": "blood$|red blood", "cancer": "renal c(ancer|ell carcinoma)|clear cell", "empty": "background",
        "normal": "normal renal", "other": "torn|other", "stroma": "stroma",
    }),
    ("bach", {"Normal": "normal", "Benign": "benign", "InSitu": "in situ", "Invasive": "invasive"}),
    ("osteosarcoma", {
        "Non-Tumor": "non-tumor", "Viable": "^viable (?!and)", "Non-Viable-Tumor": "^necrotic|^non-viable",
        "viable: non-viable": "viable and necrotic|partly",
    }),
    ("patch-camelyon", {"0": "^(normal )?lymph node( tissue)?$|^no tumor|without", "1": "^(?!no |without).*metasta"}),
    ("digestpath", {"neg": "without|no lesion|benign", "pos-v1": "with a lesion|^a lesion|malignant"}),
    ("databiox", {"1": "^well", "2": "^moderately", "3": "^poorly"}),
    ("databiox", {
        "BC_IDC_Grade_1": "grade 1|^well", "BC_IDC_Grade_2": "grade 2|^moderately", "BC_IDC_Grade_3": "grade 3|^poorly",
    }),
    ("pannuke", {
        "Cervix": "cervi", "Esophagus": "esophag", "HeadNeck": "head and neck", "Testis": "testic", "Uterus": "uter",
        "Breast": "breast",
    }),
    ("rsscn7", {
        "aGrass": "grass", "bField": "farm", "cIndustry": "industr", "dRiverLake": "river and lake", "eForest": "forest",
        "fResident": "resident", "gParking": "parking",
    }),
    ("eurosat-rgb", EUROSAT),
    ("eurosat-ms", EUROSAT),
    ("rsna-pneumonia", {
        "Normal": "(?<!not )a normal chest|^no abnormality", "Lung Opacity": "^a lung opacity",
        "No Lung Opacity / Not Normal": "without lung opacity|^no lung opacity",
    }),
    ("hannover-cxr", {"pa": "posteroanterior|PA", "ap": "anteroposterior|AP"}),
    ("medmnist", numbered("pathmnist", COLON.values())),
    ("medmnist", numbered("dermamnist", DERMATOSCOPY)),
    ("medmnist", numbered("octmnist", ("choroidal", "diabetic macular", "drusen", "^(?!.*diabetic).*(normal|no abnormality)"))),
    ("medmnist", numbered("pneumoniamnist", ("normal|no abnormality", "pneumonia"))),
    ("medmnist", numbered("breastmnist", ("malignant", "normal|benign"))),
    ("medmnist", numbered("bloodmnist", BLOOD)),
    ("medmnist", numbered("tissuemnist", KIDNEY)),
    *(("medmnist", numbered(flag, ORGANS)) for flag in ("organamnist", "organcmnist", "organsmnist")),
]  # fmt: skip


def texts_of(card, codes):
    """Yields code and text: what captions are told for it, and the names of prompts; each table has all codes or none."""
    for operation in card.operations:
        if isinstance(operation, Map) and codes & set(operation.values):
            for code in codes:
                value, label = operation.values[code], operation.to.partition("label:")[2]
                names = card.classes[label][value].names["en"] if label in card.classes else (value,)
                yield from ((code, name) for name in names)
    for values in card.classes.values():
        if codes & set(values):
            yield from ((code, name) for code in codes for name in values[code].names["en"])


@pytest.mark.parametrize(("name", "words"), WORDS, ids=lambda value: value if isinstance(value, str) else next(iter(value)))
def test_codes_have_their_published_words(name, words):
    told = set()
    for code, text in texts_of(load_card(name), set(words)):
        held = {one for one, word in words.items() if re.search(word, text, re.IGNORECASE)}
        assert held == {code}, (code, text)
        told.add(code)
    assert told == set(words)


@pytest.mark.parametrize("name", card_names())
def test_what_is_absent_is_not_called_present(name):
    for label, values in load_card(name).classes.items():
        if set(values) >= {"present", "absent"}:
            absent, present = (
                all(re.match("no |without ", text) for text in values[way].names["en"]) for way in ("absent", "present")
            )
            turned = label == "no_finding" or (name, label) == ("padchest", "normal")
            assert (absent, present) == (not turned, label == "no_finding"), label
