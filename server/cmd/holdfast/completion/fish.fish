# fish completion for holdfast. For this shell: holdfast completion fish | source
# For every one: holdfast completion fish >~/.config/fish/completions/holdfast.fish
function __holdfast_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] complete fish -- $words[2..-1] 2>/dev/null
end
complete -c holdfast -n 'test (count (__holdfast_complete)) -gt 0' -f -a '(__holdfast_complete)'
