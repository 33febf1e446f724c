"""Features that TRIDENT, CLAM or AtlasPatch computed, taken in so that they can be indexed and searched."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from domainclip.domains.pathology.coordinates import coordinates_for
from domainclip.domains.pathology.tile_features import TileFeatures
from domainclip.errors import UnreadableFileError, UsageError, unknown_name
from domainclip.heads.domain_model import DomainModel, Features
from domainclip.heads.embed import model_facts
from domainclip.heads.feature_table import FeatureWriter, Kind
from domainclip.heads.inputs import Image
from domainclip.heads.peer_reading import read_supervised
from domainclip.heads.reading import Found, Progress, Rejected
from domainclip.identifiers import keyed_hash, owner_key
from domainclip.sample import Spacing, Window

State = Literal["unit", "projected", "unprojected"]
"""What the caller says of stored features: ``unit`` and ``projected`` lie in the space that images and texts share, of norm 1 or of
any norm; ``unprojected`` come before the model's last layer, and no text can be compared with them."""
NORM_TOLERANCE = 0.01
"""Stored as float16, the norm of a unit vector is off by less than 0.001."""
_ROWS = 4096


def features_from_h5(
    folder: str | Path,
    output: str | Path,
    model: DomainModel,
    state: State,
    *,
    kind: Kind = "index",
    coordinates: str | Path | None = None,
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes a folder of features or an index from the files of another program, one ``.h5`` a slide.

    No file tells whether its features are projected, or by which weights they were made: TRIDENT stores CONCH v1 before the
    projection, with as many numbers as after it. So the caller must say, and what can be checked is: the width, that numbers are
    finite, the norm for ``"unit"``, and that all files name the same encoder.

    Args:
        folder: The ``.h5`` files of features, none in subfolders.
        output: Folder to write.
        model: The model that made the features; texts will be encoded by it.
        state: See ``State``; ``"projected"`` features are brought to unit norm.
        kind: ``"index"``, to search, or ``"embed"``.
        coordinates: Folder of the files that the tiles were cut by (CLAM's feature files do not say how large a tile is).
            Without it, such tiles have no place.
        name: Which of several features of a file (AtlasPatch).
        overwrite: Replace features that lie at ``output``.
        progress: Called with (done, total, text).

    Returns:
        What ``<kind>.json`` holds; ``features`` says what was stated, the encoder that the files name, and how many tiles have no
        place.

    Raises:
        UsageError: ``state`` is ``"unprojected"`` or unknown; there are no files, none can be used, or they name different
            encoders; or the output holds something.
    """
    _check_state(state)
    folder = Path(folder)
    files = _files(folder)
    writer = FeatureWriter(output, model.width, overwrite)
    taken = _Taken()
    try:
        jobs = [(path, coordinates_for(Path(coordinates), stem) if coordinates else None) for stem, path in files.items()]
        read = zip(files.items(), read_supervised(jobs, name), strict=True)
        for number, ((stem, path), tiles) in enumerate(read, start=1):
            checked = _checked(tiles, model, state)
            if isinstance(checked, str):
                taken.reject(writer, stem, checked)
            else:
                taken.add(writer, stem, path, checked)
            if progress:
                progress(number, len(files), "reading features")
        taken.check(folder)
        said = {"stated": state, "encoder": next(iter(taken.encoders), None), "tiles_without_place": taken.placeless}
        return writer.finish(kind, {"set_id": _remembered(taken.paths), "model": model_facts(model), "features": said})
    except BaseException:
        writer.close()
        raise


class _Taken:
    """What has been taken in so far."""

    def __init__(self) -> None:
        self.count = self.placeless = 0
        self.encoders: Counter[str] = Counter()
        self.paths: dict[str, str] = {}
        self.first = ""

    def add(self, writer: FeatureWriter, stem: str, path: Path, tiles: TileFeatures) -> None:
        """Writes the tiles of a slide."""
        self.encoders.update([tiles.encoder] if tiles.encoder else [])
        self.placeless += len(tiles.values) if tiles.coordinates is None else 0
        self.count += len(tiles.values)
        for images, rows in _images(stem, tiles):
            self.paths.update((image.key, str(path.absolute())) for image in images)
            writer.add(images, rows)

    def reject(self, writer: FeatureWriter, stem: str, why: str) -> None:
        """Notes a slide that cannot be used."""
        self.first = self.first or why
        writer.reject(Rejected(keyed_hash(stem, owner_key()), why))

    def check(self, folder: Path) -> None:
        """Refuses nothing at all, and a mixture.

        Raises:
            UsageError: One of them.
        """
        asked = f"Features in {folder} were to be taken in."
        if not self.count:
            raise UsageError(asked, f"None can be used. The first: {self.first or 'it holds no tile.'}", "Make the files anew.")
        if len(self.encoders) > 1:
            listed = ", ".join(f"{name} ({number})" for name, number in self.encoders.most_common(5))
            raise UsageError(asked, f"They were made by different encoders: {listed}.", "Give each encoder's files a folder.")


def _files(folder: Path) -> dict[str, Path]:
    """Returns the stem of each slide and its file.

    Raises:
        UsageError: There is none, or a slide has two.
    """
    asked = f"Features in {folder} were to be taken in."
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*.h5")) if folder.is_dir() else []:
        if path.name.startswith(".") or not path.is_file():
            continue
        stem = path.stem.removesuffix("_patches")
        if stem in files:
            raise UsageError(asked, f"Two files are of one slide: {files[stem].name} and {path.name}.", "Keep one file a slide.")
        files[stem] = path
    if not files:
        raise UsageError(asked, "There is no .h5 file in it.", "Give the folder of the files of features, one a slide.")
    return files


def _checked(tiles: TileFeatures | str, model: DomainModel, state: State) -> TileFeatures | str:
    """Brings a slide's features to unit norm, or says why they are rejected."""
    if isinstance(tiles, str):
        return tiles
    try:
        return replace(tiles, values=_in_shared_space(tiles.values, model, state))
    except UnreadableFileError as error:
        return f"{error.found} {error.remedy}"


def _check_state(state: str) -> None:
    if state not in get_args(State):
        raise unknown_name("kind of features", state, get_args(State))
    if state == "unprojected":
        raise UsageError(
            "Features before the projection were to be taken in.",
            "They lie in another space than the texts: every score would be noise.",
            "Compute them with the projection (TRIDENT: encoder option with_proj=True), or embed the slides: domainclip embed.",
        )


def _in_shared_space(values: Features, model: DomainModel, state: State) -> Features:
    """Checks what can be checked, and returns rows of unit norm."""
    if values.shape[1] != model.width:
        found = f"Its features have {values.shape[1]} numbers; those of the model have {model.width}."
        raise UnreadableFileError("Features were to be taken in.", found, "Name the model that made them.")
    norms = np.linalg.norm(values.astype(np.float64), axis=1)
    if len(norms) and norms.min() <= 0:
        raise UnreadableFileError("Features were to be taken in.", "A feature is zero throughout.", "Make the file anew.")
    if state == "unit" and len(norms) and np.abs(norms - 1).max() > NORM_TOLERANCE:
        found = f"Its features were said to be of unit norm; norms are {norms.min():.3g} to {norms.max():.3g}."
        raise UnreadableFileError(
            "Features were to be taken in.", found, "Say projected if they are, or look at how they were made."
        )
    unit: Features = (values / norms[:, None]).astype(np.float32)
    return unit


def _images(stem: str, tiles: TileFeatures) -> Iterator[tuple[list[Found], Features]]:
    """Yields rows as images of the slide: with their place in it where the file tells it."""
    owner = owner_key()
    group, places, values = keyed_hash(stem, owner), tiles.coordinates, tiles.values
    for start in range(0, len(values), _ROWS):
        images = []
        for row in range(start, min(start + _ROWS, len(values))):
            if places is None:
                images.append(Found(keyed_hash(f"{stem}#{row}", owner), group, _no_pixels))
                continue
            x, y, width, height = (round(float(value)) for value in places.boxes[row])
            px = places.tile_px
            images.append(
                Found(
                    keyed_hash(f"{stem}#{x}_{y}_{width}_{height}", owner),
                    group,
                    _no_pixels,
                    Window(x, y, width, height, 0),
                    size=(px, px) if px else None,
                    spacing=Spacing((places.spacing_um,) * 2, "um", "file of features") if places.spacing_um else None,
                )
            )
        yield images, values[start : start + _ROWS]


def _remembered(paths: dict[str, str]) -> str:
    """Writes the owner's map from keys to the files of features, and returns its name."""
    from domainclip.data.owner_map import write_owner_map

    set_id = secrets.token_hex(10)
    write_owner_map(set_id, [{"key": key, "path": path} for key, path in paths.items()])
    return set_id


def _no_pixels() -> Image:
    raise UnreadableFileError(
        "A tile was to be read.", "Its features were taken from a file that holds no pixels.", "Embed the slide."
    )
