package archtest_test

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An application can name every type in the API that it imports: a public package shows a type of
// an internal one only under a name of its own, as client.SyncStatus.
func TestAPIHasNoInternalTypes(t *testing.T) {
	l := newLibrary(t)
	api := publicAPI(l)
	if api.things < 300 {
		t.Errorf("the API has %d things", api.things)
	}
	for _, leak := range api.leaks() {
		t.Error(leak)
	}
}

// An api collects the internal types that the public packages show.
type api struct {
	named  map[*types.TypeName]bool     // internal types with a public name
	shown  map[*types.TypeName][]string // internal types in signatures, by the things that show them
	things int
}

func publicAPI(l *library) *api {
	a := &api{named: make(map[*types.TypeName]bool), shown: make(map[*types.TypeName][]string)}
	for _, p := range l.packages {
		if !strings.HasPrefix(p.Path(), module) {
			continue
		}
		for _, name := range p.Scope().Names() {
			if thing := p.Scope().Lookup(name); thing.Exported() {
				a.add(p.Name()+"."+name, thing)
			}
		}
	}
	return a
}

// leaks returns a text for each thing that shows an internal type without a public name.
func (a *api) leaks() (texts []string) {
	for t, places := range a.shown {
		if !a.named[t] {
			for _, place := range places {
				texts = append(texts, fmt.Sprintf("%s shows the internal type %s.%s", place, t.Pkg().Path(), t.Name()))
			}
		}
	}
	slices.Sort(texts)
	return texts
}

// add adds an exported thing of a package: a type with its fields and methods, or a function,
// variable or constant.
func (a *api) add(place string, thing types.Object) {
	name, isType := thing.(*types.TypeName)
	if !isType {
		a.show(place, thing.Type())
		return
	}
	named, isNamed := types.Unalias(name.Type()).(*types.Named)
	if !isNamed {
		a.show(place, name.Type())
		return
	}
	if isInternal(named.Obj()) {
		a.named[named.Obj()] = true
	}
	a.addFields(place, named.Underlying())
	methods := types.NewMethodSet(types.NewPointer(named))
	for i := range methods.Len() {
		if m := methods.At(i).Obj(); m.Exported() {
			a.show(place+"."+m.Name(), m.Type())
		}
	}
}

// addFields adds what an application sees of a type's underlying type.
func (a *api) addFields(place string, t types.Type) {
	s, isStruct := t.(*types.Struct)
	if !isStruct {
		a.show(place, t)
		return
	}
	for f := range s.Fields() {
		switch {
		case f.Exported():
			a.show(place+"."+f.Name(), f.Type())
		case f.Embedded():
			embedded := f.Type()
			if p, is := embedded.(*types.Pointer); is {
				embedded = p.Elem()
			}
			a.addFields(place, embedded.Underlying()) // its exported fields are promoted
		}
	}
}

// show records the internal types in the type of a thing.
func (a *api) show(place string, t types.Type) {
	a.things++
	switch t := t.(type) {
	case *types.Alias:
		if isInternal(t.Obj()) {
			a.show(place, types.Unalias(t))
		}
		for arg := range t.TypeArgs().Types() {
			a.show(place, arg)
		}
	case *types.Named:
		if isInternal(t.Obj()) {
			a.shown[t.Obj()] = append(a.shown[t.Obj()], place)
		}
		for arg := range t.TypeArgs().Types() {
			a.show(place, arg)
		}
	case *types.Signature:
		for v := range t.Params().Variables() {
			a.show(place, v.Type())
		}
		for v := range t.Results().Variables() {
			a.show(place, v.Type())
		}
	case *types.Struct:
		a.addFields(place, t)
	case *types.Interface:
		for m := range t.Methods() {
			if m.Exported() {
				a.show(place+"."+m.Name(), m.Type())
			}
		}
	case *types.Map:
		a.show(place, t.Key())
		a.show(place, t.Elem())
	case interface{ Elem() types.Type }: // pointer, slice, array, channel
		a.show(place, t.Elem())
	}
}

func isInternal(t *types.TypeName) bool {
	return t.Pkg() != nil && strings.HasPrefix(t.Pkg().Path(), module+"internal/")
}

// ruleNumber matches the number of a promise or rule of GUARANTEES.md.
var ruleNumber = regexp.MustCompile(`\b(G[1-7]|R1?[0-9])\b`)

// The documentation of a public package states a rule in words: a reader of go doc does not have the
// numbers at hand. The package comment of client explains them, so that package may add them.
func TestAPICitesNoRuleNumbers(t *testing.T) {
	for _, dir := range publicDirs {
		if dir == "client" {
			continue
		}
		p := documented(t, token.NewFileSet(), dir)
		texts := comments(p)
		for _, thing := range p.Types {
			texts["fields of "+thing.Name] = fieldComments(thing.Decl)
		}
		for _, values := range [][]*doc.Value{p.Consts, p.Vars} {
			for _, v := range values {
				texts["values "+v.Names[0]] = fieldComments(v.Decl)
			}
		}
		for place, text := range texts {
			if number := ruleNumber.FindString(text); number != "" {
				t.Errorf("%s: the comment of %s cites %s: say the rule instead", dir, place, number)
			}
		}
	}
}

// fieldComments returns the comments of the fields, methods and values in a declaration.
func fieldComments(d *ast.GenDecl) string {
	var all strings.Builder
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			all.WriteString(n.Doc.Text() + n.Comment.Text())
		case *ast.ValueSpec:
			all.WriteString(n.Doc.Text() + n.Comment.Text())
		}
		return true
	})
	return all.String()
}
