"""`python -m parity.cli`."""

import sys

from parity.cli import main

sys.exit(main())
