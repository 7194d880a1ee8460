"""Run another program so that it ends when this one's parent does, however that ends.

`python -m appliance.importing.tethered PARENT PROGRAM [ARGUMENT …]`
"""

from __future__ import annotations

import os
import sys

from appliance.engine.process import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    # It has packages of its own, and may be of another Python.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    os.execve(sys.argv[2], sys.argv[2:], environment)  # noqa: S606 - the caller's own program
