
# Plugins and their words, of the daemon that runs. "plugin" asks no verb, whatever was typed. Options before the verb
# that name another daemon are passed on.
function __sparectl_typed
    # prints the words from the verb on, or with "around" the options that are passed on
    set -l words (commandline -opc)
    set -e words[1]
    set -l around
    while set -q words[1]
        switch $words[1]
            case --runtime-dir --node
                set -a around $words[1..2]
                set -e words[1]
            case '--runtime-dir=*' '--node=*'
                set -a around $words[1]
            case '-*'
            case '*'
                break
        end
        set -e words[1]
    end
    if test "$argv[1]" = around
        string join -- \n $around
    else
        string join -- \n $words
    end
end
complete -c sparectl -n 'test (count (__sparectl_typed)) -eq 0' -f \
    -a "(sparectl (__sparectl_typed around) plugins 2>/dev/null | string match -r '^[a-z][a-z0-9-]*(?= )')"
complete -c sparectl -n 'test (count (__sparectl_typed)) -eq 1' -f \
    -a "(sparectl (__sparectl_typed around) plugin (__sparectl_typed) help 2>/dev/null | string replace -rf '^sparectl \S+ ([a-z][a-z0-9-]*).*' '\$1')"
