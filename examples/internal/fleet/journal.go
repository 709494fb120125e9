package fleet

import (
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/verdict"
)

// ReadJournal returns the messages in a stopped instance's journal. The key is
// out of a message's body alone, so that the verdict doesn't lean on the
// identities under test.
func ReadJournal(dir string, keyOf func(body []byte) (publisher, key string, err error)) (verdict.Keys, error) {
	h := make(verdict.Keys)
	err := journal.Dump(seglog.ReadOnly, dir, func(r *journal.Record) error {
		if r.Kind != journal.Message {
			return nil
		}
		publisher, key, err := keyOf(r.Body)
		if err != nil {
			return err
		}
		h[publisher] = append(h[publisher], key)
		return nil
	})
	return h, err
}
