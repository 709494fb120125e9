package fleet

import (
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
)

// ReadJournal returns the messages in a stopped instance's journal. The key is
// out of a message's body alone, so that the verdict doesn't lean on the
// identities under test.
func ReadJournal(dir string, keyOf func(body []byte) (publisher, key string, err error)) (checker.Keys, error) {
	h := make(checker.Keys)
	err := EachMessage(dir, func(_ string, body []byte) error {
		publisher, key, err := keyOf(body)
		if err != nil {
			return err
		}
		h[publisher] = append(h[publisher], key)
		return nil
	})
	return h, err
}

// EachMessage calls do for each message in a stopped instance's journal, in its order.
func EachMessage(dir string, do func(topic string, body []byte) error) error {
	return journals.Dump(seglog.ReadOnly, dir, func(r *journal.Record) error {
		if r.Kind != journal.Message {
			return nil
		}
		return do(string(r.Topic), r.Body)
	})
}
