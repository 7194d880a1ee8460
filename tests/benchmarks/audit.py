"""How long a durable record takes, beside what the disk itself takes, and how fast a log is read.

    python -m tests.benchmarks.audit [FOLDER] [--records 1000000]

The folder decides which disk is measured; everything in it is removed afterwards. With `--records`
a log of 10,000 records and one of so many are read and exported, each in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from audit.client import AuditClient, RecordType
from tests.benchmarks.audit_log import make_and_read
from tests.service.audit.harness import Writer

CONTENT = 4096  # bytes of text that hardly compresses
SYNCS = 300
RECORDS_ALONE = 400
TEXTS = 64  # different ones of each process
RECORDS = 4800  # of all clients together
PROCESSES = 4  # that the clients are spread over
SMALL = 10_000  # records of the log that the large one is compared with


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="where; decides which disk")
    parser.add_argument("--records", type=int, default=0, help="of the large log to read")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as name:
        folder = Path(name)
        show_appends(folder)
        for count in (SMALL, options.records) if options.records else ():
            for line in make_and_read(folder / str(count), count):
                print(line)
            shutil.rmtree(folder / str(count))


def show_appends(folder: Path) -> None:
    """Durable appends, each figure beside that of the disk or the database alone."""
    sync = show("bare fdatasync, append 4 KiB", sync_times(folder))
    with Writer(folder / "w") as writer:
        show("append, 1 client", append_times(writer.socket, RECORDS_ALONE, texts(1)))
        show("begin and end of a request", pair_times(writer.socket, RECORDS_ALONE // 2))
        for clients in (8, 64):
            single, grouped = (
                bare_rate(folder / f"bare-{clients}-{batch}.db", batch) for batch in (1, clients)
            )
            found = many(writer, clients)
            p99 = show(f"append, {clients} clients", found.times)
            print(
                f"  durable records per second {found.rate:8.0f}   p99 {p99 / sync:.1f} x fdatasync"
            )
            print(
                f"  bare insert loop, one a commit {single:6.0f}/s: {found.rate / single:.2f} of it"
            )
            print(
                f"  bare loop, {clients:2} a commit        {grouped:6.0f}/s: "
                f"{found.rate / grouped:.2f} of it"
            )
            print(
                f"  processor time a record: writer {found.writer * 1e6:.0f} us, "
                f"clients {found.clients * 1e6:.0f} us"
            )
        print(f"writer's memory            {memory(writer):8.1f} MB")


def bare_rate(path: Path, batch: int) -> float:
    """Rows a second of a loop that does nothing but insert 4 KiB and commit.

    Args:
        path: the database to make.
        batch: rows of each transaction.
    """
    count = RECORDS if batch > 1 else RECORDS_ALONE
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = FULL").fetchall()
    connection.execute("CREATE TABLE records (idx INTEGER PRIMARY KEY, blob BLOB)")
    block = os.urandom(CONTENT)
    started = time.perf_counter()
    for _ in range(count // batch):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO records (blob) VALUES (?)", [(block,)] * batch)
        connection.execute("COMMIT")
    elapsed = time.perf_counter() - started
    connection.close()
    return count // batch * batch / elapsed


def show(name: str, seconds: Sequence[float]) -> float:
    """Print median and 99th percentile in milliseconds; returns the latter in seconds."""
    ordered = sorted(seconds)
    median = statistics.median(ordered) * 1e3
    p99 = ordered[int(len(ordered) * 0.99)]
    print(f"{name:<34} median {median:7.2f} ms   p99 {p99 * 1e3:7.2f} ms   n {len(ordered)}")
    return p99


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


def texts(seed: int) -> list[str]:
    """Some texts, made before the clock runs."""
    source = random.Random(seed)  # noqa: S311 - words, nothing secret
    return [text(source) for _ in range(TEXTS)]


def append_times(socket: Path, count: int, contents: Sequence[str]) -> list[float]:
    """Time single records of one client."""
    client, times = AuditClient(socket, timeout=30), []
    meta = {"task": "triage", "model": "demo", "model_sha256": "a" * 64, "seed": 7}
    for number in range(count):
        content = {"text": contents[number % len(contents)]}
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


@dataclass(frozen=True)
class Load:
    """What many clients got.

    Attributes:
        rate: durable records a second.
        times: seconds that each record took.
        writer: processor time of the writer a record, seconds.
        clients: processor time of all clients a record, seconds.
    """

    rate: float
    times: list[float]
    writer: float
    clients: float


def many(writer: Writer, clients: int) -> Load:
    """Several client processes at once, each with several threads."""
    processes = min(PROCESSES, clients)
    threads, each = clients // processes, RECORDS // clients
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.starmap(threaded, [(writer.socket, 1, 1, 9)] * processes, chunksize=1)
        before, started = cpu(writer), time.perf_counter()
        jobs = [(writer.socket, threads, each, number) for number in range(processes)]
        found = pool.starmap(threaded, jobs, chunksize=1)
        elapsed, spent = time.perf_counter() - started, cpu(writer) - before
    count = clients * each
    times = [one for took, _ in found for one in took]
    return Load(count / elapsed, times, spent / count, sum(own for _, own in found) / count)


def threaded(socket: Path, threads: int, count: int, seed: int) -> tuple[list[float], float]:
    """Times of the records of several clients in one process, and the processor time they took."""
    contents = texts(seed)
    before = time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda _: append_times(socket, count, contents), range(threads))
        times = [one for took in found for one in took]
    return times, time.process_time() - before


def cpu(writer: Writer) -> float:
    """Processor time that the writer has used, in seconds."""
    assert writer.process is not None
    times = psutil.Process(writer.process.pid).cpu_times()
    return float(times.user + times.system)


def memory(writer: Writer) -> float:
    """The writer's resident memory in MB."""
    assert writer.process is not None
    pages = int(Path(f"/proc/{writer.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
