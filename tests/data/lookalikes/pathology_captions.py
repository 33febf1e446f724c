"""Look-alikes of pathology sets whose captions come with them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from lookalikes.kit import Expected, LookAlike, lookalike, picture, put


def _csv(rows: Iterable[Sequence[object]]) -> str:
    """Returns rows as pandas writes them: comma, quotes where needed, LF."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


@lookalike("arch")
def arch(root: Path) -> LookAlike:
    """Code search: ids 45386065859 (counts, fields, endings, bags), 594320273 (keys of a record), 67648560166 (what a zip holds).

    35 rows of the books lead to no file. A caption may belong to several figure_ids, and one figure_id has one caption: the caption
    itself is the group, in both parts. Filled in: uuids, captions, escapes and indentation of the JSON, where ``._`` files lie.
    """
    one = "Follicular adenoma. A, the capsule is intact (H&E, ×40). B, small follicles at higher power (H&E, ×200)."
    shared = 'Metastatic melanoma in a lymph node, with "naked" nuclei; compare with the preceding figure.'
    single = "Ménétrier disease: foveolar hyperplasia."
    books = [
        ("3107", "A", one, "00a8f1d2-1c5e-4b0a-9a51-2f6f0a7c1e01"), ("3107", "B", one, "0f3b9c64-77d1-4d8e-8c3a-5b1d2e4f6a02"),
        ("4122", "A", shared, "12c4d5e6-8f90-4a1b-b2c3-d4e5f6071803"),
        ("4123", "Single", shared, "2b7e1516-28ae-42d6-abf7-158809cf4f04"),
        ("871", "Single", single, "3c6ef372-fe94-4f82-a54f-f53a5f1d3605"),
        ("872", "Single", "Its image was not published.", "4d5e6f70-8192-4a3b-84c5-d6e7f8091a06"),
    ]  # fmt: skip
    articles = [
        ("Photomicrograph of the resected polyp (haematoxylin and eosin, original magnification 100x).", "jpg"),
        ("Tumour cells are positive for CD34.", "png"),
        ("Two fields of the same biopsy.", "jpg"), ("Two fields of the same biopsy.", "jpg"),
    ]  # fmt: skip
    images, rejected = [], []
    told = {
        str(row): dict(zip(("figure_id", "letter", "caption", "uuid"), record, strict=True)) for row, record in enumerate(books)
    }
    put(root / "books_set/captions.json", json.dumps(told))
    for number, (_, _, caption, uuid) in enumerate(books, start=100):
        name = f"books_set/images/{uuid}"
        if number == 100 + len(books) - 1:
            rejected.append(name)
            continue
        picture(root / f"{name}.png", number)
        images.append(Expected(f"{name}.png", number, captions=(caption,), group=caption))
    articles_told = {}
    for row, (caption, ending) in enumerate(articles):
        uuid = f"a1b2c3d4-0000-4000-8000-00000000000{row}"
        articles_told[str(row)] = {"caption": caption, "uuid": uuid}
        picture(root / f"pubmed_set/images/{uuid}.{ending}", 110 + row)
        images.append(Expected(f"pubmed_set/images/{uuid}.{ending}", 110 + row, captions=(caption,), group=caption))
        put(root / f"__MACOSX/pubmed_set/images/._{uuid}.{ending}", b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ")
    put(root / "pubmed_set/captions.json", json.dumps(articles_told))
    put(root / "books_set/.DS_Store", b"\x00\x00\x00\x01Bud1")
    put(root / "pubmed_set/.DS_Store", b"\x00\x00\x00\x01Bud1")
    return LookAlike(tuple(images), tuple(rejected))


@lookalike("openpath")
def openpath(root: Path) -> LookAlike:
    """The project's notes on pathology: PLIP's training reads a table with the columns image and caption; no file is published.

    Filled in: the table's name, the folder, names of files, all texts. Many tweets are gone (plip issues 6, 14, 20, 27): one row
    has no file. Several images of a tweet share its text; nothing else says which tweet it was.
    """
    shared = "Two views of the same lesion, what is your diagnosis?"
    rows = [
        ("images/1100000000000000001_0.jpg", shared), ("images/1100000000000000001_1.jpg", shared),
        ("images/1100000000000000002_0.jpg", 'A "chicken wire" pattern, 20x, bone'),
        ("images/1100000000000000003_0.png", "Colon biopsy with granulomas 🔬"),
        ("images/1100000000000000004_0.jpg", "The author has removed this one"),
    ]  # fmt: skip
    put(root / "openpath.csv", _csv([("image", "caption"), *rows]))
    images = []
    for number, (name, caption) in enumerate(rows[:-1], start=130):
        picture(root / name, number)
        images.append(Expected(name, number, captions=(caption,)))
    return LookAlike(tuple(images), (rows[-1][0],))


_QUILT_HEADER = (
    "", "caption", "image_path", "subset", "split", "pathology", "roi_text", "noisy_text", "corrected_text", "med_umls_ids",
    "magnification", "height", "width",
)  # fmt: skip


@lookalike("quilt-1m")
def quilt_1m(root: Path) -> LookAlike:
    """Code search: ids 594320273, 45697951119 (header of the first release), 4995563360 (quilt_1m/<image_path>), 61648491433
    (subsets, splits, magnification), 54151163751, 21320903816 (list literals); quilt1m issues 21 (many to many), 23 (files without
    a row; these two names).

    4 rows have no caption: here one, of an image that has another. Filled in: all values but those names, names outside of the
    subset quilt, line ends.
    """
    glands, nest = "Crypts are shortened, with a villous surface.", 'A nest of melanocytes at the junction, "pagetoid" above.'
    uuid = "0c7b1f5e-3a52-4c1e-9d10-1f2e3d4c5b6"
    first, second = f"Qw3-rT_y8Zk_image_{uuid}0.jpg", f"Qw3-rT_y8Zk_image_{uuid}1.jpg"
    dashed, under = f"-Zx_9kLmN0p_image_{uuid}2.jpg", f"_b_M_sOb4ZI_image_{uuid}3.jpg"
    umls = "[[{'entity': 'Crypts'}], [{'entity': 'villous'}, {'entity': 'surface'}]]"
    talk, gut = (umls, 1.0, 720, 1280), "['Gastrointestinal']"
    rows = [
        (glands, first, "quilt", "train", gut, "['Shortened crypts.', \"The crypt's base.\"]", "so here um", "Here", *talk),
        ("Goblet cells are lost.", first, "quilt", "train", gut, "[]", "so here um", "Here", *talk),
        (glands, second, "quilt", "train", gut, "[]", "and again", "And again", *talk),
        (nest, dashed, "quilt", "val", "['Dermatopathology', 'Head and Neck']", "['The arrow.']", "uh", "", "[]", 2.0, 1080, 1920),
        ("", under, "quilt", "train", "", "", "", "", "", 0.0, 480, 640),
        ("Low power of the whole section.", under, "quilt", "train", "['Unknown']", "[]", "low", "Low", "[]", 0.0, 480, 640),
        ("Thyroid: what is it?", "1100000000000000009_0.png", "openpath", "train", "", "", "", "", "", "", 600, 800),
        ("Figure 2, H&E, ×400", "PMC1000001_fig2.jpg", "pubmed", "train", "[]", "", "", "", "", "", 512, 700),
        ("histology slide of kidney", "000012345.jpg", "laion", "val", "", "", "", "", "", "", 300, 300),
    ]  # fmt: skip
    put(root / "quilt_1M_lookup.csv", _csv([_QUILT_HEADER, *((index, *row) for index, row in enumerate(rows))]))
    images = []
    for number, file in enumerate(dict.fromkeys(row[1] for row in rows), start=150):
        picture(root / "quilt_1m" / file, number)
        mine = [row for row in rows if row[1] == file]
        captions = tuple(dict.fromkeys(row[0] for row in mine if row[0]))
        subset, split = mine[0][2:4]
        group = file.rsplit("_image_", 1)[0] if subset == "quilt" else None
        images.append(Expected(f"quilt_1m/{file}", number, {"subset": subset}, captions, group, split))
    extra = (
        "quilt_1m/7M7Ol5StU7U_image_b61a7317-b9b7-4d66-9158-828ba75bfb27.jpg",
        "quilt_1m/_b_M_sOb4ZI_image_0760643c-923b-4f1e-a5e4-8b2f9b3f2849.jpg",
    )
    for number, name in enumerate(extra, start=170):
        picture(root / name, number)
    return LookAlike(tuple(images), extra)
