# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of tcpguard for fish. The program says what may follow.

function __tcpguard_complete
    set -l words (commandline -opc)
    # A quote that is still open is fish's own matter.
    set -l current (commandline -ct | string trim -l -c "'\"")
    set -l option (string match -r -- '^--[^=]*=' "$current")
    set -l value (string replace -r -- '^--[^=]*=' '' "$current")
    for line in (command tcpguard --complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case \tfiles
                string replace -r -- '^' "$option" (__fish_complete_path "$value")
            case \tdirectories
                string replace -r -- '^' "$option" (__fish_complete_directories "$value")
            case '*'
                printf '%s\n' $line
        end
    end
end

complete -c tcpguard -f -k -a '(__tcpguard_complete)'
