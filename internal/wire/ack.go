package wire

import "github.com/holdfast-mq/holdfast/internal/bookmark"

// The values of status and level in an ack.
const (
	StatusSuccess = "success"
	StatusFailure = "failure"
	StatusRetry   = "retry"
	LevelSingle   = "single"
)

// An AckMessage is an ack, S→C.
//
//	{"c":"ack","cid":…,"query_id":…,"a":…,"s":…,"bm":…,"status":…,"reason":…,"user_id":…,"pw":…,"sub_id":…,"version":…,
//	 "level":…,"gap":…,"sync":…,"parts":…,"sum":…}
//
// Without s, bm follows sub_id.
//
// A bookmark or gap longer than PartBytes is split. Each part is a frame of its own before the
// ack, and the parts of the bookmark come first. Only a split ack has parts and sum:
//
//	{"c":"ack","cid":…,"a":…,"status":…,"sub_id":…,"bm":…,"gap":…,"part":…}
//
// A logon ack, which is an ack with a client name, has another order of keys:
//
//	{"c":"ack","cid":…,"s":…,"bm":…,"client_name":…,"a":…,"status":…,"reason":…,"version":…,
//	 "ext":"1","have":…,"max":…,"catching_up":"true","carried":…,
//	 "instance":…,"peers":…,"sync":…,"cluster":…,"incarnation":…,"lost":…,"clock":…}
type AckMessage struct {
	CommandID       string            // cid
	Type            AckType           // a: one type
	Success         bool              // status
	Reason          string            // reason
	Sequence        uint64            // s, written if HasSequence
	HasSequence     bool              // write s, also if Sequence is 0
	Bookmark        string            // bm
	MessageBookmark bookmark.Bookmark // bm if Bookmark is empty
	ClientName      string            // client_name: this is a logon ack
	SubID           string            // sub_id
	QueryID         string            // query_id
	Version         string            // version

	// A challenge has the status retry, and asks for another logon on the same connection.
	Challenge bool   // status: retry; UserID and Password are written
	UserID    string // user_id
	Password  string // pw: the text of the challenge

	// Our extensions.
	Ext        bool   // ext: a logon ack of an extended session; Have and Max are written
	Have       uint64 // have
	Max        uint64 // max
	CatchingUp bool   // catching_up
	Carried    string // carried, if HasCarried
	HasCarried bool   // write carried, also if it is empty
	Instance   string // instance; Peers is written with it, unless Instance is empty
	Peers      string // peers
	Single     bool   // level: single
	Gap        string // gap
	Sync       string // sync

	// Only in a logon ack; left out if empty or 0.
	Cluster     string // cluster
	Incarnation uint64 // incarnation
	Lost        []Span // lost
	Clock       uint64 // clock
}

// AppendTo appends the frame, or all frames if the ack is split.
func (a *AckMessage) AppendTo(dst []byte) []byte {
	if len(a.Bookmark) > PartBytes || len(a.Gap) > PartBytes {
		return a.appendInParts(dst)
	}
	return a.appendLast(dst, splitter{})
}

// appendInParts appends the frames of an ack that is too long for one frame.
func (a *AckMessage) appendInParts(dst []byte) []byte {
	var parts splitter
	frame := AckMessage{CommandID: a.CommandID, Type: a.Type, Success: a.Success, SubID: a.SubID}
	last := *a
	last.Bookmark = parts.cut(a.Bookmark, func(part string, n uint64) {
		frame.Bookmark = part
		dst = frame.appendPart(dst, n)
	})
	frame.Bookmark = ""
	last.Gap = parts.cut(a.Gap, func(part string, n uint64) {
		frame.Gap = part
		dst = frame.appendPart(dst, n)
	})
	parts.add(last.Bookmark)
	parts.add(last.Gap)
	return last.appendLast(dst, parts)
}

func (a *AckMessage) appendPart(dst []byte, n uint64) []byte {
	dst, start := beginFrame(dst, "ack", a.CommandID)
	dst = a.appendAck(dst)
	dst = appendNumber(dst, `,"part":`, n, true)
	return endFrame(dst, start, nil)
}

func (a *AckMessage) appendLast(dst []byte, parts splitter) []byte {
	dst, start := beginFrame(dst, "ack", a.CommandID)
	if a.ClientName != "" {
		dst = a.appendLogon(dst)
	} else {
		dst = a.appendAck(dst)
	}
	if a.Ext {
		dst = a.appendExt(dst)
	}
	return endFrame(parts.appendEnd(dst), start, nil)
}

func (a *AckMessage) appendLogon(dst []byte) []byte {
	dst = appendNumber(dst, `,"s":`, a.Sequence, a.HasSequence)
	dst = appendText(dst, `,"bm":`, a.Bookmark)
	dst = appendText(dst, `,"client_name":`, a.ClientName)
	dst = appendAcks(dst, a.Type)
	dst = a.appendStatus(dst)
	return appendText(dst, `,"version":`, a.Version)
}

func (a *AckMessage) appendAck(dst []byte) []byte {
	dst = appendText(dst, `,"query_id":`, a.QueryID)
	dst = appendAcks(dst, a.Type)
	if a.HasSequence {
		dst = appendNumber(dst, `,"s":`, a.Sequence, true)
		dst = a.appendBookmark(dst)
	}
	dst = a.appendStatus(dst)
	dst = appendText(dst, `,"user_id":`, a.UserID)
	dst = appendText(dst, `,"pw":`, a.Password)
	dst = appendText(dst, `,"sub_id":`, a.SubID)
	if !a.HasSequence {
		dst = a.appendBookmark(dst)
	}
	dst = appendText(dst, `,"version":`, a.Version)
	if a.Single {
		dst = append(dst, `,"level":"`+LevelSingle+`"`...)
	}
	dst = appendText(dst, `,"gap":`, a.Gap)
	return appendText(dst, `,"sync":`, a.Sync)
}

func (a *AckMessage) appendBookmark(dst []byte) []byte {
	if a.Bookmark == "" {
		return appendBookmark(dst, a.MessageBookmark)
	}
	return appendText(dst, `,"bm":`, a.Bookmark)
}

func (a *AckMessage) appendStatus(dst []byte) []byte {
	status := StatusFailure
	switch {
	case a.Challenge:
		status = StatusRetry
	case a.Success:
		status = StatusSuccess
	}
	dst = appendText(dst, `,"status":`, status)
	return appendText(dst, `,"reason":`, a.Reason)
}

func (a *AckMessage) appendExt(dst []byte) []byte {
	dst = append(dst, `,"ext":"`+extVersion+`"`...)
	dst = appendNumber(dst, `,"have":`, a.Have, true)
	dst = appendNumber(dst, `,"max":`, a.Max, true)
	if a.CatchingUp {
		dst = append(dst, `,"catching_up":"true"`...)
	}
	if a.HasCarried {
		dst = append(dst, `,"carried":`...)
		dst = appendQuoted(dst, a.Carried)
	}
	if a.Instance != "" {
		dst = appendText(dst, `,"instance":`, a.Instance)
		dst = append(dst, `,"peers":`...)
		dst = appendQuoted(dst, a.Peers)
	}
	if a.ClientName == "" {
		return dst // sync is written already
	}
	dst = appendText(dst, `,"sync":`, a.Sync)
	dst = appendText(dst, `,"cluster":`, a.Cluster)
	dst = appendNumber(dst, `,"incarnation":`, a.Incarnation, a.Incarnation > 0)
	if len(a.Lost) > 0 {
		dst = append(AppendSpans(append(dst, `,"lost":"`...), a.Lost), '"')
	}
	return appendNumber(dst, `,"clock":`, a.Clock, a.Clock > 0)
}
