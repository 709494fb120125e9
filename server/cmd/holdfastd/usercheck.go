package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/holdfast-mq/holdfast/internal/exitcode"
	"github.com/holdfast-mq/holdfast/internal/prompt"
	"github.com/holdfast-mq/holdfast/internal/users"
)

// check says whether a user may do something, and by which rule.
func (c *userCommand) check() int {
	s, err := users.Load(c.file)
	if err != nil {
		return c.result(err)
	}
	u, found := s.User(c.name)
	if !found {
		return c.result(fmt.Errorf("%s: there is no user %q: holdfastd user list shows all", c.file, c.name))
	}
	code := exitcode.OK
	say := func(field, value string, allowed bool, reason string) {
		verdict := "allowed"
		if !allowed {
			verdict, code = "denied", exitcode.Failed
		}
		fmt.Fprintf(c.stdout, "%s%s: %s: %s\n", field, value, verdict, reason)
	}
	if c.passwordFile != "" {
		allowed, reason, err := c.tryPassword(s)
		if err != nil {
			return c.result(err)
		}
		say("password", "", allowed, reason)
	}
	for _, q := range []struct {
		field  string
		rules  users.Rules
		values []string
	}{{"client-name", u.ClientNames, c.clientNames}, {"publish", u.Publish, c.publish}, {"subscribe", u.Subscribe, c.subscribe}} {
		for _, value := range q.values {
			allowed, rule := q.rules.Explain([]byte(value))
			say(q.field, fmt.Sprintf(" %q", value), allowed, rule)
		}
	}
	return code
}

// tryPassword logs the user on with the password of the password file.
func (c *userCommand) tryPassword(s *users.Set) (allowed bool, reason string, err error) {
	text, err := c.readPassword(false)
	if err != nil {
		return false, "", err
	}
	_, err = s.Authenticate(context.Background(), users.Attempt{User: c.name, Password: text})
	var denied *users.DeniedError
	if errors.As(err, &denied) {
		return false, denied.Cause, nil
	}
	return true, "it is right", err
}

// maxPasswordBytes limits the bytes that are read for a password.
const maxPasswordBytes = 4096

// readPassword reads a password from the password file, from a terminal, or from the first line of
// standard input. On a terminal a new one has to be typed twice.
func (c *userCommand) readPassword(twice bool) (string, error) {
	if c.passwordFile != "" && c.passwordFile != "-" {
		f, err := os.Open(c.passwordFile)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		defer f.Close()
		return onlyLine(f)
	}
	if !term.IsTerminal(int(c.in.Fd())) {
		return firstLine(c.in)
	}
	text, err := c.ask("Password: ")
	if err != nil || !twice {
		return text, err
	}
	again, err := c.ask("The same again: ")
	if err == nil && again != text {
		err = errors.New("the two passwords differ")
	}
	return text, err
}

// ask asks for a password on the terminal.
func (c *userCommand) ask(question string) (string, error) {
	return prompt.Secret(c.in, c.stderr, question, exitcode.Failed)
}

// onlyLine reads a text of one line, as the client library does with its password file. The check of
// a password refuses further lines.
func onlyLine(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPasswordBytes+1))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return trimEnd(text)
}

// firstLine reads the first line of a text.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxPasswordBytes+1)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return trimEnd(line)
}

// trimEnd removes the end of a line.
func trimEnd(line []byte) (string, error) {
	if len(line) > maxPasswordBytes {
		return "", fmt.Errorf("the password is longer than %d bytes", maxPasswordBytes)
	}
	return string(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))), nil
}
