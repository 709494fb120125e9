package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// Flush returns when everything published so far is settled: on the disk of
// every server that counts at the moment (G2), or rejected and the failed-write
// handler told. While a server is downgraded that can be one disk; the store
// keeps such messages until they are safe. Flush waits through outages. If ctx
// ends first, or the client is closed, the error is an *UnsettledError that
// says how many messages are still on their way; they stay so.
func (c *Client) Flush(ctx context.Context) error {
	if err := c.await(ctx, false); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// FlushSafe is Flush for the stronger promise: everything published so far is
// on the disk of every server of the group that replicates synchronously, or
// rejected, and out of the publish store. While a server is away it waits for
// that server. The *UnsettledError says how many messages are not safe, and
// whether they are settled at least.
func (c *Client) FlushSafe(ctx context.Context) error {
	if err := c.await(ctx, true); err != nil {
		return fmt.Errorf("flush safe: %w", err)
	}
	return nil
}

// A goal is what a Flush waits for: one life, up to a message that is kept.
type goal struct {
	life     string
	sequence uint64
}

// await waits until nothing is left of what is kept at the moment: all is settled, or safe.
func (c *Client) await(ctx context.Context, safe bool) error {
	goals, err := c.goals()
	if err != nil {
		return err
	}
	reached := c.settled
	if safe {
		reached = c.safe
	}
	for {
		changed := c.core.watch()
		left, err := leftOf(goals, reached)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
			c.dropPlanted(goals)
			err = context.Cause(ctx)
		case <-c.finished:
			err = c.closedError()
		}
		unsettled, failure := leftOf(goals, c.settled)
		return &UnsettledError{Messages: left, Settled: safe && failure == nil && unsettled == 0, Err: err}
	}
}

func leftOf(goals []goal, reached func(goal) (int, error)) (left int, err error) {
	for _, g := range goals {
		n, err := reached(g)
		if err != nil {
			return 0, err
		}
		left += n
	}
	return left, nil
}

// goals returns what is kept at the moment.
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

// highestKept returns the last message of a life that is kept: mostly its
// last, but that may have been rejected.
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
		if !errors.Is(err, pubstore.ErrNotKept) {
			return 0, fmt.Errorf("look for the last message kept: %w", err)
		}
	}
	return 0, nil // all let go meanwhile
}

// settled returns how many messages of a goal are not settled.
func (c *Client) settled(g goal) (left int, err error) {
	through, quiet := c.core.settled(g)
	switch {
	case through >= g.sequence:
		return 0, nil
	case quiet && c.kept(g.life).Kept == 0:
		return 0, nil
	}
	return int(g.sequence - through), nil
}

// safe returns how many messages of a goal are still kept, or rejected
// without the application knowing.
func (c *Client) safe(g goal) (left int, err error) {
	_, quiet := c.core.settled(g)
	l := c.kept(g.life)
	switch {
	case !quiet:
		return 1, nil
	case l.Kept == 0 || l.Acked >= g.sequence:
		return 0, nil
	case uint64(l.Kept) < l.Last-l.Acked: // some were rejected: perhaps all that is left
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

// kept returns what the store has of a life; nothing if it is gone.
func (c *Client) kept(life string) pubstore.Life {
	for _, l := range c.store.Lives() {
		if l.ID == life {
			return l
		}
	}
	return pubstore.Life{}
}
