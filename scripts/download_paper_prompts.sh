#!/bin/sh
# Replaces prompts/chorus/ by the prompt files of the published release, for an exact reproduction:
#     sh scripts/download_paper_prompts.sh
# The present files are kept in prompts/chorus.backup. Nothing is replaced before every file has
# arrived and reads as prompts; a rerun fetches only what is missing. The release's prompts are under
# its own licence (CC BY-NC-SA 4.0, see NOTICE).
#     CHORUS_PROMPTS_URL    another place that holds <category>.txt (a mirror, file:// with curl)
set -eu
. "$(dirname "$0")/environment.sh"
commit=13ce7b0fb19762a8f9bc49f573e6015b6f64d6f9
default=https://raw.githubusercontent.com/jellyheadandrew/CHORUS/$commit/prompts/chorus
url=${CHORUS_PROMPTS_URL:-$default}
target=prompts/chorus
arriving=prompts/.chorus.arriving # kept between runs, so that an interrupted download resumes
backup=prompts/chorus.backup

fail() { printf '%s\n' "$*" >&2; exit 1; }

if command -v curl >/dev/null 2>&1; then
    fetch() { curl -fsSL --connect-timeout 15 --max-time 120 --retry 2 -o "$2" "$1"; }
elif command -v wget >/dev/null 2>&1; then
    fetch() { wget -q -T 15 -t 3 -O "$2" "$1"; }
else
    fail "neither curl nor wget is installed; install one, or copy prompts/chorus from a clone of \
github.com/jellyheadandrew/CHORUS into $target by hand."
fi

categories=$("$PYTHON" -c '
import sys; sys.path.insert(0, ".")
from chorus.vocabulary import PAPER_CATEGORIES
print("\n".join(PAPER_CATEGORIES))')

# Prints the number of prompts, or fails with the reader's own sentence.
count() {
    "$PYTHON" -c '
import sys; sys.path.insert(0, ".")
from chorus.errors import ChorusError
from chorus.generation.prompts import read_prompts
try:
    print(len(read_prompts(sys.argv[1])))
except ChorusError as error:
    sys.exit(str(error))' "$1"
}

# Files from one source must not be completed by those of another.
mkdir -p "$arriving"
if [ "$(cat "$arriving/source" 2>/dev/null || true)" != "$url" ]; then
    rm -f "$arriving"/*.txt "$arriving"/*.part
    printf '%s\n' "$url" >"$arriving/source"
fi

set -f # category names hold blanks, one per line
old_ifs=$IFS
IFS='
'
for category in $categories; do
    file="$arriving/$category.txt"
    [ -f "$file" ] && continue
    address="$url/$(printf %s "$category" | sed 's/ /%20/g').txt"
    fetch "$address" "$file.part" || fail "could not fetch $address: no network, or the file is not \
there. Nothing was replaced; rerun to go on, or name a mirror in CHORUS_PROMPTS_URL."
    n=$(count "$file.part") || fail "what $address sent is not a prompt file (see above). Nothing was \
replaced."
    mv "$file.part" "$file"
    echo "$category: $n prompts"
done
IFS=$old_ifs
set +f

# The first backup, of this project's own prompts, is not overwritten by a second download.
if [ -d "$target" ] && [ ! -e "$backup" ]; then
    rm -rf "$backup.part"
    cp -R "$target" "$backup.part"
    mv "$backup.part" "$backup"
fi
mkdir -p "$target"
for file in "$arriving"/*.txt; do
    mv "$file" "$target/"
done
rm -rf "$arriving"
echo "the paper's prompts are in $target; the previous ones in $backup"
