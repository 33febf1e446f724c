"""What pydicom decodes with all its plug-ins, GPL ones too: run by hand in an environment of its own, never by the tests.

python -m venv oracle && oracle/bin/pip install pydicom==3.0.2 numpy==2.4.6 pillow==13.0.0 pylibjpeg==2.1.0 \
    pylibjpeg-libjpeg==2.5.0 pylibjpeg-openjpeg==2.6.0 pyjpegls==1.5.1 python-gdcm==3.2.6 pydicom-data==1.0.0
oracle/bin/python tests/domains/radiology/corpus/oracle.py > tests/domains/radiology/corpus/decoded.json

One line a file that pydicom reads without force and decodes: frames, shape and type of the first frame, and of the first and the
last frame the SHA-256 of the little-endian bytes and 16 numbers evenly spaced (lossy JPEG differs by rounding between decoders).
"""

import hashlib
import importlib.util
import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import pixel_array


def folders():
    found = [Path(pydicom.__file__).parent / "data" / "test_files"]
    spec = importlib.util.find_spec("data_store")
    if spec is not None:
        found.append(Path(spec.origin).parent / "data")
    return found


def described(frame):
    plain = np.ascontiguousarray(frame.astype(frame.dtype.newbyteorder("<")))
    flat = plain.ravel()
    picked = flat[np.linspace(0, flat.size - 1, 16).astype(int)]
    return {"sha256": hashlib.sha256(plain.tobytes()).hexdigest(), "picked": picked.tolist()}


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    table = {}
    for folder in folders():
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            try:
                dataset = pydicom.dcmread(path)
                frames = int(dataset.get("NumberOfFrames") or 1)
                first, last = (pixel_array(dataset, index=number) for number in (0, frames - 1))
            except Exception as error:
                print(f"{path.name}: {type(error).__name__}", file=sys.stderr)
                continue
            shape = {"frames": frames, "shape": list(first.shape), "dtype": first.dtype.newbyteorder("=").name}
            table[path.relative_to(folder).as_posix()] = {**shape, "first": described(first), "last": described(last)}
    lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(table.items())]
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
