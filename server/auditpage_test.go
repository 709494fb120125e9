package server

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/audit"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// auditEvents returns the events in the code: the constants of type auditEvent.
func auditEvents(t *testing.T) (events []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "audit.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, is := n.(*ast.ValueSpec)
		if !is {
			return true
		}
		if kind, is := spec.Type.(*ast.Ident); !is || kind.Name != "auditEvent" {
			return true
		}
		switch value := spec.Values[0].(type) {
		case *ast.BasicLit:
			text, _ := strconv.Unquote(value.Value)
			events = append(events, text)
		case *ast.SelectorExpr:
			events = append(events, audit.Dropped)
		}
		return true
	})
	return events
}

// The page of the audit log lists the events of the code, and no others.
func TestAuditPage(t *testing.T) {
	text, err := os.ReadFile("AUDIT.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllSubmatch(text, -1) {
		listed = append(listed, string(m[1]))
	}
	events := auditEvents(t)
	if len(events) < 10 {
		t.Fatalf("the code has only the events %s", events)
	}
	for _, e := range events {
		if !slices.Contains(listed, e) {
			t.Errorf("AUDIT.md does not list %s", e)
		}
	}
	for _, e := range listed {
		if !slices.Contains(events, e) {
			t.Errorf("AUDIT.md lists %s, which is not in the code", e)
		}
	}
}

// A reload has its result. Without an audit log nothing is written.
func TestAuditOfReload(t *testing.T) {
	var out bytes.Buffer
	a := &auditor{audit.Start(slog.NewTextHandler(&out, nil), slog.New(slog.DiscardHandler), func() error { return nil })}
	a.reload("users", nil)
	a.reload("clients.tls", errors.New("no such file"))
	a.close()
	for _, want := range []string{"msg=reload what=users done=true\n", `msg=reload what=clients.tls done=false error="no such file"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %s", want, out.String())
		}
	}
	a = nil
	a.reload("users", nil)
	a.close()
	if n := a.dropped(); n != 0 {
		t.Errorf("%d lines are dropped", n)
	}
}

// The file of the audit log is relative to the directory of the configuration.
func TestAuditFileIsRelative(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(file, []byte(goodConfig+"audit: {file: audit.log}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := (AuditConfig{File: filepath.Join(dir, "audit.log"), MaxSize: 64 << 20, Keep: 4}); cfg.Audit != want {
		t.Errorf("the audit log is %+v", cfg.Audit)
	}
}

// If the disk fails when the instance starts, the next line opens the file.
func TestAuditFileOpensLater(t *testing.T) {
	disk, cfg := memfs.New(), Config{Name: "a", Audit: AuditConfig{File: "audit.log"}}
	cfg.fs = disk
	s := &Server{cfg: cfg.withDefaults(), log: slog.New(slog.DiscardHandler), instance: new(servercore.Instance)}
	disk.FailNth(1, errors.New("the disk fails once"))
	if err := s.openAudit(); err != nil {
		t.Fatal(err)
	}
	s.audit.reload("users", nil)
	s.audit.close()
	text, err := readFile(disk, "audit.log")
	if err != nil || !strings.Contains(string(text), `"event":"reload","instance":"a","what":"users","done":true}`) {
		t.Errorf("the file is %q: %v", text, err)
	}
}
