"""Makes estimates.jpg of the README from a finished quickstart.

python docs/images/make_estimates.py [results_demo]
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from chorus.viewing.lettering import FAINT_INK, write

PROMPTS = [f"A person {verb} a surfboard" for verb in ("balances on", "carries", "paddles on")]
ROWS = (("the paper's recipe", " - qual%3Ademo"), ("evidence", ""))
CELL, WIDTH, HEIGHT = 500, 1500, 470


def main(demo: Path) -> None:
    """The same images' three distributions, by the paper's recipe and by evidence below."""
    page = Image.new("RGB", (WIDTH, len(ROWS) * (HEIGHT + 44)), "white")
    draw = ImageDraw.Draw(page)
    for row, (label, suffix) in enumerate(ROWS):
        top = row * (HEIGHT + 44)
        write(draw, (WIDTH / 2, top + 24), label, 28, width=WIDTH, ink=FAINT_INK, anchor="mm")
        for column, prompt in enumerate(PROMPTS):
            still = Image.open(demo / f"{prompt} - all{suffix}.png").convert("RGB")
            left = 40 if column == 0 else 800
            view = still.crop((left, 170, left + 760, 960)).resize((452, HEIGHT))
            page.paste(view, (column * CELL + 24, top + 44))
    page.save(Path(__file__).with_name("estimates.jpg"), quality=90, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results_demo"))
