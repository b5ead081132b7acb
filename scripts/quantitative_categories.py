"""The quantitative categories for the run_quant scripts, one per line.

quantitative_categories.py            batches per augprompt of the paper, a tab, the category
quantitative_categories.py present    the categories that have images in the results tree
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chorus.settings import TreeOptions
from chorus.vocabulary import QUANTITATIVE_CATEGORIES


def main() -> None:
    """Print the lines that are asked for."""
    options = TreeOptions()
    if sys.argv[1:] == ["present"]:
        shards = options.tree.shards("images", options.models.model_key, required=False)
        made = {shard.category for shard in shards}
        lines = [category for category in QUANTITATIVE_CATEGORIES if category in made]
    else:
        lines = [f"{batches}\t{name}" for name, batches in QUANTITATIVE_CATEGORIES.items()]
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
