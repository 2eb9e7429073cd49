"""python -m rlcourse.results tabular/gridworld: run and record what a topic declares."""

import sys

from rlcourse.results import record

if len(sys.argv) != 2:
    sys.exit("which topic? python -m rlcourse.results tabular/gridworld")
print(record(sys.argv[1]))
