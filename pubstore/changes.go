package pubstore

import (
	"crypto/rand"
	"errors"
)

// A stateChanger implements the methods of a store that change its state: logons, lives, the group.
type stateChanger struct {
	// change changes the state and returns once the store has kept the change. If its argument
	// returns an error, change returns that error and the state is unchanged.
	change  func(func(*storeState) error) error
	newLife func() string
}

// newStateChanger returns a stateChanger that gets the ids of new lives from newLife; nil: 130
// random bits.
func newStateChanger(change func(func(*storeState) error) error, newLife func() string) stateChanger {
	if newLife == nil {
		newLife = rand.Text
	}
	return stateChanger{change, newLife}
}

// Logon implements Store.
func (c *stateChanger) Logon(name string) (counter uint64, err error) {
	err = c.change(func(s *storeState) error {
		err := s.logon(name)
		counter = s.counter
		return err
	})
	if err != nil {
		return 0, err
	}
	return counter, nil
}

// SetPlainOffset implements Store.
func (c *stateChanger) SetPlainOffset(life string, offset uint64) error {
	return c.changeLife(life, func(l *lifeState) { l.setPlainOffset(offset) })
}

// SetClock implements Store.
func (c *stateChanger) SetClock(life string, clock uint64) error {
	return c.changeLife(life, func(l *lifeState) { l.clock = clock })
}

// changeLife changes the state of one life.
func (c *stateChanger) changeLife(life string, change func(*lifeState)) error {
	return c.change(func(s *storeState) error {
		l, err := s.findLife(life)
		if err == nil {
			change(l)
		}
		return err
	})
}

// Renew implements Store.
func (c *stateChanger) Renew() error {
	return c.change(func(s *storeState) error {
		s.beginLife(c.newLife())
		return nil
	})
}

// SetGroup implements Store.
func (c *stateChanger) SetGroup(cluster string, incarnation uint64) error {
	return c.change(func(s *storeState) error {
		s.group = serverGroup{cluster, incarnation}
		return nil
	})
}

// findLife returns a life by its id.
func (s *storeState) findLife(id string) (*lifeState, error) {
	l := s.life(id)
	if l == nil {
		return nil, ErrUnknownLife
	}
	return l, nil
}

// withState calls do with mu held, unless the store is closed or failed.
func (b *storeBase) withState(do func(*storeState) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.endErr != nil {
		return b.endErr
	}
	return do(&b.state)
}

// withLife calls do for a life with mu held. For an unknown life it does nothing.
func (b *storeBase) withLife(life string, do func(*lifeState)) error {
	return b.withState(func(s *storeState) error {
		if l := s.life(life); l != nil {
			do(l)
		}
		return nil
	})
}

// lifeToRead returns the life that a cursor is to read.
func (b *storeBase) lifeToRead(life string) (l *lifeState, err error) {
	err = b.withState(func(s *storeState) error {
		l, err = s.findLife(life)
		return err
	})
	return l, err
}

// close ends a store and returns the result of finish. finish gets the disk error that has
// occurred, or nil. Later calls of close wait until the first has returned.
func (b *storeBase) close(c *committer, finish func(failure error) error) error {
	b.mu.Lock()
	if c.closing {
		b.mu.Unlock()
		<-c.closed
		return b.diskError()
	}
	c.closing = true
	err := b.endErr // a disk error, or nil
	b.endLocked(ErrClosed)
	b.mu.Unlock()

	defer close(c.closed)
	c.inFlight.Wait()
	close(c.stop)
	<-c.done
	if err == nil {
		err = b.diskError() // the disk may have failed in the meantime
	}
	return finish(err)
}

// readOne returns the message of sequence from a cursor that starts right before it. c and err are
// the results of opening the cursor.
func readOne(c Cursor, err error, sequence uint64) (*Message, error) {
	if errors.Is(err, ErrUnknownLife) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	m := new(Message)
	ok, err := c.Next(m)
	if err != nil {
		return nil, err
	}
	if !ok || m.Sequence != sequence {
		return nil, ErrNotFound
	}
	return m, nil
}
