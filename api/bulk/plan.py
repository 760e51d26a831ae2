"""What is to be done: the pictures there are, less those that the manifest tells the end of."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from api.bulk.manifest import DONE, FAILED, SCHEMA
from api.bulk.places import OWN

__all__ = ["NAME_TAKEN", "NAME_UNUSABLE", "OVERWRITTEN", "WORK", "Plan", "failures", "make_plan", "results"]

NAME_TAKEN, NAME_UNUSABLE, OVERWRITTEN = "name_taken", "name_unusable", "overwritten"

WORK = pa.schema(
    [
        ("row", pa.int64()),
        ("name", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        # The result that there is of an older version of this file: its bytes may be the same still.
        ("known_key", pa.string()),
        ("known_output", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Plan:
    """work: of WORK, by name; `row` counts from 0. skipped: pictures that are done.

    standing: rows of SCHEMA, failures of earlier runs that would only happen again.
    refused: rows of SCHEMA, pictures whose names stand in their way.
    overwritten: rows of SCHEMA, to be written before the work begins: for earlier results, of any recipe, in
    whose place its own will lie. If it is killed, nobody knows which of the two is there.
    """

    work: pa.Table
    skipped: int
    standing: pa.Table
    refused: pa.Table
    overwritten: pa.Table

    @property
    def total(self) -> int:
        """Pictures that there are."""
        return len(self.work) + self.skipped + len(self.standing) + len(self.refused)


def make_plan(
    listing: pa.Table, before: pa.Table, recipe: str, suffixes: frozenset[str], *, retry_failed: bool
) -> Plan:
    """listing: Place.listing of the source. before: Manifest.latest. suffixes: of pictures, lower case.

    A picture is the same as before when its size and time are and the recipe is.
    """
    pictures = _pictures(listing, suffixes).sort_by("name")
    pictures, refused = _named_apart(pictures, recipe)
    mine = before.filter(pc.equal(before["recipe"], recipe))
    both = pictures.join(mine, "name", right_suffix="_before").sort_by("name")

    def holds(mask: pa.ChunkedArray) -> pa.ChunkedArray:
        return pc.fill_null(mask, False)

    same = holds(
        pc.and_(
            pc.equal(both["size"], both["size_before"]), pc.equal(both["mtime_ns"], both["mtime_ns_before"])
        )
    )
    done = pc.and_(same, holds(pc.equal(both["status"], DONE)))
    settled = pc.and_(same, holds(pc.and_(pc.equal(both["status"], FAILED), both["settled"])))
    if retry_failed:
        settled = pc.and_(settled, False)
    work = both.filter(pc.invert(pc.or_(done, settled)))
    columns = [
        pa.array(range(len(work)), pa.int64()),
        *(work[name] for name in ("name", "size", "mtime_ns", "key", "output")),
    ]
    overwritten = before.filter(_in_place_of(before, work))
    detail = "a run was about to overwrite its result"
    return Plan(
        pa.table(columns, schema=WORK),
        pc.sum(done).as_py() or 0,
        both.filter(settled).select(SCHEMA.names).cast(SCHEMA),
        refused,
        failures(overwritten, recipe, OVERWRITTEN, detail, settled=False),
    )


def results(before: pa.Table, recipe: str, work: pa.Table) -> pa.Table:
    """Key and output of what was done by this recipe, and will not be overwritten by this work.

    before: Manifest.latest. work: Plan.work.
    """
    mine = before.filter(pc.and_(pc.equal(before["recipe"], recipe), pc.equal(before["status"], DONE)))
    return mine.filter(pc.invert(_in_place_of(mine, work))).select(["key", "output"])


def failures(pictures: pa.Table, recipe: str, code: str, detail: str, *, settled: bool) -> pa.Table:
    """Rows of SCHEMA for pictures (name, size, mtime_ns) that no worker has seen the end of."""
    constant = {
        "recipe": recipe,
        "status": FAILED,
        "code": code,
        "detail": detail,
        "settled": settled,
        "seconds": 0.0,
        "finished_at": datetime.now(UTC),
    }
    taken = ("name", "size", "mtime_ns")
    columns = [
        pictures[name] if name in taken else pa.repeat(pa.scalar(constant.get(name), kind), len(pictures))
        for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True)
    ]
    return pa.table(columns, schema=SCHEMA)


def _pictures(listing: pa.Table, suffixes: frozenset[str]) -> pa.Table:
    """Files with a picture's suffix that are neither hidden nor ours, as `objectcut cut` finds them."""
    suffix = pc.utf8_lower(pc.replace_substring_regex(listing["name"], r"(?s)^.*?(\.[^./]*)?$", r"\1"))
    hidden = pc.match_substring_regex(listing["name"], rf"(^|/)(\.|{OWN}/)")
    return listing.filter(
        pc.and_(pc.is_in(suffix, pa.array(sorted(suffixes), pa.string())), pc.invert(hidden))
    )


def _named_apart(pictures: pa.Table, recipe: str) -> tuple[pa.Table, pa.Table]:
    """Those whose results have names of their own, and rows for the others: the first by name has it."""
    # A key of a bucket may hold empty parts, which a folder cannot hold, or would take for its root.
    empty_part = pc.match_substring_regex(pictures["name"], r"^/|//")
    foreign = pc.invert(pictures["utf8"])
    bad = [
        failures(pictures.filter(unusable), recipe, NAME_UNUSABLE, detail, settled=False)
        for unusable, detail in (
            (empty_part, "the name has an empty part"),
            (foreign, "the name is not UTF-8"),
        )
    ]
    pictures = pictures.filter(pc.invert(pc.or_(empty_part, foreign)))
    pictures = pictures.append_column("stem", _stems(pictures["name"]))
    first = pictures.group_by("stem").aggregate([("name", "min")])
    pictures = pictures.join(first, "stem").sort_by("name")
    owns = pc.equal(pictures["name"], pictures["name_min"])
    losers = pictures.filter(pc.invert(owns))
    detail = "its result would overwrite that of another picture, whose name differs in its suffix alone"
    taken = failures(losers, recipe, NAME_TAKEN, detail, settled=False)
    return pictures.filter(owns).select(["name", "size", "mtime_ns"]), pa.concat_tables([*bad, taken])


def _in_place_of(before: pa.Table, work: pa.Table) -> pa.ChunkedArray:
    """Which results of `before` the results of this work will overwrite, if they have the same suffix."""
    return pc.is_in(_stems(before["output"]), pc.unique(_stems(work["name"])))


def _stems(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without their suffixes."""
    return pc.replace_substring_regex(names, r"\.[^./]*$", "")
