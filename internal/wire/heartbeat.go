package wire

import (
	"strconv"
	"time"
)

// HeartbeatBeat is the value of opts in a client's answer to a heartbeat of the server. The
// client asks for heartbeats with the result of HeartbeatStart, and ends them with "stop".
const HeartbeatBeat = "beat"

// A HeartbeatCommand is a heartbeat, sent by either side.
//
//	{"c":"heartbeat","cid":…,"opts":"start,30","a":…}
type HeartbeatCommand struct {
	CommandID string
	Options   string // HeartbeatStart(interval), HeartbeatBeat or "stop"; empty from a server
	Acks      AckType
}

// AppendTo appends the frame.
func (c *HeartbeatCommand) AppendTo(dst []byte) []byte {
	dst, start := beginFrame(dst, "heartbeat", c.CommandID)
	dst = appendText(dst, `,"opts":`, c.Options)
	dst = appendAcks(dst, c.Acks)
	return endFrame(dst, start, nil)
}

// HeartbeatStart returns the options that ask for a heartbeat every interval, rounded up to
// whole seconds.
func HeartbeatStart(interval time.Duration) string {
	seconds := max(1, (int64(interval)+int64(time.Second)-1)/int64(time.Second))
	return "start," + strconv.FormatInt(seconds, 10)
}
