package journal

import "container/list"

const (
	minRing  = 16   // entries of a new ring
	maxRing  = 4096 // newest sequences of a publisher whose content is known (R11)
	sumBytes = 4
)

// A ring holds the sums (see sumOf) of the newest sequences of a publisher. 0 means unknown.
// Its length is a power of two and grows with use.
type ring struct {
	sums []uint32
	top  uint64 // newest sequence in the ring
	used uint64 // sequences up to top that were put in or skipped since the ring began, at most maxRing
}

// get returns the sum of a sequence, or 0.
func (g *ring) get(sequence uint64) uint32 {
	if sequence > g.top || g.top-sequence >= uint64(len(g.sums)) {
		return 0
	}
	return g.sums[sequence&uint64(len(g.sums)-1)]
}

// put adds the sum of a sequence that is above all others. It returns the number of bytes by
// which the ring has grown.
func (g *ring) put(sequence uint64, sum uint32) (grown int) {
	step := sequence - g.top
	if g.used == 0 || step > maxRing {
		clear(g.sums)
		g.used, step = 0, 1
	}
	g.used = min(g.used+step, maxRing)
	grown = g.grow()
	for s := sequence - min(step, uint64(len(g.sums))) + 1; s < sequence; s++ {
		g.sums[s&uint64(len(g.sums)-1)] = 0
	}
	g.top = sequence
	g.sums[sequence&uint64(len(g.sums)-1)] = sum
	return grown
}

// grow makes room for used entries. It returns the number of added bytes.
func (g *ring) grow() int {
	size := uint64(max(len(g.sums), minRing))
	for size < g.used {
		size *= 2
	}
	if size == uint64(len(g.sums)) {
		return 0
	}
	old := *g
	g.sums = make([]uint32, size)
	for i := range uint64(len(old.sums)) {
		if old.top >= i {
			g.sums[(old.top-i)&(size-1)] = old.get(old.top - i)
		}
	}
	return sumBytes * (len(g.sums) - len(old.sums))
}

// rings bounds the memory of all rings. It first drops the ring of the publisher that has
// been silent for longest.
type rings struct {
	bytes, maxBytes int
	order           list.List // of publishers, the most recent first
}

// remember adds one sum for the sequences above after, up to last.
func (s *rings) remember(p *publisher, after, last uint64, sum uint32) {
	if sum == 0 {
		return
	}
	for n := max(after, last-min(last, maxRing)) + 1; n <= last; n++ {
		s.put(p, n, sum)
	}
}

// put adds the sum of a sequence.
func (s *rings) put(p *publisher, sequence uint64, sum uint32) {
	if p.ringElement == nil {
		p.ringElement = s.order.PushFront(p)
	} else {
		s.order.MoveToFront(p.ringElement)
	}
	s.bytes += p.ring.put(sequence, sum)
	for s.bytes > s.maxBytes && s.oldest() != p {
		s.drop(s.oldest())
	}
}

// drop removes a publisher's ring.
func (s *rings) drop(p *publisher) {
	if p.ringElement != nil {
		s.order.Remove(p.ringElement)
		p.ringElement = nil
	}
	s.bytes -= sumBytes * len(p.ring.sums)
	p.ring = ring{}
}

// oldest returns the publisher that has been silent for longest.
func (s *rings) oldest() *publisher { return s.order.Back().Value.(*publisher) }

// loadContentSums fills the rings from the newest records. The replay in Open may have been
// too short for that, because a new segment begins after each kill.
func (j *Journal) loadContentSums() error {
	segs := j.log.Segments()
	i := len(segs) - 1
	for i > 0 && j.end-segs[i].First < minKnownContents {
		i--
	}
	if i == len(segs)-1 {
		return nil // the replay in Open has covered all these records
	}
	from, replayed := segs[i].First, segs[len(segs)-1].First
	if len(segs[i].Summary) > 0 && j.end-from > minKnownContents {
		s, err := decodeSummary(segs[i].Summary)
		if err == nil {
			from, err = s.startBefore(j.end-minKnownContents, from)
		}
		if err != nil {
			return err
		}
	}
	newer := j.table.rings.detachAll()
	err := j.scan(from, replayed, func(r *Record) bool {
		if p := j.table.byID[r.Publisher]; p != nil {
			after := max(r.Prev, p.ring.top)
			if p.ring.used == 0 {
				after = r.Sequence - 1 // the numbers before it may belong to earlier records
			}
			j.table.rings.remember(p, after, r.Sequence, sumOf(r))
		}
		return true
	})
	j.table.rings.reattach(newer)
	return err
}

// An ownedRing is a ring with its publisher.
type ownedRing struct {
	p    *publisher
	ring ring
}

// detachAll removes all rings and returns them, beginning with the ring of the publisher that
// has been silent for longest.
func (s *rings) detachAll() (all []ownedRing) {
	for s.order.Len() > 0 {
		all = append(all, ownedRing{s.oldest(), s.oldest().ring})
		s.drop(s.oldest())
	}
	return all
}

// reattach adds the sums of these rings after the sums that were added since.
func (s *rings) reattach(all []ownedRing) {
	for _, o := range all {
		for back := min(o.ring.used, o.ring.top); back > 0; back-- {
			sequence := o.ring.top - (back - 1)
			if sum := o.ring.get(sequence); sum != 0 && sequence > o.p.ring.top {
				s.put(o.p, sequence, sum)
			}
		}
	}
}
