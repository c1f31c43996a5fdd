
# Plugins and their words, of the daemon that runs. "plugin" asks no verb, whatever was typed. Options before the verb
# that name another daemon are passed on.
_sparectl_words() {
    _sparectl "$@"
    local at=1 around=() words=
    while ((at < COMP_CWORD)); do
        case ${COMP_WORDS[at]} in
        --runtime-dir | --node)
            local value=$((at + 1))
            # bash takes the = of --node=NAME for a word
            [[ ${COMP_WORDS[value]} == = ]] && value=$((value + 1))
            around+=("${COMP_WORDS[at]}" "${COMP_WORDS[value]}")
            at=$((value + 1))
            ;;
        -*) at=$((at + 1)) ;;
        *) break ;;
        esac
    done
    case $((COMP_CWORD - at)) in
    0) words=$(sparectl "${around[@]}" plugins 2>/dev/null | sed -n '1!s/^\([a-z][a-z0-9-]*\) .*/\1/p') ;;
    1) words=$(sparectl "${around[@]}" plugin "${COMP_WORDS[at]}" help 2>/dev/null |
        sed -n 's/^sparectl [^ ]* \([a-z][a-z0-9-]*\).*/\1/p')
        # no verb follows a plugin
        [[ -n $words ]] && COMPREPLY=() ;;
    esac
    COMPREPLY+=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _sparectl_words -o bashdefault -o default sparectl
