"""Which photos a command line names, and where their results go."""

import io
import os
from pathlib import Path

import pytest

from api.commands.photos import STANDARD_STREAM, Folder, Photo, Refused, find_photos
from postprocess.types import Encoded

PNG = Encoded(b"a result", "image/png", 1, 1)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos, other files and folders, as the working directory."""
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "in/c.webp", "in/deeper/a.jpg", ".git/d.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a photo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "recursive", "results"),
    [
        pytest.param(["photos"], False, ["a", "b"], id="a folder, in order"),
        pytest.param(
            ["photos"], True, ["a", "b", "in/c", "in/deeper/a"], id="folders below keep their place"
        ),
        pytest.param(["photos/b.jpg", "photos"], False, ["b", "a"], id="each photo once"),
        pytest.param(["photos/in/../b.jpg", "photos/b.jpg"], False, ["b"], id="by whichever path"),
        pytest.param(["photos/notes.txt"], False, ["notes"], id="what is named is tried"),
        pytest.param(["gone.jpg"], False, ["gone"], id="even when it is not there"),
        pytest.param(["-", "-"], False, ["stdin"], id="standard input, once"),
        pytest.param(["photos/in/deeper", "photos/a.PNG"], False, ["a", "a"], id="two may want one name"),
    ],
)
def test_find_photos(tree: Path, arguments: list[str], recursive: bool, results: list[str]) -> None:
    found = find_photos([Path(argument) for argument in arguments], recursive=recursive)
    assert [photo.result.as_posix() for photo in found] == results


@pytest.mark.parametrize(
    ("arguments", "directory", "results"),
    [
        pytest.param(["photos"], "photos/in", ["a", "b"], id="below the folder"),
        pytest.param(["photos"], "photos/in/deeper", ["a", "b", "in/c"], id="far below it"),
        pytest.param(["."], "photos/../photos/in", ["photos/a", "photos/b"], id="by whichever path"),
        pytest.param(["photos"], "photos", ["a", "b", "in/c", "in/deeper/a"], id="the folder itself"),
        pytest.param(["photos/in"], "photos", ["c", "deeper/a"], id="above it"),
        pytest.param(["photos"], "photos/i", ["a", "b", "in/c", "in/deeper/a"], id="beside it"),
        pytest.param(["photos", "photos/in/c.webp"], "photos/in", ["a", "b", "c"], id="named itself"),
    ],
)
def test_earlier_results_are_no_photos(
    tree: Path, arguments: list[str], directory: str, results: list[str]
) -> None:
    paths = [Path(argument) for argument in arguments]
    found = find_photos(paths, recursive=True, directory=Path(directory))
    assert [photo.result.as_posix() for photo in found] == results


def test_a_result_is_named_for_its_stem_and_format(tree: Path) -> None:
    photos = find_photos([Path("photos")], recursive=True)
    folder = Folder(Path("out"), photos)
    for photo, kind in zip(photos, ("image/png", "image/jpeg", "image/webp", "application/zip"), strict=True):
        folder.check(photo)
        folder.write(photo, Encoded(kind.encode(), kind, 1, 1))
    written = {path.relative_to("out").as_posix(): path.read_bytes() for path in Path("out").rglob("*.*")}
    assert written == {
        "a.png": b"image/png",
        "b.jpg": b"image/jpeg",
        "in/c.webp": b"image/webp",
        "in/deeper/a.zip": b"application/zip",
    }


def test_of_two_photos_that_want_one_name_the_first_has_it(tree: Path) -> None:
    first, second = find_photos([Path("photos/a.PNG"), Path("photos/in/deeper/a.jpg")], recursive=False)
    folder = Folder(Path("out"), [first, second])
    folder.check(first)
    with pytest.raises(Refused, match=r"overwrite that of photos/a\.PNG"):
        folder.check(second)


def test_a_photo_is_never_overwritten(tree: Path) -> None:
    target = Path("photos/x.png")
    target.write_bytes(b"a photo")
    photo = Photo(Path("photos/../photos/x.png"), Path("x"))
    with pytest.raises(Refused, match="overwrite the photo"):
        Folder(Path("photos"), [photo]).write(photo, PNG)
    assert target.read_bytes() == b"a photo"


def test_another_photo_is_never_overwritten_either(tree: Path) -> None:
    Path("photos/b.png").write_bytes(b"a photo")
    photos = find_photos([Path("photos/b.jpg"), Path("photos/b.png")], recursive=False)
    with pytest.raises(Refused, match="overwrite the photo"):
        Folder(Path("photos"), photos).write(photos[0], PNG)


def test_an_earlier_result_is_replaced_whole_and_nothing_else_is_left(tree: Path) -> None:
    photo = Photo(Path("photos/b.jpg"), Path("b"))
    for body in (b"first", b"second"):
        Folder(Path("out"), [photo]).write(photo, Encoded(body, "image/png", 1, 1))
    assert [(path.name, path.read_bytes()) for path in Path("out").iterdir()] == [("b.png", b"second")]


def test_a_result_has_the_permissions_of_any_new_file(tree: Path) -> None:
    photo = Photo(Path("photos/b.jpg"), Path("b"))
    before = os.umask(0o027)
    try:
        Folder(Path("out"), [photo]).write(photo, PNG)
    finally:
        os.umask(before)
    assert Path("out/b.png").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_made_is_that_photos_failure(tree: Path) -> None:
    photo = Photo(Path("photos/b.jpg"), Path("b"))
    with pytest.raises(Refused, match="Not a directory"):
        Folder(Path("photos/notes.txt/out"), [photo]).write(photo, PNG)


def test_reading(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Photo(Path("photos/b.jpg"), Path("b")).read() == b"a photo"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xd8 bytes")))
    assert Photo(STANDARD_STREAM, Path("stdin")).read() == b"\xff\xd8 bytes"
    with pytest.raises(Refused, match="No such file"):
        Photo(Path("gone.jpg"), Path("gone")).read()


def test_reading_before_its_turn(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"bytes")))
    photo, gone = Photo(STANDARD_STREAM, Path("stdin")), Photo(Path("gone.jpg"), Path("gone"))
    photo.hold()
    gone.hold()
    assert photo.read() == b"bytes"
    with pytest.raises(Refused, match="No such file"):
        gone.read()
