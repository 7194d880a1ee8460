"""Why a bundle is refused, or can not be made, by name. Each message says what to do about it."""

from __future__ import annotations


class BundleError(Exception):
    """Something is wrong with a bundle."""


class UnreadableError(BundleError):
    """The file is not there, can not be read, or is no bundle at all."""


class SignatureError(BundleError):
    """The manifest was not signed, for bundles, with a key that is trusted here."""


class ManifestError(BundleError):
    """The signed manifest breaks a rule of the format."""


class LengthError(BundleError):
    """The bundle is shorter or longer than its manifest says."""


class ContentError(BundleError):
    """A byte of the bundle is not the one that was signed."""


class CounterError(BundleError):
    """The bundle is older than what is installed, or does not follow on it."""


class TargetError(BundleError):
    """The bundle is for another system or processor."""


class RequirementError(BundleError):
    """This machine lacks something that the bundle needs."""


class HeldError(BundleError):
    """A delta leaves out a file that the machine does not have."""


class DestinationError(BundleError):
    """The folder to unpack to is in use, or its disk refuses."""


class BuildError(BundleError):
    """A bundle can not be made of what was given."""


class ToolError(BuildError):
    """A program that is needed for the build is missing, or failed."""
