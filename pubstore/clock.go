package pubstore

// SetClock implements Store. It syncs: a life without a clock counts as one that has sent nothing,
// and that must also be true after a power cut. The call is rare.
func (s *File) SetClock(life string, clock uint64) error {
	if err := s.stateChanger.SetClock(life, clock); err != nil {
		return err
	}
	return s.Sync()
}

// SetSent implements Store. A store on disk writes it there when it is closed.
func (b *storeBase) SetSent(life string, sent uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.state.life(life); l != nil && b.endErr == nil {
		l.sent = sent
	}
}
