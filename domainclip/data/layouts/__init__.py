"""Published layouts, one file each; a layout lists the rows of a data set's tables and the files that lie there."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from domainclip.data.layouts.arrays import Arrays
from domainclip.data.layouts.containers import PictureTable, WebDataset
from domainclip.data.layouts.image_folder import ImageFolder
from domainclip.data.layouts.karpathy import Karpathy
from domainclip.data.layouts.openi import OpenI
from domainclip.data.layouts.table import Table

Listing = Karpathy | Table | ImageFolder | OpenI
"""Each has ``rows(root, what)`` (rows of text with the column ``path``, relative to root) and ``files(root)``."""
Container = WebDataset | PictureTable | Arrays
"""Each has ``containers(root, what)`` and ``entries(path, root)`` (images with their rows, read from one file in its order)."""
Layout = Annotated[Listing | Container, Field(discriminator="name")]
