// Package loglines compares the log lines of the product with the page that describes them,
// server/LOGS.md: the lines in the sources, and the lines that a running program writes.
package loglines

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Line is one kind of line: its message is a constant text.
type Line struct {
	Place   string // file:line of a call, or of a row of the page
	Level   string // DEBUG, INFO, WARN or ERROR
	Message string
	Keys    []string // sorted
}

// A Page is what server/LOGS.md says.
type Page struct {
	Keys  []string        // of the table of keys
	Lines map[string]Line // by message
}

var (
	lineRow = regexp.MustCompile("(?m)^\\| (DEBUG|INFO|WARN|ERROR) \\| `([^`]+)` \\| ([^|]*) \\| ([^|]+) \\|$")
	keyRow  = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [^|]+ \\|$")
	keyText = regexp.MustCompile("`([a-z_]+)`")
)

// ReadPage reads the page. root is the directory of the module.
func ReadPage(root string) (Page, error) {
	text, err := os.ReadFile(filepath.Join(root, "server", "LOGS.md"))
	if err != nil {
		return Page{}, err
	}
	p := Page{Lines: make(map[string]Line)}
	for _, m := range keyRow.FindAllSubmatch(text, -1) {
		p.Keys = append(p.Keys, string(m[1]))
	}
	for _, m := range lineRow.FindAllStringSubmatchIndex(string(text), -1) {
		field := func(i int) string { return string(text[m[2*i]:m[2*i+1]]) }
		l := Line{Level: field(1), Message: field(2), Place: fmt.Sprintf("server/LOGS.md:%d", 1+strings.Count(string(text[:m[0]]), "\n"))}
		for _, k := range keyText.FindAllStringSubmatch(field(3), -1) {
			l.Keys = append(l.Keys, k[1])
		}
		slices.Sort(l.Keys)
		if other, twice := p.Lines[l.Message]; twice {
			return p, fmt.Errorf("%s and %s list the same message", other.Place, l.Place)
		}
		p.Lines[l.Message] = l
	}
	return p, nil
}

// A File is the log calls of one source file.
type File struct {
	Lines  []Line   // one for each call
	With   []string // keys that are added to a logger
	Faults []string // calls that break the rules: place and reason
}

// ReadFile finds the log calls of a file. name is how places name it.
func ReadFile(file, name string) (f File, err error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
	if err != nil {
		return f, err
	}
	place := func(n ast.Node) string { return fmt.Sprintf("%s:%d", name, set.Position(n.Pos()).Line) }
	ast.Inspect(tree, func(n ast.Node) bool {
		if call, is := n.(*ast.CallExpr); is {
			f.addCall(call, place(call))
		}
		return true
	})
	for _, d := range tree.Decls {
		if fn, is := d.(*ast.FuncDecl); is && fn.Body != nil {
			for _, call := range callsWithLock(fn) {
				f.Faults = append(f.Faults, place(call)+" logs while it holds a lock: the handler may block")
			}
		}
	}
	return f, nil
}

// addCall adds a call if it logs.
func (f *File) addCall(call *ast.CallExpr, place string) {
	sel, is := call.Fun.(*ast.SelectorExpr)
	if !is {
		return
	}
	if x, ident := sel.X.(*ast.Ident); ident && x.Name == "slog" && slices.Contains(levels, sel.Sel.Name) {
		f.Faults = append(f.Faults, place+" logs to the logger of the process")
		return
	}
	if !isLogger(sel.X) {
		return
	}
	switch name := sel.Sel.Name; {
	case name == "With":
		f.With = append(f.With, f.keys(call.Args, place)...)
	case slices.Contains(levels, name):
		f.addLine(call, strings.ToUpper(name), place)
	case name == "Log", name == "LogAttrs", strings.HasSuffix(name, "Context"), name == "WithGroup":
		f.Faults = append(f.Faults, place+" calls "+name+": use Debug, Info, Warn or Error")
	}
}

func (f *File) addLine(call *ast.CallExpr, level, place string) {
	l := Line{Place: place, Level: level}
	if len(call.Args) > 0 {
		l.Message = constant(call.Args[0])
	}
	if l.Message == "" {
		f.Faults = append(f.Faults, place+" has a message that is no constant text")
		return
	}
	if call.Ellipsis.IsValid() {
		f.Faults = append(f.Faults, place+" passes its keys as a list")
		return
	}
	l.Keys = f.keys(call.Args[1:], place)
	slices.Sort(l.Keys)
	f.Lines = append(f.Lines, l)
}

// keys returns the keys of arguments that are keys and values in turn.
func (f *File) keys(args []ast.Expr, place string) (keys []string) {
	for i := 0; i < len(args); i += 2 {
		key := constant(args[i])
		if key == "" || i+1 == len(args) {
			f.Faults = append(f.Faults, place+" has a key that is no constant text, or no value")
		}
		if slices.Contains(keys, key) {
			f.Faults = append(f.Faults, place+" has the key "+key+" twice")
		}
		keys = append(keys, key)
	}
	return keys
}

var levels = []string{"Debug", "Info", "Warn", "Error"}

// isLogger reports whether an expression is a logger, by its name: log, Log, Logger, Log(),
// slog.New(…).
func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return slices.Contains([]string{"log", "logger"}, x.Name)
	case *ast.SelectorExpr:
		return slices.Contains([]string{"log", "Log", "Logger", "logger"}, x.Sel.Name)
	case *ast.CallExpr:
		sel, is := x.Fun.(*ast.SelectorExpr)
		if !is {
			return false
		}
		pkg, ident := sel.X.(*ast.Ident)
		return isLogger(sel) && !(ident && pkg.Name == "log") || ident && pkg.Name == "slog" && sel.Sel.Name == "New" || sel.Sel.Name == "With" && isLogger(sel.X)
	}
	return false
}

// constant returns the value of a constant text, empty if an expression is none.
func constant(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(x.Value)
		if err != nil {
			return ""
		}
		return text
	case *ast.BinaryExpr:
		left, right := constant(x.X), constant(x.Y)
		if x.Op != token.ADD || left == "" || right == "" {
			return ""
		}
		return left + right
	}
	return ""
}

// callsWithLock returns the log calls of a function that are made with a lock held: all of a
// function whose name ends with Locked, and those between a Lock and its Unlock. Functions inside
// of it are called later.
func callsWithLock(fn *ast.FuncDecl) (calls []*ast.CallExpr) {
	held := 0
	if strings.HasSuffix(fn.Name.Name, "Locked") {
		held = 1
	}
	var walk func(ast.Node) bool
	walk = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.DeferStmt: // at the end
			return false
		case *ast.IfStmt: // a branch that unlocks and returns
			before := held
			ast.Inspect(n.Body, walk)
			if endsFunction(n.Body) {
				held = before
			}
			if n.Else != nil {
				ast.Inspect(n.Else, walk)
			}
			return false
		case *ast.CallExpr:
			sel, is := n.Fun.(*ast.SelectorExpr)
			switch {
			case !is:
			case sel.Sel.Name == "Lock":
				held++
			case sel.Sel.Name == "Unlock", sel.Sel.Name == "unlockAndNotify":
				held--
			case held > 0 && isLogger(sel.X) && slices.Contains(levels, sel.Sel.Name):
				calls = append(calls, n)
			}
		}
		return true
	}
	ast.Inspect(fn.Body, walk)
	return calls
}

// endsFunction reports whether a block ends with a return.
func endsFunction(b *ast.BlockStmt) bool {
	if len(b.List) == 0 {
		return false
	}
	_, is := b.List[len(b.List)-1].(*ast.ReturnStmt)
	return is
}
