package failover

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/fleet"
	"github.com/holdfast-mq/holdfast/internal/proof/timeline"
)

// newFleet connects one publisher for each network.
func newFleet(ctx context.Context, networks []string, dir string, servers []string, t *timeline.Timeline) (fleet.Fleet, error) {
	return fleet.New(networks, servers, func(network string, servers []string) (*fleet.Publisher, error) {
		return fleet.NewPublisher(ctx, network, dir, servers, client.Config{
			Name:  "earthquakes-" + network,
			Hooks: client.Hooks{FailedWrite: func(e *client.RejectedError) { t.Printf("%s: %v", network, e) }},
		})
	})
}

// publishAll publishes every round of the events, spread evenly over the given
// time. One goroutine per network, in the order of the input.
func publishAll(ctx context.Context, fleet fleet.Fleet, events []event, rounds int, duration time.Duration) error {
	start := time.Now()
	errs := make([]error, len(fleet))
	var wg sync.WaitGroup
	for i, p := range fleet {
		wg.Go(func() { errs[i] = publishRounds(ctx, p, events, rounds, start, duration) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func publishRounds(ctx context.Context, p *fleet.Publisher, events []event, rounds int, start time.Time, duration time.Duration) error {
	all := len(events) * rounds
	for round := range rounds {
		for i, e := range events {
			if e.network != p.Name {
				continue
			}
			due := start.Add(duration * time.Duration(round*len(events)+i) / time.Duration(all))
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
				return ctx.Err()
			}
			body := bodyOf(e, round+1)
			_, key, err := keyOf(body)
			if err != nil {
				return err
			}
			if err := p.Publish(ctx, "earthquakes/"+p.Name, key, body); err != nil {
				return err
			}
		}
	}
	return nil
}
