"""Makes the pictures in docs/images: `python -m tests.browser.screenshots`, or `make screenshots`.

The appliance behind them is a real one with the demo model, on a state tree that is thrown away.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page

from tests.browser.browsers import (
    CHROMIUM,
    NARROW,
    WIDE,
    chromium,
    open_log,
    run_example,
    sign_in,
)
from tests.support.stack import Credentials, Stack
from tests.support.streaming import streaming

Theme = Literal["light", "dark"]
_REASON: Final = "Complaint 2026-114 of the patients' board"
_WATCH_MS: Final = 20_000
TARGET: Final = Path(__file__).resolve().parents[2] / "docs/images"
_DARK: Final = frozenset({"sign-in", "tasks", "deidentify", "extract", "models", "log-records"})
"""Pages that are also shown dark; the others would only make the repository larger."""


@dataclass(frozen=True)
class Cast:
    """The people on the pictures."""

    manager: Credentials
    officer: Credentials


def main() -> int:
    """Start an appliance, take all pictures, stop it."""
    if CHROMIUM is None:
        print("There is no chromium here; install Debian's package chromium.", file=sys.stderr)
        return 1
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cloister-") as folder:
        stack = Stack.start(Path(folder))
        try:
            _take_all(stack)
        finally:
            stack.stop()
    print(f"{len(list(TARGET.glob('*.png')))} pictures are in {TARGET}")
    return 0


def _take_all(stack: Stack) -> None:
    cast = Cast(
        stack.create_user("h.brandt", "user", "operator", "admin"),
        stack.create_user("o.lind", "officer"),
    )
    stack.create_user("m.osei", "user")
    stack.accounts.create("t.novak", ["user", "operator"], actor=cast.manager.name)
    stack.create_key("archive-intake", owner=cast.manager.name, tasks=["extract", "triage"])
    with chromium() as browser:
        for theme in ("light", "dark"):
            for viewport in (WIDE, NARROW):
                _Camera(browser, stack, viewport, theme).walk(cast)


class _Camera:
    """One window of one size and theme that walks through all pages."""

    def __init__(
        self, browser: Browser, stack: Stack, viewport: dict[str, int], theme: Theme
    ) -> None:
        context = browser.new_context(
            viewport=viewport,  # type: ignore[arg-type] # a plain dict of Playwright's shape
            color_scheme=theme,
            reduced_motion="reduce",
        )
        self._page: Page = context.new_page()
        self._stack = stack
        self._width = viewport["width"]
        self._theme = theme

    def walk(self, cast: Cast) -> None:
        """Take every picture of this size and theme."""
        self._take("sign-in", lambda page: page.goto(f"{self._stack.url}/sign-in"))
        sign_in(self._page, self._stack, cast.manager)
        self._take("tasks", lambda page: page.goto(f"{self._stack.url}/"))
        for task in ("deidentify", "extract", "triage"):
            self._take(task, lambda page, task=task: run_example(page, self._stack, task))
        for name in ("receipts", "keys", "people", "system", "account"):
            self._take(name, lambda page, name=name: page.goto(f"{self._stack.url}/{name}"))
        with streaming(self._stack):
            self._take("models", self._watch_models)
        self.walk_log(cast)
        self._page.context.close()

    def walk_log(self, cast: Cast) -> None:
        """Take the pictures of the officers' pages."""
        self._page.context.clear_cookies()
        sign_in(self._page, self._stack, cast.officer)
        self._take("log", lambda page: page.goto(f"{self._stack.url}/log"))
        self._take("log-records", self._find_records)
        self._take("log-record", self._look_at_record, whole=False)
        self._take("log-openings", self._ask_for_contents)
        for name, path in (
            ("export", "export"),
            ("witness", "witness"),
            ("sheet", "witness/sheet"),
        ):
            self._take(
                f"log-{name}", lambda page, path=path: page.goto(f"{self._stack.url}/log/{path}")
            )

    def _find_records(self, page: Page) -> None:
        open_log(page, self._stack, "records", "compliance", _REASON)
        page.get_by_label("Task", exact=True).fill("triage")
        page.get_by_role("button", name="Search").click()
        page.locator("[data-table] .link").first.wait_for()

    def _look_at_record(self, page: Page) -> None:
        page.locator("[data-table] .link").nth(1).click()
        page.get_by_text("Stands in the tree").wait_for()

    def _ask_for_contents(self, page: Page) -> None:
        page.get_by_role("button", name="Close").click()
        page.get_by_label("Choose record").first.check()
        page.get_by_role("button", name="Ask to open the contents").click()
        page.get_by_label("Why you have to read them").fill(_REASON)
        page.get_by_role("button", name="Ask", exact=True).click()
        open_log(page, self._stack, "openings", "compliance", _REASON)
        page.get_by_text("Waits for an answer").first.wait_for()

    def _watch_models(self, page: Page) -> None:
        """Open the page Models and look at it for as long as makes a curve."""
        page.goto(f"{self._stack.url}/models")
        page.wait_for_timeout(_WATCH_MS)

    def _take(self, name: str, open_page: Callable[[Page], object], *, whole: bool = True) -> None:
        if self._theme == "dark" and name not in _DARK:
            return
        open_page(self._page)
        suffix = "-dark" if self._theme == "dark" else ""
        self._page.mouse.move(0, 0)
        self._page.screenshot(path=TARGET / f"{name}-{self._width}{suffix}.png", full_page=whole)


if __name__ == "__main__":
    sys.exit(main())
