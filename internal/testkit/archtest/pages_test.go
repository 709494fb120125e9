package archtest_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
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

// usable are the packages that a block of code in a page may name without importing them.
// Those of ours are also the ones whose names are checked in the text of pages.
var usable = []string{
	module + "bookmarkstore", module + "bookmarkstore/bookmarkstoretest", module + "client",
	module + "pubstore", module + "pubstore/pubstoretest", module + "server", module + "server/metrics", module + "server/servertest",
	"go.etcd.io/bbolt",
	"context", "errors", "fmt", "io", "log", "log/slog", "net", "os", "sync", "testing", "testing/synctest", "time",
}

// givenParameters are the parameters that a block of statements in a page may use without declaring
// them.
const givenParameters = `ctx context.Context, c *client.Client, store pubstore.Store, marks bookmarkstore.Store,
	body []byte, process func([]byte) error`

// A library is the packages that pages speak of, as the compiler sees them.
type library struct {
	set      *token.FileSet
	packages map[string]*types.Package // by name
	imp      types.Importer
}

func newLibrary(t *testing.T) *library {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}, usable...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		name, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		exports[name] = file
	}
	l := &library{set: token.NewFileSet(), packages: make(map[string]*types.Package)}
	l.imp = importer.ForCompiler(l.set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, p := range usable {
		if l.packages[path.Base(p)], err = l.imp.Import(p); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// pages returns the texts for people, by their names relative to root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(file) != ".md" {
			return err
		}
		text, err := os.ReadFile(file)
		relative, _ := filepath.Rel(root, file)
		texts[filepath.ToSlash(relative)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// A page's Go code compiles and is formatted. Code of other libraries stands
// in blocks of golang.
func TestCodeInPagesCompiles(t *testing.T) {
	l, blocks := newLibrary(t), 0
	for name, text := range pages(t) {
		for _, at := range regexp.MustCompile("(?sm)^```go\n(.*?)^```$").FindAllStringSubmatchIndex(text, -1) {
			code, line := text[at[2]:at[3]], 1+strings.Count(text[:at[2]], "\n")
			if err := l.check(fmt.Sprintf("%s:%d", name, line), code); err != nil {
				t.Error(err)
			}
			blocks++
		}
	}
	if blocks < 3 {
		t.Errorf("the pages have %d blocks of code", blocks)
	}
}

// pasted finds programs and tests, which are for pasting as they are.
var pasted = regexp.MustCompile(`(?m)^func (main|Test\w*)\(`)

// check type-checks a block, which is a file, declarations or statements. Only
// a file says itself where its names come from, so that a program or a test must be one.
func (l *library) check(place, code string) error {
	if pasted.MatchString(code) && !strings.HasPrefix(code, "package ") {
		return fmt.Errorf("%s: a program or a test must be a whole file, with its imports", place)
	}
	if formatted, err := format.Source([]byte(code)); err != nil {
		return fmt.Errorf("%s: %w", place, err)
	} else if string(formatted) != code {
		return fmt.Errorf("%s: the block is not formatted as gofmt does", place)
	}
	file, err := l.parse(place, code)
	if err != nil {
		return err
	}
	var errs []error
	conf := types.Config{Importer: l.imp, Error: func(err error) { errs = append(errs, err) }}
	_, _ = conf.Check("page", l.set, []*ast.File{file}, nil) // its error is the first of errs
	return errors.Join(errs...)
}

func (l *library) parse(place, code string) (*ast.File, error) {
	if strings.HasPrefix(code, "package ") {
		return parser.ParseFile(l.set, "", code, 0)
	}
	line := "//line " + place + "\n"
	file, err := parser.ParseFile(l.set, "", head(code)+"\n"+line+code, 0)
	if err == nil {
		return file, nil
	}
	statements := head(code+givenParameters) + " func _(" + givenParameters + ") error {\n" + line + code + "\nreturn nil }"
	return parser.ParseFile(l.set, "", statements, 0)
}

// head is the beginning of a file with code.
func head(code string) string { return "package page; import (" + importsOf(code) + ");" }

// importsOf returns the usable packages that code names.
func importsOf(code string) string {
	var list strings.Builder
	for _, p := range usable {
		if regexp.MustCompile(`\b` + path.Base(p) + `\.`).MatchString(code) {
			fmt.Fprintf(&list, "%q;", p)
		}
	}
	return list.String()
}

// Names of our packages in pages exist: `client.Config.Servers`.
func TestNamesInPagesExist(t *testing.T) {
	l, names := newLibrary(t), 0
	for file, text := range pages(t) {
		for _, m := range regexp.MustCompile("`([a-z]+)((?:\\.[A-Z]\\w*)+)(?:\\([^`]*\\))?`").FindAllStringSubmatch(text, -1) {
			p := l.packages[m[1]]
			if p == nil || !strings.HasPrefix(p.Path(), module) {
				continue
			}
			names++
			if err := find(p, strings.Split(m[2][1:], ".")); err != nil {
				t.Errorf("%s: %s%s: %v", file, m[1], m[2], err)
			}
		}
	}
	if names < 100 {
		t.Errorf("the pages name %d things", names)
	}
}

// find looks for a thing of a package, and for a field or method of it.
func find(p *types.Package, names []string) error {
	thing := p.Scope().Lookup(names[0])
	if thing == nil {
		return errors.New("there is no such thing")
	}
	for _, name := range names[1:] {
		if thing, _, _ = types.LookupFieldOrMethod(thing.Type(), true, p, name); thing == nil {
			return fmt.Errorf("it has no %s", name)
		}
	}
	return nil
}

// publicDirs are the packages that an application can import.
var publicDirs = []string{
	"bookmarkstore", "bookmarkstore/bookmarkstoretest", "client", "pubstore", "pubstore/pubstoretest", "server", "server/metrics", "server/servertest",
}

// A name in brackets in a doc comment of an importable package is a link.
func TestDocLinksLead(t *testing.T) {
	l := newLibrary(t)
	for _, dir := range publicDirs {
		p := documented(t, l.set, dir)
		parse := p.Parser()
		for place, text := range comments(p) {
			for _, block := range parse.Parse(text).Content {
				for _, text := range textsOf(block) {
					l.checkLinks(t, p, place, text)
				}
			}
		}
	}
}

// brokenLink matches a link to a name that does not exist: the parser leaves it as text.
var brokenLink = regexp.MustCompile(`(?:^|\W)\[\*?(?:[A-Z]\w*|[a-z]+\.[A-Z]\w*)(?:\.\w+)*\]`)

// checkLinks checks the links of a text.
func (l *library) checkLinks(t *testing.T, p *doc.Package, place string, text []comment.Text) {
	for _, x := range text {
		switch x := x.(type) {
		case *comment.DocLink:
			l.checkLink(t, p, place, x)
		case comment.Plain:
			if m := brokenLink.FindString(string(x)); m != "" {
				t.Errorf("%s: %s: %s leads nowhere", p.Name, place, strings.TrimSpace(m))
			}
		}
	}
}

// checkLink checks the target of a link to one of our packages.
func (l *library) checkLink(t *testing.T, p *doc.Package, place string, link *comment.DocLink) {
	to := link.ImportPath
	if to == "" {
		to = p.ImportPath
	}
	if !strings.HasPrefix(to, module) {
		return
	}
	names := slices.DeleteFunc([]string{link.Recv, link.Name}, func(s string) bool { return s == "" })
	if len(names) == 0 {
		return
	}
	if err := find(l.packages[path.Base(to)], names); err != nil {
		t.Errorf("%s: %s: %s of %s: %v", p.Name, place, strings.Join(names, "."), to, err)
	}
}

// documented returns the documentation of a package.
func documented(t *testing.T, set *token.FileSet, dir string) *doc.Package {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(set, files, module+dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// comments returns a package's doc comments by the names of their objects.
func comments(p *doc.Package) map[string]string {
	texts := map[string]string{"package": p.Doc}
	values := func(list []*doc.Value) {
		for _, v := range list {
			texts[strings.Join(v.Names, ", ")] = v.Doc
		}
	}
	funcs := func(list []*doc.Func) {
		for _, f := range list {
			texts[f.Recv+" "+f.Name] = f.Doc
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs(p.Funcs)
	for _, t := range p.Types {
		texts[t.Name] = t.Doc
		values(t.Consts)
		values(t.Vars)
		funcs(t.Funcs)
		funcs(t.Methods)
	}
	return texts
}

// textsOf returns the running text of a block.
func textsOf(b comment.Block) (texts [][]comment.Text) {
	switch b := b.(type) {
	case *comment.Paragraph:
		return [][]comment.Text{b.Text}
	case *comment.Heading:
		return [][]comment.Text{b.Text}
	case *comment.List:
		for _, item := range b.Items {
			for _, c := range item.Content {
				texts = append(texts, textsOf(c)...)
			}
		}
	}
	return texts
}

// Links from one page to another file lead there, and to a heading that is there.
func TestLinksInPagesLead(t *testing.T) {
	texts, links := pages(t), 0
	for name, text := range texts {
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			links++
			file, heading, _ := strings.Cut(link[1], "#")
			if file = path.Join(path.Dir(name), file); strings.HasPrefix(link[1], "#") {
				file = name
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(file))); err != nil {
				t.Errorf("%s: a link leads to %s, which does not exist", name, link[1])
			} else if heading != "" && !slices.Contains(anchors(texts[file]), heading) {
				t.Errorf("%s: a link leads to %s, a heading that %s does not have", name, link[1], file)
			}
		}
	}
	if links < 10 {
		t.Errorf("the pages have %d links", links)
	}
}

// anchors returns the names by which links lead to the headings of a page.
func anchors(text string) (names []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := strings.ToLower(strings.ReplaceAll(heading[1], " ", "-"))
		names = append(names, regexp.MustCompile(`[^a-z0-9_-]`).ReplaceAllString(name, ""))
	}
	return names
}
