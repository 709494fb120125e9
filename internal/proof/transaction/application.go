package transaction

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/proof/child"
)

// An application is the application's process as its parent sees it.
type application struct {
	*child.Process
	database string
	servers  []string
	lives    int

	mu            sync.Mutex
	order         string            // guarded by mu; the order at hand
	done          bool              // guarded by mu; its transaction has committed
	handed        map[string]int    // guarded by mu; by order: how often it was handed over
	expectedAgain map[string][2]int // guarded by mu; by order: how often it must come again, and may besides
	deaths        [3]int            // guarded by mu; by the fate of the order at hand
	full          int               // guarded by mu; transactions that met a full publish store
	unexpected    []string          // guarded by mu
}

func newApplication(dir string) *application {
	a := &application{
		database: filepath.Join(dir, "application.db"),
		handed:   make(map[string]int), expectedAgain: make(map[string][2]int),
	}
	a.Process = child.New("the application", a.onLine)
	return a
}

// start starts the process, which dies at the step of d. Every second one prefers the
// other instance.
func (a *application) start(d death) error {
	a.mu.Lock()
	a.order, a.done = "", false
	a.mu.Unlock()
	args := []string{applicationArgument}
	if d.step != "" && d.step != outside {
		args = append(args, "-die", d.String())
	}
	servers := slices.Clone(a.servers)
	if a.lives++; a.lives%2 == 0 {
		slices.Reverse(servers)
	}
	return a.Start(append(append(args, a.database), servers...)...)
}

// onLine takes in a line of the process.
func (a *application) onLine(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "order":
		var o order
		if err := json.Unmarshal([]byte(rest), &o); err != nil {
			a.unexpected = append(a.unexpected, fmt.Sprintf("order %q: %v", rest, err))
		}
		a.order, a.done = o.ID, false
		a.handed[o.ID]++
	case "done":
		a.done = true
	case "full":
		a.full++
	case "dies":
		a.ExpectEnd()
	default:
		a.unexpected = append(a.unexpected, line)
	}
}

// noteDeath notes that the process died at a step, and returns the order that was at
// hand, if any, and its fate.
func (a *application) noteDeath(s step) (at string, f fate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.order == "" {
		return "", isDone
	}
	f = s.fateAtDeath()
	if a.done {
		f = isDone
	}
	a.deaths[f]++
	due := a.expectedAgain[a.order]
	switch f {
	case comesAgain:
		due[0]++
	case mayComeAgain:
		due[1]++
	}
	a.expectedAgain[a.order] = due
	return a.order, f
}

// progress returns how many orders were handed over so far, and whether the last
// of them is done.
func (a *application) progress() (orders int, idle bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.handed), a.done || a.order == ""
}
