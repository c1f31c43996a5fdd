
# Plugins and their words, of the daemon that runs. "plugin" asks no verb, whatever was typed.
_sparectl_words() {
    _sparectl "$@"
    local words=
    case $COMP_CWORD in
    1) words=$(sparectl plugins 2>/dev/null | sed -n '1!s/^\([a-z][a-z0-9-]*\) .*/\1/p') ;;
    2) words=$(sparectl plugin "${COMP_WORDS[1]}" help 2>/dev/null |
        sed -n 's/^sparectl [^ ]* \([a-z][a-z0-9-]*\).*/\1/p') ;;
    esac
    COMPREPLY+=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _sparectl_words -o bashdefault -o default sparectl
