// Package heldport reserves ports of the loopback interface for a test or a trial, even while no
// process listens on them. A port that was found free and released could belong to
// another process by the time the test listens on it.
package heldport

// T is the part of [testing.TB] that [ForTest] uses.
type T interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// ForTest returns the address, host:port, of a port that is held until the test ends. Any
// process can listen on it by its number, repeatedly. On systems other than Linux the
// port is only free at the time of the call.
func ForTest(t T) (address string) {
	t.Helper()
	p, err := Hold()
	if err != nil {
		t.Fatalf("%v", err)
		return ""
	}
	p.Lend()
	t.Cleanup(p.Free)
	return p.Address
}
