package intern_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/intern"
)

func TestTable(t *testing.T) {
	var table intern.Table
	long := strings.Repeat("x", 1000)
	for i := range 5000 { // more than the table holds
		for _, want := range []string{"", "orders", fmt.Sprint("orders ", i), long} {
			b := []byte(want)
			got := table.String(b)
			clear(b) // the string must not share memory with b
			if got != want {
				t.Fatalf("%q, want %q", got, want)
			}
		}
	}
}

func TestTableDoesNotAllocate(t *testing.T) {
	var table intern.Table
	b := []byte("a topic of some length, as they are")
	table.String(b)
	if n := testing.AllocsPerRun(100, func() { table.String(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
