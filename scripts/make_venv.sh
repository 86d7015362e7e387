#!/usr/bin/env bash
# make_venv.sh FOLDER REQUIREMENTS... : a virtual environment with exactly these hash-pinned files.
#
# An environment that is there and works is kept and brought up to date. Where the packages come
# from is left to the user's own pip settings.
set -euo pipefail
cd "$(dirname "$0")/.."
folder="$1"
shift

is_suitable() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' \
        >/dev/null 2>&1
}

find_python() {
    local candidate
    if [[ -n "${PYTHON:-}" ]]; then
        if is_suitable "$PYTHON"; then
            echo "$PYTHON"
            return
        fi
        echo "PYTHON=$PYTHON is not a Python 3.11 to 3.14 with the venv module." >&2
        exit 1
    fi
    for candidate in python3 python3.13 python3.12 python3.14 python3.11 python; do
        if is_suitable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    {
        echo "Watchkeeper needs Python 3.11 to 3.14 with the venv module, and found none on the PATH."
        echo "  On Debian and Ubuntu:  sudo apt-get install python3 python3-venv"
        echo "  Installed elsewhere:   make PYTHON=/path/to/python3.12 ..."
    } >&2
    exit 1
}

works() {
    [[ -x "$folder/bin/python" ]] && is_suitable "$folder/bin/python" && "$folder/bin/python" -m pip --version
}

if ! works >/dev/null 2>&1; then
    python="$(find_python)"
    echo "Making $folder with $("$python" --version)" >&2
    "$python" -m venv --clear "$folder"
    # pip is quiet, and a first install takes a while: say so, or it looks as if nothing happened.
    echo "Installing $(cat "$@" | grep -c '==') pinned packages into it: a minute or two, and 1 GB of disk" >&2
fi

pip() { "$folder/bin/python" -m pip --quiet --no-input --disable-pip-version-check "$@" </dev/null; }
arguments=()
for file in "$@"; do arguments+=(--requirement "$file"); done
# What is never imported need not be compiled: half of the time goes there.
pip install --no-compile --progress-bar off --require-hashes "${arguments[@]}"
