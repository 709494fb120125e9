package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// The first publish of a session waits for a peer that does not answer, but no longer than acks
// would: until the peer is downgraded, or the link has been silent for four heartbeats (R5, R11).
func TestPublishWaitsForSilentPeer(t *testing.T) {
	for _, tt := range []struct {
		name      string
		downgrade time.Duration
		waits     time.Duration
	}{
		{"downgraded", 500 * time.Millisecond, 500 * time.Millisecond},
		{"silent", time.Hour, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pair := servertest.NewPair(t, servertest.DowngradeAfter(tt.downgrade))
				pair.AwaitConverged()
				pair.B.Freeze()
				defer pair.B.Thaw()
				c, err := client.Dial(t.Context(), pair.A.Client("app"))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := c.Publish(t.Context(), "orders", []byte("1")); err != nil {
					t.Fatal(err)
				}
				have := func() uint64 { return pair.A.Have(pair.A.PublisherID("app")) }
				time.Sleep(tt.waits / 2)
				if n := have(); n != 0 {
					t.Errorf("have %d before the peer could answer", n)
				}
				time.Sleep(tt.waits/2 + 300*time.Millisecond)
				if n := have(); n != 1 {
					t.Errorf("have %d when the peer is not waited for any more", n)
				}
			})
		})
	}
}
