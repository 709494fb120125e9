//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// The events that clients report and the history holds.
const (
	eventPublished = "published" // Publish returned nil; N, Sequence
	eventDoubtful  = "doubtful"  // the publisher was killed while it may have been publishing N
	eventAcked     = "acked"     // a server acknowledged up to Sequence
	eventHanded    = "handed"    // N, which is Sequence of publisher ID, was handed to a subscriber
	eventBegun     = "begun"     // process N of a subscriber began: its messages may begin again
	eventConnected = "connected" // to Text
	eventLost      = "lost"      // a connection; Text is why
	eventDrained   = "drained"   // all that was published is safe
	eventStrange   = "strange"   // Text is something that must not happen
	eventFault     = "fault"     // Text describes the fault
)

// A historyEvent is one entry of the history, with the time of its reporter.
type historyEvent struct {
	Time      int64  `json:"t"` // microseconds since the Unix epoch
	Kind      string `json:"what"`
	Client    string `json:"client,omitempty"`    // a publisher or a subscriber
	Publisher string `json:"publisher,omitempty"` // of the message that was handed over
	N         uint64 `json:"n,omitempty"`         // names a message among its publisher's; part of its body
	ID        uint64 `json:"id,omitempty"`        // the publisher's, as the server says
	Sequence  uint64 `json:"s,omitempty"`         // the publish store's
	Single    bool   `json:"single,omitempty"`    // by one server only
	Text      string `json:"text,omitempty"`
}

func (w historyEvent) at() time.Time { return time.UnixMicro(w.Time) }

// writeEvent writes a word to standard output, in one piece: it may be the last.
func writeEvent(w historyEvent) {
	w.Time = time.Now().UnixMicro()
	text, err := json.Marshal(w)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	os.Stdout.Write(append(text, '\n'))
}

// children's standard input: a line asks for something, its end to end.
func awaitLine() error {
	var line string
	_, err := fmt.Scanln(&line)
	return err
}

// awaitEnd reads standard input to its end.
func awaitInputEnd() { io.Copy(io.Discard, os.Stdin) }
