package archtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The sizes of the product: of functions in lines, from func to the last
// bracket, and of structs in fields.
const (
	maxLines    = 60
	maxLinesP90 = 25 // of nine functions in ten
	maxFields   = 20 // of a struct whose fields are not explained one by one
	maxIOFields = 15 // of a type that only does I/O for a session
)

// ioTypes do the I/O of a session object and nothing else.
var ioTypes = []string{"client.conn", "server.session"}

// product returns the product's Go files that are not tests.
func product(t *testing.T) []string {
	return slices.DeleteFunc(sources(t), func(file string) bool {
		dir := path.Dir(file)
		return areaOf(dir) != "" || dir == "examples" || strings.HasPrefix(dir, "examples/")
	})
}

// A measuredFile is a file with the lines of its nodes.
type measuredFile struct {
	*ast.File
	set *token.FileSet
}

func measure(t *testing.T, file string, text any) measuredFile {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return measuredFile{f, set}
}

// lines returns how many lines each function takes.
func (m measuredFile) lines() map[string]int {
	lines := make(map[string]int)
	for _, d := range m.Decls {
		if f, is := d.(*ast.FuncDecl); is {
			at := m.set.Position(f.Pos())
			lines[f.Name.Name+" "+at.String()] = m.set.Position(f.End()).Line - at.Line + 1
		}
	}
	return lines
}

func TestFunctionsAreShort(t *testing.T) {
	var all []int
	for _, file := range product(t) {
		for name, n := range measure(t, filepath.Join(root, file), nil).lines() {
			if all = append(all, n); n > maxLines {
				t.Errorf("%s has %d lines, at most %d are allowed", name, n, maxLines)
			}
		}
	}
	if len(all) < 1000 {
		t.Fatalf("the product has %d functions", len(all))
	}
	slices.Sort(all)
	if n := all[len(all)*9/10]; n > maxLinesP90 {
		t.Errorf("a tenth of the functions have %d lines or more, at most %d are allowed", n, maxLinesP90)
	}
}

// A structSize is how many fields a struct has, and whether each has a comment of
// its own.
type structSize struct {
	fields    int
	explained bool
}

// structs returns the structs of the file by name.
func (m measuredFile) structs() map[string]structSize {
	all := make(map[string]structSize)
	ast.Inspect(m.File, func(n ast.Node) bool {
		if spec, is := n.(*ast.TypeSpec); is {
			if s, is := spec.Type.(*ast.StructType); is {
				all[spec.Name.Name] = sizeOf(s)
			}
		}
		return true
	})
	return all
}

func sizeOf(s *ast.StructType) structSize {
	size := structSize{explained: true}
	for _, f := range s.Fields.List {
		names := max(1, len(f.Names)) // an embedded field has none
		size.fields += names
		size.explained = size.explained && names == 1 && (f.Doc != nil || f.Comment != nil)
	}
	return size
}

// tooLarge reports whether a struct breaks the rules.
func (s structSize) tooLarge(name string) bool {
	if slices.Contains(ioTypes, name) {
		return s.fields > maxIOFields
	}
	return s.fields > maxFields && !s.explained
}

func TestStructsAreSmall(t *testing.T) {
	all := make(map[string]structSize)
	for _, file := range product(t) {
		for name, size := range measure(t, filepath.Join(root, file), nil).structs() {
			all[path.Dir(file)+"."+name] = size
		}
	}
	for name, size := range all {
		if size.tooLarge(name) {
			t.Errorf("%s has %d fields: group those that belong together, or explain each", name, size.fields)
		}
	}
	for _, name := range ioTypes {
		if all[name].fields == 0 {
			t.Errorf("there is no struct %s: take it off the list", name)
		}
	}
}

func TestSizesAreMeasured(t *testing.T) {
	m := measure(t, "x.go", `package x

type a struct {
	b, c int // both
	d    int
	e
}

type f struct {
	// One
	g int
	h int // the other
}

func (a) i() {
	_ = 1
}

func j() {}
`)
	if s := m.structs(); s["a"] != (structSize{4, false}) || s["f"] != (structSize{2, true}) {
		t.Errorf("structs %v", s)
	}
	if l := m.lines(); l["i x.go:15:1"] != 3 || l["j x.go:19:1"] != 1 {
		t.Errorf("lines %v", l)
	}
	if !(structSize{21, false}).tooLarge("x.a") || (structSize{21, true}).tooLarge("x.a") || (structSize{20, false}).tooLarge("x.a") || !(structSize{16, true}).tooLarge("client.conn") {
		t.Error("the wrong structs are too large")
	}
}
