package memfs

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
)

// The kinds of images that Images gives, beside that of a kill. Each is the fate of one
// unsynced change to one file.
const (
	Kill       = "kill -9"       // everything can be read, unsynced changes may be lost in the next crash
	Prefix     = "prefix"        // the first few changes are there: none, some, all
	AllButOne  = "all but one"   // one is missing
	TornAt     = "torn"          // one, the last, is there up to some byte
	TornWithin = "torn within"   // one is there up to some byte, and all after it
	ZeroTail   = "zero-extended" // torn, the file as long as it was, with zeros at its end
	Zeroed     = "zeroed"        // one has left zeros
	Scrambled  = "garbage"       // one has left anything
	LostSector = "lost sector"   // one is there but for a sector
)

// maxForAllSubsets is how many changes of names are applied in every combination.
const maxForAllSubsets = 4

// An Image is one state of the disk that a crash may leave.
type Image struct {
	Kind  string
	disk  *FS
	names map[string]*inode
	fate  fate
	rest  bool // the other files have all of their changes, or none
}

// A fate is the fate of the changes to one file: those before the numbered one are there.
type fate struct {
	node   *inode // nil: no file has a change that isn't durable
	kind   string
	change int
	cut    int  // bytes of it that are there; of a lost sector: where it begins
	rest   bool // those after it are there
}

// Images enumerates the disks that a crash may leave now. The disk must not change
// meanwhile. There is one image of a kill. For a power cut there is each combination of
// the names that aren't durable (of more than a few: the first ones, all but one, one)
// with each fate of each file's changes, with the other changed files as they were or as
// they are. The newest change to a file is torn at every byte or, if it is long, at every
// boundary that shows; older ones at a few.
func (d *FS) Images() iter.Seq[Image] {
	return func(yield func(Image) bool) {
		if !yield(Image{Kind: Kill, disk: d}) {
			return
		}
		for names := range d.nameSets() {
			if !d.imagesOf(names, yield) {
				return
			}
		}
	}
}

func (d *FS) imagesOf(names map[string]*inode, yield func(Image) bool) bool {
	var dirty []*inode
	for _, n := range byNumber(names) {
		if len(n.pending) > 0 {
			dirty = append(dirty, n)
		}
	}
	if len(dirty) == 0 {
		return yield(Image{Kind: Prefix, disk: d, names: names})
	}
	for _, n := range dirty {
		for f := range n.fates() {
			for _, rest := range []bool{false, true}[:min(len(dirty), 2)] {
				if !yield(Image{Kind: f.kind, disk: d, names: names, fate: f, rest: rest}) {
					return false
				}
			}
		}
	}
	return true
}

// nameSets enumerates the directories that a crash may leave.
func (d *FS) nameSets() iter.Seq[map[string]*inode] {
	return func(yield func(map[string]*inode) bool) {
		for applied := range subsets(len(d.pending)) {
			names := maps.Clone(d.durable)
			for i, c := range d.pending {
				if applied(i) {
					c.apply(names)
				}
			}
			if !yield(names) {
				return
			}
		}
	}
}

// subsets enumerates the subsets of n things, of many only the telling ones.
func subsets(n int) iter.Seq[func(int) bool] {
	return func(yield func(func(int) bool) bool) {
		if n <= maxForAllSubsets {
			for mask := range 1 << n {
				if !yield(func(i int) bool { return mask>>i&1 == 1 }) {
					return
				}
			}
			return
		}
		for k := range n {
			if !yield(func(i int) bool { return i < k }) || !yield(func(i int) bool { return i != k }) ||
				!yield(func(i int) bool { return i == k }) {
				return
			}
		}
		yield(func(int) bool { return true })
	}
}

// fates enumerates the fates of a file's changes.
func (n *inode) fates() iter.Seq[fate] {
	return func(yield func(fate) bool) {
		for i, o := range n.pending {
			newest := i == len(n.pending)-1
			for f := range o.fates(newest) {
				f.node, f.change = n, i
				if !yield(f) {
					return
				}
			}
		}
		yield(fate{node: n, kind: Prefix, change: len(n.pending)})
	}
}

// fates enumerates the fates of one change.
func (o op) fates(newest bool) iter.Seq[fate] {
	return func(yield func(fate) bool) {
		all := []fate{{kind: Prefix}, {kind: ZeroTail}}
		if !newest {
			all = append(all, fate{kind: AllButOne, rest: true})
		}
		if o.data != nil {
			all = append(all, fate{kind: Zeroed}, fate{kind: Scrambled})
			if !newest {
				all = append(all, fate{kind: Zeroed, rest: true}, fate{kind: Scrambled, rest: true})
			}
			for at := int64(0); len(o.data) > sector && at < int64(len(o.data)); at += sector - (o.at+at)%sector {
				all = append(all, fate{kind: LostSector, cut: int(at), rest: true})
			}
			for _, cut := range o.cuts(newest) {
				all = append(all, fate{kind: TornAt, cut: cut}, fate{kind: ZeroTail, cut: cut})
				if !newest {
					all = append(all, fate{kind: TornWithin, cut: cut, rest: true})
				}
			}
		}
		for _, f := range all {
			if !yield(f) {
				return
			}
		}
	}
}

// cuts returns where a write is torn.
func (o op) cuts(newest bool) (cuts []int) {
	n := len(o.data)
	if !newest {
		for _, cut := range [...]int{1, n / 2, n - 1} {
			if cut > 0 && cut < n {
				cuts = append(cuts, cut)
			}
		}
		return cuts
	}
	const short, edge = 256, 72
	for cut := 1; cut < n; cut++ {
		begins := (o.data[cut] == 0) != (o.data[cut-1] == 0) // a field or its padding
		if n <= short || cut < edge || cut > n-edge || begins || (o.at+int64(cut))%sector == 0 {
			cuts = append(cuts, cut)
		}
	}
	return cuts
}

// FS returns a disk that holds the image.
func (i Image) FS() *FS {
	d := i.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	img := New()
	img.dirs, img.inodes, img.capacity = maps.Clone(d.dirs), d.inodes, d.capacity
	if i.Kind == Kill {
		d.copyLocked(img)
		return img
	}
	nodes := make(map[*inode]*inode, len(i.names))
	for name, n := range i.names {
		if nodes[n] == nil {
			after := i.content(n)
			nodes[n] = &inode{number: n.number, now: after.clone(), durable: after.clone()}
		}
		img.files[name], img.durable[name] = nodes[n], nodes[n]
	}
	return img
}

func (i Image) content(n *inode) content {
	switch {
	case n == i.fate.node:
		return i.fate.content()
	case i.rest && len(n.pending) > 0:
		return fate{node: n, change: len(n.pending)}.content()
	}
	return n.durable.clone()
}

// content returns the content of the file.
func (f fate) content() content {
	c := f.node.durable.clone()
	for i, o := range f.node.pending {
		switch {
		case i < f.change, i > f.change && f.rest:
			o.apply(&c)
		case i == f.change && o.data != nil:
			f.damage(&c, o)
		}
	}
	if f.kind == ZeroTail {
		c.size = max(c.size, f.node.now.size)
	}
	return c
}

// spoil leaves zeros or anything in the sectors of a write.
func (f fate) spoil(c *content, o op) {
	r := rand.New(rand.NewPCG(uint64(o.at), uint64(len(o.data))))
	var part op
	for len(o.data) > 0 {
		if part, o = o.split(); part.repeats(c) {
			continue
		}
		part.data = make([]byte, len(part.data))
		for i := range part.data {
			if f.kind == Scrambled {
				part.data[i] = byte(r.Uint32())
			}
		}
		part.apply(c)
	}
}

// damage writes the remains of the change that the fate is about.
func (f fate) damage(c *content, o op) {
	switch f.kind {
	case TornAt, TornWithin, ZeroTail:
		o.data = o.data[:f.cut]
	case Zeroed, Scrambled:
		f.spoil(c, o)
		return
	case LostSector:
		end := min(int64(f.cut)+sector-(o.at+int64(f.cut))%sector, int64(len(o.data)))
		op{at: o.at, data: o.data[:f.cut]}.apply(c)
		o.at, o.data = o.at+end, o.data[end:]
	default:
		return
	}
	if len(o.data) > 0 {
		o.apply(c)
	}
}

// String describes the image, for a test that failed.
func (i Image) String() string {
	if i.fate.node == nil {
		return i.Kind
	}
	return fmt.Sprintf("%s: change %d of %d to file %d, cut at %d, what follows it %v, other files %v",
		i.Kind, i.fate.change+1, len(i.fate.node.pending), i.fate.node.number, i.fate.cut, i.fate.rest, i.rest)
}
