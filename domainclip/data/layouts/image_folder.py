"""A folder for each class, images in it: the layout of most classification sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from domainclip.config import Section
from domainclip.errors import UsageError

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"})


class ImageFolderOptions(Section):
    """Where the class folders lie, relative to the root."""

    images: str = ""
    suffixes: tuple[str, ...] = tuple(sorted(_SUFFIXES))
    beside: tuple[str, ...] = ()
    """Patterns of files that are no images of the set, e.g. masks."""


class ImageFolder(Section):
    """Rows: one for each image, with ``path``, ``filename`` and ``class`` (the folder's name)."""

    name: Literal["image_folder"]
    options: ImageFolderOptions = ImageFolderOptions()

    def rows(self, root: Path, what: str) -> Iterator[dict[str, Any]]:
        """Lists the images.

        Raises:
            UsageError: The folder is not there or holds no image in a class folder.
        """
        folder, count = root / self.options.images, 0
        for path in self.files(root):
            if path.parent != folder:
                count += 1
                yield {"path": path.relative_to(root).as_posix(), "filename": path.name, "class": path.parent.name}
        if not count:
            found = "There is no such folder." if not folder.is_dir() else "It holds no images in folders of classes."
            raise UsageError(
                f"{what} was to be read from {folder}.", found, "Check that --root is the folder that the card describes."
            )

    def files(self, root: Path) -> Iterator[Path]:
        """Yields the image files under the folder."""
        folder = root / self.options.images
        for path in sorted(folder.rglob("*")):
            wanted = path.suffix.lower() in self.options.suffixes and path.is_file()
            if wanted and not any(path.match(beside) for beside in self.options.beside):
                yield path
