package pubstore

import (
	"crypto/rand"
	"errors"
)

// A changer changes the lives of a store and its knowledge about the servers.
type changer struct {
	// change changes the ledger and returns once the store has kept the change. If its argument
	// returns an error, change returns that error and the ledger is as before.
	change  func(func(*ledger) error) error
	newLife func() string
}

// newChanger returns a changer that names new lives by newLife; nil: 130 random bits.
func newChanger(change func(func(*ledger) error) error, newLife func() string) changer {
	if newLife == nil {
		newLife = rand.Text
	}
	return changer{change, newLife}
}

// Logon implements Store.
func (c *changer) Logon(name string) (counter uint64, err error) {
	err = c.change(func(l *ledger) error {
		err := l.logon(name)
		counter = l.counter
		return err
	})
	if err != nil {
		return 0, err
	}
	return counter, nil
}

// SetBase implements Store.
func (c *changer) SetBase(life string, base uint64) error {
	return c.changeLife(life, func(w *window) { w.setBase(base) })
}

// SetClock implements Store.
func (c *changer) SetClock(life string, clock uint64) error {
	return c.changeLife(life, func(w *window) { w.clock = clock })
}

// changeLife changes the state of one life.
func (c *changer) changeLife(life string, change func(*window)) error {
	return c.change(func(l *ledger) error {
		w, err := l.find(life)
		if err == nil {
			change(w)
		}
		return err
	})
}

// Renew implements Store.
func (c *changer) Renew() error {
	return c.change(func(l *ledger) error {
		l.begin(c.newLife())
		return nil
	})
}

// Meet stores the group of servers that the client has met, and its incarnation.
func (c *changer) Meet(cluster string, incarnation uint64) error {
	return c.change(func(l *ledger) error {
		l.met = met{cluster, incarnation}
		return nil
	})
}

// find returns a life by its id.
func (l *ledger) find(id string) (*window, error) {
	w := l.life(id)
	if w == nil {
		return nil, ErrNoLife
	}
	return w, nil
}

// use calls do with mu held, unless the store is closed or failed.
func (d *desk) use(do func(*ledger) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended != nil {
		return d.ended
	}
	return do(&d.ledger)
}

// useLife calls do for a life with mu held. For an unknown life it does nothing.
func (d *desk) useLife(life string, do func(*window)) error {
	return d.use(func(l *ledger) error {
		if w := l.life(life); w != nil {
			do(w)
		}
		return nil
	})
}

// readable returns the life that a cursor is to read.
func (d *desk) readable(life string) (w *window, err error) {
	err = d.use(func(l *ledger) error {
		w, err = l.find(life)
		return err
	})
	return w, err
}

// close ends a store once and returns the result of finish, which gets the disk error so far.
// Later calls wait until the first has ended.
func (d *desk) close(c *committer, finish func(failure error) error) error {
	d.mu.Lock()
	if c.closing {
		d.mu.Unlock()
		<-c.closed
		return d.failure()
	}
	c.closing = true
	err := d.ended // a disk error, or nil
	d.endLocked(ErrClosed)
	d.mu.Unlock()

	defer close(c.closed)
	c.inFlight.Wait()
	close(c.stop)
	<-c.done
	if err == nil {
		err = d.failure() // the disk may have failed in the meantime
	}
	return finish(err)
}

// only returns the message of sequence from a cursor that starts right before it. c and err are
// the results of opening the cursor.
func only(c Cursor, err error, sequence uint64) (*Message, error) {
	if errors.Is(err, ErrNoLife) {
		return nil, ErrNotKept
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
		return nil, ErrNotKept
	}
	return m, nil
}
