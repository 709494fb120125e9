package fuseimages

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/crashimages"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

const file = "store.db"

// PublishStore returns pubstore.Bolt on m.
func PublishStore(m *Mount) crashimages.Subject {
	return crashimages.Subject{Name: "bolt-publish", New: func(seed uint64) crashimages.Model {
		p := crashimages.NewPublishStoreModel(seed)
		p.SyncAlways = true
		p.WriteBack = func(s pubstore.Store) error {
			_, err := s.Logon("gateway") // its commit takes along earlier discards
			return err
		}
		return &publishStoreModel{PublishStoreModel: p, m: m}
	}}
}

// A publishStoreModel is a pubstore.Bolt on a disk in memory.
type publishStoreModel struct {
	*crashimages.PublishStoreModel
	m       *Mount
	release func()
}

// Open implements crashimages.Model.
func (l *publishStoreModel) Open(disk *memfs.FS, killed bool) error {
	path, release, err := l.m.Attach(disk, file)
	if err != nil {
		return err
	}
	l.release = release
	return l.PublishStoreModel.Open(killed, func(boot func() (string, error)) (pubstore.Store, error) {
		return pubstore.OpenBolt(path, pubstore.BoltOptions{BootID: boot, CommitInterval: time.Hour})
	})
}

// Kill implements crashimages.Model.
func (l *publishStoreModel) Kill() {
	l.PublishStoreModel.Kill()
	if l.release != nil {
		l.release()
	}
}

// Clone implements crashimages.Model.
func (l *publishStoreModel) Clone(seed uint64) crashimages.Model {
	return &publishStoreModel{PublishStoreModel: l.PublishStoreModel.Clone(seed), m: l.m}
}
