package main

import (
	"os"
	"strings"
	"testing"
)

// The program of the test is also the application: the trial starts it as a process
// of its own, and kills it.
func TestMain(m *testing.M) {
	underTrial.RunChild(os.Args[1:])
	os.Exit(m.Run())
}

// The application is killed at every step. Before its restart no instance is killed,
// or either one, or both. With -short only a quarter of these cases run.
func TestEveryStep(t *testing.T) {
	var table strings.Builder
	passed, err := underTrial.EveryStep(t.Context(), t.TempDir(), testing.Short(), &table)
	if err != nil {
		t.Fatal(err)
	}
	if !passed {
		t.Error("not well")
	}
	t.Log(&table)
}
