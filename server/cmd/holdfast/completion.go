package main

import (
	"embed"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand is "completion": the script that a shell loads. All it does
// is to ask the program itself, by its hidden command "complete".
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

// completeCommand is "complete": it prints what the last of some words could
// become, each on a line, with a tab and an explanation if there is one. Nothing: a file, or
// whatever the person thinks of.
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
		at.pass(word)
	}
	for _, candidate := range at.all(word) {
		if !strings.HasPrefix(candidate.value, word) {
			continue
		}
		value := candidate.value
		if split { // bash completes only what stands behind the =
			_, value, _ = strings.Cut(value, "=")
		}
		if candidate.help != "" {
			value += "\t" + candidate.help
		}
		o.printf("%s\n", value)
	}
	return nil
}

// joinFlags undoes that bash takes --flag=value for three words; split says
// that the last one was. It drops the -- before the words.
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

// A candidate is what a word could become.
type candidate struct{ value, help string }

// A position is where in the command line a word stands.
type position struct {
	node        *kong.Node
	value       *kong.Flag // whose value comes next; nil: none
	used        []string   // flags that stood there
	positionals int        // that stood there
	noFlags     bool       // behind --
}

// pass goes on behind a word.
func (p *position) pass(word string) {
	switch {
	case p.value != nil:
		p.value = nil
	case word == "--":
		p.noFlags = true
	case strings.HasPrefix(word, "-") && !p.noFlags:
		p.passFlag(word)
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

func (p *position) passFlag(word string) {
	name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	flag := p.flag(name)
	if flag == nil {
		return
	}
	p.used = append(p.used, flag.Name)
	if !hasValue && !flag.IsBool() {
		p.value = flag
	}
}

// flags returns those that may stand here.
func (p *position) flags() []*kong.Flag { return slices.Concat(p.node.AllFlags(true)...) }

// flag returns the flag with a name, of one letter or long, nil if there is none.
func (p *position) flag(name string) *kong.Flag {
	for _, f := range p.flags() {
		if f.Name == name || f.Short != 0 && string(f.Short) == name {
			return f
		}
	}
	return nil
}

// all returns all that may stand here, given how it begins.
func (p *position) all(begin string) []candidate {
	name, _, hasValue := strings.Cut(begin, "=")
	switch {
	case p.value != nil:
		return values("", p.value.Value)
	case strings.HasPrefix(begin, "-") && hasValue && !p.noFlags:
		if f := p.flag(strings.TrimLeft(name, "-")); f != nil {
			return values(name+"=", f.Value)
		}
		return nil
	case strings.HasPrefix(begin, "-") && !p.noFlags:
		return p.unused()
	case len(p.node.Children) > 0:
		return commandsOf(p.node)
	case p.positionals < len(p.node.Positional):
		return values("", p.node.Positional[p.positionals])
	}
	return nil
}

// unused returns the flags that do not stand there yet, or may again.
func (p *position) unused() (all []candidate) {
	for _, f := range p.flags() {
		if !slices.Contains(p.used, f.Name) || f.IsCumulative() {
			all = append(all, candidate{"--" + f.Name, firstSentence(f.Help)})
		}
	}
	return all
}

// values returns what a flag or argument may be, if that is a few words.
func values(before string, v *kong.Value) (all []candidate) {
	for _, word := range v.EnumSlice() {
		if word != "" {
			all = append(all, candidate{value: before + word})
		}
	}
	return all
}

// commandsOf returns the commands below a node that are shown.
func commandsOf(node *kong.Node) (all []candidate) {
	for _, child := range node.Children {
		if !child.Hidden {
			all = append(all, candidate{child.Name, firstSentence(child.Help)})
		}
	}
	return all
}

// firstSentence returns what fits beside a candidate.
func firstSentence(help string) string {
	sentence, _, _ := strings.Cut(help, ". ")
	sentence, _, _ = strings.Cut(sentence, "\n")
	return strings.TrimSuffix(sentence, ".")
}
