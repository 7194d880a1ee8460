"""What can be wrong with a model before it is loaded."""


class CatalogueError(Exception):
    """A model can not be used as it lies in the models folder."""


class ManifestError(CatalogueError):
    """A manifest is no TOML, lacks a field or has a wrong one."""


class ModelFileMissingError(CatalogueError):
    """The file that a manifest names is not there or can not be read."""


class ModelDigestError(CatalogueError):
    """The weights are not the ones that the manifest promises."""


class GgufError(CatalogueError):
    """A weights file is no sound GGUF, or holds what the engine must not load."""


class UnknownModelNameError(CatalogueError):
    """There is no known model of this name."""


class ManifestExistsError(CatalogueError):
    """A manifest would be written over another one."""


class OutsideModelsError(CatalogueError):
    """A weights file lies outside the models folder, where no manifest can name it."""


class InspectionError(CatalogueError):
    """The process that looks into a weights file ended without a finding."""


class ModelMemoryError(CatalogueError):
    """A model needs more memory than this machine has left for it."""
