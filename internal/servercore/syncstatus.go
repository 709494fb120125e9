package servercore

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// statusSpacing is the least time between two messages that tell one client the instance's sync
// status. So a link that flaps does not flood the client. A delayed change is sent later, so the
// last message is always true.
const statusSpacing = time.Second

// A sentStatus is the sync status that a client with our extensions was told last.
type sentStatus struct {
	status  string    // the first is that of the logon ack; empty: none was sent
	sentAt  time.Time // time of the last message about a change
	delayed bool      // a change waits for statusSpacing
}

// change returns the status to send to the client now, empty for none. It returns a status that
// differs from the one sent last, at most once per statusSpacing. A stop of the instance is sent at
// once.
func (t *sentStatus) change(now syncstatus.Status, at time.Time) string {
	text := now.String()
	t.delayed = false
	switch {
	case t.status == "" || t.status == text:
		return ""
	case now != syncstatus.Stopping && at.Sub(t.sentAt) < statusSpacing:
		t.delayed = true
		return ""
	}
	t.status, t.sentAt = text, at
	return text
}

// wait returns how long a delayed change must still wait.
func (t *sentStatus) wait(at time.Time) time.Duration {
	if !t.delayed {
		return never
	}
	return statusSpacing - at.Sub(t.sentAt)
}

// stopping returns the message that tells the client that the instance stops. It returns nil for a
// client without our extensions.
func (t *sentStatus) stopping() *wire.AckMessage {
	if t.status == "" {
		return nil
	}
	return statusAck(syncstatus.Stopping.String())
}

func statusAck(status string) *wire.AckMessage {
	return &wire.AckMessage{Type: wire.AckProcessed, Success: true, Sync: status}
}
