"""A page in a real browser: the system's Chromium, without a network; what it asks for and complains of is kept.

`conftest` hands its fixtures to all tests. Where there is no browser tests skip, unless
the environment variable ``WELLFIT_BROWSER`` is set to 1 (the checks on a bare machine do): then a missing one fails.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")


def _missing(reason: str) -> None:
    if os.environ.get("WELLFIT_BROWSER") == "1":
        pytest.fail(f"WELLFIT_BROWSER=1 asks for the browser tests, but {reason}")
    pytest.skip(reason)


@dataclass
class Opened:
    """A page that is open, what it asked for (its own file apart), and what stood on its console as an error."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def is_quiet(self) -> None:
        """Fail where anything was asked for or any error was told."""
        assert self.requests == []
        assert self.errors == []


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, headless, one for all tests of a process."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        _missing(f"there is no browser: install one of {', '.join(NAMES)} from the system's packages")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("there is no playwright: pip install 'wellfit[dev]'")
    # Names resolve to nothing: what slipped past the refusal below could still reach no one.
    quiet = ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"]
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=quiet)
        yield opened
        opened.close()


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """A function that opens HTML text as a file, as a reader does, in a window of a given size."""
    contexts = []

    def open_page(html: str, *, width: int = 1200, height: int = 900, **settings: object) -> Opened:
        file = tmp_path / f"page{len(contexts)}.html"
        file.write_text(html, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        contexts.append(context)
        opened = Opened(context.new_page())

        def asked(route) -> None:
            if route.request.url == file.as_uri():
                route.continue_()
            else:
                opened.requests.append(route.request.url)
                route.abort()

        context.route("**/*", asked)
        opened.page.on("console", lambda m: opened.errors.append(m.text) if m.type in ("error", "warning") else None)
        opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.page.on("dialog", lambda dialog: (opened.errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        opened.page.goto(file.as_uri())
        return opened

    yield open_page
    for context in contexts:
        context.close()
