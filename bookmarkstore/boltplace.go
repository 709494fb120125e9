package bookmarkstore

// An unsaved is the part of a place that the database of a Bolt does not have yet.
type unsaved struct {
	dirty []*publisher // of which something is to be written
	// savedGeneration and savedBased are what the head in the database
	// says at least.
	savedGeneration uint64
	savedBased      bool
}

// A note is what is to be written of one publisher, besides its discarded point.
type note struct {
	dirty   bool
	kept    bool     // the database may have out-of-order discards
	left    bool     // it leaves the database
	pending []uint64 // out-of-order discards it does not have
}

// noteLocked notes a change of the window if it has to be written. It takes only
// what the last commit will still cover, or nobody would ever call it durable.
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
