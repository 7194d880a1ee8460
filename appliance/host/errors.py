"""Why Cloister does not start here, by name. Each message says what to do about it."""

from __future__ import annotations

from pathlib import Path


class HostError(Exception):
    """Something on this machine has to change before Cloister can run."""

    def __init__(self, message: str, remedy: str) -> None:
        """Say in one sentence what is wrong, and in another what to do."""
        super().__init__(f"{message} {remedy}")
        self.message = message
        self.remedy = remedy


class SettingsError(HostError):
    """A setting has a value that it can not have."""


class ClockError(HostError):
    """The clock shows a time that can not be."""


class PermissionsError(HostError):
    """A folder or file of the state tree is open to others, or closed to us."""


class DiskFullError(HostError):
    """Too little room is left for the log."""


class ForwardingError(HostError):
    """The log host's address or its authority's certificate is not usable."""


class PortInUseError(HostError):
    """Another program listens where the pages should be."""


class ModelFileError(HostError):
    """A model's file is missing, or there is no model at all."""


class StateInUseError(HostError):
    """Another Cloister runs on the same state tree."""

    def __init__(self, state: Path, holder: str) -> None:
        """`holder` is the other one's process id, as far as it is known."""
        super().__init__(
            f"Another Cloister (process {holder or 'unknown'}) runs on {state}.",
            "Stop it with Ctrl-C where it runs, or give this one a folder of its own: "
            "CLOISTER_STATE=/another/folder.",
        )


class ProcessFailedError(HostError):
    """One of the three processes did not come up."""


class NotRunningError(HostError):
    """A command needs the running appliance, and it does not run."""


class StoppedError(Exception):
    """Somebody asked us to stop before everything was up."""
