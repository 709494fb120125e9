package cluster

import (
	"runtime"
	"testing"
)

// The profile of memory keeps each stack that it has ever seen: a million runs
// in one process have so many that a fifth of the time goes into it.
func TestMain(m *testing.M) {
	runtime.MemProfileRate = 0
	m.Run()
}
