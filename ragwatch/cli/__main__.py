"""``python -m ragwatch.cli``."""

import sys

from ragwatch.cli import main

sys.exit(main())
