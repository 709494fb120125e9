package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The documentation of the package names every field that a command prints as JSON.
func TestFieldsAreDocumented(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var code, doc strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") || file == "publish_store.go" { // its JSON is in the store only
			continue
		}
		comment, rest, _ := strings.Cut(string(text), "package main\n")
		doc.WriteString(comment)
		code.WriteString(rest)
	}
	fields := regexp.MustCompile(`json:"([a-z0-9_]+)`).FindAllStringSubmatch(code.String(), -1)
	if len(fields) < 80 {
		t.Fatalf("%d fields", len(fields))
	}
	for _, f := range fields {
		if !strings.Contains(doc.String(), `"`+f[1]+`"`) {
			t.Errorf("%s is not documented", f[1])
		}
	}
}
