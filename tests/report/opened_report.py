"""A report opened in Chromium, for tests to drive and to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE = 60_000  # milliseconds, of a wait that would otherwise have no end


class Report:
    """An open report. Leaving it checks that nothing was complained about and nothing was requested."""

    def __init__(self, browser: Browser, file: Path, fragment: str = "", **options: object) -> None:
        self.context = browser.new_context(**{"viewport": DESKTOP, "color_scheme": "light", **options})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.address = file.as_uri()
        self.open(fragment)

    def open(self, fragment: str = "") -> None:
        self.page.goto(self.address + fragment)
        self.settle()

    def __enter__(self) -> Report:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is None:
            self.check()

    def check(self) -> None:
        assert self.complaints == []
        assert {request.split("#")[0] for request in self.requests} - {"about:blank"} == {self.address}

    def until(self, expression: str) -> None:
        """Wait for it in the page; playwright's own way needs `eval`, which the page forbids."""
        look = f"const look = () => ({expression}) ? done(true) : setTimeout(look, 20); look();"
        give_up = f"setTimeout(() => done(false), {PATIENCE});"
        assert self.page.evaluate(f"new Promise((done) => {{ {give_up} {look} }})"), f"never true: {expression}"

    def settle(self) -> None:
        self.page.evaluate("interp.settled()")

    def open_table(self, panel: str) -> None:
        """Unfold a panel's table; the browser tells the page so only after the click."""
        self.page.click(f"#{panel} summary >> text=table")
        self.until(f"document.querySelector('#{panel} tbody tr')")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    @property
    def step(self) -> int:
        return self.page.evaluate("interp.step()")

    def shown(self, panel: str, path: str, run: str = "sample_59") -> object:
        return self.page.evaluate(f"interp.panels['{run}-{panel}'].gd.{path}")

    def cursor(self, panel: str, run: str = "sample_59") -> object:
        return self.shown(panel, "layout.shapes.at(-1).x0", run)
