package clientcore

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/pubstore"
)

func TestHandleLogon(t *testing.T) {
	for _, tt := range []struct {
		name   string
		life   pubstore.Life
		former bool
		a      LogonAnswer
		want   LogonEffect
	}{
		{"first logon", pubstore.Life{Last: 3, Kept: 3}, false, LogonAnswer{Ext: true}, LogonEffect{}},
		{"lets go of safe messages", pubstore.Life{Last: 9, Kept: 9}, false, LogonAnswer{Ext: true, Safe: 4, Have: 6}, LogonEffect{LetGo: 4, After: 4}},
		{"safe has fallen", pubstore.Life{Acked: 5, Last: 9, Kept: 4}, false, LogonAnswer{Ext: true, Safe: 0, Have: 6}, LogonEffect{}},
		{"the server lacks messages that were let go", pubstore.Life{Acked: 5, Last: 9}, false, LogonAnswer{Ext: true, Have: 4}, LogonEffect{PublishGap: true}},
		{"the same in a former life", pubstore.Life{Acked: 5, Last: 9}, true, LogonAnswer{Ext: true, Have: 4}, LogonEffect{PublishGap: true}},
		{"have is enough", pubstore.Life{Acked: 5, Last: 9}, false, LogonAnswer{Ext: true, Have: 5}, LogonEffect{}},
		{"rolled back", pubstore.Life{Acked: 5, Last: 9}, false, LogonAnswer{Ext: true, Safe: 12, Have: 12}, LogonEffect{RolledBack: true}},
		{"a former life was rolled back before", pubstore.Life{Last: 9}, true, LogonAnswer{Ext: true, Safe: 12, Have: 12}, LogonEffect{}},
		{"plain, offset from the clock", pubstore.Life{Last: 3}, false, LogonAnswer{Safe: 41, Now: 1000}, LogonEffect{PlainOffset: 1000}},
		{"plain, offset from the server", pubstore.Life{Last: 3}, false, LogonAnswer{Safe: 2000, Now: 1000}, LogonEffect{PlainOffset: 2000}},
		{"plain, offset kept", pubstore.Life{Last: 3, PlainOffset: 1000}, false, LogonAnswer{Safe: 1002, Now: 7}, LogonEffect{LetGo: 2, After: 2}},
		{"plain, below the offset", pubstore.Life{Last: 3, PlainOffset: 1000}, false, LogonAnswer{Safe: 999}, LogonEffect{}},
		{"plain, rolled back", pubstore.Life{Last: 3, PlainOffset: 1000}, false, LogonAnswer{Safe: 1004}, LogonEffect{RolledBack: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPublisher([]pubstore.Life{tt.life}, 10, 1000)
			p.BeginConnection(tt.life, tt.former)
			if got := p.HandleLogon(tt.life, tt.a); got != tt.want {
				t.Errorf("HandleLogon = %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A server has messages of a life that this process has not sent. A copy of the store has sent
// them, or may have sent them because another process used the name. Then the kept messages are
// sent one by one, and an ack counts only for the message that it answers (R11).
func TestDoubtfulMessages(t *testing.T) {
	for _, tt := range []struct {
		name  string
		inUse bool
		sent  uint64
		have  uint64
	}{
		{"never sent", false, 2, 5},
		{"perhaps sent by another process", true, 5, 5},
		{"more than the store has", false, 7, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			life := pubstore.Life{ID: "a", Acked: 2, Last: 7, Kept: 5}
			p := NewPublisher([]pubstore.Life{{ID: "a", Acked: 2, Last: tt.sent}}, 100, 1<<20)
			p.BeginConnection(life, false)
			if tt.inUse {
				p.NameInUse()
			}
			answer := LogonAnswer{Ext: true, Safe: tt.have, Have: tt.have}
			e := p.HandleLogon(life, answer)
			if e.RolledBack {
				p.BeginConnection(life, true) // the store has begun a new life
				e = p.HandleLogon(life, answer)
			} else if !tt.inUse {
				t.Error("the rollback was not detected")
			}
			if want := (LogonEffect{LetGo: 2, After: 2}); e != want {
				t.Fatalf("HandleLogon = %+v, want %+v", e, want)
			}
			for s := uint64(3); s <= min(tt.have, life.Last); s++ {
				p.Reserve(s, 10)
				if want := s == tt.have; p.Room() != want {
					t.Errorf("room after %d: %v, want %v", s, p.Room(), want)
				}
				if e := p.Persisted(tt.have, false); e.LetGo != s {
					t.Errorf("an ack up to %d in answer to %d lets go up to %d", tt.have, s, e.LetGo)
				}
			}
		})
	}
}

// loggedOn returns a publisher after the logon under a life.
func loggedOn(life pubstore.Life, a LogonAnswer) *Publisher {
	p := NewPublisher([]pubstore.Life{life}, 100, 1<<20)
	p.BeginConnection(life, false)
	p.HandleLogon(life, a)
	return p
}

func TestPersisted(t *testing.T) {
	p := loggedOn(pubstore.Life{ID: "a"}, LogonAnswer{Ext: true})
	for s := range uint64(5) {
		p.Reserve(s+1, 10)
	}
	for _, tt := range []struct {
		name     string
		sequence uint64
		single   bool
		want     AckEffect
		settled  uint64
		inFlight int
	}{
		{"safe", 2, false, AckEffect{LetGo: 2, Moved: true, InSync: true}, 2, 3},
		{"twice", 2, false, AckEffect{InSync: true}, 2, 3},
		{"late", 1, false, AckEffect{InSync: true}, 2, 3},
		{"single keeps", 4, true, AckEffect{Single: 4, Moved: true, Downgraded: true}, 4, 1},
		{"safe below single", 3, false, AckEffect{LetGo: 3, Moved: true}, 4, 1},
		{"safe again", 4, false, AckEffect{LetGo: 4, Moved: true, InSync: true, Restored: true}, 4, 1},
		{"beyond the sent messages", 1000, false, AckEffect{LetGo: 5, Moved: true, InSync: true}, 5, 0},
	} {
		got := p.Persisted(tt.sequence, tt.single)
		if got != tt.want || p.current.settled != tt.settled || p.flight.Len() != tt.inFlight {
			t.Errorf("%s: Persisted(%d, %v) = %+v, settled %d, in flight %d; want %+v, %d, %d",
				tt.name, tt.sequence, tt.single, got, p.current.settled, p.flight.Len(), tt.want, tt.settled, tt.inFlight)
		}
	}
	p.Reserve(6, 10)
	if p.current.settled != 5 {
		t.Errorf("the ack beyond the sent messages settled a later one: %d", p.current.settled)
	}
}

func TestRejectionSettlesOnceReported(t *testing.T) {
	p := loggedOn(pubstore.Life{ID: "a"}, LogonAnswer{Ext: true})
	for s := range uint64(3) {
		p.Reserve(s+1, 10)
	}
	if _, ok := p.Reject(4); ok {
		t.Error("a rejection of a message that was never sent was accepted")
	}
	if n, ok := p.Reject(2); n != 2 || !ok {
		t.Fatalf("Reject(2) = %d, %v", n, ok)
	}
	if _, ok := p.Reject(2); ok {
		t.Error("the second rejection of the same message was accepted")
	}
	p.Persisted(3, false)
	if p.current.settled != 1 || p.AllReported("a", 3) {
		t.Errorf("settled %d before the rejection was reported, want 1", p.current.settled)
	}
	p.RejectionReported("a", 2)
	if p.current.settled != 3 || !p.AllReported("a", 3) {
		t.Errorf("settled %d after it was reported, want 3", p.current.settled)
	}
}

func TestRejectedLastMessageIsSettled(t *testing.T) {
	p := loggedOn(pubstore.Life{ID: "a"}, LogonAnswer{Ext: true})
	p.Reserve(1, 10)
	p.Reserve(2, 10)
	p.Reject(2)
	p.RejectionReported("a", 2)
	p.Persisted(1, false)
	if p.current.settled != 2 {
		t.Errorf("settled %d, want 2: nothing is outstanding", p.current.settled)
	}
}

func TestWindow(t *testing.T) {
	p := NewPublisher(nil, 2, 100)
	p.BeginConnection(pubstore.Life{ID: "a"}, false)
	p.HandleLogon(pubstore.Life{ID: "a"}, LogonAnswer{Ext: true})
	p.Reserve(1, 500)
	if p.Room() {
		t.Error("room beyond the bytes")
	}
	if e := p.Persisted(1, true); !e.WindowOpened {
		t.Error("a single ack must open the window")
	}
	p.Reserve(2, 1)
	p.Reserve(3, 1)
	if p.Room() {
		t.Error("room beyond the messages")
	}
}

// TestPublisherModel runs the core with a simple store. The server forgets messages, loses its
// connection, and sends acks that are late, repeated or too high.
func TestPublisherModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const life = "a"
		p := NewPublisher(nil, 4, 1000)
		var last, acked, have, safe, cursor, settled uint64 // have and safe are the server's
		kept := map[uint64]bool{}
		logon := func() {
			l := pubstore.Life{ID: life, Acked: acked, Last: last, Kept: len(kept)}
			p.BeginConnection(l, false)
			e := p.HandleLogon(l, LogonAnswer{Ext: true, Safe: safe, Have: have})
			if e.PublishGap || e.RolledBack {
				t.Fatalf("HandleLogon = %+v", e)
			}
			for s := range kept {
				if s <= e.LetGo {
					delete(kept, s)
				}
			}
			acked, cursor = max(acked, e.LetGo), e.After
		}
		logon()
		t.Repeat(map[string]func(*rapid.T){
			"publish":   func(*rapid.T) { last++; kept[last] = true },
			"reconnect": func(*rapid.T) { logon() },
			"send": func(*rapid.T) {
				next := cursor + 1
				for next <= last && !kept[next] {
					next++
				}
				if next > last || !p.Room() {
					return
				}
				cursor = next
				p.Reserve(next, 1)
				if next > have+1 {
					t.Fatalf("sent %d, the server has %d: a hole", next, have)
				}
				have = max(have, next)
			},
			"harden": func(t *rapid.T) { safe = max(safe, rapid.Uint64Range(0, have).Draw(t, "safe")) },
			"ack": func(t *rapid.T) {
				e := p.Persisted(rapid.Uint64Range(0, safe).Draw(t, "s"), false)
				for s := range kept {
					if s <= e.LetGo {
						delete(kept, s)
					}
				}
				acked = max(acked, e.LetGo)
			},
			"single": func(t *rapid.T) {
				if e := p.Persisted(rapid.Uint64Range(0, have).Draw(t, "s"), true); e.LetGo > 0 {
					t.Fatal("a single ack let messages go")
				}
			},
			"": func(t *rapid.T) {
				if acked > safe {
					t.Fatalf("let go up to %d, safe is %d", acked, safe)
				}
				if p.flight.Len() > 4 {
					t.Fatalf("%d in flight", p.flight.Len())
				}
				state := p.stateOf(life)
				if state.settled > have || state.settled < settled {
					t.Fatalf("settled %d, before %d, the server has %d", state.settled, settled, have)
				}
				settled = state.settled
			},
		})
	})
}

func TestFinished(t *testing.T) {
	p := loggedOn(pubstore.Life{ID: "a", Last: 2, Kept: 2}, LogonAnswer{Ext: true})
	p.Reserve(1, 1)
	p.Exhausted()
	p.Persisted(1, true)
	if p.Finished() {
		t.Error("the current life finished")
	}
	p.Renewed()
	if p.Finished() {
		t.Error("finished before the store was exhausted")
	}
	p.Reserve(2, 1)
	p.Exhausted()
	if p.Finished() {
		t.Error("finished with a message in flight")
	}
	p.Persisted(2, true)
	if !p.Finished() {
		t.Error("a former life has not finished although it is settled, as single")
	}
}
