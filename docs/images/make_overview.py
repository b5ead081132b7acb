"""Makes overview.jpg of the README from a finished quickstart.

python docs/images/make_overview.py [results_demo]
"""

import sys
from pathlib import Path

from PIL import Image

from chorus.viewing.contact_sheet import CAPTION, GAP, HEAD, MARGIN

TILE, COLUMNS, WIDTH = 300, 6, 1500
PROMPTS = [f"A person {verb} a surfboard" for verb in ("balances on", "carries", "paddles on")]
TILES = [(0, 1), (0, 4), (2, 5), (3, 0), (4, 2), (5, 1)]  # row and column on the contact sheet


def main(demo: Path) -> None:
    """Two sample images of every interaction above its distribution seen from two sides."""
    sheet = Image.open(demo / "contact_sheet.png").convert("RGB")
    side = WIDTH // 6 - 8
    page = Image.new("RGB", (WIDTH, side + 20 + 470), "white")
    for place, (row, column) in enumerate(TILES):
        left = MARGIN + column * (TILE + GAP)
        top = HEAD + row * (TILE + CAPTION + GAP)
        tile = sheet.crop((left, top, left + TILE, top + TILE)).resize((side, side))
        page.paste(tile, (place * WIDTH // 6 + 4, 0))
    for place, prompt in enumerate(PROMPTS):
        still = Image.open(demo / f"{prompt} - all.png").convert("RGB")
        view = still.crop((40 if place == 0 else 800, 170, 800 if place == 0 else 1560, 960))
        page.paste(view.resize((450, 468)), (place * WIDTH // 3 + 25, side + 20))
    page.save(Path(__file__).with_name("overview.jpg"), quality=90, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results_demo"))
