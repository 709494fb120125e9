// Package heldport gives a test a port of the loopback interface that stays its own, also
// while no process listens on it. A port that was only found free, and given back, can
// belong to another process when the test wants to listen on it.
package heldport

// T is the part of [testing.TB] that [ForTest] uses.
type T interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// ForTest returns the address, host:port, of a port that is held until the test ends. Any
// process that names it can listen on it, again and again. On systems other than Linux the
// port is only free at the moment of the call.
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
