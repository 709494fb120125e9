package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// Flush waits until all messages published so far are settled: each is on the disks of both
// servers, or on one disk while the other server is downgraded, or it was rejected and the hook
// FailedWrite has returned (G2). A message on one disk stays in the store until it is safe. Flush
// waits through outages. If ctx ends first, or the client is closed, the error is a *PendingError
// with the number of messages that are not settled yet. These are still on their way.
func (c *Client) Flush(ctx context.Context) error {
	if err := c.awaitFlush(ctx, false); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// FlushSafe waits for the stronger promise: all messages published so far are on the disk of every
// server of the group that replicates synchronously, or rejected, and have left the publish store.
// FlushSafe waits for a server that is away. The *PendingError has the number of messages that
// are not safe, and says whether they are settled.
func (c *Client) FlushSafe(ctx context.Context) error {
	if err := c.awaitFlush(ctx, true); err != nil {
		return fmt.Errorf("flush safe: %w", err)
	}
	return nil
}

// A goal is one life of the store, up to a message that a Flush waits for.
type goal struct {
	life     string
	sequence uint64
}

// awaitFlush waits until all messages that the store keeps now are settled, or safe.
func (c *Client) awaitFlush(ctx context.Context, safe bool) error {
	goals, err := c.goals()
	if err != nil {
		return err
	}
	count := c.countUnsettled
	if safe {
		count = c.countUnsafe
	}
	for {
		changed := c.core.watch()
		left, err := countLeft(goals, count)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
			c.plantedDrop(goals)
			err = context.Cause(ctx)
		case <-c.finished:
			err = c.closedError()
		}
		unsettled, failure := countLeft(goals, c.countUnsettled)
		return &PendingError{Messages: left, Settled: safe && failure == nil && unsettled == 0, Err: err}
	}
}

// countLeft returns the sum of count over the goals.
func countLeft(goals []goal, count func(goal) (int, error)) (left int, err error) {
	for _, g := range goals {
		n, err := count(g)
		if err != nil {
			return 0, err
		}
		left += n
	}
	return left, nil
}

// goals returns a goal for each life that has messages in the store.
func (c *Client) goals() ([]goal, error) {
	var goals []goal
	for _, l := range c.store.Lives() {
		sequence, err := c.highestKept(l)
		if err != nil {
			return nil, err
		}
		if sequence > 0 {
			goals = append(goals, goal{l.ID, sequence})
		}
	}
	return goals, nil
}

// highestKept returns the last message of a life that the store keeps. It is usually the last
// message of the life, but that one may have been rejected.
func (c *Client) highestKept(l pubstore.Life) (uint64, error) {
	if l.Kept == 0 {
		return 0, nil
	}
	if uint64(l.Kept) == l.Last-l.Acked {
		return l.Last, nil
	}
	for sequence := l.Last; sequence > l.Acked; sequence-- {
		_, err := c.store.Get(l.ID, sequence)
		if err == nil {
			return sequence, nil
		}
		if !errors.Is(err, pubstore.ErrNotFound) {
			return 0, fmt.Errorf("look for the last message kept: %w", err)
		}
	}
	return 0, nil // the store has let all go meanwhile
}

// countUnsettled returns how many messages of a goal are not settled.
func (c *Client) countUnsettled(g goal) (left int, err error) {
	through, reported := c.core.settled(g)
	switch {
	case through >= g.sequence:
		return 0, nil
	case reported && c.findLife(g.life).Kept == 0:
		return 0, nil
	}
	return int(g.sequence - through), nil
}

// countUnsafe returns how many messages of a goal the store still keeps. It is at least 1 if a
// rejection has not been reported to the application yet.
func (c *Client) countUnsafe(g goal) (left int, err error) {
	_, reported := c.core.settled(g)
	l := c.findLife(g.life)
	switch {
	case !reported:
		return 1, nil
	case l.Kept == 0 || l.Acked >= g.sequence:
		return 0, nil
	case uint64(l.Kept) < l.Last-l.Acked: // some were rejected, perhaps all that are left
		cursor, err := c.store.Cursor(l.ID, 0)
		if err != nil {
			return 0, fmt.Errorf("look for the first message kept: %w", err)
		}
		defer cursor.Close()
		var m pubstore.Message
		found, err := cursor.Next(&m)
		if err != nil || !found || m.Sequence > g.sequence {
			return 0, err
		}
	}
	return max(1, l.Kept-int(l.Last-g.sequence)), nil
}

// findLife returns the store's description of a life, or the zero Life if the life is gone.
func (c *Client) findLife(life string) pubstore.Life {
	for _, l := range c.store.Lives() {
		if l.ID == life {
			return l
		}
	}
	return pubstore.Life{}
}
