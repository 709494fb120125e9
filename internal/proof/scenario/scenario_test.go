package scenario_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/datadriven"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScenarios runs the documents in testdata. With -rewrite it writes the printed text
// into them instead.
func TestScenarios(t *testing.T) {
	for _, path := range documents(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) { run(t, path) })
	}
}

// run plays a document. It is read outside of the bubble that it is played in,
// where time stands still meanwhile.
func run(t *testing.T, path string) {
	blocks, printed := make(chan *datadriven.TestData), make(chan string)
	var bubble sync.WaitGroup
	bubble.Go(func() {
		defer close(printed)
		synctest.Test(t, func(t *testing.T) { runBlocks(t, blocks, printed) })
	})
	defer bubble.Wait()
	defer close(blocks)
	datadriven.RunTest(t, path, func(t *testing.T, block *datadriven.TestData) string {
		blocks <- block
		text, ok := <-printed
		if !ok {
			t.FailNow() // the bubble has ended, and said why
		}
		return text
	})
}

// play carries out blocks until there are no more.
func runBlocks(t *testing.T, blocks <-chan *datadriven.TestData, printed chan<- string) {
	w := newWorld(t)
	for block := range blocks {
		printed <- w.block(block)
	}
	w.finish()
}

func documents(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	return paths
}

// Every hard case of the guarantees is told by a document that is named after its number
// and begins with a description.
func TestEveryCaseHasADocument(t *testing.T) {
	calls := make(map[string]bool)
	name := regexp.MustCompile(`^case(\d\d)_[a-z0-9_]+\.txt$`)
	for _, path := range documents(t) {
		m := name.FindStringSubmatch(filepath.Base(path))
		if m == nil {
			t.Errorf("%s is not named after a case", path)
			continue
		}
		calls[m[1]] = true
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# ") {
			t.Errorf("%s does not begin with a comment that says what happens", path)
		}
	}
	cases := hardCases(t)
	if len(cases) < 31 {
		t.Errorf("the guarantees list %d hard cases, want at least 31", len(cases))
	}
	for _, number := range cases {
		if !calls[fmt.Sprintf("%02s", number)] {
			t.Errorf("no document for case %s", number)
		}
	}
	if len(calls) > len(cases) {
		t.Errorf("there are documents for %d cases but the guarantees list %d", len(calls), len(cases))
	}
}

// hardCases returns the numbers of the list in the guarantees.
func hardCases(t *testing.T) (numbers []string) {
	t.Helper()
	text, err := os.ReadFile("../../../client/GUARANTEES.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(text), "\n## Hard cases")
	if !found {
		t.Fatal("the guarantees have no list of hard cases")
	}
	if i := strings.Index(list, "\n## "); i >= 0 {
		list = list[:i]
	}
	for _, m := range regexp.MustCompile(`(?m)^(\d+)\. `).FindAllStringSubmatch(list, -1) {
		numbers = append(numbers, m[1])
	}
	return numbers
}
