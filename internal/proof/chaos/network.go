//go:build linux

package main

import (
	"fmt"
	"strings"
)

// The hosts: two instances, and clients near each of them.
const (
	hostA = "a"
	hostB = "b"
	hostX = "x" // clients that prefer a
	hostY = "y" // clients that prefer b
)

var hosts = []string{hostA, hostB, hostX, hostY}

// address returns a host's address on the network where the faults are.
func address(host string) string {
	return map[string]string{hostA: "10.77.0.1", hostB: "10.77.0.2", hostX: "10.77.0.11", hostY: "10.77.0.12"}[host]
}

// adminAddress returns an instance's address on the network that only this
// process and the instances share, and that has no faults.
func adminAddress(host string) string {
	return map[string]string{hostA: "10.77.1.1", hostB: "10.77.1.2"}[host]
}

// makeNetwork makes a network namespace for each host, links them by a bridge,
// and the instances by another one with this process.
func makeNetwork() error {
	steps := []string{
		"link add faults type bridge", "link set faults up",
		"link add admin type bridge", "addr add 10.77.1.254/24 dev admin", "link set admin up",
	}
	for _, host := range hosts {
		steps = append(steps, "netns add "+host, "-n "+host+" link set lo up")
		steps = append(steps, plug(host, "faults", "eth0", address(host))...)
	}
	for _, host := range []string{hostA, hostB} {
		steps = append(steps, plug(host, "admin", "admin0", adminAddress(host))...)
	}
	for _, step := range steps {
		if err := runTool("ip", strings.Fields(step)...); err != nil {
			return err
		}
	}
	return nil
}

// plug returns the steps that link a host to a bridge.
func plug(host, bridge, device, address string) []string {
	end := bridge + "-" + host
	return []string{
		fmt.Sprintf("link add %s type veth peer name %s netns %s", end, device, host),
		fmt.Sprintf("link set %s master %s up", end, bridge),
		fmt.Sprintf("-n %s addr add %s/24 dev %s", host, address, device),
		fmt.Sprintf("-n %s link set %s up", host, device),
	}
}

// inHost returns a command line that runs in a host's network.
func inHost(host string, args ...string) []string {
	return append([]string{"nsenter", "--net=/run/netns/" + host}, args...)
}

// rules are the packet filter rules of a host. An empty list has no effect.
type rules struct{ in, out []string }

// filter has a host's network obey rules, in place of those before.
func filter(host string, r rules) error {
	table := "table inet chaos\ndelete table inet chaos\n"
	if len(r.in)+len(r.out) > 0 {
		table += fmt.Sprintf("table inet chaos {\n chain in {\n type filter hook input priority 0\n%s\n}\nchain out {\n type filter hook output priority 0\n%s\n}\n}\n",
			strings.Join(r.in, "\n"), strings.Join(r.out, "\n"))
	}
	args := inHost(host, "nft", "-f", "-")
	return runToolWithInput(table, args[0], args[1:]...)
}

// cutFrom are rules under which nothing comes from the hosts, and with both nothing goes there either.
func cutFrom(both bool, from ...string) rules {
	r := rules{in: []string{"ip saddr " + addressSet(from) + " drop"}}
	if both {
		r.out = cutTo(from...).out
	}
	return r
}

// cutTo are rules under which nothing goes to the hosts.
func cutTo(to ...string) rules { return rules{out: []string{"ip daddr " + addressSet(to) + " drop"}} }

func addressSet(hosts []string) string {
	var all []string
	for _, h := range hosts {
		all = append(all, address(h))
	}
	return "{ " + strings.Join(all, ", ") + " }"
}

// cutAll are rules under which a host is alone, but for the admin network.
func cutAll() rules {
	return rules{in: []string{`iifname "eth0" drop`}, out: []string{`oifname "eth0" drop`}}
}

// lose are rules that lose a percentage of all packets, in both directions.
func lose(percent int) rules {
	return rules{
		in:  []string{fmt.Sprintf(`iifname "eth0" numgen random mod 100 < %d drop`, percent)},
		out: []string{fmt.Sprintf(`oifname "eth0" numgen random mod 100 < %d drop`, percent)},
	}
}

// resetAll are rules that reset every connection that says something.
func resetAll() rules {
	return rules{
		in:  []string{`iifname "eth0" meta l4proto tcp reject with tcp reset`},
		out: []string{`oifname "eth0" meta l4proto tcp reject with tcp reset`},
	}
}

// throttle limits the send rate of a host, in kilobits a second; 0: no limit.
func throttle(host string, kbit int) error {
	line := "tc qdisc del dev eth0 root"
	if kbit > 0 {
		line = fmt.Sprintf("tc qdisc add dev eth0 root tbf rate %dkbit burst 32kb latency 400ms", kbit)
	}
	args := inHost(host, strings.Fields(line)...)
	return runTool(args[0], args[1:]...)
}
