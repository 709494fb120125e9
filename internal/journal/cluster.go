package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A ClusterID tells the journals of one group from those of others. The first
// journal of the group makes it, of random bits, and the others take it over. The
// zero one is none.
type ClusterID [16]byte

// IsZero reports whether there is none.
func (c ClusterID) IsZero() bool { return c == ClusterID{} }

// String returns it in hex, empty if there is none.
func (c ClusterID) String() string {
	if c.IsZero() {
		return ""
	}
	return hex.EncodeToString(c[:])
}

// Short returns its beginning, for messages to people.
func (c ClusterID) Short() string {
	s := c.String()
	return s[:min(len(s), 8)]
}

// A Cluster is what a journal knows of the group that it belongs to.
type Cluster struct {
	ID      ClusterID
	Founded bool // this journal has made the id
	// Intact says that the journal has what this instance acknowledged since the
	// group began: it has made the id, or has once caught up with one that is intact.
	Intact bool
}

var (
	errHasCluster = errors.New("the journal has a cluster id")
	errHasRecords = errors.New("the journal has records")
)

// Cluster returns the group that the journal belongs to.
func (j *Journal) Cluster() Cluster { return locked(&j.mu, &j.table.cluster) }

// Empty reports whether the journal knows no publisher.
func (j *Journal) Empty() bool { return j.Publishers() == 0 }

// Found makes the journal the first one of a group, with a new id, durably. It
// fails if the journal has an id.
func (j *Journal) Found() (Cluster, error) {
	c := Cluster{Founded: true, Intact: true}
	_, _ = rand.Read(c.ID[:]) // never fails
	return c, j.join(c, false)
}

// Adopt makes the journal one of the group with that id, durably. It fails if the
// journal has an id, or any record: that would be another group's. Of a damaged
// journal the id may be what was lost; it has all that it lacks from the group.
func (j *Journal) Adopt(id ClusterID) error { return j.join(Cluster{ID: id}, true) }

// join has the journal belong to a group. No record can come in between.
func (j *Journal) join(c Cluster, empty bool) error {
	c.Intact = c.Intact || mut.On(mut.R10IntactAtOnce)
	err := j.appending(func() error {
		switch {
		case !j.table.cluster.ID.IsZero():
			return errHasCluster
		case empty && len(j.table.byID) > 0 && j.damage == nil && !mut.On(mut.R2AdoptsWithRecords):
			return errHasRecords
		}
		return j.appendChangeLocked(change{kind: stateCluster, cluster: c})
	})
	if err == nil {
		err = j.Sync()
	}
	return annotate(err, "become one of cluster %s", c.ID.Short())
}

// BecomeIntact notes that the journal is intact again. It is durable before what is
// appended afterwards, and after what was appended before.
func (j *Journal) BecomeIntact() error {
	err := j.appending(func() error {
		c := j.table.cluster
		c.Intact = true
		return j.appendChangeLocked(change{kind: stateCluster, cluster: c})
	})
	return annotate(err, "become intact")
}

func (c *coder) cluster(of *Cluster) {
	c.bytes(of.ID[:])
	c.flags(&of.Founded, &of.Intact)
}
