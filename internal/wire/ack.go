package wire

import "github.com/holdfast-mq/holdfast/internal/bookmark"

// The values of an ack's status and level.
const (
	StatusSuccess = "success"
	StatusFailure = "failure"
	StatusRetry   = "retry"
	LevelSingle   = "single"
)

// An AckMessage is an ack, S→C.
//
//	{"c":"ack","cid":…,"query_id":…,"a":…,"s":…,"bm":…,"status":…,"reason":…,"sub_id":…,"version":…,
//	 "level":…,"gap":…,"sync":…,"parts":…,"sum":…}
//
// A bookmark or gap longer than PartBytes goes in parts, first those of the
// bookmark, each a frame before that one; only then it has parts and sum:
//
//	{"c":"ack","cid":…,"a":…,"status":…,"sub_id":…,"bm":…,"gap":…,"part":…}
//
// Without s, bm stands behind sub_id. An ack that has a client name, that of a
// logon, is in another order:
//
//	{"c":"ack","cid":…,"s":…,"bm":…,"client_name":…,"a":…,"status":…,"reason":…,"version":…,
//	 "ext":"1","have":…,"max":…,"catching_up":"true","carried":…,
//	 "instance":…,"peers":…,"sync":…,"clock":…}
type AckMessage struct {
	CommandID   string            // cid
	Type        AckType           // a: one
	Success     bool              // status
	Reason      string            // reason
	Sequence    uint64            // s, written if HasSequence
	HasSequence bool              // also where Sequence is 0
	Bookmark    string            // bm
	Mark        bookmark.Bookmark // bm, if Bookmark is empty
	ClientName  string            // client_name: a logon's ack
	SubID       string            // sub_id
	QueryID     string            // query_id
	Version     string            // version

	// Our extensions.
	Ext        bool   // ext: logon ack of an extended session; Have and Max are written
	Have       uint64 // have
	Max        uint64 // max
	CatchingUp bool   // catching_up
	Carried    string // carried, written if HasCarried
	HasCarried bool   // also where Carried is empty
	Instance   string // instance, written with Peers if it is not empty
	Peers      string // peers
	Single     bool   // level single
	Gap        string // gap
	Sync       string // sync

	// Of a logon's ack, left out if empty.
	Cluster     string // cluster
	Incarnation uint64 // incarnation
	Lost        []Span // lost
	Clock       uint64 // clock; 0: not written
}

// AppendTo appends the frame, or the frames.
func (a *AckMessage) AppendTo(dst []byte) []byte {
	if len(a.Bookmark) > PartBytes || len(a.Gap) > PartBytes {
		return a.appendInParts(dst)
	}
	return a.appendLast(dst, splitter{})
}

// appendInParts appends the frames of an ack that is too long for one.
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
	dst = a.appendOther(dst)
	dst = appendNumber(dst, `,"part":`, n, true)
	return endFrame(dst, start, nil)
}

func (a *AckMessage) appendLast(dst []byte, parts splitter) []byte {
	dst, start := beginFrame(dst, "ack", a.CommandID)
	if a.ClientName != "" {
		dst = a.appendLogon(dst)
	} else {
		dst = a.appendOther(dst)
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

func (a *AckMessage) appendOther(dst []byte) []byte {
	dst = appendText(dst, `,"query_id":`, a.QueryID)
	dst = appendAcks(dst, a.Type)
	if a.HasSequence {
		dst = appendNumber(dst, `,"s":`, a.Sequence, true)
		dst = a.appendBookmark(dst)
	}
	dst = a.appendStatus(dst)
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
		return appendBookmark(dst, a.Mark)
	}
	return appendText(dst, `,"bm":`, a.Bookmark)
}

func (a *AckMessage) appendStatus(dst []byte) []byte {
	status := StatusFailure
	if a.Success {
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
		return dst // it stands among the others
	}
	dst = appendText(dst, `,"sync":`, a.Sync)
	dst = appendText(dst, `,"cluster":`, a.Cluster)
	dst = appendNumber(dst, `,"incarnation":`, a.Incarnation, a.Incarnation > 0)
	if len(a.Lost) > 0 {
		dst = append(AppendSpans(append(dst, `,"lost":"`...), a.Lost), '"')
	}
	return appendNumber(dst, `,"clock":`, a.Clock, a.Clock > 0)
}
