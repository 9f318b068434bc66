#!/bin/sh
# A picture for every line of prompts.txt, in gallery/; run it again and only new lines are drawn.
# Usage: examples/gallery.sh prompts.txt gallery
set -eu
mkdir -p "$2"
artgen dream --prompts "$1" --seed 0 --out "$2" --skip-existing
