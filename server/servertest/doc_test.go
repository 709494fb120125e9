package servertest_test

import (
	"go/format"
	"os"
	"strings"
	"testing"
)

// The documentation of the package shows the test in failover_test.go. The README shows
// the whole file.
func TestDocumentationMatchesTest(t *testing.T) {
	doc, test := read(t, "doc.go"), read(t, "failover_test.go")
	var shown strings.Builder
	for line := range strings.Lines(doc) {
		if code, is := strings.CutPrefix(line, "//\t"); is {
			shown.WriteString(code)
		} else if shown.Len() > 0 {
			break
		}
	}
	source, err := format.Source([]byte(shown.String()))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(test, "\n"+string(source)) {
		t.Errorf("the documentation shows another test:\n%s", source)
	}
	_, file, _ := strings.Cut(test, "\n")
	if !strings.Contains(read(t, "../../README.md"), "```go\npackage orders_test\n"+file+"```\n") {
		t.Error("the README does not show failover_test.go")
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
