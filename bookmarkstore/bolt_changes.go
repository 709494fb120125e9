package bookmarkstore

// A placeChanges tracks the changes of a place that the database of a Bolt does not have yet.
type placeChanges struct {
	dirty []*publisher // publishers with something to write
	// storedGeneration and storedHasBase are lower bounds of the values in the stored head.
	storedGeneration uint64
	storedHasBase    bool
}

// A publisherChanges tracks the changes of one publisher, except its discarded point, that the
// database does not have yet.
type publisherChanges struct {
	dirty            bool
	storedOutOfOrder bool     // the database may have out-of-order discards of the publisher
	removed          bool     // the publisher is to be removed from the database
	pending          []uint64 // out-of-order discards that the database does not have
}

// addChangeLocked adds a change of the window to the next commit. It reports whether there is
// something to write. Once endErr is set it adds nothing: no commit would cover it any more.
func (p *place) addChangeLocked(c change) bool {
	if c.none() || p.b == nil || p.endErr != nil {
		return false
	}
	changes := &c.publisher.publisherChanges
	changes.removed = c.removed
	if c.outOfOrder > 0 {
		changes.pending = append(changes.pending, c.outOfOrder)
	}
	if !changes.dirty {
		changes.dirty = true
		p.dirty = append(p.dirty, c.publisher)
	}
	return true
}

func (p *place) headLocked() head {
	return head{generation: p.generation, hasBase: p.w.hasBase, query: p.query}
}

func (p *place) headChangedLocked() bool {
	return p.storedGeneration < p.generation || p.w.hasBase && !p.storedHasBase
}

// headWrittenLocked records that h is in the database.
func (p *place) headWrittenLocked(h head) {
	if h.generation > p.storedGeneration {
		p.storedGeneration, p.storedHasBase = h.generation, h.hasBase
	} else if h.generation == p.storedGeneration {
		p.storedHasBase = p.storedHasBase || h.hasBase
	}
}
