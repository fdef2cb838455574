#!/bin/sh
# generate.sh PAGES SITE: an HTML page of each text, whose first line is its title, and an index of them.
set -eu

html() { # TITLE, with the body on standard input
  printf '<!doctype html>\n<meta charset="utf-8">\n<title>%s</title>\n<h1>%s</h1>\n' "$1" "$1"
  cat
}

escaped() { sed 's/&/\&amp;/g; s/</\&lt;/g' "$@"; }

for page in "$1"/*.txt; do
  name=${page##*/}
  name=${name%.txt}
  title=$(escaped "$page" | sed 1q)
  # Each paragraph begins after an empty line.
  escaped "$page" | sed '1d; s/^$/<p>/' | html "$title" >"$2/$name.html"
  printf '<li><a href="%s.html">%s</a>\n' "$name" "$title"
done | html Pages >"$2/index.html"
