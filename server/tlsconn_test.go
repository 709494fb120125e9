package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The end of a connection waits for a peer that does not read for a limited time, and Close not at
// all.
func TestTLSCloseDoesNotWait(t *testing.T) {
	https := httptest.NewTLSServer(nil)
	certificates := https.TLS.Certificates
	https.Close()
	for name, tt := range map[string]struct {
		end  func(*tlsConn) error
		took time.Duration
	}{
		"CloseWrite": {(*tlsConn).CloseWrite, lingerTime},
		"Close":      {(*tlsConn).Close, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			go func() { _ = tls.Client(far, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
			c := newTLSConn(near, &tls.Config{Certificates: certificates, SessionTicketsDisabled: true}, newHandshakeSlots())
			defer c.Close()
			if err := c.handshake(t.Context(), time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_ = tt.end(c)
			if took := time.Since(began); took != tt.took {
				t.Errorf("%s took %v", name, took)
			}
		})
	}
}

// slowHandshakes is the configuration of a server whose handshakes compute for a second each. most
// returns the number of handshakes that computed at once.
func slowHandshakes() (config *tls.Config, most func() int) {
	var mu sync.Mutex
	now, highest := 0, 0
	config = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		now++
		highest = max(highest, now)
		mu.Unlock()
		time.Sleep(time.Second)
		mu.Lock()
		now--
		mu.Unlock()
		return nil, errors.New("this handshake ends here")
	}}
	return config, func() int { mu.Lock(); defer mu.Unlock(); return highest }
}

// No more handshakes than there are slots compute at once. Those that wait for the network have no
// slot, and the wait for a slot ends at the deadline of the logon.
func TestHandshakeSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config, most := slowHandshakes()
		slots := make(handshakeSlots, 2)
		results := make(chan error)
		begin := func(send bool) {
			near, far := net.Pipe()
			go func() {
				if send {
					_ = tls.Client(far, &tls.Config{ServerName: "a"}).Handshake()
				} else {
					_, _ = far.Write([]byte{recordHandshake, 3, 1})
					time.Sleep(time.Minute)
				}
				far.Close()
			}()
			go func() {
				deadline := time.Now().Add(3500 * time.Millisecond)
				_ = near.SetDeadline(deadline)
				results <- newTLSConn(near, config, slots).handshake(context.Background(), deadline)
				near.Close()
			}()
		}
		for range 8 { // strangers that send no more
			begin(false)
		}
		synctest.Wait()
		began := time.Now()
		for range 10 {
			begin(true)
		}
		late := 0
		for range 18 {
			if err := <-results; errors.Is(err, os.ErrDeadlineExceeded) {
				late++
			}
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("took %v", took)
		}
		// Two handshakes begin in each second, so two of ten do not begin within 3.5 s.
		if n := most(); n != 2 || late != 8+2 {
			t.Errorf("%d handshakes at once, %d were too late", n, late)
		}
		if len(slots) != 0 {
			t.Errorf("%d slots are still taken", len(slots))
		}
		time.Sleep(time.Minute)
	})
}
