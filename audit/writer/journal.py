"""The log as its writer keeps it: open it, append batches, follow one epoch by the next, close it.

Not thread-safe: the service calls it from one thread, except `write_head`, which may run beside
`append` but not beside the other calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from audit.blob import log_id
from audit.decisions import KINDS, Entry
from audit.errors import NotDurableError, ReadOnlyError, RecordRefusedError
from audit.head import HeadLog, compare_head
from audit.leaf import LeafType
from audit.merkle import Frontier, inclusion_path
from audit.note import VerifierKey
from audit.officers import load_officers
from audit.payloads import CLOSED, PreviousEpoch, WitnessReceipt
from audit.proof import format_proof
from audit.rows import FORMAT
from audit.writer.adopt import JournalSettings, OpenLog, open_log
from audit.writer.clock import Clock, Instant, StepWatch
from audit.writer.custody import Approved, Custody
from audit.writer.draft import Draft, iso_time
from audit.writer.epoch import Epoch, EpochMaker, ending_of
from audit.writer.files import write_durably
from audit.writer.intake import Intake
from audit.writer.keyring import Keyring
from audit.writer.pruning import Pruner
from audit.writer.recent import RecentEvents
from audit.writer.request import AppendRequest
from audit.writer.standing import Committed, Standing
from audit.writer.store import Store
from audit.writer.witnessing import check_word

VKEY_FILE: Final = "log.vkey"
_SECOND: Final = 1_000_000_000  # nanoseconds


@dataclass(slots=True)
class _Running:
    """All that lives while an epoch runs."""

    store: Store
    head: HeadLog
    epoch: Epoch
    promised: bytes
    tree: Frontier
    prev: bytes
    log: bytes


class Journal:
    """One log, written."""

    def __init__(self, settings: JournalSettings, clock: Clock | None = None) -> None:
        """Say where the log lives; `open` opens it.

        Args:
            settings: where and how.
            clock: source of both times.
        """
        self.standing = Standing()
        self._settings = settings
        self._clock = clock or Clock()
        self._boot = self._clock.boot_id()
        self._maker = EpochMaker(
            settings.origin,
            settings.officers,
            Keyring(settings.folder / "keys"),
            settings.folder / "grants",
            settings.limits,
        )
        self._recent = RecentEvents()
        self._pruner = Pruner(settings.retention)
        self._custody = Custody(settings.folder, settings.origin)
        self._running: _Running | None = None
        self._old_head: HeadLog | None = None
        self._opened_before = False
        self._steps = StepWatch()
        self._last_record = 0

    @property
    def is_open(self) -> bool:
        """Whether an epoch runs, so that records can be appended."""
        return self._running is not None

    def open(self) -> None:
        """Open or make the log, compare it with its head and begin a new epoch.

        Raises:
            NotDurableError: if the disk refuses; try again later.
            ReadOnlyError: if database and head disagree.
            OfficersFileError: if records could not be sealed to both groups.
            KeyFileError: if the key that the log promised is missing.
            SecondWriterError: if another writer holds the head.
        """
        self.release()
        try:
            log = open_log(self._settings)
            try:
                self._begin(log)
            except BaseException:
                self._running, self._old_head = None, None
                self._custody.close()
                log.close()
                raise
        except OSError as error:
            raise NotDurableError(
                f"{self._settings.folder} can not be written: {error}. Check the disk; "
                "the log resumes by itself once it can write."
            ) from error

    def append(self, requests: Sequence[AppendRequest]) -> Committed:
        """Make records durable, all in one transaction.

        Raises:
            NotDurableError: if the disk refuses; none is acknowledged and `open` must be called.
            ReadOnlyError: if the database was removed, replaced or damaged.
        """
        running = self._need()
        draft = self._draft(running)
        intake = Intake(draft, running.store.rows, self._recent)
        try:
            draft.bonds = self._custody.bonds(requests)
            intake.take(requests)
        except BaseException:
            self.abandon()
            raise
        if not intake.has_records:
            return Committed((), intake.outcomes(""))
        note = draft.checkpoint()
        self._commit(running, draft)
        return Committed((note,), intake.outcomes(note))

    def heartbeat(self) -> Committed:
        """Record that the writer lives; raises as `append`."""
        return self._add_own(LeafType.HEARTBEAT)

    def add_fault(self, payload: Mapping[str, Any]) -> Committed:
        """Record what was wrong with the log; raises as `append`."""
        return self._add_own(LeafType.FAULT, payload)

    def check_witness(self, note: str) -> WitnessReceipt:
        """Check a cosigned checkpoint, and remember what the witness saw.

        Raises:
            RecordRefusedError: if it is no word of a known witness about this log.
            ReadOnlyError: if it shows that the log was rolled back or exchanged.
            OfficersFileError: if the witnesses can not be read.
            NotDurableError: while the log is not open.
        """
        witnesses = load_officers(self._settings.officers).witnesses
        rows, standing = self._need().store.rows, self.standing
        receipt, size, when = check_word(rows, standing.size, witnesses, note)
        if size >= standing.witnessed:
            self.standing = replace(standing, witnessed=size, witnessed_at=when)
        return receipt

    def add_witness(self, receipt: WitnessReceipt) -> Committed:
        """Record a witness's word; raises as `append`."""
        return self._add_own(LeafType.WITNESS, receipt.to_json())

    def decide(self, approved: Approved) -> Committed:
        """Record what two officers approved, as the last record of the log, and carry it out.

        Raises:
            RecordRefusedError: if it must not be carried out.
            NotDurableError, ReadOnlyError: as `append`; what is recorded is carried out at `open`.
        """
        running, wall = self._need(), self._clock.now().wall
        decision = self._custody.decide(approved, running.epoch.signers, wall)
        statement, draft = decision.statement, self._draft(running)
        index = draft.add_own(KINDS[statement.action], decision.to_json(), statement.request)
        note = draft.checkpoint()
        self._commit(running, draft)
        self._custody.carry_out(Entry(index, wall, decision))
        return Committed((note,))

    def subject_keys(self, indexes: Sequence[int]) -> list[str]:
        """What there is of the keys of records about subjects; raises NotDurableError."""
        return self._custody.words(self._need().store.rows, indexes)

    def prune_is_due(self) -> bool:
        """Whether contents may have had their time."""
        return self.is_open and self._pruner.is_due(self._clock.now().boot)

    def prune(self) -> Committed:
        """Prune some contents, if any are due; raises as `append`."""
        running, now = self._need(), self._clock.now()
        found = self._pruner.step(running.store, self._custody, now)
        if found is None:
            return Committed(())
        draft = self._draft(running)
        draft.prune(found)
        note = draft.checkpoint()
        self._commit(running, draft)
        return Committed((note,))

    def idle_seconds(self) -> float:
        """Time since the last record, in seconds."""
        return (self._clock.now().boot - self._last_record) / _SECOND

    def epoch_is_due(self) -> bool:
        """Whether the running epoch has had its time or its records."""
        if self._running is None:
            return False
        epoch, limits = self._running.epoch, self._settings.limits
        return (
            epoch.position >= limits.records
            or self._clock.now().boot - epoch.opened >= limits.seconds * _SECOND
        )

    def next_epoch(self) -> Committed:
        """Close the running epoch under its own key and open the next, in one transaction.

        Raises:
            OfficersFileError, KeyFileError, OSError: if the next can not be made; the running one
                goes on.
            NotDurableError, ReadOnlyError: as `append`.
        """
        running, old = self._need(), self._need().epoch
        epoch, opening = self._maker.make(old.number + 1, running.promised, self._clock.now().boot)
        draft = self._draft(running)
        draft.add_own(LeafType.EPOCH_CLOSE, {"reason": "its time or its records are used up"})
        closing = draft.checkpoint()
        previous = PreviousEpoch(CLOSED, draft.tree.size, draft.tree.root())
        draft.open_epoch(epoch, replace(opening, previous=previous))
        note = draft.checkpoint()
        self._commit(running, draft)
        old.erase()
        running.epoch, running.promised = epoch, opening.next_key
        self._settle(epoch)
        return Committed((closing, note))

    def close(self) -> None:
        """Close the epoch, if one runs, and the files; raises as `append`."""
        if self._running is None:
            return
        running = self._running
        draft = self._draft(running)
        draft.add_own(LeafType.EPOCH_CLOSE, {"reason": "shutdown"})
        note = draft.checkpoint()
        self._commit(running, draft)
        self.write_head((note,))
        self.release()

    def abandon(self) -> None:
        """Let go of the database and the secrets without another record.

        The head stays open for a `write_head` that is under way; `open` and `release` close it.
        """
        running, self._running = self._running, None
        if running is not None:
            running.epoch.erase()
            running.store.close()
            self._custody.close()
            self._old_head = running.head
        self.standing = replace(self.standing, epoch=None)

    def release(self) -> None:
        """Let go of everything; no `write_head` may be under way."""
        self.abandon()
        head, self._old_head = self._old_head, None
        if head is not None:
            head.close()

    def write_head(self, notes: Sequence[str]) -> None:
        """Append checkpoints to the head file; call it after the batch that returned them.

        Raises:
            NotDurableError: if its disk refuses.
        """
        head = self._need().head
        for note in notes:
            head.append(note)

    def compare_with_head(self) -> None:
        """Check that disk, head and memory still agree.

        Raises:
            ReadOnlyError: if they do not.
            NotDurableError: if the head file can not be rotated.
        """
        running = self._need()
        rows = running.store.rows
        running.store.check_place()
        compare_head(rows, running.head.last(), self._settings.head)
        if rows.last_checkpoint() != (running.tree.size, self.standing.checkpoint):
            raise ReadOnlyError(
                f"{self._settings.database} is not what this writer wrote last: somebody changed "
                "it. Keep it as evidence, verify it, and restore the newest copy."
            )
        running.head.rotate()

    def proof(self, index: int) -> str:
        """A proof that the record is in the tree of the newest checkpoint.

        Raises:
            RecordRefusedError: if there is no such record.
            NotDurableError: while the log is not open.
        """
        rows, standing = self._need().store.rows, self.standing
        if not 0 <= index < standing.size:
            raise RecordRefusedError(
                f"The log has no record {index}; it has the records 0 to {standing.size - 1}."
            )
        path = inclusion_path(index, standing.size, rows.node)
        return format_proof(index, path, standing.checkpoint)

    def _begin(self, log: OpenLog) -> None:
        """Open an epoch at the end of the log."""
        last = log.last
        if last is not None and last.last.boot_id == self._boot:
            self._steps.adopt(Instant(last.last.wall_ns, last.last.boot_ns))
        faults = self._custody.open(log.store.rows, fresh=last is None)
        epoch, opening = self._maker.make(
            last.number + 1 if last else 0,
            last.opening.next_key if last else None,
            self._clock.now().boot,
        )
        vkey = log.vkey or str(epoch.verifier)
        name = log_id(self._settings.origin, VerifierKey.parse(vkey).public)
        running = _Running(log.store, log.head, epoch, opening.next_key, log.tree, log.prev, name)
        draft = Draft(epoch, log.tree, log.prev, name, self._clock, self._boot)
        if last is None:
            origin = self._settings.origin
            draft.batch.facts = {"format": FORMAT, "origin": origin, "vkey": vkey}
        else:
            opening = replace(opening, previous=ending_of(last, log.tree.size, log.tree.root()))
        draft.open_epoch(epoch, opening)
        if not self._opened_before:
            draft.note_unanswered(log.store.unanswered())
        for fault in faults:
            draft.add_own(LeafType.FAULT, fault)
        self._note_clock_step(draft)
        note = draft.checkpoint()
        size, when = log.witnessed
        self.standing = replace(self.standing, vkey=vkey, witnessed=size, witnessed_at=when)
        self._running = running
        self._commit(running, draft)
        self._settle(epoch)
        self.write_head((note,))
        self._opened_before = True

    def _settle(self, epoch: Epoch) -> None:
        """Once an epoch's opening is durable: drop old keys, leave the root of trust in a file."""
        self.standing = replace(self.standing, epoch=epoch.number)
        self._maker.settle(epoch.number)
        root_of_trust = self._settings.folder / VKEY_FILE
        if not root_of_trust.exists():
            write_durably(root_of_trust, self.standing.vkey.encode() + b"\n", 0o644)

    def _need(self) -> _Running:
        if self._running is None:
            raise NotDurableError("The log is not open at the moment. It resumes by itself.")
        return self._running

    def _draft(self, running: _Running) -> Draft:
        draft = Draft(
            running.epoch, running.tree, running.prev, running.log, self._clock, self._boot
        )
        self._note_clock_step(draft)
        return draft

    def _commit(self, running: _Running, draft: Draft) -> None:
        try:
            running.store.commit(draft.batch)
        except BaseException:
            draft.epoch.erase()
            self.abandon()
            raise
        running.tree, running.prev = draft.tree, draft.prev
        self._last_record = self._clock.now().boot
        self.standing = replace(
            self.standing,
            size=draft.tree.size,
            root=draft.tree.root(),
            checkpoint=draft.batch.notes[-1][1],
        )

    def _add_own(self, kind: LeafType, payload: Mapping[str, Any] | None = None) -> Committed:
        running = self._need()
        draft = self._draft(running)
        draft.add_own(kind, payload)
        note = draft.checkpoint()
        self._commit(running, draft)
        return Committed((note,))

    def _note_clock_step(self, draft: Draft) -> None:
        now = self._clock.now()
        step = self._steps.step(now)
        if step:
            then, until = iso_time(now.wall - step), iso_time(now.wall)
            payload = {"from": then, "to": until, "step_ms": step // 1_000_000}
            draft.add_own(LeafType.CLOCK_STEP, payload)
