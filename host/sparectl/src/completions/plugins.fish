
# Plugins and their words, of the daemon that runs. "plugin" asks no verb, whatever was typed.
complete -c sparectl -n 'test (count (commandline -opc)) -eq 1' -f \
    -a "(sparectl plugins 2>/dev/null | string match -r '^[a-z][a-z0-9-]*(?= )')"
complete -c sparectl -n 'test (count (commandline -opc)) -eq 2' -f \
    -a "(sparectl plugin (commandline -opc)[2] help 2>/dev/null | string replace -rf '^sparectl \S+ ([a-z][a-z0-9-]*).*' '\$1')"
