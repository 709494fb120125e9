package server

import (
	"bytes"
	"log/slog"
	"math"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
)

func init() {
	testdoor.OffersDisk(func(c *Config) *seglog.FS { return &c.fs })
	testdoor.OffersServer(func(s any) testdoor.Server { return inside{s.(*Server)} })
}

// inside gives tests access to a running server beyond its API.
type inside struct{ s *Server }

// Kill implements [testdoor.Server].
func (in inside) Kill() {
	in.s.logs.level.Set(slog.Level(math.MaxInt)) // a dead process writes nothing
	in.s.beginStop(stopKill, errKilled)
	in.s.endDrain()
	<-in.s.done
}

// Have implements [testdoor.Server].
func (in inside) Have(publisher uint64) uint64 {
	state, _ := in.s.journal.State(publisher)
	return state.Have
}

// Trim implements [testdoor.Server].
func (in inside) Trim() int { return in.s.trim(in.s.checkSpace()) }

// Messages implements [testdoor.Server].
func (in inside) Messages(topic string) ([]testdoor.Message, error) {
	f := in.s.journal.Follow(0, journal.Appended)
	defer f.Close()
	var all []testdoor.Message
	var r journal.Record
	for {
		ok, err := f.Next(&r)
		if err != nil || !ok {
			return all, err
		}
		if r.Kind == journal.Message && (topic == "" || topic == string(r.Topic)) {
			all = append(all, testdoor.Message{Publisher: r.Publisher, Sequence: r.Sequence, Topic: string(r.Topic), Body: bytes.Clone(r.Body)})
		}
	}
}
