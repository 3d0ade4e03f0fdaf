"""The job of `passthrough_job`, changed so that its operators are no longer those that wrote its savepoints."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from passthrough_job import main

if __name__ == "__main__":
    main("SELECT CONCAT(message, message) FROM source")
