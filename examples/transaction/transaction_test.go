package main

import (
	"os"
	"strings"
	"testing"
)

// The test's own program is also the application that dies.
func TestMain(m *testing.M) {
	underTrial.Child(os.Args[1:])
	os.Exit(m.Run())
}

// The application dies at every step, and before it lives again no instance
// dies, or one, or the other, or both. With -short a quarter of it.
func TestEveryStep(t *testing.T) {
	var table strings.Builder
	well, err := underTrial.EveryStep(t.Context(), t.TempDir(), testing.Short(), &table)
	if err != nil {
		t.Fatal(err)
	}
	if !well {
		t.Error("not well")
	}
	t.Log(&table)
}
