package clientcore

import "github.com/holdfast-mq/holdfast/pubstore"

// Sent are the lives of a store, each with the highest sequence that may have been sent.
type Sent []pubstore.Life

// Sent returns how far each of the store's lives may have been sent. It is called
// when the client sends nothing any more.
func (s *Session) Sent(lives []pubstore.Life) Sent {
	sent := make(Sent, 0, len(lives))
	for _, l := range lives {
		l.Sent = min(s.pub.of(l.ID).bound, l.Last)
		sent = append(sent, l)
	}
	return sent
}

// Apply has the store keep it.
func (s Sent) Apply(store pubstore.Store) {
	for _, l := range s {
		store.SetSent(l.ID, l.Sent)
	}
}
