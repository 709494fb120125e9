package journal

import "github.com/holdfast-mq/holdfast/internal/seglog"

// Disk returns the disk that the journal is on.
func (j *Journal) Disk() seglog.FS { return j.o.FS }
