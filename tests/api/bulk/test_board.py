"""What the workers of a run tell each other."""

from api.bulk.board import Board


def test_results_are_found_by_their_keys() -> None:
    board = Board(10)
    board.add(["k1", "k2"], ["a.png", "b.png"])
    assert [board.find(key) for key in ("k1", "k2", "k3")] == ["a.png", "b.png", None]


def test_of_too_many_those_asked_for_longest_ago_are_forgotten() -> None:
    board = Board(2)
    board.add(["k1", "k2"], ["a.png", "b.png"])
    board.find("k1")
    board.add(["k3"], ["c.png"])
    assert [board.find(key) for key in ("k1", "k2", "k3")] == ["a.png", None, "c.png"]


def test_every_beginning_of_a_block_counts() -> None:
    board = Board(1)
    assert [board.begin(1024, 0), board.begin(1024, 1), board.begin(1024, 0)] == [1, 1, 2]


def test_a_picture_that_is_tried_alone_begins_anew() -> None:
    board = Board(1)
    assert [board.begin(1024, 0), board.begin(1, 0), board.begin(1, 0)] == [1, 1, 2]
