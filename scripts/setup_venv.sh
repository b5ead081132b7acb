#!/bin/sh
# Makes .venv in the repository and installs this project into it with the pinned versions.
#
#     sh scripts/setup_venv.sh [EXTRA ...]     # on top of `view`: the other extras of setup.py
#                                              (dev, generation, paper, modern, pocket, mhr, formats, rerun,
#                                              cluster)
#     PYTHON3=/path/to/python3.11 sh scripts/setup_venv.sh
#
# Does nothing if .venv is up to date; after an interruption, a rerun goes on where pip's cache ends.
# Needs no root, conda, GPU or display.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd)
venv="$root/.venv"
stamp="$venv/chorus-stamp"
lock="$venv/chorus-setup.lock"

say() { printf '%s\n' "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

# The stamp's first line says what was installed and where; the second, with which extras.
state="$(cat setup.py pyproject.toml constraints.txt | cksum) $root"
wanted="view $*"
installed() { # the extras that are there, if they are of the present state
    if [ -x "$venv/bin/python" ] && [ "$(sed -n 1p "$stamp" 2>/dev/null)" = "$state" ]; then
        sed -n 2p "$stamp"
    fi
}
up_to_date() {
    for extra in $wanted; do
        case " $(installed) " in *" $extra "*) ;; *) return 1 ;; esac
    done
}
if up_to_date; then exit 0; fi

supported='import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 13)))'
find_python() {
    for candidate in ${PYTHON3:-python3 python3.11 python3.12 python}; do
        if "$candidate" -c "$supported" >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}
python3=$(find_python) || fail "no suitable Python found: this project needs Python 3.11 or 3.12, \
and ${PYTHON3:-python3} is $("${PYTHON3:-python3}" --version 2>&1 || true). Install one (a conda \
environment or pyenv will do) and name it: PYTHON3=/path/to/python3.11 sh scripts/setup_venv.sh"

# One installation at a time: a second caller waits; a lock left by a killed one is taken over.
mkdir -p "$venv"
said=
until mkdir "$lock" 2>/dev/null; do
    owner=$(cat "$lock/pid" 2>/dev/null || true)
    if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
        rm -rf "$lock"
        continue
    fi
    [ -n "$said" ] || say "another setup (process ${owner:-unknown}) is at work in .venv; waiting. \
If there is none, remove $lock"
    said=yes
    sleep 2
done
echo "$$" >"$lock/pid"
trap 'rm -rf "$lock"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if up_to_date; then exit 0; fi
extras=$(printf '%s\n' $(installed) $wanted | sort -u | tr '\n' ' ')
rm -f "$stamp"

# A .venv made by another Python, or moved here from elsewhere, is made anew.
if [ -e "$venv/bin/python" ] && ! {
    "$venv/bin/python" -c "$supported" >/dev/null 2>&1 &&
        grep -qF "$venv" "$venv/bin/activate" 2>/dev/null
}; then
    say "the existing .venv does not fit (other Python version or moved); making it anew"
    rm -rf "$venv/bin" "$venv/include" "$venv/lib" "$venv/lib64" "$venv/pyvenv.cfg"
fi

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making .venv with $("$python3" --version 2>&1)"
    # Debian splits ensurepip off into python3-venv; without it the system's pip installs pip.
    "$python3" -m venv "$venv" >"$venv/chorus-venv.log" 2>&1 ||
        { "$python3" -m venv --without-pip "$venv" &&
            "$python3" -m pip --python "$venv/bin/python" install --quiet pip; } \
            >>"$venv/chorus-venv.log" 2>&1 ||
        { cat "$venv/chorus-venv.log" >&2; fail "$python3 could not make a virtual environment \
(see above). On Debian and Ubuntu the package python3-venv brings what is missing."; }
fi

say "installing pinned packages into .venv (${extras% }); the first time takes some minutes \
(log: .venv/chorus-pip.log)"
"$venv/bin/python" -m pip install --progress-bar off --disable-pip-version-check \
    -c constraints.txt -e ".[$(echo $extras | tr ' ' ,)]" >"$venv/chorus-pip.log" 2>&1 || {
    tail -n 15 "$venv/chorus-pip.log" >&2
    fail "pip stopped (the end of .venv/chorus-pip.log is above). Usual causes: no network or no \
access to a package index, a full disk, or a Python for which a pinned package has no wheel. Rerun the \
same command once mended; what was downloaded is kept in pip's cache."
}

"$venv/bin/python" -c 'import chorus, numpy, pyarrow, torch, trimesh' ||
    fail "the packages are installed but do not import (see above)."
printf '%s\n%s\n' "$state" "$extras" >"$stamp.part"
mv "$stamp.part" "$stamp"
say "ready: .venv/bin/python ($("$venv/bin/python" --version))"
