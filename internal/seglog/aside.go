package seglog

func (r *recovery) finishCut() error { return nil }

func (r *recovery) setAside(d *DamageError) error { return d }

// mark leaves word that s is damaged.
func mark(disk FS, s *segment) error { return nil }

// Aside returns a cursor over the good records that Open has set aside
// (Options.SetAside), in log order, nil if there are none.
func (l *Log) Aside() (*Cursor, error) { return nil, nil }

// DropAside removes what was set aside, once its owner has what it needs of it.
func (l *Log) DropAside() error { return nil }

// Damage returns what Open found damaged and cut (Options.SetAside), or nil.
func (l *Log) Damage() *DamageError { return l.damage }
