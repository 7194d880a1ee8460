"""Everything that can go wrong with the log, by name. Each message carries its remedy."""

from __future__ import annotations


class AuditError(Exception):
    """Base of every error of this package."""


# --- between a client and the writer -------------------------------------------------------------


class LogUnavailableError(AuditError):
    """The log did not acknowledge in time, so what needed the record must not happen."""

    def __init__(self, message: str, code: str = "unreachable") -> None:
        """Say what happened and what to do about it.

        Args:
            message: what happened and what to do about it.
            code: the writer's (`no_room`, `not_durable`, `read_only`), or `unreachable` if it gave
                no answer.
        """
        super().__init__(message)
        self.code = code


class RecordRefusedError(AuditError):
    """The writer will not take this record as it is; the same record sent again fails again."""

    def __init__(self, message: str, code: str = "bad_request") -> None:
        """Say what is wrong with the record and what to do about it.

        Args:
            message: what is wrong with the record and what to do about it.
            code: the writer's code (`refused`, `bad_request`).
        """
        super().__init__(message)
        self.code = code


class FrameError(AuditError):
    """A frame on the socket is too long, cut short or not a JSON object."""


# --- in the writer -------------------------------------------------------------------------------


class NotDurableError(AuditError):
    """The record could not be brought to the disk; nothing was acknowledged."""


class ReadOnlyError(AuditError):
    """The log and its outside head disagree, so appending would bury the evidence."""


class SecondWriterError(AuditError):
    """Another writer holds this folder."""


class OfficersFileError(AuditError):
    """The officers' file is missing, malformed or lets one person open records alone."""


class KeyFileError(AuditError):
    """A key that the log needs is missing, unreadable or not the one that the log names."""


class ErasedError(AuditError):
    """The content is gone for good: two officers had its subject erased."""

    def __init__(self, by: int) -> None:
        """Say which record tells of it.

        Args:
            by: index of the record of the erasure.
        """
        super().__init__(f"its subject was erased on two officers' word: record {by}")
        self.by = by


# --- in what is stored ---------------------------------------------------------------------------


class LeafFormatError(AuditError):
    """These bytes are not a leaf of this format."""


class NoteFormatError(AuditError):
    """This text is not a signed checkpoint."""


class NoteSignatureError(AuditError):
    """The checkpoint is not signed by the key that had to sign it."""


class SealBrokenError(AuditError):
    """A sealed blob does not open under the key and header that belong to it."""


class ProofError(AuditError):
    """An inclusion proof does not lead from the leaf to the root."""


class ExportError(AuditError):
    """An export can not be written here."""


class ApprovalError(AuditError):
    """Two officers have not approved this, or it is nothing that they can."""


class WitnessRefusedError(AuditError):
    """A witness may not sign what he was shown."""


class QueryFormatError(AuditError):
    """This file is not a query of the blind index."""


class LogFormatError(AuditError):
    """This folder holds no log, or one that this version can not read."""


# --- age files and officers' keys ----------------------------------------------------------------


class AgeFormatError(AuditError):
    """These bytes are no age file, or it was changed or cut."""


class NoMatchingIdentityError(AuditError):
    """None of the given keys opens this age file."""


class RecoveryError(AuditError):
    """What was typed is not what stands on a recovery page."""


class TwoOfficersNeededError(AuditError):
    """The given keys open the share of one group only; the log opens to two groups together."""


class DerFormatError(AuditError):
    """Bytes are not the DER that they should be."""
