package wire

// A Command is a command of the protocol (wire.md 3, 7).
type Command uint8

// The commands. P and "publish" are the same on the wire.
const (
	Unknown Command = iota
	Publish
	DeltaPublish
	Subscribe
	DeltaSubscribe
	SOW
	SOWAndSubscribe
	SOWAndDeltaSubscribe
	SOWDelete
	Unsubscribe
	Logon
	Flush
	Heartbeat
	StartTimer
	StopTimer
	Ack
	GroupBegin
	GroupEnd
	OOF
)

// An AckType is one kind of ack; several are or-ed where a command asks for them.
type AckType uint8

// The ack types, with the bits of client enumerations (wire.md 6).
const (
	AckReceived  AckType = 1
	AckParsed    AckType = 2
	AckProcessed AckType = 4
	AckPersisted AckType = 8
	AckCompleted AckType = 16
	AckStats     AckType = 32
)

// A Message is one frame as read: header fields and body. The byte slices
// point into the frame (or into the Message's own scratch where the text held
// an escape) and are valid as long as it is, until the next Parse. A field
// that is absent is nil; one that is present and empty is not.
type Message struct {
	Command     Command
	CommandText []byte // as it stood, for Unknown

	CommandID     []byte  // cid
	Topic         []byte  // t
	Acks          AckType // a: all that were named
	Sequence      uint64  // s
	HasSequence   bool
	Bookmark      []byte // bm
	Filter        []byte // filter
	Options       []byte // opts
	SubID         []byte // sub_id
	SubIDs        []byte // sids
	QueryID       []byte // query_id
	BatchSize     uint64 // bs
	OrderBy       []byte // orderby
	TopN          uint64 // top_n
	HasTopN       bool
	SOWKey        []byte // k
	SOWKeys       []byte // sow_keys
	Expiration    uint64 // e
	HasExpiration bool
	CorrelationID []byte // x
	Length        uint64 // l
	HasLength     bool
	Timestamp     []byte // ts
	LeasePeriod   []byte // lp
	ClientName    []byte // client_name
	UserID        []byte // user_id
	Password      []byte // pw
	MessageType   []byte // mt
	Version       []byte // version
	Status        []byte // status
	Reason        []byte // reason
	GroupSequence uint64 // gseq

	Matches         uint64 // matches
	TopicMatches    uint64 // topic_matches
	RecordsReturned uint64 // records_returned
	RecordsDeleted  uint64 // records_deleted
	RecordsInserted uint64 // records_inserted
	RecordsUpdated  uint64 // records_updated

	// Our extensions (architecture.md, "Extensions to the protocol").
	Ext        []byte // ext
	Store      []byte // store: id of the store's life
	Counter    uint64 // n: logon counter
	Acked      uint64 // acked
	Have       uint64 // have
	HasHave    bool
	Max        uint64 // max
	CatchingUp bool   // catching_up
	Carried    []byte // carried: comma list of topic patterns
	HasCarried bool
	Prev       uint64 // prev
	HasPrev    bool
	Level      []byte // level
	Gap        []byte // gap

	Body []byte

	scratch []byte // unescaped text
}
