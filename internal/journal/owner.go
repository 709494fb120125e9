package journal

import (
	"slices"
	"unique"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// An owner is the user who owns a publisher. Equal owners share their memory, because one user
// may own many publishers. The zero owner means that the publisher has none.
type owner struct{ name unique.Handle[string] }

// ownerOf returns the owner of that name; an empty name returns the zero owner.
func ownerOf(name string) owner {
	if name == "" {
		return owner{}
	}
	return owner{unique.Make(name)}
}

// String returns the name, empty for the zero owner.
func (o owner) String() string {
	if o == (owner{}) {
		return ""
	}
	return o.name.Value()
}

// noteUser makes the user of a record the owner of p, unless p has one already.
func (p *publisher) noteUser(user []byte) {
	if len(user) > 0 && (p.owner == owner{} || failpoint.On(failpoint.R10LastUserOwns)) {
		p.owner = ownerOf(string(user))
	}
}

// A PublisherOwner is a publisher with its owner.
type PublisherOwner struct {
	Publisher uint64
	Owner     string // 1 to record.MaxUser bytes
}

// NoteOwners records owners that a peer has stated. It leaves out publishers that the journal
// does not know and those that have an owner: the owner of a publisher never changes. The
// rest becomes durable before any record appended afterwards.
func (j *Journal) NoteOwners(stated []PublisherOwner) error {
	for part := range slices.Chunk(stated, maxStateOwners) {
		err := j.withRoom(func() error {
			missing := slices.DeleteFunc(slices.Clone(part), func(s PublisherOwner) bool { return !j.table.lacksOwner(s.Publisher) })
			if len(missing) == 0 {
				return nil
			}
			return j.appendChangeLocked(change{kind: stateOwners, owners: missing})
		})
		if err != nil {
			return annotate(err, "record the owners of publishers")
		}
	}
	return nil
}

// lacksOwner reports whether a known publisher has no owner.
func (t *table) lacksOwner(publisher uint64) bool {
	p := t.byID[publisher]
	return p != nil && p.owner == owner{}
}

// applyOwners gives publishers the owners that a peer has stated.
func (t *table) applyOwners(stated []PublisherOwner) {
	for _, s := range stated {
		if t.lacksOwner(s.Publisher) {
			t.byID[s.Publisher].owner = ownerOf(s.Owner)
		}
	}
}

// owners returns each owner once, and the index of each, from 1.
func (t *table) owners() (order []owner, index map[owner]uint64) {
	index = make(map[owner]uint64)
	for _, p := range t.sorted() {
		if p.owner != (owner{}) && index[p.owner] == 0 {
			order = append(order, p.owner)
			index[p.owner] = uint64(len(order))
		}
	}
	return order, index
}

// ownersByID returns the owner of each publisher that has one.
func (t *table) ownersByID() map[uint64]owner {
	owners := make(map[uint64]owner)
	for _, p := range t.sorted() {
		if p.owner != (owner{}) {
			owners[p.id] = p.owner
		}
	}
	return owners
}

// ownerNames codes the owners of a head.
func (c *coder) ownerNames(all *[]owner) {
	codeList(c, all, 1+1, func(c *coder, o *owner) {
		name := o.String()
		c.ownerName(&name)
		*o = ownerOf(name)
	})
}

// ownerName codes the name of an owner.
func (c *coder) ownerName(name *string) {
	c.text(name)
	c.require(len(*name) > 0 && len(*name) <= record.MaxUser)
}

// codeOwner codes the owner of p as its index in all, 0 for none.
func (p *publisher) codeOwner(c *coder, all []owner, index map[owner]uint64) {
	n := index[p.owner]
	c.uvarint(&n)
	if c.require(n <= uint64(len(all))); c.reading && !c.Bad && n > 0 && !failpoint.On(failpoint.R10OwnerNotInHead) {
		p.owner = all[n-1]
	}
}

// statedOwners codes a state record of owners.
func (c *coder) statedOwners(all *[]PublisherOwner) {
	codeList(c, all, 8+1+1, func(c *coder, s *PublisherOwner) {
		number(c, &s.Publisher)
		c.ownerName(&s.Owner)
	})
}
