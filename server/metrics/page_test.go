package metrics

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var write = flag.Bool("write", false, "write the tables of server/METRICS.md")

const page = "../METRICS.md"

// sections are the sections of the page, with the metrics that each lists.
var sections = []struct {
	title    string
	families []family
}{
	{"The instance", instanceFamilies}, {"The journal", journalFamilies}, {"The disk", diskFamilies}, {"Links", linkFamilies},
	{"Publishers", publisherFamilies}, {"Sessions and subscriptions", sessionFamilies}, {"Failures", failureFamilies},
}

// row returns the line of a metric in its table.
func row(f *family) string {
	labels := ""
	for i, l := range f.labels {
		if i > 0 {
			labels += ", "
		}
		labels += "`" + l + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |", f.name, f.kind, labels, f.help)
}

// table returns the table of some metrics.
func table(list []family) string {
	lines := []string{"| metric | type | labels | meaning |", "| --- | --- | --- | --- |"}
	for i := range list {
		lines = append(lines, row(&list[i]))
	}
	return strings.Join(lines, "\n") + "\n"
}

// The page lists every metric, with its type, labels and help text, in the order of the code, and no
// other.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if *write {
		writePage(t, string(text))
		return
	}
	var rows, want []string
	rows = regexp.MustCompile("(?m)^\\| `.*$").FindAllString(string(text), -1)
	for i := range families {
		want = append(want, row(&families[i]))
	}
	for _, r := range want {
		if !slices.Contains(rows, r) {
			t.Errorf("the page lacks the row\n%s\ngo test ./server/metrics -run TestPage -write adds it", r)
		}
	}
	for _, r := range rows {
		if !slices.Contains(want, r) {
			t.Errorf("the page has a row that is not in the code:\n%s", r)
		}
	}
	if !t.Failed() && !slices.Equal(rows, want) {
		t.Error("the rows of the page are not in the order of the code")
	}
	for _, s := range sections {
		if !strings.Contains(string(text), "\n## "+s.title+"\n\n"+table(s.families)) {
			t.Errorf("the section %s does not have its table", s.title)
		}
	}
}

func writePage(t *testing.T, text string) {
	head, _, _ := strings.Cut(text, "\n## "+sections[0].title+"\n")
	for _, s := range sections {
		head += "\n## " + s.title + "\n\n" + table(s.families)
	}
	if err := os.WriteFile(page, []byte(head), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Names follow the conventions of Prometheus, and texts are sentences.
func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for i := range families {
		f := &families[i]
		if !regexp.MustCompile(`^holdfast(_[a-z]+)+$`).MatchString(f.name) || seen[f.name] {
			t.Errorf("%s is not a name, or is there twice", f.name)
		}
		seen[f.name] = true
		if total := strings.HasSuffix(f.name, "_total"); total != (f.kind == kindCounter) {
			t.Errorf("%s is a %s", f.name, f.kind)
		}
		if !strings.HasSuffix(f.help, ".") || strings.Contains(f.help, "|") {
			t.Errorf("the help text of %s is no sentence: %q", f.name, f.help)
		}
	}
}
