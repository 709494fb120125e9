package bookmarkstore

// An unsaved is the part of a place that the database of a Bolt does not have yet.
type unsaved struct {
	dirty []*publisher // publishers with something to write
	// savedGeneration and savedBased are lower bounds for the head in the database.
	savedGeneration uint64
	savedBased      bool
}

// A note is the part of one publisher that is to be written, besides its discarded point.
type note struct {
	dirty   bool
	kept    bool     // the database may have out-of-order discards of the publisher
	left    bool     // the publisher is to be removed from the database
	pending []uint64 // out-of-order discards that the database does not have
}

// noteLocked notes a change of the window for the next commit. It reports whether there is
// something to write. It takes nothing once the place is broken: no commit would cover it any
// more.
func (p *place) noteLocked(c change) bool {
	if c.none() || p.b == nil || p.broken != nil {
		return false
	}
	n := &c.publisher.note
	n.left = c.left
	if c.added > 0 {
		n.pending = append(n.pending, c.added)
	}
	if !n.dirty {
		n.dirty = true
		p.dirty = append(p.dirty, c.publisher)
	}
	return true
}

func (p *place) headLocked() head {
	return head{generation: p.generation, based: p.w.based, query: p.query}
}

func (p *place) headUnsavedLocked() bool {
	return p.savedGeneration < p.generation || p.w.based && !p.savedBased
}

// savedLocked notes that h is in the database.
func (p *place) savedLocked(h head) {
	if h.generation > p.savedGeneration {
		p.savedGeneration, p.savedBased = h.generation, h.based
	} else if h.generation == p.savedGeneration {
		p.savedBased = p.savedBased || h.based
	}
}
