"""`python -m audit.cli`, and the entry of the zipapp."""

import sys

from audit.cli.main import main

sys.exit(main())
