package journal

import "github.com/holdfast-mq/holdfast/internal/seglog"

// Disk returns the disk that the journal is on.
func (j *Journal) Disk() seglog.FS { return j.o.FS }

// SetOwner changes the owner of a publisher, as a fault of the journal would.
func SetOwner(j *Journal, publisher uint64, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.table.ensure(publisher).owner = ownerOf(name)
}

// HeadBytes returns the length of the head that a segment would have now.
func HeadBytes(j *Journal) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.table.Head())
}
