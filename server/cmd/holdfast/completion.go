package main

import (
	"embed"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand is "completion": it prints a script for the shell to load. The
// script calls the program's hidden command "complete" for every completion.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: ${enum}."`
}

//go:embed completion
var completionScripts embed.FS

// Run implements the command.
func (c *completionCommand) Run(o *output) error {
	name := map[string]string{"bash": "bash.sh", "zsh": "zsh.sh", "fish": "fish.fish"}[c.Shell]
	script, err := completionScripts.ReadFile("completion/" + name)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	_, err = o.out.Write(script)
	return err
}

// completeCommand is "complete": it prints the completions of the last word, one per
// line, each followed by a tab and an explanation if there is one. If it prints none,
// the shell completes file names, or the value is free text.
type completeCommand struct {
	Shell string   `arg:"" enum:"bash,zsh,fish"`
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run implements the command.
func (c *completeCommand) Run(ctx *kong.Context, o *output) error {
	words, split := joinFlags(c.Words)
	if len(words) == 0 {
		words = []string{""}
	}
	before, word := words[:len(words)-1], words[len(words)-1]
	at := position{node: ctx.Model.Node}
	for _, word := range before {
		at.advance(word)
	}
	for _, candidate := range at.candidates(word) {
		if !strings.HasPrefix(candidate.value, word) {
			continue
		}
		value := candidate.value
		if split { // bash completes only the part after the =
			_, value, _ = strings.Cut(value, "=")
		}
		if candidate.help != "" {
			value += "\t" + candidate.help
		}
		o.printf("%s\n", value)
	}
	return nil
}

// joinFlags joins --flag=value, which bash splits into three words. split reports
// whether the last word was split. It drops the -- before the words.
func joinFlags(words []string) (joined []string, split bool) {
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, word := range words {
		n := len(joined)
		switch {
		case n > 0 && word == "=" && strings.HasPrefix(joined[n-1], "--"):
			joined[n-1] += "="
			split = true
		case n > 0 && split && strings.HasSuffix(joined[n-1], "="):
			joined[n-1] += word
		default:
			joined = append(joined, word)
			split = false
		}
	}
	return joined, split
}

// A candidate is a possible completion of a word.
type candidate struct{ value, help string }

// A position is the position of a word in the command line.
type position struct {
	node        *kong.Node
	pendingFlag *kong.Flag // flag whose value is the next word; nil: none
	used        []string   // flags before this position
	positionals int        // number of positional arguments before this position
	noFlags     bool       // after --
}

// advance moves the position past a word.
func (p *position) advance(word string) {
	switch {
	case p.pendingFlag != nil:
		p.pendingFlag = nil
	case word == "--":
		p.noFlags = true
	case strings.HasPrefix(word, "-") && !p.noFlags:
		p.advanceFlag(word)
	default:
		for _, child := range p.node.Children {
			if child.Name == word || slices.Contains(child.Aliases, word) {
				p.node = child
				return
			}
		}
		p.positionals++
	}
}

func (p *position) advanceFlag(word string) {
	name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	flag := p.flag(name)
	if flag == nil {
		return
	}
	p.used = append(p.used, flag.Name)
	if !hasValue && !flag.IsBool() {
		p.pendingFlag = flag
	}
}

// flags returns the flags that the command accepts.
func (p *position) flags() []*kong.Flag { return slices.Concat(p.node.AllFlags(true)...) }

// flag returns the flag with a short or long name, nil if there is none.
func (p *position) flag(name string) *kong.Flag {
	for _, f := range p.flags() {
		if f.Name == name || f.Short != 0 && string(f.Short) == name {
			return f
		}
	}
	return nil
}

// candidates returns the candidates for a word at this position, given its beginning.
// Some of them may not match that beginning.
func (p *position) candidates(begin string) []candidate {
	name, _, hasValue := strings.Cut(begin, "=")
	switch {
	case p.pendingFlag != nil:
		return enumValues("", p.pendingFlag.Value)
	case strings.HasPrefix(begin, "-") && hasValue && !p.noFlags:
		if f := p.flag(strings.TrimLeft(name, "-")); f != nil {
			return enumValues(name+"=", f.Value)
		}
		return nil
	case strings.HasPrefix(begin, "-") && !p.noFlags:
		return p.unusedFlags()
	case len(p.node.Children) > 0:
		return subcommands(p.node)
	case p.positionals < len(p.node.Positional):
		return enumValues("", p.node.Positional[p.positionals])
	}
	return nil
}

// unusedFlags returns the flags that were not used yet, or that may be repeated.
func (p *position) unusedFlags() (all []candidate) {
	for _, f := range p.flags() {
		if !slices.Contains(p.used, f.Name) || f.IsCumulative() {
			all = append(all, candidate{"--" + f.Name, firstSentence(f.Help)})
		}
	}
	return all
}

// enumValues returns the values that a flag or argument may have, if it is an enum.
func enumValues(before string, v *kong.Value) (all []candidate) {
	for _, word := range v.EnumSlice() {
		if word != "" {
			all = append(all, candidate{value: before + word})
		}
	}
	return all
}

// subcommands returns the subcommands of a node that are not hidden.
func subcommands(node *kong.Node) (all []candidate) {
	for _, child := range node.Children {
		if !child.Hidden {
			all = append(all, candidate{child.Name, firstSentence(child.Help)})
		}
	}
	return all
}

// firstSentence returns the first sentence of a help text, as a short explanation.
func firstSentence(help string) string {
	sentence, _, _ := strings.Cut(help, ". ")
	sentence, _, _ = strings.Cut(sentence, "\n")
	return strings.TrimSuffix(sentence, ".")
}
