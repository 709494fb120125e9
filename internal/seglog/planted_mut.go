//go:build mut

package seglog

import "github.com/holdfast-mq/holdfast/internal/mut"

// inPlacePlanted is a planted bug: it continues in the last segment although that may hold records
// that are not durable.
func (r *recovery) inPlacePlanted(tidy bool) {
	switch {
	case r.inPlace:
	case mut.On(mut.R7TrustPageCache) && tidy:
		r.inPlace = true
	case mut.On(mut.R8AppendBehindTorn) && r.behind > r.end:
		r.inPlace, r.end = true, Position(align(int64(r.behind)))
	}
}
