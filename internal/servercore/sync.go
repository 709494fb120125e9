package servercore

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// statusSpacing is the least time between two messages that tell one client
// the instance's sync status: a link that comes and goes does not flood it, and
// the last message is true.
const statusSpacing = time.Second

// A toldStatus is the sync status that a client with our extensions knows.
type toldStatus struct {
	status string    // at first that in the logon ack; empty: it knows none
	at     time.Time // when it was told of a change
	late   bool      // another change waits for its distance
}

// change returns the status to tell the client now, empty for none: another
// one than it knows, if time has passed since. That the instance stops is told
// at once.
func (t *toldStatus) change(now syncstatus.Status, at time.Time) string {
	text := now.String()
	t.late = false
	switch {
	case t.status == "" || t.status == text:
		return ""
	case now != syncstatus.Stopping && at.Sub(t.at) < statusSpacing:
		t.late = true
		return ""
	}
	t.status, t.at = text, at
	return text
}

// until returns how long a change must still wait.
func (t *toldStatus) until(at time.Time) time.Duration {
	if !t.late {
		return never
	}
	return statusSpacing - at.Sub(t.at)
}

// stopping returns the last message to a client that knows our extensions, nil
// to others.
func (t *toldStatus) stopping() *wire.AckMessage {
	if t.status == "" {
		return nil
	}
	return statusAck(syncstatus.Stopping.String())
}

func statusAck(status string) *wire.AckMessage {
	return &wire.AckMessage{Type: wire.AckProcessed, Success: true, Sync: status}
}
