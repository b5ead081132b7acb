#!/bin/sh
# Builds what the profile `paper` needs beside the extra `paper`, in the Python that runs it:
#     sh scripts/install_published_networks.sh [detectron2|mmpose]        # default: both
# Needs git and a C++ compiler; mmcv compiles for about 13 minutes on 2 cores, detectron2 for 3.
# torch must be installed already, and torchvision is taken from where pip finds it: give the
# index that torch came from in PIP_INDEX_URL or PIP_EXTRA_INDEX_URL. A rerun skips what is there.
#     CHORUS_DETECTRON2_URL    another place of detectron2's repository
set -eu
. "$(dirname "$0")/environment.sh"
detectron2_url=${CHORUS_DETECTRON2_URL:-https://github.com/facebookresearch/detectron2}
detectron2_commit=02b5c4e295e990042a714712c21dc79b731e8833 # there is no release for this torch

fail() { printf '%s\n' "$*" >&2; exit 1; }
has() { "$PYTHON" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)"; }
install() { "$PYTHON" -m pip install -c constraints.txt "$@"; }
# mmcv and its like bring opencv-python, which puts a cv2 that needs libGL over the headless one.
keep_opencv_headless() {
    "$PYTHON" -m pip show --quiet opencv-python || return 0
    "$PYTHON" -m pip uninstall --yes opencv-python
    install --force-reinstall --no-deps opencv-python-headless
}

case "${1:-both}" in
both | detectron2 | mmpose) wanted=${1:-both} ;;
*) fail "unknown network $1; known: detectron2, mmpose." ;;
esac
has torch || fail "torch is not installed in $PYTHON; install this project first: INSTALL.md, 'With pip'."

install torchvision "setuptools<81" wheel cython ninja numpy
"$PYTHON" -c 'import torchvision' || fail "torchvision does not import (see above): take torch and \
torchvision from the same index, see INSTALL.md, 'Common failures'."
if [ "$wanted" != mmpose ] && ! has detectron2; then
    install --no-build-isolation --use-pep517 "git+$detectron2_url@$detectron2_commit"
fi
if [ "$wanted" != detectron2 ]; then
    has chumpy || install --no-build-isolation chumpy
    has xtcocotools || install --no-build-isolation --no-binary xtcocotools xtcocotools
    has mmcv || MMCV_WITH_OPS=1 install --no-build-isolation mmcv
    if ! has mmdet || ! has mmpose; then install mmengine mmdet mmpose; fi
    keep_opencv_headless
fi
echo "installed; chorus doctor --profile paper says what is still missing"
