"""The one way a layout may fail without anybody being at fault."""

from __future__ import annotations


class LayoutFailure(Exception):
    """This draw leads nowhere (no camera, no object, no place for a light); draw again with the next attempt.

    The published code catches every exception and tries again without limit, which turns a missing file into
    an endless loop. Here a missing file is a BadInput or Missing and only bad luck is a LayoutFailure.
    """
