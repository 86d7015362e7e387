#!/usr/bin/env bash
# Resolve pyproject.toml and requirements/*.in into the pinned, hashed requirements/*.txt.
#
# dev is resolved first, since it holds everything; the others are cut from it, so that what is
# tested is what a user gets. No index address is written: any mirror will do at install time.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="${UV:-.venv/bin/uv}"

compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-emit-index-url --no-emit-find-links "$@"
}

upgrade=()
if [[ "${UPGRADE:-}" == 1 ]]; then upgrade=(--upgrade); fi

compile "${upgrade[@]}" pyproject.toml requirements/dev.in \
    --extra demo --extra postgres --extra sklearn --extra river -o requirements/dev.txt
compile --constraint requirements/dev.txt pyproject.toml -o requirements/bare.txt
compile --constraint requirements/dev.txt pyproject.toml --extra server -o requirements/server.txt
compile --constraint requirements/dev.txt pyproject.toml requirements/demo.in --extra demo -o requirements/demo.txt
compile --constraint requirements/dev.txt requirements/tests.in -o requirements/tests.txt
