package server

import "testing"

// A client's address for counting is the network of one site.
func TestSourceNetwork(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.7:1234":          "192.0.2.7/32",
		"[::ffff:192.0.2.7]:1234": "192.0.2.7/32",
		"[2001:db8::1:2:3:4]:1":   "2001:db8::/64",
		"[2001:db8::4:3:2:1]:2":   "2001:db8::/64",
		"[fe80::1%eth0]:1":        "fe80::/64",
		"client:40000":            "client",
	} {
		if got := sourceNetwork(address(from)); got != want {
			t.Errorf("%s is of %s, want %s", from, got, want)
		}
	}
}

// An address is the net.Addr of a connection.
type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }
