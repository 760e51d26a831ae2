"""Places: folders and buckets behind one face."""

import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.bulk.places import OWN, Place, PlaceError, apart, open_place
from tests.api.bulk.tables import files
from tests.api.storage.s3_listening import CREDENTIALS, s3_listening


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_listening("shop") as address:
        yield address


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Empty, and as another process gets it."""
    text = str(tmp_path / "pictures")
    if request.param == "bucket":
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        text = f"s3://shop/{tmp_path.name}?endpoint_override={request.getfixturevalue('s3')}&scheme=http"
    travelled: Place = pickle.loads(pickle.dumps(open_place(text)))  # noqa: S301
    return travelled


def test_what_is_written_is_listed_read_and_copied(place: Place) -> None:
    assert len(place.listing()) == 0
    place.write("shoes/à b.png", b"one", "image/png")
    place.write("c.png", b"old", "image/png")
    place.write("c.png", b"three", "image/png")
    place.copy("c.png", "hats/d.png")
    assert files(place) == {"shoes/à b.png": b"one", "c.png": b"three", "hats/d.png": b"three"}
    listed = {row["name"]: row for row in place.listing().to_pylist()}
    assert listed["c.png"]["size"] == 5
    assert listed["c.png"]["mtime_ns"] > 1_700_000_000 * 10**9
    assert place.listing("shoes")["name"].to_pylist() == ["à b.png"]


def test_of_what_is_too_large_one_byte_more_is_read(place: Place) -> None:
    place.write("a.png", b"12345", "image/png")
    assert place.read("a.png", 3) == b"1234"
    assert place.read("a.png", 5) == b"12345"


def test_what_is_not_there_is_an_error_of_the_system(place: Place) -> None:
    with pytest.raises(OSError, match="no"):
        place.read("no.png", 9)
    with pytest.raises(OSError, match="no"):
        place.copy("no.png", "b.png")
    assert len(place.listing()) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="others refuse names that are not UTF-8")
def test_odd_entries_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jpg").write_bytes(b"photo")
    links = {"link.jpg": "deep/a.jpg", "nowhere.jpg": "gone.jpg", "itself.jpg": "itself.jpg", "loop": "."}
    for name, leads_to in links.items():
        (tmp_path / name).symlink_to(leads_to)
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"photo")
    listed = open_place(str(tmp_path)).listing().to_pylist()
    assert {(row["name"], row["size"], row["utf8"]) for row in listed} == {
        ("deep/a.jpg", 5, True),
        ("link.jpg", 5, True),
        (r"caf\xe9.jpg", 5, False),
    }
    assert len(listed) == 3


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a photo")
    with pytest.raises(NotADirectoryError):
        open_place(str(tmp_path / "a.jpg")).listing()


def test_a_folder_holds_nothing_half_written(tmp_path: Path) -> None:
    place = open_place(str(tmp_path))
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError, match="directory"):
        place.write("a.png", b"one", "image/png")
    assert len(place.listing()) == 0
    left = tmp_path / OWN / "unfinished" / "of-a-killed-writer"
    left.write_bytes(b"ha")
    place.clear_scratch()
    assert not left.parent.exists()
    place.clear_scratch()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("http://example.com/a", "s3://BUCKET/PREFIX", id="the web"),
        pytest.param("hdfs://a/b", "s3://BUCKET/PREFIX", id="another store"),
        pytest.param("s3:///a", "bucket", id="no bucket"),
        pytest.param("s3://shop/a?colour=red", "colour", id="an option that Arrow does not know"),
    ],
)
def test_what_is_no_place(text: str, says: str) -> None:
    with pytest.raises(PlaceError, match=says):
        open_place(text)


@pytest.mark.parametrize(
    ("source", "target", "fine"),
    [
        pytest.param("a", "b", True, id="side by side"),
        pytest.param("a", "a", False, id="the same"),
        pytest.param("a", "a/", False, id="the same but for a slash"),
        pytest.param("a", "a/b", False, id="the target below"),
        pytest.param("a/b", "a", False, id="the source below"),
        pytest.param("a", "ab", True, id="a longer name"),
        pytest.param("a", "link", False, id="the same by a link"),
        pytest.param("s3://shop/a?region=x", "s3://shop/a/b?region=x", False, id="below, in a bucket"),
        pytest.param("s3://shop?region=x", "s3://shop/b?region=x", False, id="the whole bucket"),
        pytest.param("s3://shop/a?region=x", "s3://other/a?region=x", True, id="two buckets"),
        pytest.param("s3://shop/a?region=x", "shop/a", True, id="a bucket and a folder"),
    ],
)
def test_neither_place_may_lie_within_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str, fine: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Path("link").symlink_to("a")
    places = open_place(source), open_place(target)
    if fine:
        apart(*places)
    else:
        with pytest.raises(PlaceError, match="neither"):
            apart(*places)
