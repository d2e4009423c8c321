#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: run.sh METRICS_SHOW [--write]
# The page that is made of a daemon's answer, byte for byte; --write makes the .out files anew. And
# docs: every metric is described, and what dashboard and alert rules ask for is there.
set -uo pipefail
show=$(realpath "$1") || exit 2
write=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2
docs=$(realpath ../../../docs)
# shellcheck source-path=SCRIPTDIR source=../check.sh
source ../check.sh

says_the_same() {
	diff "$1.out" <("$show" <"$1.in")
}

# Each sample behind the two lines of its metric, each metric once, each series once.
is_in_order() {
	"$show" <"$1.in" | awk '
		/^# HELP/ { if ($3 in seen) { print "twice: " $3; bad = 1 } seen[$3]; helped = $3; next }
		/^# TYPE/ { if ($3 != helped) { print "no help: " $3; bad = 1 } typed = $3; next }
		{
			series = $0; sub(/ [^ ]*$/, "", series)
			if (series in had) { print "twice: " series; bad = 1 }
			had[series]
			if (index(series, typed) != 1) { print "alone: " series; bad = 1 }
		}
		END { exit bad }'
}

# The names of metrics, and as they are asked for: with the parts of a histogram.
told() {
	"$show" <full.in | sed -n 's/^# TYPE \([^ ]*\) .*/\1/p; s/^\([a-z_]*\).*/\1/p' | grep . | sort -u
}

# What of a file's metrics there is not.
all_there() {
	! comm -23 <(grep -oE '\btcpguard_[a-z_]+' "$1" | sort -u) <(told) | grep .
}

all_described() {
	! comm -23 <("$show" <full.in | awk '/^# TYPE/ { print $3 }' | sort) \
		<(grep -oE '^\| `tcpguard_[a-z_]+' "$docs/metrics.md" | grep -oE 'tcpguard_[a-z_]+' | sort) | grep .
}

for name in full empty other-version; do
	[[ $write == --write ]] && "$show" <"$name.in" >"$name.out"
	check "$name looks as it did" says_the_same "$name"
	check "$name is in order" is_in_order "$name"
done
check 'every metric is described' all_described
for file in metrics.md alerts.yml grafana.json; do
	[[ -e $docs/$file ]] || continue
	check "$file names only metrics that there are" all_there "$docs/$file"
done
echo "1..$number"
exit "$failed"
