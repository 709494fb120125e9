package memfs

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
)

// A Mode is the effect of a crash on changes that weren't synced.
type Mode struct {
	Name string
	Seed uint64
	kind kind
}

type kind uint8

const (
	keepAll kind = iota
	durable
	torn
	hole
	zeroExtended
	garbage
)

var (
	// KeepAll is a kill of the process: everything can still be read, but unsynced
	// changes aren't durable yet and may be lost in the next crash.
	KeepAll = Mode{Name: "keep all", kind: keepAll}
	// Durable is a power cut that leaves only synced changes.
	Durable = Mode{Name: "durable", kind: durable}
)

// Torn is a power cut that leaves, in each file, the first few changes, the
// last of them up to some byte, and the first few names changed.
func Torn(seed uint64) Mode { return Mode{"torn", seed, torn} }

// Hole is a power cut that leaves any of the sectors written and any of the names changed.
func Hole(seed uint64) Mode { return Mode{"hole", seed, hole} }

// ZeroExtended is Torn, with every file as long as it was: zeros at the end.
func ZeroExtended(seed uint64) Mode { return Mode{"zero extended", seed, zeroExtended} }

// Garbage is Hole, with some of the sectors written holding anything.
func Garbage(seed uint64) Mode { return Mode{"garbage", seed, garbage} }

// Modes returns every mode, those with a seed once.
func Modes(seed uint64) []Mode {
	return []Mode{KeepAll, Durable, Torn(seed), Hole(seed), ZeroExtended(seed), Garbage(seed)}
}

const sector = 512

// Crash returns the disk after a crash. This one is dead from then on: every call fails.
// It may be called again for another image.
func (d *FS) Crash(m Mode) *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed = true
	return d.imageLocked(m)
}

// Image returns the result of a Crash at this moment, and leaves this disk alone.
func (d *FS) Image(m Mode) *FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.imageLocked(m)
}

func (d *FS) imageLocked(m Mode) *FS {
	img := New()
	img.dirs, img.inodes, img.capacity = maps.Clone(d.dirs), d.inodes, d.capacity
	if m.kind == keepAll {
		d.copyLocked(img)
		return img
	}
	c := crash{mode: m, rand: rand.New(rand.NewPCG(m.Seed, uint64(m.kind)))}
	names := maps.Clone(d.durable)
	c.names(names, d.pending)
	nodes := make(map[*inode]*inode)
	for _, n := range byNumber(names) {
		after := c.content(n)
		nodes[n] = &inode{number: n.number, now: after.clone(), durable: after.clone()}
	}
	for name, n := range names {
		img.files[name], img.durable[name] = nodes[n], nodes[n]
	}
	return img
}

// copyLocked copies files, names and changes that aren't durable yet.
func (d *FS) copyLocked(img *FS) {
	nodes := map[*inode]*inode{nil: nil}
	node := func(n *inode) *inode {
		if _, ok := nodes[n]; !ok {
			nodes[n] = &inode{number: n.number, now: n.now.clone(), durable: n.durable.clone(), pending: slices.Clone(n.pending)}
		}
		return nodes[n]
	}
	for name, n := range d.files {
		img.files[name] = node(n)
	}
	for name, n := range d.durable {
		img.durable[name] = node(n)
	}
	for _, c := range d.pending {
		c.node = node(c.node)
		img.pending = append(img.pending, c)
	}
}

func byNumber(names map[string]*inode) []*inode {
	nodes := slices.SortedFunc(maps.Values(names), func(a, b *inode) int { return a.number - b.number })
	return slices.Compact(nodes)
}

// A crash draws the fate of each change.
type crash struct {
	mode Mode
	rand *rand.Rand
}

func (c *crash) names(names map[string]*inode, pending []nameChange) {
	first := c.rand.IntN(len(pending) + 1)
	for i, change := range pending {
		switch c.mode.kind {
		case torn, zeroExtended:
			if i < first {
				change.apply(names)
			}
		case hole, garbage:
			if c.rand.IntN(2) == 0 {
				change.apply(names)
			}
		}
	}
}

func (c *crash) content(n *inode) content {
	after := n.durable.clone()
	switch c.mode.kind {
	case torn:
		c.tear(&after, n.pending)
	case zeroExtended:
		c.tear(&after, n.pending)
		after.size = max(after.size, n.now.size)
	case hole, garbage:
		c.pick(&after, n.pending)
	}
	return after
}

// tear applies the first few changes and a part of the one after them.
func (c *crash) tear(after *content, pending []op) {
	whole := c.rand.IntN(len(pending) + 1)
	for _, o := range pending[:whole] {
		o.apply(after)
	}
	if whole == len(pending) {
		return
	}
	if o := pending[whole]; o.data != nil {
		o.data = o.data[:c.rand.IntN(len(o.data)+1)]
		o.apply(after)
	}
}

// pick applies any of the sectors written.
func (c *crash) pick(after *content, pending []op) {
	for _, o := range pending {
		if o.data == nil {
			if c.rand.IntN(2) == 0 {
				o.apply(after)
			}
			continue
		}
		for len(o.data) > 0 {
			var part op
			part, o = o.split()
			c.pickSector(after, part)
		}
	}
}

// split returns the part of a write up to the end of its first sector, and the rest.
func (o op) split() (part, rest op) {
	n := min(len(o.data), int(sector-o.at%sector))
	return op{at: o.at, data: o.data[:n:n]}, op{at: o.at + int64(n), data: o.data[n:]}
}

// repeats reports whether o writes the bytes that are there already.
func (o op) repeats(c *content) bool {
	end := o.at + int64(len(o.data))
	return end <= int64(len(c.data)) && bytes.Equal(c.data[o.at:end], o.data)
}

func (c *crash) pickSector(after *content, o op) {
	fate := c.rand.IntN(2)
	if c.mode.kind == garbage && !o.repeats(after) {
		fate = c.rand.IntN(3)
	}
	switch fate {
	case 0:
		o.apply(after)
	case 2:
		o.data = make([]byte, len(o.data))
		for i := range o.data {
			o.data[i] = byte(c.rand.Uint32())
		}
		o.apply(after)
	}
}
