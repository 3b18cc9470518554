#!/bin/sh
# Runs the tests and measurements that need an NVIDIA GPU and prints one table; about five minutes on a data-centre card.
#
#   tests/gpu/check.sh [FOLDER]     from a checkout; FOLDER gets tests.log, tests.xml, measure.log and figures.json
#
# PYTHON names an interpreter with torch for CUDA, pytest and OpenAssay's dependencies (default: python3, else python).
# SECONDS_AT_MOST (default 285): no measurement begins that would end later.
# OPENASSAY_TEST_DEVICE=cpu rehearses all of it on a CPU.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
python=${PYTHON:-$(command -v python3 || command -v python)}
device=${OPENASSAY_TEST_DEVICE:-cuda}
started=$(date +%s)
cd "$root" || exit 2
PYTHONPATH="$root/src:$root/tests${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH

if [ "$device" = cuda ] && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "error: $python has no torch that sees a GPU; name another interpreter: PYTHON=/path/to/python $0" >&2
  exit 2
fi
many=$("$python" -c 'import xdist; print("-n 4")' 2>/dev/null)
# shellcheck disable=SC2086 # no word or two
"$python" -m pytest $many -p no:cacheprovider tests/gpu -W default --durations=8 \
  --junitxml="$folder/tests.xml" >"$folder/tests.log" 2>&1
tests=$?
tail -n 40 "$folder/tests.log"
left=$(( ${SECONDS_AT_MOST:-285} - ($(date +%s) - started) ))
"$python" tests/gpu/measure.py --device "$device" --tests "$folder/tests.xml" --seconds "$left" --out "$folder/figures.json" \
  2>"$folder/measure.log"
bench=$?
[ $bench -eq 0 ] || tail -n 20 "$folder/measure.log" >&2
echo "tests: exit status $tests; measurements: $bench; $(( $(date +%s) - started )) s; results in $folder"
[ $tests -eq 0 ] && [ $bench -eq 0 ]
