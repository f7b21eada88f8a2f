"""Where things are."""

from pathlib import Path

import ragwatch

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout."""
PACKAGES = Path(ragwatch.__file__).resolve().parent.parent
"""Where ragwatch is imported from: the checkout, or where its compiled build is."""
