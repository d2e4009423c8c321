# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Completion of tcpguard for bash, which needs no other file. The program says what may follow.

# The line up to the cursor, in words as the program will see them: bash has cut them at = and : too.
_tcpguard_words() {
	local line=${COMP_LINE:0:COMP_POINT} rest word i

	words=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		rest=${line#"${line%%[![:blank:]]*}"}
		word=${COMP_WORDS[i]}
		((i < COMP_CWORD)) || word=$rest
		if ((i > 0)) && [[ $rest == "$line" ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
		line=${rest#"$word"}
	done
}

_tcpguard() {
	local -a words
	local word about cut breaks=${COMP_WORDBREAKS//[!=:]/}

	COMPREPLY=()
	_tcpguard_words
	# What bash takes for words of their own, it must not be told again.
	cut=${words[-1]}
	[[ -n $breaks ]] && cut=${cut##*["$breaks"]}
	cut=${words[-1]%"$cut"}
	while IFS= read -r word; do
		about=${word#*$'\t'}
		word=${word%%$'\t'*}
		if [[ -n $word ]]; then
			COMPREPLY+=("${word#"$cut"}")
		elif [[ $about == files ]]; then
			compopt -o default
		elif [[ $about == directories ]]; then
			compopt -o dirnames
		fi
	done < <(command tcpguard --complete "${words[@]:1}" 2>/dev/null)
}

complete -F _tcpguard tcpguard
