package topic

import (
	"runtime"
	"testing"
)

// All patterns with one text share one program, as long as one of them exists.
func TestProgramsAreShared(t *testing.T) {
	const text = "^shared/(a|b)+$"
	parse := func() Pattern {
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p, q := parse(), parse()
	if p.program != q.program {
		t.Error("a text was compiled twice")
	}
	if !p.Match([]byte("shared/ab")) || p.Match([]byte("shared/c")) || p.Steps() == 0 {
		t.Errorf("%v does not match as it should", p)
	}
	runtime.KeepAlive(p)
	runtime.KeepAlive(q)
	runtime.GC()
	if programs.find(text) != nil {
		t.Error("a program is kept that nobody uses")
	}
}
