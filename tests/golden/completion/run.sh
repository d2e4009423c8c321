#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: run.sh TCPGUARD SCRIPTS [--write]
# What may follow on a command line: all that --help of the program and of every verb tells, and nothing else; then what
# real shells with the completion in SCRIPTS make of each of `lines`, when all of it is asked for and by Tab (SHELL.out).
# Live addresses are tested by netns/accept_completion.sh.
set -uo pipefail
tool=$(realpath "$1") || exit 2
scripts=$(realpath "$2") || exit 2
write=${3:-}
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2
here=$PWD
dir=$(mktemp -d) || exit 2
listener=
trap '[[ -n $listener ]] && kill "$listener"; rm -rf "$dir"' EXIT
number=0
failed=0

# verdict NAME: of the last command
verdict() {
	local status=$?
	number=$((number + 1))
	((status == 0)) || failed=1
	((status == 0)) && echo "ok $number - $1" || echo "not ok $number - $1"
}

# offered WORD…: without what it is about. One that complains or fails is wrong.
offered() {
	local status

	timeout 60 "$tool" --complete "$@" 2>"$dir/err" >"$dir/offered"
	status=$?
	cut -f 1 "$dir/offered"
	((status == 0)) || echo "status $status" | tee -a "$dir/err"
	sed 's/^/stderr: /' "$dir/err"
}

# same WANT GOT: as sets of lines
same() {
	diff <(sort <<<"$1") <(sort <<<"$2") | sed 's/^/# /'
}

options_of_help() {
	grep -o '^  --[a-z-]*' | tr -d ' '
}

verbs=$("$tool" --help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')
(($(wc -l <<<"$verbs") > 10)) && same "$verbs" "$(offered '')"
verdict 'the verbs are those of --help'
same "$("$tool" --help | options_of_help)" "$(offered --)"
verdict 'the options ahead of them, too'
for verb in $verbs; do
	same "$("$tool" "$verb" --help | options_of_help)" "$(offered "$verb" -)"
	verdict "$verb: the options of its --help"
done

# What has no end of values, and what only a daemon knows. Of every other argument src/cli/complete.c has to know the values.
free=' TIME [TIME] N PORT TEXT COUNT[/TIME] LEN[,LEN] PREFIX PREFIX,... '
arguments() {
	"$tool" "$1" --help | sed -n 's/^  \(--[a-z-]*\) \([^ ][^ ]*\) .*/\1 \2/p'
}
for verb in $verbs; do
	while read -r option argument; do
		[[ $free == *" $argument "* ]] && continue
		values=$(offered "$verb" "$option" '')
		[[ -n $(<"$dir/offered") ]] || echo "# see offer_values() in src/cli/complete.c, or it is free: $argument"
		[[ -n $(<"$dir/offered") ]]
		verdict "$verb $option: its values"
		[[ -z $values || $argument == S\[* ]] && continue
		untold=0
		for value in $values; do
			"$tool" "$verb" --help | grep -qw -- "$value" || { echo "# $value"; untold=1; }
		done
		((untold == 0))
		verdict "$verb $option: they are in its help"
	done < <(arguments "$verb")
done
taken=1
for action in $(offered ban --action ''); do
	"$tool" --socket "$dir/none" ban 192.0.2.1 --action "$action" >/dev/null 2>"$dir/err"
	(($? == 3)) || { sed 's/^/# /' "$dir/err"; taken=0; }
done
((taken))
verdict 'the actions are ones that ban takes'

same $'--help\n--sysctl' "$(offered doctor --json --at-least=warning --over 1s --root / --idle 1s -)"
verdict 'an option that stands there is not offered again'
same '' "$(offered check -- -)"
verdict 'no options after --'
same '' "$(offered no-verb '')"
verdict 'nothing after a verb that there is not'
same '' "$(offered)"
verdict 'nothing of no words'
for words in '--socket' 'top -n' 'reload --confirm' '--=' '= =' '-' '-- --' 'status = -n -- --='; do
	# shellcheck disable=SC2086 # words
	same '' "$(offered $words '')" >/dev/null # what it is does not matter: that it ends well does
	[[ ! -s $dir/err ]]
	verdict "words that are wrong: $words"
done
same '' "$(offered --socket "$dir/none" unban '')"
verdict 'no daemon, no addresses, no complaint'
python3 - "$dir/hung" <<'END' &
import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".new")
listener.listen()
import os
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
END
listener=$!
for ((tries = 0; tries < 600; tries++)); do
	[[ -S $dir/hung ]] && break
	sleep 0.1
done
[[ -S $dir/hung ]] && same '' "$(offered --socket "$dir/hung" unban '')"
verdict 'a daemon that hangs is not waited for'

mkdir "$dir/files" "$dir/files/directory" "$dir/bin"
touch "$dir/files/policy one.yaml" "$dir/files/direct-file"
ln -s "$tool" "$dir/bin/tcpguard"
export PATH=$dir/bin:$PATH
mapfile -t lines <lines
fish_lines() {
	local line

	for line in "${lines[@]}"; do
		echo "$line"
		HOME=$dir fish --no-config -c "source $scripts/tcpguard.fish; complete -C \$argv[1]" -- "$line" </dev/null |
			sed 's/\t.*//; s/^/  /'
	done
}
for shell in bash zsh fish; do
	if ! command -v "$shell" >/dev/null; then
		number=$((number + 1))
		echo "ok $number - $shell # SKIP there is no $shell"
		continue
	fi
	cd "$dir/files" || exit 2
	if [[ $shell == fish ]]; then
		fish_lines >"$dir/out" 2>&1
	else
		{ "$here/press.py" "$shell" "$scripts" all "${lines[@]}" && echo &&
			"$here/press.py" "$shell" "$scripts" one "${lines[@]}"; } >"$dir/out" 2>&1
	fi
	cd "$here" || exit 2
	[[ $write == --write ]] && cp "$dir/out" "$shell.out"
	diff "$shell.out" "$dir/out" | sed 's/^/# /'
	verdict "$shell"
done
echo "1..$number"
exit "$failed"
