package wire

import (
	"strconv"
	"time"
)

// HeartbeatBeat are the options of a client's answer to a server's heartbeat. Those that
// ask for heartbeats are HeartbeatStart's, and "stop" ends them.
const HeartbeatBeat = "beat"

// A HeartbeatCommand is a heartbeat, either way.
//
//	{"c":"heartbeat","cid":…,"opts":"start,30","a":…}
type HeartbeatCommand struct {
	CommandID string
	Options   string // HeartbeatStart(interval), HeartbeatBeat, "stop"; from a server nothing
	Acks      AckType
}

// AppendTo appends the frame.
func (c *HeartbeatCommand) AppendTo(dst []byte) []byte {
	dst, start := beginFrame(dst, "heartbeat", c.CommandID)
	dst = appendText(dst, `,"opts":`, c.Options)
	dst = appendAcks(dst, c.Acks)
	return endFrame(dst, start, nil)
}

// HeartbeatStart returns the options that ask for heartbeats at an interval,
// rounded up to whole seconds.
func HeartbeatStart(interval time.Duration) string {
	seconds := max(1, (int64(interval)+int64(time.Second)-1)/int64(time.Second))
	return "start," + strconv.FormatInt(seconds, 10)
}
