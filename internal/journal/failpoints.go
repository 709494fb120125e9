//go:build failpoint

package journal

import (
	"sync"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// outlived has the owners of forgotten publishers for a planted bug.
var outlived sync.Map // owner by publisher id

// outlivePlanted remembers the owner of a publisher that is forgotten.
func (p *publisher) outlivePlanted() {
	if failpoint.On(failpoint.R10OwnerOutlives) {
		outlived.Store(p.id, p.owner)
	}
}

// returnPlanted gives a new publisher the owner that an earlier one with its id had.
func (p *publisher) returnPlanted() {
	if o, ok := outlived.Load(p.id); ok {
		p.owner = o.(owner)
	}
}
