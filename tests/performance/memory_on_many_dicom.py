"""`domainclip prepare` on a folder of 20,000 small DICOM files: memory that does not grow with their number, and going on after -9.

    python tests/performance/memory_on_many_dicom.py --root DIR [--files 5000 20000]

The files (64 x 64, 12 bits, noise over a slope) are a template's bytes with other identifiers and pixels, of 200 patients with two
series each, in nested folders. Runs: each number of files; then the largest again, which is killed with all its processes (SIGKILL)
once half of its files are read, and goes on with --resume. Judged: ``growth_bytes_per_file`` of the largest process (the first,
which keeps a line for each image; workers keep none) and of the sum over processes, between the smallest and the largest number;
the time per file, which may not grow; and that the set of the killed run is, byte for byte, that of the run that nobody disturbed.
One line of JSON on standard output; exit status 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from prepare_runs import digests, killed_and_resumed, prepare_command, undisturbed

SIDE, PATIENTS, SERIES = 64, 200, 2
MOST_BYTES_PER_FILE = 4096
"""Growth of all processes together: 20,000 files may cost 78 MiB."""
SLOWER = 1.25
"""So many times the seconds per file of the smallest number are allowed at the largest."""
_MARKS = {"PatientID": "P-1000000000", "StudyInstanceUID": "1.2.3.1.1000000000", "SeriesInstanceUID": "1.2.3.2.1000000000",
          "SOPInstanceUID": "1.2.3.3.1000000000"}  # fmt: skip


def make_folder(root: Path, count: int) -> Path:
    """Writes so many files, where they are not there yet."""
    folder = root / f"many-{count}"
    done = folder.with_suffix(".done")
    if done.exists():
        return folder
    template = _template()
    places = {name: template.index(mark.encode()) for name, mark in _MARKS.items()}
    pixels_at = len(template) - SIDE * SIDE * 2
    random = np.random.default_rng(0)
    slope = np.add.outer(np.arange(SIDE), np.arange(SIDE)) * 24.0
    for number in range(count):
        patient = number % PATIENTS
        series = patient * SERIES + number // PATIENTS % SERIES
        data = bytearray(template)
        numbers = {"PatientID": patient, "StudyInstanceUID": patient, "SeriesInstanceUID": series, "SOPInstanceUID": number}
        for name, at in places.items():
            mark = _MARKS[name]
            data[at : at + len(mark)] = f"{mark[:-9]}{numbers[name]:09d}".encode()
        data[pixels_at:] = np.clip(slope + 60 * random.standard_normal((SIDE, SIDE)), 0, 4095).astype("<u2").tobytes()
        path = folder / f"patient-{patient:03d}" / f"series-{series % SERIES}" / f"{number:06d}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    done.touch()
    return folder


def _template() -> bytes:
    """One small CR image, its pixels last."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.SOPClassUID, dataset.Modality, dataset.PatientName = "1.2.840.10008.5.1.4.1.1.1", "CR", "Made^Up"
    for name, mark in _MARKS.items():
        setattr(dataset, name, mark)
    dataset.BodyPartExamined, dataset.ViewPosition, dataset.PatientSex, dataset.PatientAge = "CHEST", "PA", "F", "050Y"
    dataset.Rows = dataset.Columns = SIDE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth, dataset.ImagerPixelSpacing = 1500, 3000, [0.2, 0.2]
    dataset.PixelData = bytes(SIDE * SIDE * 2)
    buffer = DicomBytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return bytes(buffer.getvalue())


def main() -> None:
    """Makes the files, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--files", type=int, nargs="+", default=[5000, 20000])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    root, counts = options.root.resolve(), sorted(options.files)
    rows: dict[int, dict[str, Any]] = {}

    def words(folder: Path, output: Path) -> list[str]:
        return prepare_command(folder, output, "radiology", options.workers)

    with tempfile.TemporaryDirectory(dir=root) as name:
        os.environ["DOMAINCLIP_HOME"] = f"{name}/home"
        for count in counts:
            shutil.rmtree(f"{name}/set", ignore_errors=True)
            run = undisturbed(words(make_folder(root, count), Path(name) / "set"), Path(name) / "set")
            assert run.pop("counts")["images"] == count
            rows[count] = run | {"cpu_ms_per_file": round(run["cpu_seconds"] / count * 1e3, 2)}
            print(f"{count} files: {rows[count]}", file=sys.stderr, flush=True)
        again = Path(name) / "again"
        resumed = killed_and_resumed(words(make_folder(root, counts[-1]), again), again, counts[-1])
        whole, resumed_set = digests(Path(name) / "set"), digests(again)
    few, many = rows[counts[0]], rows[counts[-1]]
    differ = sorted(place for place in whole.keys() | resumed_set.keys() if whole.get(place) != resumed_set.get(place))
    more = max(1, counts[-1] - counts[0])
    growth = {key: round((many[key] - few[key]) * 2**20 / more) for key in ("rss_sum_mib", "rss_largest_process_mib")}
    slower = round(many["cpu_ms_per_file"] / few["cpu_ms_per_file"], 2)
    met = {
        "memory": max(growth.values()) <= MOST_BYTES_PER_FILE,
        "time": slower <= SLOWER,
        "same_bytes": not differ and len(whole) > 2,
    }
    line: dict[str, Any] = {"files": counts, "side_px": SIDE, "workers": options.workers, "runs": rows, "killed": resumed}
    line |= {
        "growth_bytes_per_file": growth,
        "target_bytes_per_file": MOST_BYTES_PER_FILE,
        "slower": slower,
        "target_slower": SLOWER,
    }
    line |= {"files_compared": len(whole), "files_that_differ": differ[:10], "met": met, "load": os.getloadavg()}
    print(json.dumps(line))
    sys.exit(0 if all(met.values()) else 1)


if __name__ == "__main__":
    main()
