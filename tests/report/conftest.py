"""Lets the tests import `sample_page`, which is also a script one can run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
