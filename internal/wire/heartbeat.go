package wire

import (
	"strconv"
	"time"
)

// The options of a client's heartbeat, besides HeartbeatStart's.
const (
	HeartbeatBeat = "beat" // the answer to a server's heartbeat
	HeartbeatStop = "stop" // no more heartbeats
)

const heartbeatStart = "start,"

// A HeartbeatCommand is a heartbeat, either way.
//
//	{"c":"heartbeat","cid":…,"opts":"start,30","a":…}
type HeartbeatCommand struct {
	CommandID string
	Options   string // HeartbeatStart(interval), HeartbeatBeat, HeartbeatStop; from a server nothing
	Acks      AckType
}

// AppendTo appends the frame.
func (c *HeartbeatCommand) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = beginFrame(dst, "heartbeat")
	dst = appendText(dst, `,"cid":`, c.CommandID)
	dst = appendText(dst, `,"opts":`, c.Options)
	dst = appendAcks(dst, c.Acks)
	return endFrame(dst, start, nil)
}

// HeartbeatStart returns the options that ask for heartbeats at an interval,
// rounded up to whole seconds.
func HeartbeatStart(interval time.Duration) string {
	seconds := max(1, (int64(interval)+int64(time.Second)-1)/int64(time.Second))
	return heartbeatStart + strconv.FormatInt(seconds, 10)
}

// ParseHeartbeatStart returns the interval that such options ask for.
func ParseHeartbeatStart(options []byte) (interval time.Duration, ok bool) {
	const longest = 7 * 24 * 3600 // seconds
	if len(options) < len(heartbeatStart) || string(options[:len(heartbeatStart)]) != heartbeatStart {
		return 0, false
	}
	seconds, ok := parseUint(options[len(heartbeatStart):])
	if !ok || seconds == 0 || seconds > longest {
		return 0, false
	}
	return time.Duration(seconds) * time.Second, true
}
