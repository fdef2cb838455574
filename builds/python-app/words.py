"""Counts the words of a file and says who counted."""

import collections
import getpass
import sys

with open(sys.argv[1], encoding="utf-8") as text:
    counts = collections.Counter(text.read().lower().split())
print(getpass.getuser(), "counted", ", ".join(f"{word} {n}" for word, n in counts.most_common(3)))
