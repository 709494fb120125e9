package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A ClusterID tells the journals of one group from those of another. The first journal of a
// group makes the id of random bits, and the others take it over. The zero ClusterID means
// none.
type ClusterID [16]byte

// IsZero reports whether there is no id.
func (c ClusterID) IsZero() bool { return c == ClusterID{} }

// String returns the id in hex, empty if there is none.
func (c ClusterID) String() string {
	if c.IsZero() {
		return ""
	}
	return hex.EncodeToString(c[:])
}

// Short returns the first eight digits, for messages to people.
func (c ClusterID) Short() string {
	s := c.String()
	return s[:min(len(s), 8)]
}

// A Cluster is the journal's knowledge of its group.
type Cluster struct {
	ID      ClusterID
	Founded bool // this journal has made the id
	// Intact says that the journal has, or had, everything that this instance has
	// acknowledged since the group began: it has made the id, or it has once caught up with
	// an intact one.
	Intact bool
}

var (
	errHasCluster = errors.New("the journal has a cluster id")
	errHasRecords = errors.New("the journal has records")
)

// Cluster returns the group that the journal belongs to.
func (j *Journal) Cluster() Cluster { return readLocked(&j.mu, &j.table.cluster) }

// Empty reports whether the journal knows no publisher.
func (j *Journal) Empty() bool { return j.Publishers() == 0 }

// FoundCluster makes the journal the first one of a group with a new id, durably. It fails if the
// journal has an id.
func (j *Journal) FoundCluster() (Cluster, error) {
	c := Cluster{Founded: true, Intact: true}
	_, _ = rand.Read(c.ID[:]) // never fails
	return c, j.joinCluster(c, false)
}

// AdoptCluster makes the journal a member of the group with that id, durably. It fails if the
// journal has an id, or any record: that would be a record of another group. A damaged
// journal may have records, since it may have lost its id; it gets everything that it lacks
// from the group.
func (j *Journal) AdoptCluster(id ClusterID) error { return j.joinCluster(Cluster{ID: id}, true) }

// joinCluster makes the journal a member of a group. No record can be appended between its check
// and its change.
func (j *Journal) joinCluster(c Cluster, empty bool) error {
	c.Intact = c.Intact || failpoint.On(failpoint.R10IntactAtOnce)
	err := j.withRoom(func() error {
		switch {
		case !j.table.cluster.ID.IsZero():
			return errHasCluster
		case empty && len(j.table.byID) > 0 && j.damage == nil && !failpoint.On(failpoint.R2AdoptsWithRecords):
			return errHasRecords
		}
		return j.appendChangeLocked(change{kind: stateCluster, cluster: c})
	})
	if err == nil {
		err = j.Sync()
	}
	return annotate(err, "become one of cluster %s", c.ID.Short())
}

// BecomeIntact notes that the journal is intact. The note becomes durable after everything
// appended before it, and before everything appended afterwards.
func (j *Journal) BecomeIntact() error {
	err := j.withRoom(func() error {
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
