#!/bin/sh
# Fetches what `chorus extend_eft` makes the test set from:
#     sh scripts/download_coco_eft.sh [--without_images]
#     imports/COCO/annotations/instances_val2014.json     COCO's annotations
#     imports/COCO/images/val2014/                        COCO's images; only drawings need them
#     imports/eft/eft_fit/COCO2014-Val-ver10.json         EFT's fits, CC BY-NC 4.0 (see NOTICE)
# A rerun goes on where an interrupted download stopped. Archives are compared with the SHA-256 that
# TensorFlow Datasets publishes for them (url_checksums/coco.txt) and removed when unpacked. EFT
# publishes no checksum: its file must read as what it is.
#     CHORUS_IMPORTS                                      another place than imports
#     CHORUS_COCO_IMAGES_URL, CHORUS_COCO_ANNOTATIONS_URL, CHORUS_EFT_URL      other sources
#     CHORUS_COCO_IMAGES_SHA256, CHORUS_COCO_ANNOTATIONS_SHA256   their sums; empty: not compared
set -eu
. "$(dirname "$0")/environment.sh"
images_url=${CHORUS_COCO_IMAGES_URL:-http://images.cocodataset.org/zips/val2014.zip}
annotations_url=${CHORUS_COCO_ANNOTATIONS_URL:-http://images.cocodataset.org/annotations/annotations_trainval2014.zip}
fits_url=${CHORUS_EFT_URL:-https://dl.fbaipublicfiles.com/eft/COCO2014-Val-ver10.json}
images_sum=${CHORUS_COCO_IMAGES_SHA256-fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0}
annotations_sum=${CHORUS_COCO_ANNOTATIONS_SHA256-031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009}
imports=${CHORUS_IMPORTS:-imports}
images=$imports/COCO/images/val2014
annotations=$imports/COCO/annotations/instances_val2014.json
fits=$imports/eft/eft_fit/COCO2014-Val-ver10.json

fail() { printf '%s\n' "$*" >&2; exit 1; }

with_images=yes
case "${1:-}" in
'') ;;
--without_images) with_images=no ;;
*) fail "unknown option $1; the only one is --without_images." ;;
esac

# fetch URL FILE goes on with a FILE that is there; size_of URL prints bytes, or nothing.
if command -v curl >/dev/null 2>&1; then
    fetch() { curl -fL --connect-timeout 15 --speed-limit 1 --speed-time 60 --retry 3 -C - -o "$2" "$1"; }
    size_of() { curl -sfIL --connect-timeout 15 --max-time 30 "$1" | tr -d '\r' |
        sed -n 's/^[Cc]ontent-[Ll]ength: *\([0-9]*\)$/\1/p' | tail -n 1; }
elif command -v wget >/dev/null 2>&1; then
    fetch() { wget -c -T 60 -t 3 -O "$2" "$1"; }
    size_of() { wget -S --spider -T 15 -t 1 "$1" 2>&1 | tr -d '\r' |
        sed -n 's/^ *[Cc]ontent-[Ll]ength: *\([0-9]*\)$/\1/p' | tail -n 1; }
else
    fail "neither curl nor wget is installed; install one of them."
fi

# megabytes that are still to come, by whether the result and how much of the download is there
total=0
announce() { # LABEL RESULT PART URL
    if [ -e "$2" ]; then
        echo "$1: already there ($2)"
        return
    fi
    bytes=$(size_of "$4" || true)
    if [ -z "$bytes" ]; then
        echo "$1: size unknown, from $4"
        return
    fi
    have=0
    if [ -f "$3" ]; then have=$(wc -c <"$3"); fi
    echo "$1: $((bytes / 1000000)) MB, $((have / 1000000)) MB of them already there, from $4"
    total=$((total + (bytes - have) / 1000000))
    case "$2" in *.json) ;; *) total=$((total + bytes / 1000000)) ;; esac
}

# obtain LABEL URL PART SUM: the whole file in PART, whose checksum fits.
obtain() {
    mkdir -p "$(dirname "$3")"
    # A file from one source must not be completed by another.
    if [ "$(cat "$3.source" 2>/dev/null || true)" != "$2" ]; then
        rm -f "$3"
        printf '%s\n' "$2" >"$3.source"
    fi
    if [ -n "$4" ] && [ -f "$3" ] && "$PYTHON" scripts/unpacking.py sha256 "$3" "$4" 2>/dev/null; then
        return # whole, but the run was interrupted before it was unpacked
    fi
    echo "fetching $1"
    fetch "$2" "$3" || restarted "$@"
    "$PYTHON" scripts/unpacking.py sha256 "$3" "$4" || {
        rm -f "$3"
        fail "what $2 sent is not the published file, and was removed. Rerun to fetch it again, or \
name a mirror (see the head of this script)."
    }
}

# A server that cannot send the rest of a file is asked for all of it (33), and so is one that has no
# rest to send (22) where no checksum tells that the file is whole.
restarted() {
    case "$?-$4" in
    33-* | 22-)
        if [ -s "$3" ]; then
            rm -f "$3"
            if fetch "$2" "$3"; then return; fi
        fi
        ;;
    esac
    fail "could not fetch all of $2: no network, or the file is not there. What has arrived is \
kept; rerun to go on, or name a mirror (see the head of this script)."
}

images_part=$imports/COCO/.val2014.zip.part
annotations_part=$imports/COCO/.annotations.zip.part
fits_part=$imports/eft/.fits.json.part

announce "COCO annotations" "$annotations" "$annotations_part" "$annotations_url"
announce "EFT fits" "$fits" "$fits_part" "$fits_url"
if [ "$with_images" = yes ]; then
    announce "COCO images" "$images" "$images_part" "$images_url"
fi
mkdir -p "$imports"
free=$(df -Pk "$imports" | awk 'NR == 2 { print int($4 / 1000) }')
echo "about $total MB of disk are needed while unpacking, $free MB are free in $imports"
if [ "$free" -lt "$total" ]; then
    fail "that is not enough; free some space, or name another place in CHORUS_IMPORTS. \
--without_images leaves the images out, which only drawings need."
fi

if [ ! -f "$annotations" ]; then
    obtain "COCO annotations" "$annotations_url" "$annotations_part" "$annotations_sum"
    mkdir -p "$(dirname "$annotations")"
    "$PYTHON" scripts/unpacking.py unpack "$annotations_part" annotations/instances_val2014.json "$annotations" || {
        rm -f "$annotations_part"
        fail "the archive was removed; rerun to fetch it again."
    }
    rm -f "$annotations_part" "$annotations_part.source"
fi
if [ ! -f "$fits" ]; then
    obtain "EFT fits" "$fits_url" "$fits_part" ""
    "$PYTHON" scripts/unpacking.py json "$fits_part" data || {
        rm -f "$fits_part"
        fail "what $fits_url sent was removed; rerun to fetch it again."
    }
    mkdir -p "$(dirname "$fits")"
    mv "$fits_part" "$fits"
    rm -f "$fits_part.source"
fi
if [ "$with_images" = yes ] && [ ! -d "$images" ]; then
    obtain "COCO images" "$images_url" "$images_part" "$images_sum"
    mkdir -p "$(dirname "$images")"
    "$PYTHON" scripts/unpacking.py unpack "$images_part" val2014 "$images" || {
        rm -f "$images_part"
        fail "the archive was removed; rerun to fetch it again."
    }
    rm -f "$images_part" "$images_part.source"
fi
echo "complete; python scripts/evaluation/extend_eft.py makes the test set from it"
