package wire

// extVersion is the value of ext in a logon or logon ack whose sender supports our extensions.
const extVersion = "1"

// A LogonCommand is a logon, C→S.
//
//	{"c":"logon","cid":…,"client_name":…,"user_id":…,"pw":…,"x":…,"mt":…,"a":…,"opts":…,"version":…,
//	 "ext":"1","store":…,"n":…,"acked":…,"last":…,"rejected":…,"cluster":…,"incarnation":…,
//	 "sent":…,"clock":…}
type LogonCommand struct {
	CommandID, ClientName, UserID, Password, CorrelationID, MessageType string
	Acks                                                                AckType
	Options, Version                                                    string

	Ext     bool // write the fields below; empty ones too, unless their comment says otherwise
	Store   string
	Counter uint64
	Acked   uint64
	Last    uint64
	// Rejected is left out if it is empty.
	Rejected []Span
	// Cluster is the id of the group that the client's stores have met. Incarnation is the
	// highest one of that group that they have met. Both are left out if empty.
	Cluster     string
	Incarnation uint64
	Sent        uint64 // left out if 0, as is Clock
	Clock       uint64
}

// AppendTo appends the frame.
func (c *LogonCommand) AppendTo(dst []byte) []byte {
	dst, start := beginFrame(dst, "logon", c.CommandID)
	dst = appendText(dst, `,"client_name":`, c.ClientName)
	dst = appendText(dst, `,"user_id":`, c.UserID)
	dst = appendText(dst, `,"pw":`, c.Password)
	dst = appendText(dst, `,"x":`, c.CorrelationID)
	dst = appendText(dst, `,"mt":`, c.MessageType)
	dst = appendAcks(dst, c.Acks)
	dst = appendText(dst, `,"opts":`, c.Options)
	dst = appendText(dst, `,"version":`, c.Version)
	if c.Ext {
		dst = append(dst, `,"ext":"`+extVersion+`","store":`...)
		dst = appendQuoted(dst, c.Store)
		dst = appendNumber(dst, `,"n":`, c.Counter, true)
		dst = appendNumber(dst, `,"acked":`, c.Acked, true)
		dst = appendNumber(dst, `,"last":`, c.Last, true)
		if len(c.Rejected) > 0 {
			dst = append(dst, `,"rejected":"`...)
			dst = append(AppendSpans(dst, c.Rejected), '"')
		}
		dst = appendText(dst, `,"cluster":`, c.Cluster)
		dst = appendNumber(dst, `,"incarnation":`, c.Incarnation, c.Incarnation > 0)
		dst = appendNumber(dst, `,"sent":`, c.Sent, c.Sent > 0)
		dst = appendNumber(dst, `,"clock":`, c.Clock, c.Clock > 0)
	}
	return endFrame(dst, start, nil)
}

// IsExt reports whether the sender of m, a logon or a logon ack, supports our extensions.
func (m *Message) IsExt() bool { return string(m.Ext) == extVersion }
