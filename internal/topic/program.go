package topic

import (
	"regexp"
	"runtime"
	"sync"
	"weak"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A program is a compiled pattern. All patterns with the same text share it.
type program struct {
	re    *regexp.Regexp
	steps int
}

// programs holds the programs in use.
var programs = programCache{known: make(map[string]weak.Pointer[program])}

// A programCache finds programs by their text. It drops a program that no pattern uses any more.
type programCache struct {
	mu    sync.Mutex
	known map[string]weak.Pointer[program] // guarded by mu
}

// get returns the program of a pattern. It compiles the pattern if no other pattern has that text.
func (c *programCache) get(text string) (*program, error) {
	if p := c.find(text); p != nil && !failpoint.On(failpoint.DPatternsNotShared) {
		return p, nil
	}
	p, err := compile(text)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.known[text].Value(); other != nil && !failpoint.On(failpoint.DPatternsNotShared) {
		return other, nil // compiled meanwhile
	}
	c.known[text] = weak.Make(p)
	runtime.AddCleanup(p, c.forget, text)
	return p, nil
}

func (c *programCache) find(text string) *program {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[text].Value()
}

// forget drops the program of a text unless a pattern uses it again.
func (c *programCache) forget(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[text].Value() == nil {
		delete(c.known, text)
	}
}
