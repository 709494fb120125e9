package pubstore

import (
	"crypto/rand"
	"errors"
)

// A stateChanger changes the lives of a store and its knowledge about the servers.
type stateChanger struct {
	// change changes the ledger and returns once the store has kept the change. If its argument
	// returns an error, change returns that error and the ledger is as before.
	change  func(func(*storeState) error) error
	newLife func() string
}

// newStateChanger returns a changer that names new lives by newLife; nil: 130 random bits.
func newStateChanger(change func(func(*storeState) error) error, newLife func() string) stateChanger {
	if newLife == nil {
		newLife = rand.Text
	}
	return stateChanger{change, newLife}
}

// Logon implements Store.
func (c *stateChanger) Logon(name string) (counter uint64, err error) {
	err = c.change(func(l *storeState) error {
		err := l.logon(name)
		counter = l.counter
		return err
	})
	if err != nil {
		return 0, err
	}
	return counter, nil
}

// SetPlainOffset implements Store.
func (c *stateChanger) SetPlainOffset(life string, base uint64) error {
	return c.changeLife(life, func(w *lifeState) { w.setPlainOffset(base) })
}

// SetClock implements Store.
func (c *stateChanger) SetClock(life string, clock uint64) error {
	return c.changeLife(life, func(w *lifeState) { w.clock = clock })
}

// changeLife changes the state of one life.
func (c *stateChanger) changeLife(life string, change func(*lifeState)) error {
	return c.change(func(l *storeState) error {
		w, err := l.findLife(life)
		if err == nil {
			change(w)
		}
		return err
	})
}

// Renew implements Store.
func (c *stateChanger) Renew() error {
	return c.change(func(l *storeState) error {
		l.beginLife(c.newLife())
		return nil
	})
}

// SetGroup stores the group of servers that the client has met, and its incarnation.
func (c *stateChanger) SetGroup(cluster string, incarnation uint64) error {
	return c.change(func(l *storeState) error {
		l.group = serverGroup{cluster, incarnation}
		return nil
	})
}

// findLife returns a life by its id.
func (l *storeState) findLife(id string) (*lifeState, error) {
	w := l.life(id)
	if w == nil {
		return nil, ErrUnknownLife
	}
	return w, nil
}

// withState calls do with mu held, unless the store is closed or failed.
func (d *storeBase) withState(do func(*storeState) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.endErr != nil {
		return d.endErr
	}
	return do(&d.state)
}

// withLife calls do for a life with mu held. For an unknown life it does nothing.
func (d *storeBase) withLife(life string, do func(*lifeState)) error {
	return d.withState(func(l *storeState) error {
		if w := l.life(life); w != nil {
			do(w)
		}
		return nil
	})
}

// lifeToRead returns the life that a cursor is to read.
func (d *storeBase) lifeToRead(life string) (w *lifeState, err error) {
	err = d.withState(func(l *storeState) error {
		w, err = l.findLife(life)
		return err
	})
	return w, err
}

// close ends a store once and returns the result of finish, which gets the disk error so far.
// Later calls wait until the first has ended.
func (d *storeBase) close(c *committer, finish func(failure error) error) error {
	d.mu.Lock()
	if c.closing {
		d.mu.Unlock()
		<-c.closed
		return d.diskError()
	}
	c.closing = true
	err := d.endErr // a disk error, or nil
	d.endLocked(ErrClosed)
	d.mu.Unlock()

	defer close(c.closed)
	c.inFlight.Wait()
	close(c.stop)
	<-c.done
	if err == nil {
		err = d.diskError() // the disk may have failed in the meantime
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
