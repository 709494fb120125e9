package wire

// A Command is a command of the protocol.
type Command uint8

// The commands. "p" and "publish" are the same on the wire.
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
	Batch   // one of our extensions
	Stretch // one of our extensions
)

var commandNames = [...]string{
	Unknown:              "unknown",
	Publish:              "p",
	DeltaPublish:         "delta_publish",
	Subscribe:            "subscribe",
	DeltaSubscribe:       "delta_subscribe",
	SOW:                  "sow",
	SOWAndSubscribe:      "sow_and_subscribe",
	SOWAndDeltaSubscribe: "sow_and_delta_subscribe",
	SOWDelete:            "sow_delete",
	Unsubscribe:          "unsubscribe",
	Logon:                "logon",
	Flush:                "flush",
	Heartbeat:            "heartbeat",
	StartTimer:           "start_timer",
	StopTimer:            "stop_timer",
	Ack:                  "ack",
	GroupBegin:           "group_begin",
	GroupEnd:             "group_end",
	OOF:                  "oof",
	Batch:                batchName,
	Stretch:              stretchName,
}

// String returns the command as it is written on the wire.
func (c Command) String() string {
	if int(c) < len(commandNames) {
		return commandNames[c]
	}
	return commandNames[Unknown]
}

// ParseCommand returns the command with the name text, or Unknown.
func ParseCommand(text []byte) Command {
	switch string(text) {
	case "p", "publish":
		return Publish
	case "ack":
		return Ack
	case "heartbeat":
		return Heartbeat
	case batchName:
		return Batch
	case stretchName:
		return Stretch
	}
	for c := DeltaPublish; int(c) < len(commandNames); c++ {
		if string(text) == commandNames[c] {
			return c
		}
	}
	return Unknown
}
