package pubstore

// SetMet implements Store.
func (s *Memory) SetMet(life string, met uint64) error {
	return s.changeLife(life, func(w *window) { w.met = met })
}

// SetMet implements Store. It is rare, and syncs: a life that has met nobody has
// sent nothing, also after a power cut.
func (s *File) SetMet(life string, met uint64) error {
	if err := s.changeLife(life, func(w *window) { w.met = met }); err != nil {
		return err
	}
	return s.Sync()
}

// SetMet implements Store.
func (s *Bolt) SetMet(life string, met uint64) error {
	return s.changeLife(life, func(w *window) { w.met = met })
}

// SetSent implements Store. Closing the store keeps it, with all the rest of the state.
func (d *desk) SetSent(life string, sent uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.ledger.life(life); w != nil && d.ended == nil {
		w.sent = sent
	}
}
