package clientcore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

var epoch = time.Unix(1_800_000_000, 0)

// A rig is a session with its store and a time.
type rig struct {
	t     *testing.T
	store pubstore.Store
	s     *Session
	now   time.Time
}

func newRig(t *testing.T) *rig {
	n := 0
	store := pubstore.NewMemory(pubstore.MemoryOptions{NewLife: func() string { n++; return fmt.Sprint("life", n) }})
	return &rig{t: t, store: store, now: epoch, s: NewSession(store.Lives(), 100, 1<<20, time.Minute)}
}

func (r *rig) publish(n int) {
	r.t.Helper()
	for range n {
		if _, err := r.store.Append(context.Background(), &pubstore.Message{Topic: "orders"}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// connect sends a logon.
func (r *rig) connect() wire.LogonCommand {
	r.s.Connect("uri", "a", r.store.Lives())
	r.s.Logon("me", "json", "1", 1, r.store.Rejected(r.s.LifeID(), r.s.RejectedFrom(), wire.MaxSpans))
	return r.s.Credentials("", "")
}

// logOn logs on and returns the sender.
func (r *rig) logOn(ack wire.Message) *Sender {
	r.t.Helper()
	r.connect()
	if e, err := r.s.HandleAck(&ack); err != nil || e.Kind != EventAccepted {
		r.t.Fatalf("logon: %+v, %v", e, err)
	}
	effect, err := r.s.BeginPublishing(&ack, r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	sender, err := effect.Apply(r.store, r.s, !ack.IsExt())
	if err != nil {
		r.t.Fatal(err)
	}
	r.s.StartTimers(r.now)
	return sender
}

func (r *rig) dueSteps() (DueSteps, error) { return r.s.DueSteps(r.now, r.store.Lives()) }

func (r *rig) ended(cause error) EndEffect { return r.s.Ended(cause, r.now, r.store.Lives()) }

func text(s string) []byte { return []byte(s) }

// logonAck returns the answer to a logon.
func logonAck(status string, safe, have uint64) wire.Message {
	return wire.Message{
		Command: wire.Ack, Acks: wire.AckProcessed, CommandID: text(LogonID), Status: text(status),
		Ext: text("1"), Sequence: safe, HasSequence: true, Have: have, HasHave: true,
	}
}

// sent returns the sequences of the publishes in b.
func sent(t *testing.T, b []byte) (sequences []uint64) {
	t.Helper()
	var m wire.Message
	for len(b) > 0 {
		end := 4 + int(b[2])<<8 + int(b[3])
		if err := wire.Parse(b[4:end], &m); err != nil {
			t.Fatal(err)
		}
		sequences = append(sequences, m.Sequence)
		b = b[end:]
	}
	return sequences
}

func TestChallenges(t *testing.T) {
	r := newRig(t)
	r.connect()
	retry := logonAck(wire.StatusRetry, 0, 0)
	for range maxChallenges - 1 {
		if e, err := r.s.HandleAck(&retry); err != nil || e.Kind != EventChallenged {
			t.Fatalf("%+v, %v", e, err)
		}
		if cmd := r.s.Credentials("joe", "pw"); cmd.UserID != "joe" || cmd.Password != "pw" || cmd.Store != "life1" {
			t.Errorf("logon %+v", cmd)
		}
	}
	if e, err := r.s.HandleAck(&retry); !errors.Is(err, ErrProtocol) {
		t.Errorf("%+v, %v", e, err)
	}
}

// A plain server gets the same logon as any other server, or one without our extensions.
func TestPlainServer(t *testing.T) {
	for _, ext := range []bool{true, false} {
		r := newRig(t)
		r.s.Connect("uri", "a", r.store.Lives())
		r.s.Logon("me", "json", "1", 1, nil)
		if !ext {
			r.s.OmitExtensions()
		}
		if cmd := r.s.Credentials("", ""); cmd.Ext != ext || cmd.Options != logonOptions {
			t.Errorf("logon %+v", cmd)
		}
		plain := logonAck(wire.StatusSuccess, 0, 0)
		if !ext {
			if _, err := r.s.HandleAck(&plain); !errors.Is(err, ErrProtocol) {
				t.Errorf("extensions that the logon did not ask for: %v", err)
			}
		}
		plain.Ext = nil
		if e, err := r.s.HandleAck(&plain); err != nil || e.Kind != EventAccepted || !r.s.Server().Plain {
			t.Errorf("%+v, %v", e, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		reason string
		want   error
		effect EndEffect
	}{
		{wire.ReasonPublishGap, ErrPublishGap, EndEffect{PublishGap: true}},
		{wire.ReasonDiskFull, ErrDiskFull, EndEffect{}},
		{wire.ReasonNameInUse, ErrNameInUse, EndEffect{Wait: 5 * time.Second}},
	} {
		r := newRig(t)
		r.connect()
		_, err := r.s.HandleAck(&wire.Message{Command: wire.Ack, Acks: wire.AckProcessed, Status: text(wire.StatusFailure), Reason: text(tt.reason)})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.reason, err)
		}
		if got := r.ended(err); got != tt.effect {
			t.Errorf("%s: %+v, want %+v", tt.reason, got, tt.effect)
		}
	}
	r := newRig(t)
	r.connect()
	m := logonAck(wire.StatusFailure, 0, 0)
	m.Reason = text(wire.ReasonNotEntitled)
	var refused *Refusal
	if _, err := r.s.HandleAck(&m); !errors.As(err, &refused) || *refused != (Refusal{"logon", wire.ReasonNotEntitled}) {
		t.Errorf("%v", err)
	}
}

// A client whose name stays in use waits longer each time.
func TestNameInUseWaits(t *testing.T) {
	r := newRig(t)
	for _, wait := range []time.Duration{5, 10, 20, 40, 60, 60} {
		r.connect()
		if got, want := r.ended(ErrNameInUse), (EndEffect{Wait: wait * time.Second}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		r.now = r.now.Add(wait * time.Second)
	}
}

// The messages of a former life are sent in a session of their own, which ends when all of them
// are settled. Then the new life follows at the same server (R10).
func TestFormerLifeFirst(t *testing.T) {
	r := newRig(t)
	r.publish(2)
	if err := r.store.Renew(); err != nil {
		t.Fatal(err)
	}
	r.publish(1)
	ok := logonAck(wire.StatusSuccess, 0, 0)
	sender := r.logOn(ok)
	if r.s.LifeID() != "life1" || !r.s.pub.formerLife {
		t.Fatalf("life %s", r.s.LifeID())
	}
	frames, err := sender.Fill(nil, 1<<20)
	if got := sent(t, frames); err != nil || !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("sent %v, %v", got, err)
	}
	if _, err := r.dueSteps(); err != nil {
		t.Errorf("before the ack: %v", err)
	}
	e, err := r.s.HandleAck(&wire.Message{Command: wire.Ack, Acks: wire.AckPersisted, Sequence: 2, HasSequence: true, Level: text(wire.LevelSingle)})
	if err != nil || !r.s.NeedsRecheck() || e.Ack.Single != 2 {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err = r.dueSteps(); !errors.Is(err, ErrFormerLifeDone) {
		t.Fatalf("after the ack: %v", err)
	}
	if e := r.ended(err); e != (EndEffect{ReconnectNow: true}) {
		t.Errorf("%+v", e)
	}
	r.logOn(ok)
	if r.s.LifeID() != "life2" || r.s.pub.formerLife {
		t.Errorf("life %s", r.s.LifeID())
	}
	// The former life is single. It is offered again some time after the new life is in sync.
	r.now = r.now.Add(ReofferInterval)
	if _, err := r.dueSteps(); err != nil {
		t.Errorf("before anything is in sync: %v", err)
	}
	if e, err := r.s.HandleAck(&wire.Message{Command: wire.Ack, Acks: wire.AckPersisted, Sequence: 1, HasSequence: true}); err != nil || !r.s.NeedsRecheck() {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err = r.dueSteps(); !errors.Is(err, ErrReoffer) {
		t.Fatalf("%v", err)
	}
	if e := r.ended(err); e != (EndEffect{ReconnectNow: true}) {
		t.Errorf("%+v", e)
	}
	if r.connect(); r.s.LifeID() != "life1" {
		t.Errorf("life %s", r.s.LifeID())
	}
}

// A server that lacks the start of a former life refuses it, and the client skips that life
// there (R4).
func TestFormerLifeRefused(t *testing.T) {
	r := newRig(t)
	r.publish(2)
	if err := r.store.Discard("life1", 1); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Renew(); err != nil {
		t.Fatal(err)
	}
	r.connect()
	ack := logonAck(wire.StatusSuccess, 0, 0)
	if _, err := r.s.HandleAck(&ack); err != nil {
		t.Fatal(err)
	}
	_, err := r.s.BeginPublishing(&ack, r.now)
	if !errors.Is(err, ErrPublishGap) {
		t.Fatalf("%v", err)
	}
	if e := r.ended(err); e != (EndEffect{ReconnectNow: true, PublishGap: true}) {
		t.Errorf("%+v", e)
	}
	if r.connect(); r.s.LifeID() != "life2" {
		t.Errorf("life %s", r.s.LifeID())
	}
}

// A session becomes live, once, when all messages that may have been sent before were sent
// again and every subscription was answered.
func TestLive(t *testing.T) {
	r := newRig(t)
	r.publish(3)
	r.s = NewSession(r.store.Lives(), 100, 1<<20, time.Minute) // as a new process would
	sender := r.logOn(logonAck(wire.StatusSuccess, 1, 1))
	r.publish(1)
	if due, err := r.dueSteps(); err != nil || due != (DueSteps{Attach: true}) {
		t.Fatalf("after the logon: %+v, %v", due, err)
	}
	r.s.AwaitAnswer("1")
	frames, err := sender.Fill(nil, 1)
	if got := sent(t, frames); err != nil || !slices.Equal(got, []uint64{2}) {
		t.Errorf("sent %v, %v", got, err)
	}
	for _, step := range []struct {
		name string
		do   func()
		live bool
	}{
		{"one sent again", func() {}, false},
		{"all sent again", func() {
			if frames, err := sender.Fill(nil, 1<<20); err != nil || !slices.Equal(sent(t, frames), []uint64{3, 4}) {
				t.Errorf("sent %v, %v", sent(t, frames), err)
			}
		}, false},
		{"answered", func() { r.s.Answered("1") }, true},
		{"reported before", func() {}, false},
	} {
		step.do()
		if due, err := r.dueSteps(); err != nil || due.Live != step.live {
			t.Errorf("%s: %+v, %v", step.name, due, err)
		}
	}
}

// A client leaves a server that does not answer its subscriptions, unless the session was live
// before.
func TestUnanswered(t *testing.T) {
	for _, live := range []bool{false, true} {
		r := newRig(t)
		sender := r.logOn(logonAck(wire.StatusSuccess, 0, 0))
		r.dueSteps()
		if _, err := sender.Fill(nil, 1); err != nil {
			t.Fatal(err)
		}
		if live {
			r.dueSteps()
		}
		r.s.AwaitAnswer("1")
		r.now = epoch.Add(time.Minute - 1)
		if _, err := r.dueSteps(); err != nil {
			t.Errorf("too early: %v", err)
		}
		if r.now = r.s.NextDue(); !live && r.now != epoch.Add(time.Minute) {
			t.Errorf("due at %v", r.now)
		}
		if _, err := r.dueSteps(); errors.Is(err, ErrTimeout) == live {
			t.Errorf("live %v: %v", live, err)
		}
	}
}

// The rejection of a message is an event once. The message is settled when the rejection was
// reported to the application.
func TestRejection(t *testing.T) {
	r := newRig(t)
	r.publish(1)
	sender := r.logOn(logonAck(wire.StatusSuccess, 0, 0))
	if _, err := sender.Fill(nil, 1<<20); err != nil {
		t.Fatal(err)
	}
	refused := &wire.Message{
		Command: wire.Ack, Acks: wire.AckPersisted, Sequence: 1, HasSequence: true,
		Status: text(wire.StatusFailure), Reason: text("too large"),
	}
	e, err := r.s.HandleAck(refused)
	if want := (Rejection{Life: "life1", Sequence: 1, Reason: "too large"}); err != nil || e.Kind != EventRejected || e.Rejection != want {
		t.Fatalf("%+v, %v", e, err)
	}
	if e, err := r.s.HandleAck(refused); err != nil || e.Kind != EventNone {
		t.Errorf("the same rejection again: %+v, %v", e, err)
	}
	if m, err := e.Rejection.Message(r.store); err != nil || m == nil || m.Sequence != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	if r.s.Publisher().Settled("life1") != 0 {
		t.Error("settled before the rejection was reported")
	}
	if err := e.Rejection.LetGo(r.store); err != nil {
		t.Error(err)
	}
	if e := r.s.RejectionReported(&e.Rejection); !e.Ack.Moved || r.s.Publisher().Settled("life1") != 1 {
		t.Errorf("%+v, settled %d", e, r.s.Publisher().Settled("life1"))
	}
	if m, err := e.Rejection.Message(r.store); err != nil || m != nil {
		t.Errorf("after it was let go: %+v, %v", m, err)
	}
}

// visit makes connections to one server, until the session leaves it or stays connected. The
// server answers each logon with the next answer and takes all messages. visit returns the
// number of connections, and the error that ended the last one.
func (r *rig) visit(answer func() wire.Message) (connections int, last error) {
	for {
		connections++
		last = r.serve(answer())
		if last == nil {
			return connections, nil
		}
		effect := r.ended(last)
		if effect.Renew {
			if err := r.store.Renew(); err != nil {
				r.t.Fatal(err)
			}
		}
		if !effect.ReconnectNow || connections == 1000 {
			return connections, last
		}
	}
}

// serve makes one connection. It returns nil if the session stays connected.
func (r *rig) serve(ack wire.Message) error {
	r.connect()
	if _, err := r.s.HandleAck(&ack); err != nil {
		return err
	}
	b, err := r.s.BeginPublishing(&ack, r.now)
	if err != nil {
		return err
	}
	sender, err := b.Apply(r.store, r.s, !ack.IsExt())
	if err != nil {
		return err
	}
	defer sender.Close()
	r.s.StartTimers(r.now)
	persisted := &wire.Message{Command: wire.Ack, Acks: wire.AckPersisted, Sequence: 1 << 62, HasSequence: true}
	for more := true; more; {
		b, err := sender.Fill(nil, 1<<20)
		if err != nil {
			return err
		}
		more = len(b) > 0
		e, err := r.s.HandleAck(persisted)
		if err != nil {
			return err
		}
		if err := e.Ack.Apply(r.store); err != nil {
			return err
		}
	}
	_, err = r.dueSteps()
	return err
}

// If a server has more messages than the store ever gave out, the store begins a new life, at
// most one a minute for each server. The session leaves the server each time.
func TestRolledBack(t *testing.T) {
	r := newRig(t)
	r.publish(2)
	more := func() wire.Message { return logonAck(wire.StatusSuccess, 1<<40, 1<<40) }
	for _, tt := range []struct {
		after time.Duration
		life  string
	}{{0, "life2"}, {minRenewInterval - 1, "life2"}, {1, "life3"}, {minRenewInterval - 1, "life3"}, {1, "life4"}} {
		r.now = r.now.Add(tt.after)
		if n, err := r.visit(more); !errors.Is(err, ErrRolledBack) || n > 2 {
			t.Fatalf("after %v: %d connections, %v", tt.after, n, err)
		}
		lives := r.store.Lives()
		if life := lives[len(lives)-1].ID; life != tt.life {
			t.Errorf("after %v the store is in %s, want %s", tt.after, life, tt.life)
		}
	}
	honest := func() wire.Message { return logonAck(wire.StatusSuccess, 0, 0) }
	r.publish(3)
	if _, err := r.visit(honest); err != nil || r.s.pub.flight.Len() != 0 || r.s.pub.current.doubtfulTo > 0 {
		t.Errorf("at an honest server: %v, doubtful up to %d", err, r.s.pub.current.doubtfulTo)
	}
}

// If a server has another publisher under the id of a life, the store begins a new life, at
// most one a minute for each server. The kept messages are delivered at another server.
func TestOtherLife(t *testing.T) {
	r := newRig(t)
	r.publish(2)
	refused := func() wire.Message {
		ack := logonAck(wire.StatusFailure, 0, 0)
		ack.Reason = text(wire.ReasonPublisherIDTaken)
		return ack
	}
	for _, tt := range []struct {
		after time.Duration
		life  string
	}{{0, "life2"}, {minRenewInterval - 1, "life2"}, {1, "life3"}, {minRenewInterval - 1, "life3"}} {
		r.now = r.now.Add(tt.after)
		if n, err := r.visit(refused); !errors.Is(err, ErrPublisherIDTaken) || n > 2 {
			t.Fatalf("after %v: %d connections, %v", tt.after, n, err)
		}
		lives := r.store.Lives()
		if life := lives[len(lives)-1].ID; life != tt.life || lives[0].Kept != 2 {
			t.Errorf("after %v the store is in %s and keeps %d, want %s and 2", tt.after, life, lives[0].Kept, tt.life)
		}
	}
	if n, err := r.visit(func() wire.Message { return logonAck(wire.StatusSuccess, 0, 0) }); err != nil || n != 2 {
		t.Errorf("at another server: %d connections, %v", n, err)
	}
	for _, l := range r.store.Lives() {
		if l.Kept > 0 {
			t.Errorf("life %s still keeps %d", l.ID, l.Kept)
		}
	}
}

// A visit makes few connections without a delay, whatever the server answers: one for each life
// of the store, and one more if the server lacks our extensions.
func TestVisitEnds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		for range rapid.IntRange(0, 3).Draw(rt, "former lives") {
			r.publish(rapid.IntRange(0, 2).Draw(rt, "messages"))
			if err := r.store.Renew(); err != nil {
				rt.Fatal(err)
			}
		}
		r.publish(rapid.IntRange(0, 2).Draw(rt, "messages"))
		limit := 2 * len(r.store.Lives())
		number := rapid.SampledFrom([]uint64{0, 1, 2, 3, 1 << 40, 1<<63 - 1})
		n, err := r.visit(func() wire.Message {
			ack := logonAck(wire.StatusSuccess, number.Draw(rt, "s"), number.Draw(rt, "have"))
			switch rapid.IntRange(0, 5).Draw(rt, "kind") {
			case 0:
				ack.Ext = nil
			case 1:
				ack.Status, ack.Reason = text(wire.StatusFailure), text(wire.ReasonPublishGap)
			case 2:
				ack.Status, ack.Reason = text(wire.StatusFailure), text(wire.ReasonPublisherIDTaken)
			}
			return ack
		})
		if n > limit {
			rt.Errorf("%d connections in one visit, want at limit %d; the last: %v", n, limit, err)
		}
	})
}

func TestSyncReports(t *testing.T) {
	r := newRig(t)
	ack := logonAck(wire.StatusSuccess, 0, 0)
	ack.Instance, ack.Peers, ack.Sync = text("a"), text("b"), text(syncstatus.InSync.String())
	r.logOn(ack)
	if s := r.s.Server(); s.Instance != "a" || s.Sync != syncstatus.InSync || s.Address != "a" {
		t.Errorf("%+v", s)
	}
	if _, err := r.s.HandleAck(&wire.Message{Command: wire.Ack, Acks: wire.AckProcessed, Status: text(wire.StatusSuccess), Sync: text(syncstatus.Stopping.String())}); err != nil {
		t.Fatal(err)
	}
	if s := r.s.Server(); s.Sync != syncstatus.Stopping || r.s.ServerReports()["uri"].Sync != syncstatus.Stopping {
		t.Errorf("%+v", s)
	}
}

// If the store is renewed during a logon, it no longer has the life of that logon. The client
// continues with the new life at once.
func TestRenewedDuringALogon(t *testing.T) {
	t.Run("with our extensions", func(t *testing.T) { renewedDuringALogon(t, "1") })
	t.Run("plain", func(t *testing.T) { renewedDuringALogon(t, "") })
}

func renewedDuringALogon(t *testing.T, ext string) {
	r := newRig(t)
	r.connect()
	if err := r.store.Renew(); err != nil {
		t.Fatal(err)
	}
	ack := logonAck(wire.StatusSuccess, 0, 0)
	ack.Ext = text(ext)
	if _, err := r.s.HandleAck(&ack); err != nil {
		t.Fatal(err)
	}
	b, err := r.s.BeginPublishing(&ack, r.now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Apply(r.store, r.s, false)
	if !errors.Is(err, ErrFormerLifeDone) {
		t.Fatalf("%v, want ErrFormerLifeDone", err)
	}
	if e := r.ended(err); !e.ReconnectNow {
		t.Errorf("%+v: no new logon at once", e)
	}
	if cmd := r.connect(); cmd.Store != "life2" {
		t.Errorf("the next logon is for %s", cmd.Store)
	}
}

// A message that was rejected after the logon is left out only when another logon has stated it.
func TestRestated(t *testing.T) {
	r := newRig(t)
	life := r.store.Lives()[0].ID
	reject := func(sequences ...uint64) {
		for _, n := range sequences {
			if err := r.store.Reject(life, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.publish(1000)
	reject(3)
	sender := r.logOn(logonAck(wire.StatusSuccess, 0, 0))
	reject(6)
	frames, err := sender.Fill(nil, 1<<20)
	if !errors.Is(err, ErrRestate) || !slices.Equal(sent(t, frames), []uint64{1, 2, 4, 5}) {
		t.Fatalf("sent %v, %v", sent(t, frames), err)
	}
	if e := r.ended(err); !e.ReconnectNow || e.PublishGap {
		t.Fatalf("%+v, want the same server", e)
	}
	if c := r.connect(); !slices.Equal(c.Rejected, []wire.Span{{From: 3, To: 3}, {From: 6, To: 6}}) || c.Last != 1000 {
		t.Fatalf("states %v, last %d", c.Rejected, c.Last)
	}
	// One logon has no room for all rejections. Later logons state the rest when they are due.
	for n := uint64(8); n <= 1000; n += 2 {
		reject(n)
	}
	last := uint64(1)
	for range 5 {
		sender := r.logOn(logonAck(wire.StatusSuccess, 1, last))
		for {
			m, err := sender.Fill(nil, 1)
			for _, n := range sent(t, m) {
				last = max(last, n)
				r.s.Publisher().Persisted(n, true)
			}
			if err == nil && len(m) > 0 {
				continue
			}
			if err != nil && !errors.Is(err, ErrRestate) {
				t.Fatal(err)
			}
			r.ended(ErrRestate)
			break
		}
	}
	if last != 999 {
		t.Errorf("sent up to %d of 999", last)
	}
}

// A plain server may report the failure "duplicate" for a message that it has, and may refuse a
// message with any status.
func TestPlainAcks(t *testing.T) {
	for _, tt := range []struct {
		status, reason string
		want           EventKind
	}{
		{wire.StatusSuccess, "", EventAcked},
		{wire.StatusFailure, wire.ReasonDuplicate, EventAcked},
		{wire.StatusSuccess, wire.ReasonDuplicate, EventAcked},
		{wire.StatusFailure, wire.ReasonNotEntitled, EventRejected},
		{wire.StatusSuccess, wire.ReasonNotEntitled, EventRejected},
		{"", wire.ReasonNotEntitled, EventRejected},
		{wire.StatusFailure, "invalid topic", EventRejected},
		{wire.StatusFailure, "duplicate with other content", EventRejected},
	} {
		r := newRig(t)
		r.publish(3)
		sender := r.logOn(logonAck(wire.StatusSuccess, 0, 0))
		if _, err := sender.Fill(nil, 1<<16); err != nil {
			t.Fatal(err)
		}
		e, err := r.s.HandleAck(&wire.Message{
			Command: wire.Ack, Acks: wire.AckPersisted, Sequence: 1, HasSequence: true, Status: text(tt.status), Reason: text(tt.reason),
		})
		if err != nil || e.Kind != tt.want {
			t.Errorf("%q %q: %+v, %v", tt.status, tt.reason, e, err)
		}
	}
}
