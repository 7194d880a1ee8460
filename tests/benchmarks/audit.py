"""How long a durable record takes, beside what the disk itself takes, and how fast a log is read.

    python tests/benchmarks/audit.py [FOLDER]

The folder decides which disk is measured; the log is removed afterwards.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from audit.client import AuditClient, RecordType
from audit.keyfile import read_identities
from audit.opening import OpenedRecord, epoch_secrets, epoch_spans, log_name, open_epoch
from audit.reader import open_rows
from audit.verify import verify_log
from tests.service.audit.harness import Writer

CONTENT = 4096  # bytes of text that hardly compresses
SYNCS = 300
RECORDS_ALONE = 600
RECORDS_EACH = 600
CLIENTS = 8


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    base = Path(arguments[0]) if arguments else None
    with tempfile.TemporaryDirectory(dir=base, prefix="bench-") as name:
        folder = Path(name)
        show("bare fdatasync, append 4 KiB", sync_times(folder))
        with Writer(folder / "w") as writer:
            show("append, 1 client", append_times(writer.socket, RECORDS_ALONE))
            show("begin and end of a request", pair_times(writer.socket, RECORDS_ALONE // 2))
            show_many(writer)
            print(f"writer's memory            {memory(writer):8.1f} MB")
            writer.stop()
            show_reading(writer)


def show(name: str, seconds: Sequence[float]) -> None:
    """Print median and 99th percentile in milliseconds."""
    ordered = sorted(seconds)
    median = statistics.median(ordered) * 1e3
    p99 = ordered[int(len(ordered) * 0.99)] * 1e3
    print(f"{name:<34} median {median:7.2f} ms   p99 {p99:7.2f} ms   n {len(ordered)}")


def sync_times(folder: Path) -> list[float]:
    """Time `fdatasync` after appending one block."""
    times, block = [], os.urandom(4096)
    with (folder / "plain").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            started = time.perf_counter()
            file.write(block)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return times


def text(source: random.Random) -> str:
    """A text of words: it compresses as prose does, about to a third."""
    words = [source.randbytes(source.randint(1, 5)).hex() for _ in range(150)]
    return " ".join(source.choices(words, k=CONTENT // 7))[:CONTENT]


def append_times(socket: Path, count: int, seed: int = 1) -> list[float]:
    """Time single records of one client."""
    client, source, times = AuditClient(socket, timeout=30), random.Random(seed), []  # noqa: S311 - words, nothing secret
    meta = {"task": "triage", "model": "demo", "model_sha256": "a" * 64, "seed": 7}
    for _ in range(count):
        content = {"text": text(source)}
        started = time.perf_counter()
        client.append(RecordType.PROMPT, actor="m.keller", meta=meta, content=content)
        times.append(time.perf_counter() - started)
    client.close()
    return times


def pair_times(socket: Path, count: int) -> list[float]:
    """Time both records of a request together."""
    client, source, times = AuditClient(socket, timeout=30), random.Random(2), []  # noqa: S311 - words, nothing secret
    for _ in range(count):
        asked, said = {"text": text(source)}, {"text": text(source)}
        started = time.perf_counter()
        begin = client.append(RecordType.PROMPT, actor="a", meta={}, content=asked)
        client.append(RecordType.ANSWER, actor="a", meta={"begin": begin.event}, content=said)
        times.append(time.perf_counter() - started)
    client.close()
    return times


def show_many(writer: Writer) -> None:
    """Several client processes at once."""
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(CLIENTS) as pool:
        pool.starmap(append_times, [(writer.socket, 1, 9)] * CLIENTS, chunksize=1)
        started = time.perf_counter()
        jobs = [(writer.socket, RECORDS_EACH, number) for number in range(CLIENTS)]
        times = pool.starmap(append_times, jobs, chunksize=1)
        elapsed = time.perf_counter() - started
    show(f"append, {CLIENTS} clients", [one for each in times for one in each])
    print(f"  durable records per second  {CLIENTS * RECORDS_EACH / elapsed:8.0f}")


def show_reading(writer: Writer) -> None:
    """Verify the whole log, then open every record."""
    keys = [one for name in ("a.key", "b.key") for one in read_identities(writer.root / name)]
    with open_rows(writer.log) as rows:
        started = time.process_time()
        report = verify_log(rows, writer.log, head=writer.head)
        verified = time.process_time() - started
        spans = epoch_spans(report.openings, report.records)
        secrets, _ = epoch_secrets(spans, keys)
        name = log_name(report.openings[0][2])
        started = time.process_time()
        opened = sum(
            isinstance(record, OpenedRecord)
            for span in spans
            for record in open_epoch(rows, span, secrets[span.number], name, lambda _: True)
        )
        decrypted = time.process_time() - started
    print(f"{report.verdict.name}: {report.records} records, {report.checkpoints} checkpoints")
    print(f"verify                     {report.records / verified:8.0f} records/s of one core")
    print(f"open                       {opened / decrypted:8.0f} records/s of one core")
    both = report.records / (verified + decrypted)
    print(f"verify and open            {both:8.0f} records/s of one core")


def memory(writer: Writer) -> float:
    """The writer's resident memory in MB."""
    assert writer.process is not None
    pages = int(Path(f"/proc/{writer.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
