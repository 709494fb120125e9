#compdef holdfast
# zsh completion for holdfast. For this shell: source <(holdfast completion zsh)
# For every one: holdfast completion zsh >"${fpath[1]}/_holdfast"
_holdfast() {
    local line
    local -a candidates
    while IFS= read -r line; do
        line=${line//:/\\:}
        candidates+=("${line/$'\t'/:}")
    done < <("${words[1]/#\~/$HOME}" complete zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( ${#candidates} )); then
        _describe holdfast candidates
    else
        _files
    fi
}
if [[ ${funcstack[1]} == _holdfast ]]; then
    _holdfast "$@"
else
    compdef _holdfast holdfast
fi
