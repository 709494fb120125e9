package clientcore

import (
	"sort"

	"github.com/holdfast-mq/holdfast/internal/ring"
)

// An inFlight is a message that was sent on this connection and is not acknowledged yet.
type inFlight struct {
	sequence uint64
	bytes    int
	done     bool // rejected out of order
}

// A flight holds the messages between the sender and the acks, in the order of sending.
type flight struct {
	ring.Queue[inFlight]
	bytes int
}

func (f *flight) push(sequence uint64, bytes int) {
	f.Push(inFlight{sequence: sequence, bytes: bytes})
	f.bytes += bytes
}

func (f *flight) pop() { f.bytes -= f.Pop().bytes }

// removeThrough removes all messages up to through.
func (f *flight) removeThrough(through uint64) {
	for f.Len() > 0 && (f.At(0).done || f.At(0).sequence <= through) {
		f.pop()
	}
}

// remove removes one message, at any position.
func (f *flight) remove(sequence uint64) {
	at := sort.Search(f.Len(), func(i int) bool { return f.At(i).sequence >= sequence })
	if at < f.Len() && f.At(at).sequence == sequence {
		f.At(at).done = true
	}
	f.removeThrough(0)
}

func (f *flight) reset() {
	f.Clear()
	f.bytes = 0
}
