// Package dial connects to hosts that have several addresses.
package dial

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// raceDelay is the head start of one address of a host over the next one (RFC 8305, section 5).
const raceDelay = 250 * time.Millisecond

// A Func dials one address, as [net.Dialer.DialContext] does.
type Func = func(ctx context.Context, network, address string) (net.Conn, error)

// Host dials a host by its name. If the host has several addresses, it returns the connection
// to the first one that answers. An address that does not answer delays the others by raceDelay
// at most.
func Host(ctx context.Context, network, address string, dial Func) (net.Conn, error) {
	family := map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"}[network]
	host, port, err := net.SplitHostPort(address)
	if _, notNumeric := netip.ParseAddr(host); family == "" || err != nil || notNumeric == nil {
		return dial(ctx, network, address)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, family, host)
	if err != nil {
		return nil, err
	}
	addresses := make([]string, len(found))
	for i, a := range alternate(found) {
		addresses[i] = net.JoinHostPort(a.Unmap().String(), port)
	}
	return race(ctx, network, addresses, dial)
}

// alternate orders addresses so that IPv4 and IPv6 take turns, starting with the family of the
// first address (RFC 8305, section 4).
func alternate(found []netip.Addr) (order []netip.Addr) {
	var first, other []netip.Addr
	for _, a := range found {
		if a.Unmap().Is4() == found[0].Unmap().Is4() {
			first = append(first, a)
		} else {
			other = append(other, a)
		}
	}
	for len(first)+len(other) > 0 {
		if len(first) > 0 {
			order, first = append(order, first[0]), first[1:]
		}
		first, other = other, first
	}
	return order
}

// A result is the result of one attempt.
type result struct {
	nc  net.Conn
	err error
}

// race dials the addresses in order. Each attempt starts raceDelay after the one before it, or
// as soon as an attempt has failed. race returns the first connection, or the errors of all
// attempts.
func race(ctx context.Context, network string, addresses []string, dial Func) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan result, len(addresses))
	var attempts sync.WaitGroup
	running := 0
	next := time.NewTimer(0)
	defer func() {
		next.Stop()
		cancel()
		attempts.Wait()
		close(ended)
		for r := range ended {
			if r.err == nil {
				r.nc.Close() // a later attempt has connected as well
			}
		}
	}()
	var failed error
	for running > 0 || len(addresses) > 0 {
		select {
		case <-next.C:
			if len(addresses) == 0 {
				continue
			}
			address := addresses[0]
			addresses = addresses[1:]
			running++
			attempts.Go(func() {
				nc, err := dial(ctx, network, address)
				ended <- result{nc, err}
			})
			next.Reset(raceDelay)
		case r := <-ended:
			running--
			if r.err == nil {
				return r.nc, nil
			}
			failed = joinErrors(failed, r.err)
			next.Reset(0)
		}
	}
	return nil, failed
}

// joinErrors joins two errors into one, on one line.
func joinErrors(err, next error) error {
	if err == nil {
		return next
	}
	return fmt.Errorf("%w; %w", err, next)
}
