package sim

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// What the frames between clients and instances say, as the instances' side
// has it.
type (
	logonPacket struct {
		ext     bool
		name    string
		life    string
		counter uint64
		acked   uint64
	}
	logonAckPacket struct {
		safe, have uint64
		catchingUp bool
	}
	// failPacket ends a session: publish gap, name in use, or a logon refused.
	failPacket    struct{ reason string }
	publishPacket struct {
		sequence, prev uint64
		topic          string
		body           uint64
	}
	persistedPacket struct {
		sequence        uint64
		single, failure bool
	}
	subscribePacket struct {
		id      uint64
		topic   string
		bm      string
		options string
	}
	subscribedPacket struct {
		id     uint64
		reason string // empty: success
		base   bookmark.Vector
		gaps   []wire.Gap
	}
	messagePacket struct {
		sub   uint64
		topic []byte
		b     bookmark.Bookmark
		body  uint64
	}
	markPacket struct {
		sub  uint64
		mark string
	}
	unsubscribePacket struct{ id uint64 }
	beatPacket        struct{}
)
