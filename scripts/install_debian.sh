#!/usr/bin/env bash
# Install from Debian the real servers and the browser that some tests drive.
#
# Quick when all is there. Starts no service: policy-rc.d forbids it for as long as this runs.
# Without the rights to install, it says which tests will be left out and succeeds; the tests
# themselves then skip, or fail when CI=true (tests/plugins/real_servers.py).
set -euo pipefail

# package | a command that proves it is there | what needs it
table='
postgresql|/usr/lib/postgresql/*/bin/initdb initdb|every test that takes "postgres_url"
prometheus|prometheus|every test that takes "prometheus"
prometheus-alertmanager|prometheus-alertmanager alertmanager|every test that takes "alertmanager"
chromium|chromium chromium-browser google-chrome|every test that takes "chromium" (tests/browser)
fonts-dejavu-core|/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf|nothing fails, but pages may be drawn without letters
'

is_there() {
    local candidate
    for candidate in $1; do # not quoted: the patterns with a * are to be expanded
        if [[ -e "$candidate" ]] || command -v "$candidate" >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

missing=()
left_out=()
while IFS='|' read -r package proofs needed_by; do
    if [[ -z "$package" ]] || is_there "$proofs"; then continue; fi
    missing+=("$package")
    left_out+=("$package: $needed_by")
done <<<"$table"
if ((${#missing[@]} == 0)); then exit 0; fi

say_what_is_left_out() {
    {
        echo "$1"
        echo "These tests will be left out (with CI=true they fail):"
        printf '  - %s\n' "${left_out[@]}"
        echo "To run them: sudo apt-get install ${missing[*]}"
    } >&2
}

if ! command -v apt-get >/dev/null 2>&1; then
    say_what_is_left_out "This is not a Debian system, so nothing was installed."
    exit 0
fi
as_root=()
if [[ "$(id -u)" != 0 ]]; then
    if ! command -v sudo >/dev/null 2>&1 || ! sudo -n true 2>/dev/null; then
        say_what_is_left_out "No right to install Debian packages here (neither root nor password-free sudo)."
        exit 0
    fi
    as_root=(sudo -n)
fi

# Forbid maintainer scripts to start what they install, and put back whatever was there.
policy=/usr/sbin/policy-rc.d
kept="$policy.kept-by-watchkeeper-tests"
restore_policy() {
    "${as_root[@]}" rm -f "$policy"
    if [[ -e "$kept" ]]; then "${as_root[@]}" mv "$kept" "$policy"; fi
}
if [[ ! -e "$kept" && -e "$policy" ]]; then "${as_root[@]}" mv "$policy" "$kept"; fi
trap restore_policy EXIT
printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
"${as_root[@]}" chmod 755 "$policy"

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >/dev/null </dev/null
}

echo "Installing from Debian: ${missing[*]}" >&2
for attempt in 1 2 3; do
    # The package lists may be old or absent, so they are read again before each attempt.
    if apt update && apt install --yes --no-install-recommends "${missing[@]}"; then exit 0; fi
    if ((attempt < 3)); then
        echo "apt-get failed; once more in $((attempt * 5)) s" >&2
        sleep $((attempt * 5))
    fi
done
say_what_is_left_out "apt-get failed three times."
