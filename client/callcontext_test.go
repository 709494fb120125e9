package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// The wait of a call ends with its context and with the client, also if an earlier call used the
// same memory.
func TestPublishWaitsUntilClosed(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(cancel func(), c *client.Client)
		want error
	}{
		{"the call's context", func(cancel func(), _ *client.Client) { cancel() }, context.Canceled},
		{"the client", func(_ func(), c *client.Client) { c.Close() }, client.ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				cfg := config(n, "a")
				cfg.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{MaxMessages: 100})
				c := start(t, cfg)
				for range 100 {
					ctx, cancel := context.WithCancel(t.Context())
					if _, err := c.Publish(ctx, "orders", nil); err != nil {
						t.Fatal(err)
					}
					cancel()
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				waited := make(chan error, 1)
				go func() {
					_, err := c.Publish(ctx, "orders", nil)
					waited <- err
				}()
				synctest.Wait()
				if len(waited) > 0 {
					t.Fatalf("a full store: %v", <-waited)
				}
				tt.end(cancel, c)
				if err := <-waited; !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
			})
		})
	}
}
