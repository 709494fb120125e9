//go:build unix

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A message counts as read once it is written. subscribe therefore refuses to start if
// standard output is closed.
func TestClosedStandardOutput(t *testing.T) {
	for redirection, want := range map[string]string{
		">&-":        "standard output is closed",
		">/dev/null": "no server could be used",
		"| cat":      "no server could be used",
	} {
		cmd := exec.Command("sh", "-c", `"$0" subscribe --server tcp://127.0.0.1:1/amps/json --topic t --timeout 1ms --quiet 2>&3 `+redirection, os.Args[0])
		told := new(strings.Builder)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.ExtraFiles = []*os.File{w}
		err = cmd.Start()
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		for n := 0; err == nil; n, err = r.Read(buf) {
			told.Write(buf[:n])
		}
		_ = cmd.Wait() // the exit code of the shell is cat's
		if !strings.Contains(told.String(), want) {
			t.Errorf("%s: %q, want %q", redirection, told, want)
		}
	}
}
