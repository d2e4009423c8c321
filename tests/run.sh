#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Builds tcpguard and runs its tests. Ends with the line "N passed, N failed, N skipped".
set -uo pipefail

usage='usage: run.sh [-v] [SUITE…]
Installs what is missing (Debian packages), builds with gcc, clang and sanitizers,
and runs the suites: unit codec golden lint fuzz netns (all of them when none is named).
  -v  show every case, not only what failed
FUZZ_SECONDS: how long each fuzzer runs (60; 0: only through its corpus).
Exit status: 0 all passed, 1 something failed (or, with CI=true, was skipped),
2 it could not begin.'

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 2
top=$(dirname "$here")
verbose=()
suites=()
for word; do
	case $word in
	-v) verbose=(--verbose) ;;
	-h | --help)
		echo "$usage"
		exit 0
		;;
	unit | codec | golden | lint | fuzz | netns) suites+=("$word") ;;
	*)
		echo "$usage" >&2
		exit 2
		;;
	esac
done
((${#suites[@]})) || suites=(unit codec golden lint fuzz netns)

if ((EUID != 0)); then
	echo 'run.sh: needs root, to make network namespaces and to install packages: sudo ./tests/run.sh' >&2
	exit 2
fi

# shellcheck source-path=SCRIPTDIR source=packages.sh
source "$here/packages.sh"
log=$top/build-log
mkdir -p "$log" || exit 2

# step NAME COMMAND…: quiet, but for its name and how long it took; its output when it fails.
step() {
	local name=$1 start=$SECONDS

	shift
	if "$@" >"$log/$name.log" 2>&1 </dev/null; then
		printf '%-28s %3d s\n' "$name" $((SECONDS - start))
	else
		printf '%-28s failed\n' "$name"
		tail -n 60 "$log/$name.log"
		return 1
	fi
}

# build DIRECTORY COMPILER OPTION…
build() {
	local dir=$top/$1 compiler=$2

	shift 2
	if [[ ! -f $dir/build.ninja ]]; then
		rm -rf "$dir"
		CC=$compiler meson setup "$dir" "$top" -Dwerror=true "$@" || return 1
	fi
	ninja -k 0 -C "$dir"
}

build_fuzzers() {
	local dir=$top/build-fuzz

	if [[ ! -f $dir/build.ninja ]]; then
		rm -rf "$dir"
		CC=clang meson setup "$dir" "$top" -Dwerror=true -Db_sanitize=address,undefined \
			-Db_lundef=false || return 1
	fi
	ninja -C "$dir" fuzzers
}

step packages packages_install "${packages_build[@]}" "${packages_lab[@]}" "${packages_tests[@]}" || exit 2
step unpacked packages_unpack "$top/build-packages" "${packages_unpacked[@]}" || exit 2

# A build that fails is a failed case, and does not keep the others from running.
builds_passed=0
builds_failed=0
try_build() {
	if step "$@"; then
		builds_passed=$((builds_passed + 1))
	else
		builds_failed=$((builds_failed + 1))
	fi
}
try_build build-gcc build build-gcc gcc
try_build build-clang build build-clang clang -Dauto_features=disabled
try_build build-release build build-release gcc --buildtype=release
try_build build-asan build build-asan gcc -Db_sanitize=address,undefined -Db_lundef=false
if [[ " ${suites[*]} " == *" fuzz "* ]]; then
	try_build build-fuzz build_fuzzers
fi

exec python3 "$here/run_cases.py" "${verbose[@]}" --builds "$builds_passed" "$builds_failed" \
	--top "$top" "${suites[@]}"
