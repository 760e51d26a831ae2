"""The report as a page."""

from html.parser import HTMLParser

from model.evaluation.page import Exhibit, html
from model.evaluation.report import Report


class Checked(HTMLParser):
    """Notes every tag, and that each one that is closed was open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_names_are_escaped() -> None:
    scores = {"S": 0.9, "F_max": 0.8, "MAE": 0.1, "HCE": None}
    name = "<script>alert(1)</script>"
    report = Report(scores, {name: scores}, {"SC": scores}, (0.1, 0.9), (1.0, 0.2))
    page = html(report, title="a & b", best=[Exhibit(name, {"photo": b"x", "mask": b"y"})], worst=[])
    checked = Checked()
    checked.feed(page)
    assert not checked.open
    assert checked.seen.count("img") == 2
    assert "script" not in checked.seen
    assert "<h1>a &amp; b</h1>" in page
    assert "–" in page, "what was not measured"
    assert "http" not in page
