"""Reads hostile mutants of slides, of DICOM images and of rasters and prints how each ended.

``python tests/fuzz/run.py --mutants 800 [--format svs] [--json]``, about half an hour on one core.
Exit status 1 when there is a defect. ``fuzz_rules``, ``fuzz_image_rules`` and ``fuzz_scene_rules`` say what one is,
``fuzz_mutants`` how mutants are made. To look at one: ``--format svs --only 137 --keep FOLDER`` writes it there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[2]))

from fuzz_forks import Ended, forked
from fuzz_image_readings import Plate, read_image, read_pydicom
from fuzz_image_rules import judge_image
from fuzz_images import IMAGES
from fuzz_mutants import mutant
from fuzz_readings import Canvas, read_ours, read_reference
from fuzz_rules import OUTCOMES, Verdict, judge
from fuzz_scene_readings import Ground, read_gdal, read_scene, read_second
from fuzz_scene_rules import judge_scene
from fuzz_scenes import SCENES
from fuzz_seeds import FORMATS, seed_bytes

ALL = (*FORMATS, *IMAGES, *SCENES)


@dataclass
class Report:
    """How the mutants of one format ended.

    Attributes:
        kind: The format.
        outcomes: Counts.
        defects: Number, what was done to the seed, outcome and detail of each defect.
        survived: The same of the crashes and memory limits that supervision catches.
        blank_as_said: Mutants with a block of one colour that the reference decodes as well.
        slowest: Seconds of the slowest mutant.
        seconds: In all.
    """

    kind: str
    outcomes: Counter[str] = field(default_factory=Counter)
    defects: list[dict[str, Any]] = field(default_factory=list)
    survived: list[dict[str, Any]] = field(default_factory=list)
    blank_as_said: int = 0
    slowest: float = 0.0
    seconds: float = 0.0


class Bench:
    """A folder, what forks write to, and a process warmed by one good file of each format."""

    def __init__(self, folder: Path, formats: Iterable[str] = ALL) -> None:
        self.folder = folder
        self.mine, self.theirs = Canvas(), Canvas()
        self.plates = Plate(), Plate()
        self.grounds = Ground(), Ground(), Ground()
        wanted = list(formats)
        for kind in wanted:
            if kind in IMAGES:
                path = folder / f"warm_{kind}.dcm"
                path.write_bytes(seed_bytes(kind)[0])
                read_image(kind, path, self.plates[0])
                read_pydicom(kind, path, self.plates[1])
        if any(kind in FORMATS for kind in wanted):
            self._warm_slides(folder)
        for kind in wanted:
            if kind in SCENES:
                self._warm_scene(kind, folder)

    def _warm_slides(self, folder: Path) -> None:
        for number, kind in enumerate((*FORMATS, "flat")):
            data, suffix = seed_bytes(kind, number // len(FORMATS))
            path = folder / f"warm{number}" / f"seed{suffix}"
            path.parent.mkdir()
            path.write_bytes(data)
            read_ours(path, self.mine)
            read_reference(kind, path, self.theirs)
        from domainclip.domains.pathology import slides

        slides._cache.clear()  # handles of the warm process mean nothing in a fork

    def _warm_scene(self, kind: str, folder: Path) -> None:
        data, suffix = seed_bytes(kind)
        path = folder / f"warm_{kind}{suffix}"
        path.write_bytes(data)
        for read, ground in zip((read_scene, read_gdal, read_second), self.grounds, strict=True):
            read(kind, path, ground)

    def verdict(self, kind: str, data: bytes, suffix: str) -> tuple[Verdict, float]:
        """Reads one file both ways; returns the verdict and the seconds that ours took."""
        place = Path(tempfile.mkdtemp(dir=self.folder))  # OpenSlide looks at the neighbours of a DICOM file
        path = place / f"Doe_Jane_1961{suffix}"
        path.write_bytes(data)
        try:
            if kind in IMAGES:
                return self._image(kind, path)
            if kind in SCENES:
                return self._scene(kind, path)
            self.mine.clear()
            self.theirs.clear()
            ours = forked(lambda: read_ours(path, self.mine))
            reference = forked(lambda: read_reference(kind, path, self.theirs))
            misread = forked(lambda: {"says": _second_opinion(path)}) if kind in {"tiff", "svs", "ome"} else Ended("answered")
            return judge(path, ours, self.mine, reference, self.theirs, misread.answer.get("says")), ours.seconds
        finally:
            shutil.rmtree(place)

    def _image(self, kind: str, path: Path) -> tuple[Verdict, float]:
        mine, theirs = self.plates
        mine.clear()
        theirs.clear()
        ours = forked(lambda: read_image(kind, path, mine))
        reference = forked(lambda: read_pydicom(kind, path, theirs))
        return judge_image(kind, path, ours, mine, reference, theirs), ours.seconds

    def _scene(self, kind: str, path: Path) -> tuple[Verdict, float]:
        mine, theirs, sure = self.grounds
        for ground in self.grounds:
            ground.clear()
        ours = forked(lambda: read_scene(kind, path, mine))
        gdal = forked(lambda: read_gdal(kind, path, theirs))
        second = forked(lambda: read_second(kind, path, sure))
        return judge_scene(kind, path, ours, mine, gdal, theirs, second, sure), ours.seconds


def _second_opinion(path: Path) -> str | None:
    """What tifffile says against 8-bit RGB; None when it agrees or cannot tell."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            depth, samples, colour = str(page.dtype), page.samplesperpixel, int(page.photometric)
    except Exception:
        return None
    alpha = samples == 4 and tuple(int(e) for e in page.extrasamples)[:1] in {(1,), (2,)}
    if depth == "uint8" and (samples == 3 or alpha) and colour in {2, 6}:
        return None
    return f"tifffile: {depth}, {samples} samples, photometric {colour}"


def run(kind: str, numbers: Iterable[int], bench: Bench, keep: Path | None = None) -> Report:
    """Reads the mutants with these numbers; number -1 is the whole seed."""
    report = Report(kind)
    began = time.monotonic()
    for number in numbers:
        data, suffix, said = (*seed_bytes(kind), "the seed") if number < 0 else mutant(kind, number)
        verdict, seconds = bench.verdict(kind, data, suffix)
        report.outcomes[verdict.outcome] += 1
        report.blank_as_said += verdict.blank_as_said
        report.slowest = max(report.slowest, seconds)
        line = {"number": number, "made by": said, "outcome": verdict.outcome, "detail": verdict.detail}
        if verdict.defect:
            report.defects.append(line)
        elif verdict.outcome in {"killed", "memory"}:
            report.survived.append(line)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{kind}{number}{suffix}").write_bytes(data)
    report.seconds = time.monotonic() - began
    return report


def main() -> int:
    """Parses the options, prints tables or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=800, help="of each format")
    parser.add_argument("--format", choices=ALL, action="append", help="only this one; may be repeated")
    parser.add_argument("--only", type=int, help="one mutant by its number; -1 is the seed")
    parser.add_argument("--keep", type=Path, help="write the mutants that were read into this folder")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    numbers = range(-1, options.mutants) if options.only is None else [options.only]
    reports = []
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        bench = Bench(Path(folder), options.format or ALL)
        for kind in options.format or ALL:
            reports.append(run(kind, numbers, bench, options.keep))
            if not options.json:
                _show(reports[-1])
    if options.json:
        print(json.dumps([vars(report) for report in reports], indent=1))
    return 1 if any(report.defects for report in reports) else 0


def _show(report: Report) -> None:
    total = sum(report.outcomes.values())
    print(f"{report.kind}: {total} files (the seed and its mutants), {report.seconds:.0f} s, slowest {report.slowest:.1f} s")
    for outcome in OUTCOMES:
        if report.outcomes[outcome]:
            print(f"  {outcome:21} {report.outcomes[outcome]:5}")
    print(f"  {'(blank as said)':21} {report.blank_as_said:5}")
    for title, lines in (("DEFECT", report.defects), ("survived", report.survived)):
        for line in lines:
            detail = str(line["detail"]).strip().replace("\n", "\n      ")
            print(f"  {title} {report.kind} {line['number']} [{line['made by']}] {line['outcome']}: {detail}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
