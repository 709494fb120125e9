package replica

import (
	"testing"
	"time"
)

// Strangers from the busiest host are admitted in a burst, and then at a fixed rate. Those from
// other hosts are not held up.
func TestEvictionsArePaced(t *testing.T) {
	var l pendingConns
	admitted := func(host string, now time.Duration, count int) (n int) {
		for range count {
			if !l.admits(host, now) {
				continue
			}
			if _, ok := l.add(&conn{remoteHost: host}); ok {
				n++
			}
		}
		return n
	}
	if n := admitted("hostile", 0, 2000); n < 500 || n > 600 {
		t.Errorf("%d connections of 2000 were admitted at once", n)
	}
	if n := admitted("peer", 0, 3); n != 3 {
		t.Errorf("%d of 3 connections from another host were admitted", n)
	}
	if n := admitted("hostile", time.Second, 2000); n != 200 {
		t.Errorf("%d connections were admitted a second later", n)
	}
	if n := l.count(); n > maxStrangers {
		t.Errorf("%d strangers are pending", n)
	}
	l.close()
	if _, ok := l.add(&conn{}); ok {
		t.Error("a connection was admitted after close")
	}
}

func (l *pendingConns) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}
