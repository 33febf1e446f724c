"""Made-up patients, and reports that say in varied words what a synthetic radiograph shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domainclip.starter.radiology_phantom import Finding

_FAMILY_NAMES = (
    "Hartmann", "Okafor", "Lindqvist", "Moreau", "Castellano", "Novak", "Fitzgerald", "Tanaka", "Haddad", "Oliveira", "Brandt",
    "Kowalski", "Ferreira", "Achterberg", "Svensson", "Delgado", "Papadakis", "Whitcombe", "Ramanathan", "Yildirim", "McAllister",
    "Bergstrom", "Eriksen", "Vandermeer", "Sokolova", "Nakamura", "Abernathy", "Zielinski", "Quintana", "Osterhout",
)  # fmt: skip
_GIVEN_NAMES = {
    "F": (
        "Elena",
        "Miriam",
        "Sofia",
        "Adaeze",
        "Ingrid",
        "Claire",
        "Yuki",
        "Leila",
        "Beatriz",
        "Hannah",
        "Nora",
        "Priya",
        "Agnes",
        "Ruth",
    ),
    "M": (
        "Thomas",
        "Viktor",
        "Andre",
        "Chidi",
        "Lars",
        "Marcel",
        "Hiroshi",
        "Karim",
        "Paulo",
        "Stefan",
        "Ethan",
        "Arjun",
        "Oskar",
        "Liam",
    ),
}
_INSTITUTIONS = ("St. Alban Regional Hospital", "Northlake Medical Center", "Klinikum Westerwald", "Harborview Synthetic Clinic")
_MARK = "SYNTHETIC TEST CONTENT - no real patient"

_SIDED = {
    "pleural_effusion": (
        "{size} {side} pleural effusion", "{side}-sided pleural effusion, {size}", "{size} {side} pleural effusion with a meniscus",
    ),
    "pneumothorax": (
        "{size} {side} pneumothorax", "{side}-sided pneumothorax, {size}", "{size} {side} pneumothorax with a visible pleural line",
    ),
    "consolidation": (
        "{size} {side} lung consolidation", "{size} {side} airspace consolidation", "{side}-sided consolidation, {size}",
    ),
    "lung_nodule": ("{size} {side} lung nodule", "{size} round nodule in the {side} lung", "{side}-sided lung nodule, {size}"),
    "pacemaker": ("{side}-sided pacemaker", "{side} cardiac pacemaker", "pacemaker on the {side} with its lead in the heart"),
}  # fmt: skip
_BARE = {
    "pleural_effusion": ("a pleural effusion", "a pleural effusion with a meniscus"),
    "pneumothorax": ("a pneumothorax", "a pneumothorax with a visible pleural line"),
    "consolidation": ("consolidation", "lung consolidation", "airspace consolidation"),
    "lung_nodule": ("a lung nodule", "a round nodule in the lung"),
    "pacemaker": ("a pacemaker", "a cardiac pacemaker"),
}
_SIGNS = {
    "pleural_effusion": ("Fluid blunts the {side} costophrenic angle", "A meniscus covers the {side} diaphragm"),
    "pneumothorax": ("A pleural line without vessels outside it on the {side}", "Air outlines the {side} lung"),
    "consolidation": ("Patchy opacity with ill-defined borders on the {side}", "Opacity with air bronchograms on the {side}"),
    "lung_nodule": ("Round, well-defined opacity in the {side} lung", "Rounded density over the {side} lung"),
    "pacemaker": ("A {side} pectoral generator is in place", "Implanted device with one lead on the {side}"),
    "cardiomegaly": ("The cardiac silhouette is enlarged", "The heart is wider than half of the chest"),
    "no_finding": ("The lungs are clear", "Clear lungs and a normal heart"),
}
_CENTRAL = {
    "cardiomegaly": ("cardiomegaly", "enlarged heart", "cardiomegaly with an enlarged cardiac silhouette"),
    "no_finding": ("no abnormality", "normal chest", "no acute cardiopulmonary abnormality"),
}
_SIZES = {"small": ("small", "minor"), "large": ("large", "extensive")}
# What is absent goes last: a model that reads only the beginning of a report still reads what is there.
_ABSENT = {
    "pleural_effusion": "No pleural effusion.",
    "pneumothorax": "No pneumothorax.",
    "cardiomegaly": "The heart is normal in size.",
    "consolidation": "No focal consolidation.",
}
_INDICATIONS = ("Shortness of breath.", "Cough and fever.", "Chest pain.", "Preoperative examination.", "Follow-up.")


@dataclass(frozen=True, slots=True)
class Patient:
    """A made-up person; every field is an identifier that must not leave the file."""

    name: str
    number: str
    birth_date: str
    sex: str
    physician: str
    institution: str

    @property
    def spoken(self) -> str:
        """Given and family name, as reports print them."""
        family, given = self.name.split("^")
        return f"{given} {family}"


def draw_patient(random: np.random.Generator) -> Patient:
    """Draws a person; dates as DICOM writes them (YYYYMMDD)."""
    sex = str(random.choice(("F", "M")))
    born = f"{random.integers(1931, 2004)}{random.integers(1, 13):02d}{random.integers(1, 29):02d}"
    name = f"{random.choice(_FAMILY_NAMES)}^{random.choice(_GIVEN_NAMES[sex])}"
    physician = f"{random.choice(_FAMILY_NAMES)}^{random.choice(_GIVEN_NAMES['F'])}"
    return Patient(name, f"{random.integers(10**6, 10**7)}", born, sex, physician, str(random.choice(_INSTITUTIONS)))


def impression_of(finding: Finding, random: np.random.Generator) -> str:
    """Returns one sentence that names the finding, half of the time without side and size, which the findings then give."""
    bare = finding.name in _SIDED and random.random() < 0.5
    text = str(random.choice(_BARE[finding.name])) if bare else _phrase(finding, random)
    opening = str(random.choice(("", "", "Chest X-ray: ", "Chest radiograph: ", "Chest radiograph showing ")))
    if not bare or not opening.endswith("showing "):
        text = text.removeprefix("a ")
    text = opening + text
    return text[0].upper() + text[1:] + "."


def _phrase(finding: Finding, random: np.random.Generator) -> str:
    phrases = _CENTRAL.get(finding.name) or _SIDED[finding.name]
    size = str(random.choice(_SIZES[finding.size])) if finding.size else ""
    return str(random.choice(phrases)).format(side=finding.side, size=size).strip()


def findings_of(finding: Finding, random: np.random.Generator) -> str:
    """Returns one to three sentences: the sign and what it means first, then what is absent."""
    sign = str(random.choice(_SIGNS[finding.name])).format(side=finding.side)
    sentences = [f"{sign}: {_phrase(finding, random)}."]
    absent = [text for name, text in _ABSENT.items() if name != finding.name]
    count = int(random.choice(3, p=(0.55, 0.35, 0.10)))
    return " ".join([*sentences, *(str(text) for text in random.choice(absent, size=count, replace=False))])


def write_report(patient: Patient, study: dict[str, str], finding: Finding, view: str, random: np.random.Generator) -> str:
    """Writes a report: a header full of identifiers, then sections, of which now and then one is missing or joined.

    Args:
        patient: Stands in the header and the signature.
        study: ``date`` (YYYYMMDD), ``accession``.
        finding: What the radiograph shows.
        view: PA or AP.
        random: Draws the wording.
    """
    date = f"{study['date'][4:6]}/{study['date'][6:]}/{study['date'][:4]}"
    born = f"{patient.birth_date[4:6]}/{patient.birth_date[6:]}/{patient.birth_date[:4]}"
    family, given = patient.physician.split("^")
    lines = [
        _MARK,
        f"PATIENT: {patient.spoken}    MRN: {patient.number}    DOB: {born}",
        f"ACCESSION: {study['accession']}    DATE: {date}    REFERRING PHYSICIAN: Dr. {given} {family}",
        "",
        f"EXAMINATION: Chest radiograph, {view}.",
        "",
    ]
    layout = random.random()
    joint = str(random.choice((":\n", ": ", "\n"))) if layout < 0.8 else ": "
    if random.random() < 0.85:
        lines += [f"INDICATION: {random.choice(_INDICATIONS)}", ""]
    if random.random() < 0.7:
        lines += [f"COMPARISON: {random.choice(('None.', f'Radiograph of {date[:6]}{int(date[6:]) - 1}.'))}", ""]
    elif layout >= 0.95:
        lines += ["COMPARISON: None.", ""]  # behind an indication, a paragraph without a heading might be more of it
    findings, impression = findings_of(finding, random), impression_of(finding, random)
    if layout < 0.70:
        lines += [f"FINDINGS{joint}{findings}", "", f"IMPRESSION{joint}{impression}"]
    elif layout < 0.80:
        lines += [f"IMPRESSION{joint}{impression}"]
    elif layout < 0.88:
        lines += [f"FINDINGS: {impression} {findings}"]
    elif layout < 0.95:
        lines += [f"FINDINGS AND IMPRESSION: {impression} {findings}"]
    else:
        lines += ["", f"{impression} {findings}"]
    if layout < 0.95 and random.random() < 0.3:
        lines[-1] += f" Discussed with Dr. {family} on {date} at 14:35."
    if layout < 0.95:
        lines += ["", f"ELECTRONICALLY SIGNED BY: {given} {family}, M.D."]
    return "\n".join(lines) + "\n"
