"""Where ./tern arrives: makes the package importable and hands over to tern.cli."""

import sys
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit("tern: Python 3.11 or newer is needed (this is %d.%d)" % sys.version_info[:2])

ROOT = Path(__file__).resolve().parents[2]
sys.pycache_prefix = str(ROOT / "build" / "pycache")
sys.path[0] = str(ROOT / "tools")

from tern.cli import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
