package archtest_test

import (
	"fmt"
	"go/ast"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// simulator is the package whose runs are the largest proof. It drives the product's own
// objects; its own decisions prove nothing.
const simulator = "internal/proof/sim"

// driven lists the names that the simulator may use of the packages that hold sessions:
// the objects themselves and the parts of their drivers' interfaces, but no decision that
// is exported for tests.
var driven = map[string][]string{
	"servercore": {
		"NewSession", "Session", "Instance", "NewRegistry", "Driver", "State", "StateOpen", "StateDraining", "StateEnding",
		"StateDead", "LogonTick", "NoticeTimeout", "NoticePause", "Permissions",
	},
	"clientcore": {
		"NewSession", "Session", "Sender", "Subscription", "Request", "Server", "NewServerOrder", "ServerOrder", "Ending",
		"EndNone", "EndFailed", "EndStable", "StableAfter", "ErrFormerLifeDone", "ErrRolledBack", "ErrRestate",
		"Event", "EventAccepted", "EventAcked", "EventRejected", "Rejection", "Effect", "VerdictPause",
		"ServerReports", "NewSideSession", "SideSession", "ErrNotEntitled",
	},
}

// The simulator imports no package that decides for a session, except those whose objects
// it drives, and uses only the objects of these.
func TestTheSimulatorDecidesNothing(t *testing.T) {
	banned := []string{"internal/route", "internal/failpoint", "internal/perf", "server"}
	files := simFiles(t)
	for _, file := range files {
		for _, i := range parse(t, file).Imports {
			own, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module)
			if ours && slices.ContainsFunc(banned, func(b string) bool { return own == b || strings.HasPrefix(own, b+"/") }) {
				t.Errorf("%s imports %s", file, own)
			}
		}
		inspect(t, file, func(n ast.Node) string {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return ""
			}
			pkg, ok := sel.X.(*ast.Ident)
			if !ok {
				return ""
			}
			if allowed, is := driven[pkg.Name]; is && !slices.Contains(allowed, sel.Sel.Name) {
				return fmt.Sprintf("uses %s.%s, which decides or is not the simulator's to use", pkg.Name, sel.Sel.Name)
			}
			return ""
		})
	}
	if len(files) < 10 {
		t.Errorf("the simulator has %d files", len(files))
	}
}

func simFiles(t *testing.T) []string {
	return slices.DeleteFunc(sources(t), func(f string) bool { return filepath.ToSlash(filepath.Dir(f)) != simulator })
}

// minStatements is how many statements two functions may have in common in the same
// shape, names and values aside, before they count as one that is written twice.
const minStatements = 8

// No function of the simulator has the shape of one of the product's sessions.
func TestNothingIsDefinedTwiceInTheSimulator(t *testing.T) {
	product := make(map[string]string) // by shape
	for _, file := range sources(t) {
		switch filepath.ToSlash(filepath.Dir(file)) {
		case "client", "server", "internal/clientcore", "internal/servercore", "internal/route", "internal/replica":
			for name, shape := range shapes(t, file) {
				product[shape] = file + " " + name
			}
		}
	}
	for _, file := range simFiles(t) {
		for name, shape := range shapes(t, file) {
			if twin, is := product[shape]; is {
				t.Errorf("%s: %s has the shape of %s", file, name, twin)
			}
		}
	}
	if len(product) < 100 {
		t.Errorf("the product has %d functions of some length", len(product))
	}
}

// shapes returns the shape of each function of a file that has at least alike
// statements: the kinds of its nodes in order.
func shapes(t *testing.T, file string) map[string]string {
	list := make(map[string]string)
	for _, d := range parse(t, file).Decls {
		f, is := d.(*ast.FuncDecl)
		if !is || f.Body == nil {
			continue
		}
		statements := 0
		var shape strings.Builder
		ast.Inspect(f.Body, func(n ast.Node) bool {
			if _, is := n.(ast.Stmt); is {
				statements++
			}
			if n != nil {
				fmt.Fprintf(&shape, "%T ", n)
			}
			return true
		})
		if statements >= minStatements {
			list[f.Name.Name] = shape.String()
		}
	}
	return list
}
