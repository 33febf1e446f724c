"""Published layouts, one file each; a layout lists the rows of a data set's tables and the files that lie there."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from domainclip.data.layouts.image_folder import ImageFolder
from domainclip.data.layouts.karpathy import Karpathy
from domainclip.data.layouts.openi import OpenI
from domainclip.data.layouts.table import Table

Layout = Annotated[Karpathy | Table | ImageFolder | OpenI, Field(discriminator="name")]
"""Each has ``rows(root, what)`` (rows of text with the column ``path``, relative to root) and ``files(root)``."""
