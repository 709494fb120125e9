package archtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/holdfast-mq/holdfast/"

// root is the module's directory as seen from this one.
const root = "../../.."

// imports lists for each package of the product the packages of the module that it may
// import. All other packages are examples or belong to a support area.
var imports = map[string][]string{
	"internal/failpoint":   {},
	"internal/boltfile":    {"internal/fileversion", "internal/failpoint"},
	"internal/crc":         {},
	"internal/histogram":   {},
	"internal/fileversion": {},
	"internal/reload":      {"internal/failpoint"},
	"internal/certs":       {"internal/failpoint", "internal/reload"},
	"internal/intern":      {},
	"internal/ring":        {},
	"internal/bookmark":    {"internal/failpoint"},
	"internal/syncstatus":  {},
	"internal/dial":        {},
	"internal/topic":       {"internal/failpoint"},
	"internal/scram":       {"internal/failpoint"},
	"internal/signal":      {},
	"internal/logging":     {},
	"internal/size":        {},
	"internal/yamlbounds":  {},
	"internal/users":       {"internal/failpoint", "internal/scram", "internal/size", "internal/topic", "internal/yamlbounds"},
	"internal/pace":        {},
	"internal/audit":       {"internal/failpoint", "internal/seglog", "internal/signal", "internal/visible"},
	"internal/outbound":    {"internal/failpoint", "internal/signal"},
	"internal/record":      {"internal/bookmark", "internal/crc", "internal/failpoint"},
	"internal/wire":        {"internal/bookmark", "internal/failpoint", "internal/record"},
	"internal/ledger":      {"internal/bookmark", "internal/record", "internal/syncstatus"},
	"internal/seglog":      {"internal/crc", "internal/fileversion", "internal/failpoint"},
	"internal/journal":     {"internal/bookmark", "internal/crc", "internal/fileversion", "internal/histogram", "internal/ledger", "internal/failpoint", "internal/record", "internal/seglog"},
	"internal/route":       {"internal/bookmark", "internal/ledger", "internal/failpoint", "internal/topic", "internal/wire"},
	"internal/replica":     {"internal/bookmark", "internal/crc", "internal/journal", "internal/ledger", "internal/failpoint", "internal/logging", "internal/outbound", "internal/pace", "internal/signal", "internal/syncstatus", "internal/topic", "internal/record"},
	"internal/clientcore":  {"bookmarkstore", "internal/bookmark", "internal/failpoint", "internal/ring", "internal/syncstatus", "internal/wire", "pubstore", "internal/record"},
	"internal/servercore":  {"internal/bookmark", "internal/histogram", "internal/ledger", "internal/failpoint", "internal/pace", "internal/route", "internal/syncstatus", "internal/topic", "internal/wire", "internal/record"},
	"pubstore":             {"internal/bookmark", "internal/boltfile", "internal/fileversion", "internal/intern", "internal/failpoint", "internal/seglog", "internal/signal", "internal/record", "internal/testdoor"},
	"bookmarkstore":        {"internal/bookmark", "internal/boltfile", "internal/fileversion", "internal/failpoint", "internal/ring", "internal/signal"},
	"client":               {"bookmarkstore", "internal/bookmark", "internal/certs", "internal/clientcore", "internal/dial", "internal/intern", "internal/failpoint", "internal/logging", "internal/outbound", "internal/ring", "internal/scram", "internal/signal", "internal/syncstatus", "internal/topic", "internal/wire", "pubstore"},
	"server":               {"internal/audit", "internal/users", "internal/certs", "internal/reload", "internal/bookmark", "internal/dial", "internal/fileversion", "internal/histogram", "internal/journal", "internal/failpoint", "internal/logging", "internal/outbound", "internal/replica", "internal/seglog", "internal/servercore", "internal/signal", "internal/syncstatus", "internal/topic", "internal/size", "internal/visible", "internal/wire", "internal/testdoor", "internal/yamlbounds"},
	"internal/exitcode":    {},
	"internal/prompt":      {},
	"internal/buildinfo":   {},
	"internal/visible":     {},
	"server/metrics":       {"server"},
	"server/cmd/holdfastd": {"server/metrics", "internal/exitcode", "internal/buildinfo", "internal/prompt", "internal/signal", "internal/topic", "internal/users", "internal/visible", "server", "internal/certs", "internal/heldport", "internal/testdoor"},
	"internal/testdoor":    {"internal/seglog"},
	"internal/heldport":    {},
	"internal/perf/pair":   {"client", "internal/certs", "internal/heldport", "internal/users"},
	"internal/perf/bench":  {"client", "internal/perf/pair", "pubstore"},
	"server/cmd/holdfast":  {"bookmarkstore", "client", "internal/perf/bench", "internal/boltfile", "internal/bookmark", "internal/fileversion", "internal/journal", "internal/buildinfo", "internal/prompt", "internal/replica", "internal/seglog", "internal/topic", "internal/visible", "pubstore", "server", "server/metrics", "internal/certs"},
}

// allowedDependencies lists the dependencies that the SDK's packages may bring into an application
// beside the standard library, as prefixes of import paths.
var allowedDependencies = []string{
	"go.etcd.io/bbolt",
	"github.com/vmihailenco/msgpack/v5", "github.com/vmihailenco/tagparser/v2",
	"github.com/nats-io/nuid",
	"github.com/cenkalti/backoff/v4",
	"golang.org/x/sys",
}

// goroutinePackages are the packages that may start goroutines: each waits for its own.
// Commands, examples and test parts may too.
var goroutinePackages = []string{"bookmarkstore", "internal/audit", "client", "internal/perf/bench", "internal/journal", "internal/perf/pair", "internal/replica", "pubstore", "server"}

// cores are the files that decide: no goroutine, clock, file, socket, chance or select.
// Their callers pass events and times.
var cores = []string{
	"bookmarkstore/queue.go", "bookmarkstore/window.go",
	"client/movetracker.go", "client/syncstatus.go",
	"internal/clientcore/errors.go", "internal/clientcore/flight.go", "internal/clientcore/steady.go", "internal/clientcore/logon.go", "internal/clientcore/namebackoff.go",
	"internal/clientcore/serverorder.go", "internal/clientcore/publisher.go", "internal/clientcore/start.go", "internal/clientcore/sender.go", "internal/clientcore/ticket.go", "internal/clientcore/earlyclose.go",
	"internal/clientcore/ranges.go", "internal/clientcore/search.go", "internal/clientcore/server.go", "internal/clientcore/session.go", "internal/clientcore/store.go", "internal/clientcore/subscription.go",
	"internal/clientcore/visit.go",
	"internal/journal/record.go", "internal/journal/table.go",
	"internal/replica/ackstate.go", "internal/replica/incarnation.go", "internal/replica/link.go",
	"internal/replica/progress.go", "internal/replica/rejoin.go", "internal/replica/watermark.go",
	"internal/route/gap.go", "internal/route/subscription.go",
	"internal/servercore/ackcore.go", "internal/servercore/decide.go", "internal/servercore/fence.go",
	"internal/topic/pattern.go", "internal/topic/table.go",
	"pubstore/lifestate.go",
}

// objects are packages of objects that hold the state and order of something,
// driven from outside: no goroutine, clock, file or socket in any of their files.
// Unlike cores they may have a lock, since drivers have several goroutines, and
// write to the log that they are given.
var objects = []string{"internal/servercore", "internal/route", "internal/topic"}

// A goPackage is the output of go list for a package.
type goPackage struct {
	ImportPath    string
	Standard      bool
	Imports, Deps []string
}

func goList(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,Deps"}, args...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l goPackage
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

func TestImportsRunOneWay(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range goList(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, listed := imports[name]
		if !listed {
			continue
		}
		seen[name] = true
		for _, i := range p.Imports {
			if own, ours := strings.CutPrefix(i, module); ours && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, which is not in its list of imports", name, own)
			}
		}
	}
	for name := range imports {
		if !seen[name] {
			t.Errorf("the list of imports has %s but the module does not", name)
		}
	}
}

// areas are the support areas: the parts of the module that are not its product, and the
// other areas that each may import. Only the packages of areaImporters import an area
// from outside.
var (
	areas         = map[string][]string{"testkit": {}, "perf": {"testkit"}, "proof": {"perf", "testkit"}}
	areaImporters = map[string][]string{"server/servertest": {"testkit"}, "server/cmd/holdfast": {"perf"}, "examples": {"proof"}}
)

// areaOf returns the support area of a package, empty for the product.
func areaOf(name string) string {
	rest, internal := strings.CutPrefix(name, "internal/")
	area, _, _ := strings.Cut(rest, "/")
	if _, is := areas[area]; internal && is {
		return area
	}
	return ""
}

func TestProductImportsNoSupportArea(t *testing.T) {
	for _, p := range goList(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		own := areaOf(name)
		allowed := append([]string{"", own}, areas[own]...)
		for importer, may := range areaImporters {
			if name == importer || strings.HasPrefix(name, importer+"/") {
				allowed = append(allowed, may...)
			}
		}
		for _, i := range p.Imports {
			if to, ours := strings.CutPrefix(i, module); ours && !slices.Contains(allowed, areaOf(to)) {
				t.Errorf("%s imports %s, which is of the support area %q", name, to, areaOf(to))
			}
		}
	}
}

func TestSDKHasFewDependencies(t *testing.T) {
	for _, p := range goList(t, "-deps", "./client", "./pubstore", "./bookmarkstore") {
		if p.Standard || strings.HasPrefix(p.ImportPath, module) {
			continue
		}
		ok := slices.ContainsFunc(allowedDependencies, func(prefix string) bool {
			return p.ImportPath == prefix || strings.HasPrefix(p.ImportPath, prefix+"/")
		})
		if !ok {
			t.Errorf("the SDK brings the dependency %s into applications", p.ImportPath)
		}
	}
}

// A program that runs a server, and a test with package servertest, get Prometheus only if they
// import package metrics.
func TestServerDoesNotNeedPrometheus(t *testing.T) {
	for _, p := range goList(t, "-deps", "./client", "./server", "./server/servertest") {
		if strings.Contains(p.ImportPath, "prometheus") {
			t.Errorf("server or servertest depends on %s", p.ImportPath)
		}
	}
}

// adapters are the directories of modules for applications. A version of them works with a later
// version of this module, so they use its public packages only.
var adapters = []string{"client/prom", "client/otel"}

func TestAdaptersUseThePublicAPI(t *testing.T) {
	seen := make(map[string]bool)
	for _, file := range sources(t) {
		dir := path.Dir(file)
		if !slices.Contains(adapters, dir) {
			continue
		}
		seen[dir] = true
		for _, i := range parse(t, file).Imports {
			if own, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module); ours && !slices.Contains(publicDirs, own) {
				t.Errorf("%s imports %s, which is not public", file, own)
			}
		}
	}
	for _, dir := range adapters {
		if !seen[dir] {
			t.Errorf("%s has no Go file", dir)
		}
	}
}

func TestGoroutinesHaveOwners(t *testing.T) {
	for _, file := range sources(t) {
		dir := filepath.ToSlash(filepath.Dir(file))
		if _, listed := imports[dir]; !listed || slices.Contains(goroutinePackages, dir) || strings.Contains(dir, "cmd/") {
			continue
		}
		inspect(t, file, func(n ast.Node) string {
			if _, starts := n.(*ast.GoStmt); starts {
				return "starts a goroutine"
			}
			return ""
		})
	}
}

// bannedInCores are the packages that a file that decides may not import, bannedInObjects
// those that an object driven from outside may not.
var (
	bannedInCores   = append([]string{"sync", "sync/atomic", "log/slog"}, bannedInObjects...)
	bannedInObjects = []string{"net", "os", "math/rand", "math/rand/v2", "crypto/rand", "io", "context"}
)

func TestCoresArePure(t *testing.T) {
	for _, core := range cores {
		checkPure(t, core, bannedInCores)
	}
	for _, file := range sources(t) {
		if slices.Contains(objects, filepath.ToSlash(filepath.Dir(file))) {
			checkPure(t, file, bannedInObjects)
		}
	}
}

// checkPure reports side effects of a file that must be left to its callers.
func checkPure(t *testing.T, file string, banned []string) {
	for _, i := range parse(t, file).Imports {
		if path := strings.Trim(i.Path.Value, `"`); slices.Contains(banned, path) {
			t.Errorf("%s imports %s", file, path)
		}
	}
	inspect(t, file, func(n ast.Node) string {
		switch n := n.(type) {
		case *ast.GoStmt:
			return "starts a goroutine"
		case *ast.SelectStmt:
			return "has a select"
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Sleep", "After", "AfterFunc", "Since", "Until", "NewTimer", "NewTicker"}, n.Sel.Name) {
				return "calls time." + n.Sel.Name
			}
		}
		return ""
	})
}

// Tests wait for a condition, not for a time.
func TestNoTestSleeps(t *testing.T) {
	for _, file := range allSources(t) {
		if !strings.HasSuffix(file, "_test.go") {
			continue
		}
		inspect(t, file, func(n ast.Node) string {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && !imported(t, file, "testing/synctest") {
					return "sleeps"
				}
			}
			return ""
		})
	}
}

func imported(t *testing.T, file, name string) bool {
	return slices.ContainsFunc(parse(t, file).Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"`+name+`"` })
}

// sources returns the module's Go files that are not tests, relative to root.
func sources(t *testing.T) []string {
	return slices.DeleteFunc(allSources(t), func(f string) bool { return strings.HasSuffix(f, "_test.go") })
}

func allSources(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") {
			relative, _ := filepath.Rel(root, path)
			files = append(files, filepath.ToSlash(relative))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// inspect reports each node that fault finds something in.
func inspect(t *testing.T, file string, fault func(ast.Node) string) {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, filepath.Join(root, file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if n != nil {
			if what := fault(n); what != "" {
				t.Errorf("%s:%d %s", file, set.Position(n.Pos()).Line, what)
			}
		}
		return true
	})
}

// The journeys in ARCHITECTURE.md, and its list for a change of the wire, name files and functions
// that exist.
func TestJourneysNameExistingCode(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, journey, found := strings.Cut(string(page), "## The journey of a message")
	journey, rest, _ := strings.Cut(journey, "\n## Packages")
	_, change, also := strings.Cut(rest, "## Changing the wire")
	steps := regexp.MustCompile(`([^\s(`+"`"+`]+\.go) +(\w+)`).FindAllStringSubmatch(journey+change, -1)
	if !found || !also || len(steps) < 60 {
		t.Fatalf("ARCHITECTURE.md has %d steps of its journeys and of a change", len(steps))
	}
	for _, step := range steps {
		file, function := step[1], step[2]
		if !slices.ContainsFunc(parse(t, file).Decls, func(d ast.Decl) bool {
			f, ok := d.(*ast.FuncDecl)
			return ok && f.Name.Name == function
		}) {
			t.Errorf("ARCHITECTURE.md names %s in %s, which does not exist", function, file)
		}
	}
}
