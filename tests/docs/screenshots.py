"""Takes pictures of the built site with headless Chromium: light and dark, wide and phone.

Look at them after a change to the theme, the style sheet or a diagram. Needs ``chromium``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PAGES = ("index", "explanation/behaviour", "reference/provider", "benchmarks", "zh-cn/index")
WIDTHS = {"wide": 1280, "phone": 390}
HEIGHT = 1600
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--allow-file-access-from-files",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("pages", nargs="*", default=PAGES, help="without .html")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("Chromium is not installed. On Debian: apt-get install chromium", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    for page in options.pages:
        address = (options.site / f"{page}.html").resolve().as_uri()
        for width_name, width in WIDTHS.items():
            for theme in ("light", "dark"):
                name = f"{page.replace('/', '-')}-{width_name}-{theme}.png"
                take(chromium, address, options.output / name, width, is_dark=theme == "dark")
                print(options.output / name)
    return 0


def take(chromium: str, address: str, picture: Path, width: int, *, is_dark: bool) -> None:
    # Chromium's window is never narrower than 500 pixels; a frame inside it is.
    with tempfile.TemporaryDirectory() as folder:
        frame = Path(folder, "frame.html")
        frame.write_text(
            f'<body style="margin:0"><iframe src="{address}" '
            f'style="border:0;width:{width}px;height:{HEIGHT}px"></iframe>',
            encoding="utf-8",
        )
        command = [
            chromium,
            *FLAGS,
            *(["--force-dark-mode"] if is_dark else []),
            f"--user-data-dir={folder}/profile",
            f"--window-size={max(width, 500)},{HEIGHT}",
            f"--screenshot={picture.resolve()}",
            frame.as_uri(),
        ]
        subprocess.run(command, check=True, timeout=120, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
