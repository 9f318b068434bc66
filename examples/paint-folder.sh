#!/bin/sh
# Paints every new photo of a folder, then makes the page of all paintings anew; a broken photo stops neither.
# Usage: examples/paint-folder.sh photos paintings
set -eu
failed=0
artgen paint "$1" --recursive --out "$2/" --skip-existing --quiet || failed=$?
artgen gallery "$2" --recursive --force --quiet
exit "$failed"
