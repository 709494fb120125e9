package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A ClusterID identifies a group: all its journals have the same one, of random bits. The
// first journal of the group makes it, and the others adopt it. The zero ClusterID means none.
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

// Short returns the first eight digits, for logs and errors.
func (c ClusterID) Short() string {
	s := c.String()
	return s[:min(len(s), 8)]
}

// A Cluster is the journal's knowledge of its group.
type Cluster struct {
	ID      ClusterID
	Founded bool // this journal has made the id
	// Intact reports that the journal has, or had, everything that this instance has
	// acknowledged since the group began: it has made the id, or it has once caught up with
	// an intact instance.
	Intact bool
}

var (
	errHasCluster = errors.New("the journal has a cluster id already")
	errHasRecords = errors.New("the journal has records")
)

// Cluster returns the group that the journal belongs to.
func (j *Journal) Cluster() Cluster { return readLocked(&j.mu, &j.table.cluster) }

// Empty reports whether the journal knows no publisher.
func (j *Journal) Empty() bool { return j.Publishers() == 0 }

// FoundCluster makes the journal the first one of a new group, durably. It fails if the
// journal has an id.
func (j *Journal) FoundCluster() (Cluster, error) {
	c := Cluster{Founded: true, Intact: true}
	_, _ = rand.Read(c.ID[:]) // never fails
	return c, j.joinCluster(c, false)
}

// AdoptCluster makes the journal a member of the group with that id, durably. It fails if the
// journal has an id. It also fails if the journal has a record, which would belong to another
// group. A damaged journal may have records, since the damage may have destroyed its id. The
// group sends it everything that it lacks.
func (j *Journal) AdoptCluster(id ClusterID) error { return j.joinCluster(Cluster{ID: id}, true) }

// joinCluster makes the journal a member of a group. With empty the journal must have no
// records. No record can be appended between this check and the change.
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
	return annotate(err, "join cluster %s", c.ID.Short())
}

// BecomeIntact records that the journal is intact. The state record becomes durable after all
// earlier records and before all later ones.
func (j *Journal) BecomeIntact() error {
	err := j.withRoom(func() error {
		c := j.table.cluster
		c.Intact = true
		return j.appendChangeLocked(change{kind: stateCluster, cluster: c})
	})
	return annotate(err, "become intact")
}

func (c *coder) cluster(v *Cluster) {
	c.bytes(v.ID[:])
	c.flags(&v.Founded, &v.Intact)
}
