package route_test

import (
	"fmt"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// BenchmarkMatch finds the subscriptions of a connection that want a record, a tenth of them, and
// moves all of them past it.
func BenchmarkMatch(b *testing.B) {
	for _, subscriptions := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("subscriptions=%d", subscriptions), func(b *testing.B) {
			var table topic.Table[*route.Subscription]
			for i := range subscriptions {
				p, err := topic.Parse(fmt.Sprintf("^orders/%d$", i%10))
				if err != nil {
					b.Fatal(err)
				}
				s := &route.Subscription{Pattern: p, Options: route.Options{Vector: true}, Bookmark: true}
				s.Begin(route.Start{Seen: bookmark.Vector{}})
				table.Add(p, s)
			}
			r := ledger.Record{Kind: ledger.Message, Publisher: 7, Topic: []byte("orders/0")}
			b.ReportAllocs()
			for b.Loop() {
				r.Sequence++
				r.Position++
				wanted := 0
				for _, s := range table.Match(r.Topic) {
					if s.Wants(&r) {
						wanted++
					}
				}
				for s := range table.All {
					s.Pass(&r)
				}
				if wanted != (subscriptions+9)/10 {
					b.Fatalf("%d want it", wanted)
				}
			}
		})
	}
}
