//go:build failpoint

package seglog

import "github.com/holdfast-mq/holdfast/internal/failpoint"

// inPlacePlanted is a planted bug: it continues in the last segment although that may hold records
// that are not durable.
func (r *recovery) inPlacePlanted(tidy bool) {
	switch {
	case r.inPlace:
	case failpoint.On(failpoint.R7TrustPageCache) && tidy:
		r.inPlace = true
	case failpoint.On(failpoint.R8AppendBehindTorn) && r.dataEnd > r.end:
		r.inPlace, r.end = true, Position(align(int64(r.dataEnd)))
	}
}
