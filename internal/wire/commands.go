package wire

import "github.com/holdfast-mq/holdfast/internal/bookmark"

// This file is split by the wire package's author: one file per command.

// AckPersistedRequested etc.: every AppendTo appends one whole frame, length
// prefix included, with short keys, in the order of wire.md's vectors, and
// does not allocate when dst has room. Empty strings and zero numbers are left
// out unless a field's comment says otherwise.

// A PublishCommand is a publish or delta_publish, C→S.
type PublishCommand struct {
	Delta         bool
	CommandID     string
	Topic         string
	Acks          AckType
	Sequence      uint64
	Prev          uint64 // written only if HasPrev
	HasPrev       bool
	Expiration    uint64
	HasExpiration bool
	CorrelationID string
	SOWKey        string
	Body          []byte
}

func (c *PublishCommand) AppendTo(dst []byte) []byte { panic("TODO") }

// A Delivery is a publish, S→C.
type Delivery struct {
	Topic         []byte
	Bookmark      bookmark.Bookmark // zero: none
	Timestamp     int64             // microseconds since the Unix epoch; 0: none
	SubIDs        []byte            // comma list
	CorrelationID []byte
	SOWKey        []byte
	UserID        []byte
	Body          []byte
}

func (d *Delivery) AppendTo(dst []byte) []byte { panic("TODO") }

// A LogonCommand is a logon, C→S.
type LogonCommand struct {
	CommandID, ClientName, UserID, Password, CorrelationID, MessageType string
	Acks                                                                AckType
	Options, Version                                                    string
	Ext                                                                 bool // then the following are written, Acked also if 0
	Store                                                               string
	Counter                                                             uint64
	Acked                                                               uint64
}

func (c *LogonCommand) AppendTo(dst []byte) []byte { panic("TODO") }

// A SubscribeCommand is a command of the subscribe or sow family, C→S.
type SubscribeCommand struct {
	Command                                                     Command // Subscribe, ...
	CommandID, Topic, SubID, QueryID, Bookmark, Filter, Options string
	OrderBy, SOWKeys                                            string
	BatchSize, TopN                                             uint64
	Acks                                                        AckType
}

func (c *SubscribeCommand) AppendTo(dst []byte) []byte { panic("TODO") }

// An UnsubscribeCommand is an unsubscribe, C→S.
type UnsubscribeCommand struct {
	CommandID, SubID, QueryID string
	Acks                      AckType
}

func (c *UnsubscribeCommand) AppendTo(dst []byte) []byte { panic("TODO") }

// A FlushCommand is a flush, C→S.
type FlushCommand struct {
	CommandID string
	Acks      AckType
}

func (c *FlushCommand) AppendTo(dst []byte) []byte { panic("TODO") }

// A HeartbeatCommand is a heartbeat, either way. Options: "start,n", "beat", "stop" or empty (S→C).
type HeartbeatCommand struct {
	CommandID string
	Options   string
	Acks      AckType
}

func (c *HeartbeatCommand) AppendTo(dst []byte) []byte { panic("TODO") }

// A SOWDeleteCommand is a sow_delete, C→S.
type SOWDeleteCommand struct {
	CommandID, Topic, Filter, SOWKeys, Bookmark, Options string
	Acks                                                 AckType
	Sequence                                             uint64
	Body                                                 []byte
}

func (c *SOWDeleteCommand) AppendTo(dst []byte) []byte { panic("TODO") }

// An AckMessage is an ack, S→C.
type AckMessage struct {
	CommandID   string
	Type        AckType // one
	Success     bool    // status
	Retry       bool    // status retry instead
	Reason      string
	Sequence    uint64 // written if HasSequence
	HasSequence bool
	Bookmark    string
	ClientName  string
	UserID      string
	Password    string
	SubID       string
	QueryID     string
	Options     string
	Version     string

	Matches, TopicMatches, RecordsReturned, RecordsDeleted uint64 // written on stats acks

	Ext        bool // logon ack of an extended session: Have and Max are written
	Have, Max  uint64
	CatchingUp bool
	Carried    string
	HasCarried bool
	Single     bool // level
	Gap        string
}

func (a *AckMessage) AppendTo(dst []byte) []byte { panic("TODO") }
