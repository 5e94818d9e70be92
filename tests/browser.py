"""A real Chromium without a screen, and what it noticed of a page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def chromium() -> str | None:
    """Where it is: Debian's, or another's under one of its names."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            yield opened
        finally:
            opened.close()


class Watched:
    """A page, and everything it did that it should not have done."""

    def __init__(self, page: "Page", address: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda each: self.complaints.append(f"{each.type}: {each.text}"))
        page.on("pageerror", lambda each: self.complaints.append(str(each)))
        page.on("dialog", lambda each: self.complaints.append(f"dialog: {each.message}"))
        page.on("request", lambda each: self.requests.append(each.url))
        page.goto(address)
        page.wait_for_selector("html[data-drawn]", timeout=20_000)

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def drawn(self) -> dict[str, bool]:
        """Every chart of the page, and whether something is on it."""
        told: dict[str, bool] = self.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll("canvas")].map((each) => {
              // A copy: the browser complains of a canvas that is drawn for the screen and read.
              const copy = document.createElement("canvas");
              [copy.width, copy.height] = [each.width, each.height];
              const pen = copy.getContext("2d", { willReadFrequently: true });
              pen.drawImage(each, 0, 0);
              const dots = pen.getImageData(0, 0, each.width, each.height).data;
              return [each.id, dots.some((value) => value > 0)];
            }))"""
        )
        return told

    def violations(self) -> list[tuple[str, str, list[str]]]:
        """What axe-core finds: rule, impact, and where."""
        code = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
        self.page.evaluate(code)
        found: dict[str, Any] = self.page.evaluate("() => axe.run(document)")
        return [
            (each["id"], each["impact"], [node["target"][0] for node in each["nodes"]])
            for each in found["violations"]
        ]


@contextmanager
def watched(opened: "Browser", address: str, **options: Any) -> Iterator[Watched]:
    context = opened.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    try:
        yield Watched(context.new_page(), address)
    finally:
        context.close()
