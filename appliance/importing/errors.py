"""Why a model does not come in, by name. Each message says what to do about it."""

from __future__ import annotations


class ImportingError(Exception):
    """A model can not be brought in."""


class SourceError(ImportingError):
    """What was named holds no model that can be brought in."""


class PartMissingError(SourceError):
    """A split model lacks one of its files, or holds one of another model."""


class NameTakenError(ImportingError):
    """A model, an alias or a file has the name already."""


class SpaceError(ImportingError):
    """The disk has too little room left."""


class CopyError(ImportingError):
    """Reading the source or writing the copy failed."""


class QuarantineError(ImportingError):
    """The quarantine can not be used, or another import uses it."""


class RefusedError(ImportingError):
    """What was brought in must not run here; nothing of it is kept."""


class TrialError(ImportingError):
    """The model was loaded, but did not answer as it should."""


class InUseError(ImportingError):
    """A model can not be removed while somebody needs it."""


class ConvertError(ImportingError):
    """A Hugging Face folder could not be converted to GGUF."""


class QuantiseError(ImportingError):
    """llama.cpp could not write the weights in another number format."""
