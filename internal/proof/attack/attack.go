package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// patience is for honest work to be done once the attacks have ended.
const patience = time.Minute

// A battle is one pair, its honest users, and the attackers.
type battle struct {
	pair   pair.Pair
	honest []*honest
	dir    string
	// admitted counts the strangers that an instance took for peers.
	admitted       atomic.Int64
	sessionTakenAt map[*honest]time.Time // when a session last had the victim's own life; of the attacker with numbers
}

// An attacker tries one thing again and again until ctx ends.
type attacker struct {
	name string
	try  func(ctx context.Context, b *battle, random *rand.Rand) error
	// tries counts attempts; refused counts those that ended in an error that the
	// attacker saw.
	tries, refused atomic.Int64
}

// attack does it all and reports whether all is well.
func attack(ctx context.Context, dir, binary string, duration time.Duration, seed uint64) (passed bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, duration+5*time.Minute, errors.New("took five minutes longer than it should"))
	defer cancel()
	b := &battle{dir: dir, sessionTakenAt: make(map[*honest]time.Time)}
	if b.pair, err = pair.Start(ctx, dir, pair.Options{Command: []string{binary}}); err != nil {
		return false, err
	}
	defer b.pair.Close()
	defer b.close()
	if err := b.connectHonest(ctx); err != nil {
		return false, err
	}
	b.runAttacks(ctx, duration, seed)
	if err := b.awaitRest(ctx); err != nil {
		return false, err
	}
	serversPassed, err := hostileServers(ctx, dir, b.pair.URIs())
	if err != nil {
		return false, err
	}
	pairPassed, err := b.verdict()
	fmt.Printf("%d strangers were taken for peers\n", b.admitted.Load())
	if passed = pairPassed && serversPassed && b.admitted.Load() == 0; passed && err == nil {
		fmt.Println("all is well")
	}
	return passed, err
}

// runAttacks runs honest users and attackers for a time.
func (b *battle) runAttacks(ctx context.Context, duration time.Duration, seed uint64) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var all sync.WaitGroup
	for _, h := range b.honest {
		all.Go(func() { h.publish(ctx) })
	}
	attackers := []*attacker{
		{name: "names", try: forgeName}, {name: "numbers", try: forgeNumber},
		{name: "races", try: race}, {name: "links", try: strangeLink},
	}
	for i, a := range attackers {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		all.Go(func() { a.run(ctx, b, random) })
	}
	all.Wait()
	for _, a := range attackers {
		fmt.Printf("%-8s %d tries, %d were refused or cut off\n", a.name, a.tries.Load(), a.refused.Load())
	}
}

func (a *attacker) run(ctx context.Context, b *battle, random *rand.Rand) {
	for ctx.Err() == nil {
		a.tries.Add(1)
		if a.try(ctx, b, random) != nil {
			a.refused.Add(1)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// awaitRest waits until the pair is in sync and all honest messages are safe.
func (b *battle) awaitRest(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not done within %v", patience))
	defer cancel()
	if err := b.pair.AwaitSync(ctx); err != nil {
		return fmt.Errorf("after the attacks: %w", err)
	}
	for _, h := range b.honest {
		if err := h.client.FlushSafe(ctx); err != nil {
			return fmt.Errorf("after the attacks: publisher %s: %w", h.name, err)
		}
	}
	return nil
}

func (b *battle) close() {
	for _, h := range b.honest {
		h.close()
	}
}
