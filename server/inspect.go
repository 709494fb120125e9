package server

import (
	"bytes"

	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A Message is a message in the journal, for tests and tools.
type Message struct {
	Publisher uint64
	Sequence  uint64
	Topic     string
	Body      []byte
}

// Have returns the highest sequence of a publisher in the journal, durable or not. It is 0 for an
// unknown publisher.
func (s *Server) Have(publisher uint64) uint64 {
	state, _ := s.journal.State(publisher)
	return state.Have
}

// Messages returns the messages of a topic in journal order. An empty topic means all topics.
func (s *Server) Messages(topic string) ([]Message, error) {
	f := s.journal.Follow(0, journal.Appended)
	defer f.Close()
	var all []Message
	var r journal.Record
	for {
		ok, err := f.Next(&r)
		if err != nil || !ok {
			return all, err
		}
		if r.Kind == journal.Message && (topic == "" || topic == string(r.Topic)) {
			all = append(all, Message{r.Publisher, r.Sequence, string(r.Topic), bytes.Clone(r.Body)})
		}
	}
}
