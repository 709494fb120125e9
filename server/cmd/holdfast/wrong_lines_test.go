package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
)

// portMask matches the addresses and names that differ from run to run.
var portMask = regexp.MustCompile(`127\.0\.0\.1:[0-9]{4,5}\b|holdfast-[0-9A-Za-z]{22}`)

// runMasked runs a command and returns its line, its output and its exit code. In the
// command, S stands for the --server flag, and file names are in the directory.
func (s *shell) runMasked(command string) string {
	s.t.Helper()
	args := strings.Fields(command)
	for i, a := range args {
		switch {
		case a == "S":
			args[i] = "--server=" + s.servers[1]
		case a == "URI":
			args[i] = s.servers[1]
		case i > 0 && slices.Contains([]string{"--store", "--file", "--out", "--password-file", "--tls-ca", "--tls-cert", "--tls-key"}, args[i-1]):
			args[i] = s.path(a)
		}
	}
	var out bytes.Buffer
	code := run(args, &out, &out)
	text := strings.ReplaceAll(out.String(), s.dir+string(filepath.Separator), "")
	text = regexp.MustCompile(`(is damaged:) .*;`).ReplaceAllString(text, "$1 …;")
	text = strings.ReplaceAll(filepath.ToSlash(text), s.dir, ".")
	text = portMask.ReplaceAllStringFunc(text, func(m string) string {
		switch {
		case "tcp://"+m+"/amps/json" == s.servers[1]:
			return "SERVER"
		case strings.HasPrefix(m, "127"):
			return m
		}
		return "NAME"
	})
	return fmt.Sprintf("$ holdfast %s\n%s[exit %d]\n\n", command, text, code)
}

// makeFiles fills the directory with files for wrong commands. release closes them.
func (s *shell) makeFiles() (release func()) {
	s.t.Helper()
	s.write("in", "1\n2\n3\n")
	s.write("text", strings.Repeat("no database\n", 1000))
	s.write("full", "x\n")
	s.write("empty", "\n")
	s.write("word", "pencil\n")
	s.write("long", "1\n"+strings.Repeat("x", 5000))
	s.publishAndInterrupt(s.path("open.db"), "t", "1\n2\n")
	s.do("publish", "--topic", "t", "--name", "me", "--store", s.path("out.db"), "--file", s.path("in"))
	s.do("subscribe", "--topic", "t", "--id", "mine", "--store", s.path("in.db"), "--count", "1")
	if err := os.Mkdir(s.path("directory"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	damaged, err := os.ReadFile(s.path("out.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	copy(damaged[2*os.Getpagesize():], bytes.Repeat([]byte{0xee}, len(damaged)-2*os.Getpagesize()))
	s.write("damaged.db", string(damaged))
	used, err := pubstore.OpenBolt(s.path("used.db"), pubstore.BoltOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return func() { used.Close() }
}

// Every error that a user can cause names its reason and gives advice.
func TestWrongLines(t *testing.T) {
	s := newShell(t, startLone(t, func(c *server.Config) { c.MaxMessage, c.Log.Topics = 4096, []string{"^t$"} }).Addr())
	defer s.makeFiles()()
	var got strings.Builder
	for _, command := range []string{
		"publish --topic t",
		"publish S",
		"publish S --topic= --file in",
		"publish --server localhost:9007 --topic t --file in",
		"publish --server tcp://localhost/amps/json --topic t --file in",
		"publish --server tcp://me:secret@host:port --topic t --file in",
		"publish --server http://localhost:9007 --topic t --file in",
		"publish --server tcp://127.0.0.1:1/amps/json --topic t --file in --timeout 500ms --quiet",
		"publish S --topic t --file nowhere",
		"publish S --topic t --file directory",
		"publish S --topic t --file in --rate=-1",
		"publish S --topic t --file in --rate many",
		"publish S --topic t --file in --timeout=-1s",
		"publish S --topic t --file in --name [me]",
		"publish S --topic t --file in --restart",
		"publish S --topic t --file in --store used.db",
		"publish S --topic t --file in --store in.db",
		"publish S --topic t --file in --store text",
		"publish S --topic t --file in --store directory",
		"publish S --topic t --file in --store nowhere/out.db",
		"publish S --topic t --file in --store damaged.db",
		"publish S --topic t --file in --store out.db --name you",
		"publish S --topic t --file full --store open.db",
		"publish S --topic u --file in --store open.db",
		"publish S --topic t --file in --store open.db --whole",
		"publish S --topic t --file long --store long.db",
		"publish S --topic t --file long --whole",
		"publish S --topic unlogged --file full",
		"subscribe S",
		"subscribe S --topic t --from yesterday",
		"subscribe S --topic t --from 12|x|",
		"subscribe S --topic t --from 12|0|",
		"subscribe S --topic t --from most-recent",
		"subscribe S --topic t --id mine",
		"subscribe S --topic t --out lines",
		"subscribe S --topic t --store marks.db --out full",
		"subscribe S --topic t --store marks.db --out nowhere/lines",
		"subscribe S --topic t --count=-1",
		"subscribe S --topic t --until-idle=-1s",
		"subscribe S --topic t --batch 0",
		"subscribe S --topic t( --from epoch",
		"subscribe S --topic t --from epoch --filter /n>3",
		"subscribe S --topic t --store out.db",
		"subscribe S --topic t --store used.db",
		"subscribe S --topic t --store text",
		"subscribe S --topic u --store in.db --id mine",
		"subscribe S --topic t --count 9 --from epoch --until-idle 50ms",
		"subscribe --server tcp://127.0.0.1:1/amps/json --topic t --timeout 500ms --quiet",
		"ping",
		"ping localhost",
		"ping URI --count=-1",
		"ping URI --interval -1s",
		"ping URI --timeout 0s",
		"ping tcp://me:secret@127.0.0.1:1/amps/json",
		"ping URI --password-file in",
		"ping URI --user joe --password-file nowhere",
		"ping URI --user joe --password-file text",
		"ping URI --user joe --auth certificate",
		"ping URI --tls-cert in",
		"ping URI --tls-cert in --tls-key in",
		"ping URI --tls-ca in",
		"ping URI --tls-ca nowhere",
		"subscribe S --topic t --user joe --password-file empty",
		"subscribe S --topic t --user joe --password-file word --timeout 5s --quiet",
		"publish S --topic t --file in --user joe --password-file word --timeout 5s --quiet",
		"ping URI --user joe --password-file word",
	} {
		got.WriteString(s.runMasked(command))
	}
	golden(t, "wrong_lines", got.String())
}

// The error of a client is turned into an error in terms of the command.
func TestConnectionErrors(t *testing.T) {
	for _, tt := range []struct {
		err   error
		code  int
		words string
	}{
		{client.ErrNameInUse, exitInUse, `client name "me" is in use by another process: stop that process, or choose another --name`},
		{&pubstore.FailedError{Path: "out.db", Err: syscall.ENOSPC}, exitFailed, "no space left"},
	} {
		ctx, end := context.WithCancelCause(t.Context())
		end(tt.err)
		var wrong bytes.Buffer
		if code := exitCode(identity{name: "me"}.connectionError(ctx, errInterrupted), &wrong); code != tt.code || !strings.Contains(wrong.String(), tt.words) {
			t.Errorf("%v: exit code %d, %q", tt.err, code, wrong.String())
		}
	}
}
