package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Three addresses never answer. The fourth one is connected within a second, and a connection
// that comes too late is closed.
func TestRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		late, lateThere := net.Pipe()
		dial := func(ctx context.Context, _, address string) (net.Conn, error) {
			switch address {
			case "fourth":
				return here, nil
			case "third":
				<-ctx.Done()
				return late, nil // a dial that was cancelled may still return a connection
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		nc, err := race(t.Context(), "tcp", []string{"first", "second", "third", "fourth", "fifth"}, dial)
		if err != nil || nc != here || time.Since(began) != 3*raceDelay {
			t.Errorf("%v, %v after %v", nc, err, time.Since(began))
		}
		if _, err := lateThere.Write([]byte("x")); err == nil {
			t.Error("the connection that came too late is open")
		}
	})
}

// The error names every address, also those that were tried at the same time.
func TestRaceLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := func(ctx context.Context, _, address string) (net.Conn, error) {
			if address == "second" {
				return nil, errors.New("second: refused")
			}
			<-ctx.Done()
			return nil, errors.New(address + ": timeout")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, err := race(ctx, "tcp", []string{"first", "second", "third"}, dial)
		for _, want := range []string{"first: timeout", "second: refused", "third: timeout"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not say %q", err, want)
			}
		}
		if time.Since(began) != 5*time.Second {
			t.Errorf("after %v", time.Since(began))
		}
		began = time.Now()
		if _, err := race(t.Context(), "tcp", []string{"second", "second"}, dial); err == nil || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestAlternate(t *testing.T) {
	var addresses []netip.Addr
	for _, text := range []string{"::1", "::2", "10.0.0.1", "::3", "10.0.0.2", "::4"} {
		addresses = append(addresses, netip.MustParseAddr(text))
	}
	var got []string
	for _, a := range alternate(addresses) {
		got = append(got, a.String())
	}
	if want := []string{"::1", "10.0.0.1", "::2", "10.0.0.2", "::3", "::4"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
