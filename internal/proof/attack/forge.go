package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/forge"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

const devnull = "/AMPS/devnull"

// victim returns one of the honest publishers, and an instance.
func (b *battle) victim(random *rand.Rand) (h *honest, address string) {
	return b.honest[random.IntN(len(b.honest))], b.pair[random.IntN(2)].ClientAddress
}

// forgeName logs on under a name or a life that might be taken for a publisher's, and
// publishes a message under the publisher's next number.
func forgeName(_ context.Context, b *battle, random *rand.Rand) error {
	h, address := b.victim(random)
	c, err := dialRaw(address)
	if err != nil {
		return err
	}
	defer c.Close()
	name, life := fmt.Sprintf("evil-%d", random.Uint32()), h.name
	if random.IntN(2) == 0 {
		life = forge.Name(fmt.Sprintf("%08x", random.Uint32()), h.store.Lives()[0].ID)
	}
	if err := c.send(logon(name, life, random.Uint64()>>1, 0, 0)); err != nil {
		return err
	}
	m, err := c.await(wire.AckProcessed)
	if err != nil {
		return err
	}
	next := m.Have + 1
	if err := c.send(publish(topic, next, "evil "+life[:8])); err != nil {
		return err
	}
	_, err = c.await(wire.AckPersisted)
	return err
}

// takeoverSpacing is the least time between two sessions under one victim's own life:
// a client that loses its name three times in a minute ends (R11), for which no
// number is needed.
const takeoverSpacing = 30 * time.Second

// claimIdentity returns a name and a life to send numbers under: an honest publisher's
// own, as a copy of its store would, or mostly a new one.
func (b *battle) claimIdentity(h *honest, random *rand.Rand) (name string, life pubstore.Life) {
	if time.Since(b.sessionTakenAt[h]) < takeoverSpacing {
		name = fmt.Sprintf("evil-%x", random.Uint64())
		return name, pubstore.Life{ID: name}
	}
	b.sessionTakenAt[h] = time.Now()
	lives := h.store.Lives()
	return h.name, lives[len(lives)-1]
}

// forgeNumber logs on and sends numbers that no store sends.
func forgeNumber(_ context.Context, b *battle, random *rand.Rand) error {
	h, address := b.victim(random)
	c, err := dialRaw(address)
	if err != nil {
		return err
	}
	defer c.Close()
	name, life := b.claimIdentity(h, random)
	number, same := uint64(bookmark.MaxSequence), false
	switch random.IntN(4) {
	case 0:
		number = 1<<64 - 1
	case 1:
		number = life.Last + 2 + random.Uint64N(100)
	case 2:
		same = true
	}
	if err := c.send(logon(name, life.ID, random.Uint64()>>1, life.Acked, min(number, bookmark.MaxSequence))); err != nil {
		return err
	}
	m, err := c.await(wire.AckProcessed)
	if err != nil {
		return err
	}
	if same {
		number = max(m.Have, 1)
	}
	where := topic
	if random.IntN(2) == 0 {
		where = devnull
	}
	if err := c.send(publish(where, number, "evil number")); err != nil {
		return err
	}
	_, err = c.await(wire.AckPersisted)
	return err
}

// race publishes number 1 of a new life to both instances at once, each with
// another content, and its logon in the same write.
func race(_ context.Context, b *battle, random *rand.Rand) error {
	life := fmt.Sprintf("evil-life-%x", random.Uint64())
	errs := make([]error, len(b.pair))
	var both sync.WaitGroup
	for i, in := range b.pair {
		both.Go(func() {
			c, err := dialRaw(in.ClientAddress)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close()
			if errs[i] = c.send(logon(life, life, uint64(1+i), 0, 1), publish(topic, 1, "evil race "+in.Name)); errs[i] == nil {
				_, errs[i] = c.await(wire.AckPersisted)
			}
		})
	}
	both.Wait()
	if errs[0] != nil {
		return errs[0]
	}
	return errs[1]
}
