"""What is particular to the file: its making, its mode, other processes, and a lock that nobody lifts."""

import asyncio
import os
import sqlite3
import stat
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from api.accounts.sqlite import SqliteLedger
from api.errors import AccountsUnavailable
from tests.api.accounts.test_ledger import record

ROOT = Path(__file__).parents[3]
CHARGES = """
import asyncio, sys
from pathlib import Path
from api.accounts.sqlite import SqliteLedger

async def charge_many() -> None:
    ledger = SqliteLedger(Path(sys.argv[1]), timeout=60)
    taken = await asyncio.gather(*(ledger.charge(sys.argv[2], 1000) for _ in range(50)))
    await ledger.close()
    print(taken.count(True))

asyncio.run(charge_many())
"""


async def test_a_service_without_keys_leaves_no_trace(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "a" / "accounts.sqlite", timeout=10)
    assert await ledger.find(record().id) is None
    assert await ledger.all() == []
    assert not await ledger.charge(record().id, 1)
    await ledger.close()
    assert os.listdir(tmp_path) == []


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "accounts.sqlite"
    ledger = SqliteLedger(file, timeout=10)
    await ledger.add(record())
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in os.listdir(tmp_path)}
    assert set(modes.values()) == {0o600}, modes
    assert file.name in modes
    await ledger.close()


async def test_everything_outlives_the_process(tmp_path: Path) -> None:
    first = SqliteLedger(tmp_path / "accounts.sqlite", timeout=10)
    await first.add(record(balance=2000))
    await first.charge(record().id, 500)
    await first.close()
    second = SqliteLedger(tmp_path / "accounts.sqlite", timeout=10)
    found = await second.find(record().id)
    await second.close()
    assert found
    assert (found.balance, found.granted, found.digest) == (1500, 2000, record().digest)


async def test_a_running_service_sees_what_the_command_does(tmp_path: Path) -> None:
    service = SqliteLedger(tmp_path / "accounts.sqlite", timeout=10)
    command = SqliteLedger(tmp_path / "accounts.sqlite", timeout=10)
    assert await service.find(record().id) is None
    await command.add(record())
    assert await service.find(record().id) == record()
    await command.revoke(record().id)
    found = await service.find(record().id)
    assert found
    assert found.revoked_at
    await service.close()
    await command.close()


async def test_two_processes_never_take_more_than_there_is(tmp_path: Path) -> None:
    file = tmp_path / "accounts.sqlite"
    ledger = SqliteLedger(file, timeout=60)
    await ledger.add(record(balance=70_000))
    command = [sys.executable, "-c", CHARGES, str(file), record().id]
    processes = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = [await process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(int(output) for output, _ in outputs) == 70
    found = await ledger.find(record().id)
    await ledger.close()
    assert found
    assert found.balance == 0


async def test_who_waits_for_a_lock_waits_only_so_long(tmp_path: Path) -> None:
    file = tmp_path / "accounts.sqlite"
    ledger = SqliteLedger(file, timeout=0.5)
    await ledger.add(record(balance=1000))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(AccountsUnavailable):
            await ledger.charge(record().id, 1)
        assert time.monotonic() - started < 20
        assert await ledger.find(record().id), "reading waits for nobody"
    assert await ledger.charge(record().id, 1)
    await ledger.close()


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 4096])
async def test_a_damaged_file_is_told_as_such(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "accounts.sqlite").write_bytes(content)
    ledger = SqliteLedger(tmp_path / "accounts.sqlite", timeout=10)
    for _ in range(2):
        with pytest.raises(AccountsUnavailable, match="DatabaseError"):
            await ledger.find(record().id)
    await ledger.close()
