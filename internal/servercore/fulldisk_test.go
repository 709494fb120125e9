package servercore

import (
	"fmt"
	"testing"
)

// A client that a full disk turns away has a line for its first logon and for the first one with
// space, which counts the sessions between. The memory is bounded.
func TestFullDiskCountsAttempts(t *testing.T) {
	var d fullDisk
	for n := range 30 {
		if attempts, quiet := d.logon("app", true); attempts != 0 || quiet != (n > 0) {
			t.Errorf("logon %d: %d attempts, quiet %v", n, attempts, quiet)
		}
		d.note("app")
	}
	if _, quiet := d.logon("subscriber", true); quiet {
		t.Error("a client that was not turned away has no line")
	}
	if attempts, quiet := d.logon("app", false); attempts != 30 || quiet {
		t.Errorf("with space: %d attempts, quiet %v", attempts, quiet)
	}
	for n := range 2 * maxTurnedAway {
		d.note(fmt.Sprint("client-", n))
	}
	if len(d.attempts) != maxTurnedAway {
		t.Errorf("%d clients are kept", len(d.attempts))
	}
}
