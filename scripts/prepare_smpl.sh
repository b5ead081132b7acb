#!/bin/sh
# Makes imports/smpl/SMPL_NEUTRAL.npz of the archive that you download after registering for SMPL:
#     sh scripts/prepare_smpl.sh SMPL_python_v.1.1.0.zip              # https://smpl.is.tue.mpg.de
#     sh scripts/prepare_smpl.sh mpips_smplify_public_v2.zip          # https://smplify.is.tue.mpg.de
# A neutral model (.pkl) out of one of them will do as well; of several files the first that has one
# is taken. Nothing in them is executed. The result goes to imports (CHORUS_IMPORTS) and is as little
# yours to pass on as the archive (see NOTICE).
set -eu
# names are relative to where you are, not to the repository
here=$(pwd)
for file in "$@"; do
    shift
    case "$file" in
    /* | -*) set -- "$@" "$file" ;;
    *) set -- "$@" "$here/$file" ;;
    esac
done
. "$(dirname "$0")/environment.sh"
exec "$PYTHON" scripts/prepare_smpl.py "$@"
