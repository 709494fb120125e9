package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/holdfast-mq/holdfast/internal/exitcode"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/users"
	"github.com/holdfast-mq/holdfast/internal/visible"
)

const userUsage = `Usage: holdfastd user add -users FILE NAME [-password-file FILE] [-argon2] [-cert NAME]
                          [-client-name PATTERN]... [-publish PATTERN]... [-subscribe PATTERN]...
       holdfastd user permit -users FILE NAME [-client-name PATTERN]...
                          [-publish PATTERN]... [-deny-publish PATTERN]...
                          [-subscribe PATTERN]... [-deny-subscribe PATTERN]...
       holdfastd user password -users FILE NAME [-password-file FILE] [-argon2]
       holdfastd user remove -users FILE NAME
       holdfastd user list -users FILE
       holdfastd user check -users FILE NAME [-password-file FILE]
                          [-client-name NAME]... [-publish TOPIC]... [-subscribe TOPIC]...

The first user makes the file. Run the command as the user that runs holdfastd, since only the owner may read
the file, or as root: then give a new file to that user (chown). Each change keeps owner and mode, comments and
order, and raises the version. All instances of a group need the same
users: copy the file to the others.

A password is asked for on a terminal, or is the first line of standard input, or the only line of the password
file; - is standard input. With -cert the user has no password unless there is a password file.

permit replaces the patterns of each flag that is given, and keeps the others. An empty pattern, '', removes
those of its flag: -publish '' allows no topic, -deny-publish '' denies none, -client-name '' allows any name.

A topic without any of ^$.*+?()[]{}|\ is that topic alone; any other is a regular expression that matches
anywhere in a topic. A user may publish and subscribe to nothing that is not allowed: '.*' allows all.

Exit codes: 0 done, or all that was checked is allowed; 1 not done, or something is denied; 78 usage, or a file
that cannot be used.`

// A userCommand is one call of holdfastd user.
type userCommand struct {
	file, name     string
	passwordFile   string
	argon2         bool
	cert           string
	clientNames    texts
	publish        texts
	subscribe      texts
	denyPublish    texts
	denySubscribe  texts
	in             *os.File
	stdout, stderr io.Writer
}

// texts are the values of a flag that may be repeated.
type texts []string

func (t *texts) String() string { return strings.Join(*t, " ") }

func (t *texts) Set(text string) error {
	*t = append(*t, text)
	return nil
}

// A userAction is a subcommand: its flags besides -users, and its effect.
type userAction struct {
	flags   string // the names, separated by spaces
	nameOne bool   // takes the name of a user
	do      func(*userCommand) int
}

// userActionOf returns a subcommand.
func userActionOf(name string) (userAction, bool) {
	action, found := map[string]userAction{
		"add":      {"password-file argon2 cert client-name publish subscribe", true, (*userCommand).add},
		"permit":   {"client-name publish subscribe deny-publish deny-subscribe", true, (*userCommand).permit},
		"password": {"password-file argon2", true, (*userCommand).password},
		"remove":   {"", true, (*userCommand).remove},
		"list":     {"", false, (*userCommand).list},
		"check":    {"password-file client-name publish subscribe", true, (*userCommand).check},
	}[name]
	return action, found
}

// runUser executes holdfastd user and returns the exit code.
func runUser(args []string, in *os.File, stdout, stderr io.Writer) int {
	c := &userCommand{in: in, stdout: stdout, stderr: stderr}
	if len(args) == 0 {
		return c.misused("a command is missing: add, permit, password, remove, list or check")
	}
	if args[0] == "help" {
		args[0] = "-help"
	}
	action, found := userActionOf(args[0])
	if !found && !strings.HasPrefix(args[0], "-") {
		return c.misused("there is no command %q: use add, permit, password, remove, list or check", args[0])
	}
	flags := c.flags(action.flags)
	if !found { // only -help
		args = append([]string{""}, args...)
	}
	names, err := parseMixed(flags, args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		return exitcode.Config
	case !found:
		return c.misused("a command is missing: add, permit, password, remove, list or check")
	case c.file == "":
		return c.misused("-users is missing: name the file of the users")
	case strings.HasPrefix(c.file, "-"):
		return c.misused("-users is followed by the flag %q: name the file of the users (./%s is a file)", c.file, c.file)
	case action.nameOne && len(names) != 1:
		return c.misused("user %s takes the name of one user", args[0])
	case !action.nameOne && len(names) > 0:
		return c.misused("unexpected argument %q", names[0])
	}
	c.name = strings.Join(names, "")
	return action.do(c)
}

// flags returns the flags of a subcommand.
func (c *userCommand) flags(names string) *flag.FlagSet {
	flags := newFlags("holdfastd user", c.stderr)
	flags.Usage = func() { fmt.Fprintln(c.stderr, userUsage) }
	flags.StringVar(&c.file, "users", "", "")
	for name := range strings.FieldsSeq(names) {
		switch name {
		case "password-file":
			flags.StringVar(&c.passwordFile, name, "", "")
		case "argon2":
			flags.BoolVar(&c.argon2, name, false, "")
		case "cert":
			flags.StringVar(&c.cert, name, "", "")
		case "client-name":
			flags.Var(&c.clientNames, name, "")
		case "publish":
			flags.Var(&c.publish, name, "")
		case "subscribe":
			flags.Var(&c.subscribe, name, "")
		case "deny-publish":
			flags.Var(&c.denyPublish, name, "")
		case "deny-subscribe":
			flags.Var(&c.denySubscribe, name, "")
		}
	}
	return flags
}

// parseMixed parses flags that may stand before and after arguments, and returns the arguments.
func parseMixed(flags *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
}

// misused reports a command line that cannot be used.
func (c *userCommand) misused(format string, args ...any) int {
	fmt.Fprintf(c.stderr, "holdfastd: "+format+" (holdfastd user -help)\n", args...)
	return exitcode.Config
}

// result reports an error, and returns the exit code.
func (c *userCommand) result(err error) int {
	var file *users.FileError
	switch {
	case err == nil:
		return exitcode.OK
	case errors.As(err, &file):
		fmt.Fprintln(c.stderr, "holdfastd:", err)
		return exitcode.Config
	}
	fmt.Fprintln(c.stderr, "holdfastd:", err)
	return exitcode.Failed
}

func (c *userCommand) add() int {
	n := users.NewUser{Name: c.name, Cert: c.cert, ClientNames: c.clientNames, Publish: c.publish, Subscribe: c.subscribe}
	if c.cert == "" || c.passwordFile != "" {
		text, err := c.readPassword(true)
		if err != nil {
			return c.result(err)
		}
		n.Password = users.Password{Text: text, Argon2id: c.argon2}
	} else if c.argon2 {
		return c.misused("-argon2 with -cert needs -password-file")
	}
	if err := users.Add(c.file, n); err != nil {
		return c.result(err)
	}
	c.warnPatterns("publish", c.publish)
	c.warnPatterns("subscribe", c.subscribe)
	return exitcode.OK
}

// warnPatterns reports patterns that may match more than their author thinks.
func (c *userCommand) warnPatterns(field string, patterns []string) {
	for _, text := range patterns {
		p, err := topic.Parse(text)
		if instead, foreign := topic.Wildcard(text); foreign {
			fmt.Fprintf(c.stderr, "holdfastd: warning: %s %q looks like another system's wildcard: here it means something else; did you mean %q?\n", field, text, instead)
		} else if err == nil && !p.IsLiteral() && !strings.HasPrefix(text, "^") && !strings.HasPrefix(text, ".*") {
			fmt.Fprintf(c.stderr, "holdfastd: warning: %s %q is a regular expression that matches anywhere in a topic: begin it with ^ if it is the start of the topics\n", field, text)
		}
	}
}

// permit changes what a user may do.
func (c *userCommand) permit() int {
	p := users.NewRules{ClientNames: c.clientNames, Publish: c.publish, Subscribe: c.subscribe, DenyPublish: c.denyPublish, DenySubscribe: c.denySubscribe}
	if p.IsZero() {
		return c.misused("there is nothing to change: give -client-name, -publish, -subscribe, -deny-publish or -deny-subscribe")
	}
	if err := users.SetRules(c.file, c.name, p); err != nil {
		return c.result(err)
	}
	c.warnPatterns("publish", c.publish)
	c.warnPatterns("subscribe", c.subscribe)
	return exitcode.OK
}

func (c *userCommand) password() int {
	text, err := c.readPassword(true)
	if err != nil {
		return c.result(err)
	}
	return c.result(users.SetPassword(c.file, c.name, users.Password{Text: text, Argon2id: c.argon2}))
}

func (c *userCommand) remove() int { return c.result(users.Remove(c.file, c.name)) }

func (c *userCommand) list() int {
	s, err := users.Load(c.file)
	if err != nil {
		return c.result(err)
	}
	hash := s.Hash()
	fmt.Fprintf(c.stdout, "version %d, permissions %x, %d users\n", s.Version(), hash[:8], len(s.All()))
	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tLOGON\tCLIENT NAMES\tPUBLISH\tSUBSCRIBE")
	for _, u := range s.All() {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", visible.Line(u.Name), visible.Line(logonText(u)),
			rulesText(u.ClientNames), rulesText(u.Publish), rulesText(u.Subscribe))
	}
	return c.result(table.Flush())
}

// logonText says by which credentials a user logs on.
func logonText(u *users.User) string {
	var ways []string
	scram, argon2id := u.HasPassword()
	if scram {
		ways = append(ways, "scram")
	}
	if argon2id {
		ways = append(ways, "argon2id")
	}
	if u.Cert() != "" {
		ways = append(ways, "cert="+u.Cert())
	}
	return strings.Join(ways, ",")
}

// rulesText writes rules on one line.
func rulesText(r users.Rules) string {
	text := strings.Join(r.AllowList(), " ")
	if text == "" {
		text = "-"
	}
	if deny := r.DenyList(); len(deny) > 0 {
		text += " except " + strings.Join(deny, " ")
	}
	return visible.Line(text)
}
