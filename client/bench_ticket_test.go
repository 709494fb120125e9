package client_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-mq/holdfast/client"
)

// BenchmarkTickets measures publishes of 256 bytes by several concurrent requests. Each request
// waits for the outcome of its own message: with a ticket, or with Flush, which waits for all
// messages.
func BenchmarkTickets(b *testing.B) {
	for _, requests := range []int{1, 100, 10_000} {
		for _, how := range []string{"Ticket", "Flush"} {
			b.Run(fmt.Sprintf("%s/%d", how, requests), func(b *testing.B) {
				c, _ := benchClient(b, func(*client.Config) {})
				body := make([]byte, 256)
				request := func() error {
					if how == "Flush" {
						if _, err := c.Publish(b.Context(), "orders", body); err != nil {
							return err
						}
						return c.Flush(b.Context())
					}
					t, err := c.PublishTicket(b.Context(), "orders", body)
					if err != nil {
						return err
					}
					return t.AwaitSettled(b.Context())
				}
				var left atomic.Int64
				left.Store(int64(b.N))
				var all sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for range requests {
					all.Go(func() {
						for left.Add(-1) >= 0 {
							if err := request(); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
			})
		}
	}
}
