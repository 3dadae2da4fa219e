"""The modules of this folder import each other by their bare names, as `python tests/faults` has them do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
