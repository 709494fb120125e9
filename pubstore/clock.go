package pubstore

// SetClock implements Store. It is rare, and syncs: a life without a clock has
// sent nothing, also after a power cut.
func (s *File) SetClock(life string, clock uint64) error {
	if err := s.changer.SetClock(life, clock); err != nil {
		return err
	}
	return s.Sync()
}

// SetSent implements Store. Closing the store keeps it, with all the rest of the state.
func (d *desk) SetSent(life string, sent uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.ledger.life(life); w != nil && d.ended == nil {
		w.sent = sent
	}
}
