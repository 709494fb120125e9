package wire

// A Message is a frame that was read: the fields of its header, and its body. The byte slices
// point into the frame, or into the scratch of the Message if the text had an escape. They are
// valid as long as the frame is, and until the next Parse. A slice is nil if the key is absent,
// and not nil if its value is empty.
type Message struct {
	Command     Command // c
	CommandText []byte  // the name in the frame, for Unknown

	CommandID     []byte  // cid
	Topic         []byte  // t
	Acks          AckType // a: all types in the list
	Sequence      uint64  // s
	HasSequence   bool    // s is present
	Bookmark      []byte  // bm
	Filter        []byte  // filter
	Options       []byte  // opts
	SubID         []byte  // sub_id
	SubIDs        []byte  // sids
	QueryID       []byte  // query_id
	BatchSize     uint64  // bs
	OrderBy       []byte  // orderby
	TopN          uint64  // top_n
	HasTopN       bool    // top_n is present
	SOWKey        []byte  // k
	SOWKeys       []byte  // sow_keys
	Expiration    uint64  // e
	HasExpiration bool    // e is present
	CorrelationID []byte  // x
	Length        uint64  // l
	HasLength     bool    // l is present
	Timestamp     []byte  // ts
	ClientName    []byte  // client_name
	UserID        []byte  // user_id
	Password      []byte  // pw
	MessageType   []byte  // mt
	Version       []byte  // version
	Status        []byte  // status
	Reason        []byte  // reason

	Matches         uint64 // matches
	TopicMatches    uint64 // topic_matches
	RecordsReturned uint64 // records_returned
	RecordsDeleted  uint64 // records_deleted

	// Our extensions.
	Ext        []byte // ext
	Store      []byte // store: the id of the store's life
	Counter    uint64 // n: the logon counter
	Acked      uint64 // acked
	Last       uint64 // last
	Rejected   []byte // rejected: a comma list of spans
	Have       uint64 // have
	HasHave    bool   // have is present
	Max        uint64 // max
	CatchingUp bool   // catching_up
	Carried    []byte // carried: a comma list of topic patterns
	HasCarried bool   // carried is present
	Level      []byte // level
	Gap        []byte // gap
	Instance   []byte // instance: the server's name
	Peers      []byte // peers: a comma list of instances
	Sync       []byte // sync: a syncstatus.Status
	Part       uint64 // part: the number of this part, from 1
	Parts      uint64 // parts: the number of parts before this frame
	Sum        uint64 // sum: the checksum over all parts

	Cluster     []byte // cluster: the id of the group
	Incarnation uint64 // incarnation: of the group
	Lost        []byte // lost: a comma list of spans
	Sent        uint64 // sent
	Clock       uint64 // clock: of the group
	Headers     []byte // headers: the application's, as in a record; base-64 in the frame

	Body []byte // the bytes after the header

	scratch []byte // texts without their escapes
}

// Failed reports whether an ack is a failure.
func (m *Message) Failed() bool { return string(m.Status) == StatusFailure }

// textField returns the field for a key whose value is plain text, or nil for other keys. The
// second key of a case is a synonym that is read but never written.
func (m *Message) textField(key []byte) *[]byte {
	switch string(key) {
	case "t", "topic":
		return &m.Topic
	case "bm", "bookmark":
		return &m.Bookmark
	case "ts", "timestamp":
		return &m.Timestamp
	case "sids":
		return &m.SubIDs
	case "cid", "cmd_id":
		return &m.CommandID
	case "sub_id":
		return &m.SubID
	case "query_id":
		return &m.QueryID
	case "opts", "o":
		return &m.Options
	case "filter", "f":
		return &m.Filter
	case "orderby", "order_by":
		return &m.OrderBy
	case "k", "sow_key":
		return &m.SOWKey
	case "sow_keys":
		return &m.SOWKeys
	case "x", "correlation_id":
		return &m.CorrelationID
	case "status":
		return &m.Status
	case "reason":
		return &m.Reason
	}
	return m.sessionTextField(key)
}

// sessionTextField is the part of textField for logons, their acks, and our extensions.
func (m *Message) sessionTextField(key []byte) *[]byte {
	switch string(key) {
	case "client_name":
		return &m.ClientName
	case "user_id":
		return &m.UserID
	case "pw", "password":
		return &m.Password
	case "mt", "message_type":
		return &m.MessageType
	case "version", "v":
		return &m.Version
	case "ext":
		return &m.Ext
	case "store":
		return &m.Store
	case "rejected":
		return &m.Rejected
	case "carried":
		return &m.Carried
	case "level":
		return &m.Level
	case "gap":
		return &m.Gap
	case "instance":
		return &m.Instance
	case "peers":
		return &m.Peers
	case "sync":
		return &m.Sync
	case "cluster":
		return &m.Cluster
	case "lost":
		return &m.Lost
	}
	return nil
}

// numberField returns the field for a key whose value is a number, or nil for other keys.
// present is the field that records that the key is present. If it is nil, an absent key and 0
// mean the same.
func (m *Message) numberField(key []byte) (n *uint64, present *bool) {
	switch string(key) {
	case "s", "seq":
		return &m.Sequence, &m.HasSequence
	case "e", "expiration":
		return &m.Expiration, &m.HasExpiration
	case "l", "msg_len":
		return &m.Length, &m.HasLength
	case "bs", "batch_size":
		return &m.BatchSize, nil
	case "top_n":
		return &m.TopN, &m.HasTopN
	case "n":
		return &m.Counter, nil
	case "acked":
		return &m.Acked, nil
	case "last":
		return &m.Last, nil
	case "have":
		return &m.Have, &m.HasHave
	case "sent":
		return &m.Sent, nil
	case "clock":
		return &m.Clock, nil
	case "max":
		return &m.Max, nil
	case "part":
		return &m.Part, nil
	case "parts":
		return &m.Parts, nil
	case "sum":
		return &m.Sum, nil
	case "incarnation":
		return &m.Incarnation, nil
	}
	return m.countField(key), nil
}

// countField is the part of numberField for stats acks.
func (m *Message) countField(key []byte) *uint64 {
	switch string(key) {
	case "matches":
		return &m.Matches
	case "topic_matches":
		return &m.TopicMatches
	case "records_returned":
		return &m.RecordsReturned
	case "records_deleted":
		return &m.RecordsDeleted
	}
	return nil
}
