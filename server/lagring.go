package server

import (
	"net/http"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/replica"
)

// The lag of each link is sampled once a second, and kept for ten minutes.
const (
	lagInterval = time.Second
	lagSamples  = 600
)

// A lagRing holds the last samples of all links. It is safe for concurrent use.
type lagRing struct {
	mu   sync.Mutex
	ring [lagSamples]lagSample // guarded by mu, like n; sample n is at n % lagSamples
	n    uint64                // samples so far
}

type lagSample struct {
	at    time.Time
	links []replica.Lag // always of the same peers
}

// A LagHistory is the lag of the links over time, the response of /lag. All lists but Links have
// one entry for each sample, the oldest first. Two samples are about a second apart, and more after
// the process has been stopped. With the parameter after, a sample's number, only the samples after
// that one are listed.
type LagHistory struct {
	Number uint64    `json:"number"` // of the last sample; the first of the process has 1
	Times  []int64   `json:"times"`  // when the samples were taken, milliseconds since 1970
	Links  []LinkLag `json:"links"`  // ordered by peer
}

// A LinkLag is the lag of the link with one peer.
type LinkLag struct {
	Peer   string   `json:"peer"`
	States []string `json:"states"`  // up, down, or single: acks do not wait for the sync destination, up or down
	WaitMS []int64  `json:"wait_ms"` // how long the oldest message waited for the peer
	ToSend []int64  `json:"to_send"` // records that the peer was yet to be sent, about; -1: not known
	ToCome []int64  `json:"to_come"` // records that the peer had yet to send, about; -1: not known
}

// sampleLags takes samples until the server ends.
func (s *Server) sampleLags() {
	ticker := time.NewTicker(lagInterval)
	defer ticker.Stop()
	for {
		s.lags.add(lagSample{s.wallClock(), s.links.Load().Lags()})
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return
		}
	}
}

func (r *lagRing) add(sample lagSample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	r.ring[r.n%lagSamples] = sample
}

// history returns the samples after a number. A number of an earlier process stands for 0.
func (r *lagRing) history(after uint64) LagHistory {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := LagHistory{Number: r.n, Times: []int64{}, Links: []LinkLag{}}
	if after > r.n {
		after = 0
	}
	for n := max(after, r.n-min(r.n, lagSamples)) + 1; n <= r.n; n++ {
		sample := &r.ring[n%lagSamples]
		h.Times = append(h.Times, sample.at.UnixMilli())
		for i := range sample.links {
			if i == len(h.Links) {
				h.Links = append(h.Links, LinkLag{Peer: sample.links[i].Peer})
			}
			h.Links[i].add(&sample.links[i])
		}
	}
	return h
}

func (l *LinkLag) add(lag *replica.Lag) {
	state := "up"
	switch {
	case lag.Single:
		state = "single"
	case !lag.Connected:
		state = "down"
	}
	l.States = append(l.States, state)
	l.WaitMS = append(l.WaitMS, lag.Wait.Milliseconds())
	l.ToSend = append(l.ToSend, lag.ToSend)
	l.ToCome = append(l.ToCome, lag.ToCome)
}

// answerLag answers /lag.
func (s *Server) answerLag(w http.ResponseWriter, r *http.Request) {
	if after, ok := queryNumber(w, r, "after"); ok {
		respondJSON(w, true, s.lags.history(after))
	}
}
