# bash completion for holdfast. For this shell: source <(holdfast completion bash)
# For every one: holdfast completion bash >~/.local/share/bash-completion/completions/holdfast
_holdfast() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\t'*}")
    done < <("${COMP_WORDS[0]/#\~/$HOME}" complete bash -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _holdfast holdfast
