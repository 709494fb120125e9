package pubstoretest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/pubstore"
)

func testNumbering(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life()
	if life.ID == "" {
		t.Fatal("the life has no id")
	}
	s.checkLife(0, 0, 0)
	s.publish(5)
	s.checkLife(0, 5, 5)
	s.discard(life.ID, 5)
	s.checkLife(5, 5, 0)
	s.publish(7)
	s.reject(life.ID, 7)
	s.publish(8)
	s.checkLife(5, 8, 2)
	if other := open(t, h, Options{}); other.life().ID == life.ID {
		t.Fatal("two stores have the same life")
	}
}

func testRoundTrip(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	before := time.Now()
	var headers pubstore.Headers
	headers.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	headers.Set("any", "\x00\xff\n\"")
	messages := []pubstore.Message{
		{Topic: "orders", Body: []byte(`{"a":1}`)},
		{Topic: "t"},
		{Topic: "orders", Body: []byte{0, 1, 255, 0}, Delta: true, SOWKey: "k9", CorrelationID: "x/+=", Expiration: 90 * time.Second},
		{Topic: string(bytes.Repeat([]byte("long/"), 2000)), SOWKey: "k", Body: bytes.Repeat([]byte{7}, 100_000)},
		{Topic: "", Body: []byte("no topic")},
		{Topic: "orders", Body: []byte("b"), Headers: headers, CorrelationID: "any\x00\xff, \""},
		{Topic: "orders", Headers: headers},
	}
	var m pubstore.Message // the store must not use it after Append has returned
	for i := range messages {
		m = messages[i]
		if _, err := s.Append(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
		messages[i].Sequence, messages[i].Prev = m.Sequence, m.Sequence-1
		if m.Time.IsZero() {
			t.Error("Append sets no time")
		}
		if want := pubstore.PublisherOf(s.life().ID); m.Publisher != want {
			t.Errorf("Append sets publisher %d, want %d", m.Publisher, want)
		}
	}
	c := s.cursor(s.life().ID, 0)
	var gotten []*pubstore.Message // they stay valid
	for _, want := range messages {
		var got pubstore.Message
		if ok, err := c.Next(&got); !ok || err != nil {
			t.Fatalf("Next = %v, %v", ok, err)
		}
		checkMessage(t, &got, &want, before)
		again, err := s.Get(s.life().ID, want.Sequence)
		if err != nil {
			t.Fatalf("Get(%d): %v", want.Sequence, err)
		}
		gotten = append(gotten, again)
	}
	if err := errors.Join(c.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	for i, again := range gotten {
		checkMessage(t, again, &messages[i], before)
	}
}

func checkMessage(t *testing.T, got, want *pubstore.Message, before time.Time) {
	t.Helper()
	if got.Sequence != want.Sequence || got.Prev != want.Prev || got.Topic != want.Topic ||
		!bytes.Equal(got.Body, want.Body) || got.Delta != want.Delta || got.SOWKey != want.SOWKey ||
		got.CorrelationID != want.CorrelationID || got.Expiration != want.Expiration ||
		!bytes.Equal(got.Headers.Encoded(), want.Headers.Encoded()) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	if d := got.Time.Sub(before); d < -time.Minute || d > time.Hour {
		t.Errorf("message %d was appended at %v, want about %v", got.Sequence, got.Time, before)
	}
}

func testCursor(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	c := s.cursor(life, 0)
	if got := read(t, c); got != nil {
		t.Fatalf("an empty store has %v", got)
	}
	s.publish(3)
	if got := read(t, c); len(got) != 3 || got[2] != (ref{3, 2}) {
		t.Fatalf("the cursor reads %v, want 1 to 3", got)
	}
	if got := read(t, c); got != nil {
		t.Fatalf("the cursor reads %v again", got)
	}
	s.publish(5)
	s.discard(life, 4)
	if got := read(t, c); len(got) != 1 || got[0] != (ref{5, 4}) {
		t.Fatalf("the cursor reads %v, want only 5: 4 was discarded", got)
	}
	s.checkKept(life, 0, 5, 4)
	s.checkKept(life, 4, 5, 4)
	s.checkKept(life, 5)
	s.checkKept(life, 99)
	if _, err := s.Cursor("nobody's", 0); !errors.Is(err, pubstore.ErrUnknownLife) {
		t.Fatalf("Cursor of an unknown life: %v", err)
	}
}

func testCursorOwnsNothing(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	buf := []byte(`{"n":1}`)
	if _, err := s.Append(t.Context(), &pubstore.Message{Topic: "orders", Body: buf}); err != nil {
		t.Fatal(err)
	}
	copy(buf, "garbage")
	s.publish(2)
	a, b := s.cursor(s.life().ID, 0), s.cursor(s.life().ID, 0)
	var ma, mb pubstore.Message
	for _, step := range []struct {
		c pubstore.Cursor
		m *pubstore.Message
	}{{a, &ma}, {b, &mb}, {b, &mb}} {
		if ok, err := step.c.Next(step.m); !ok || err != nil {
			t.Fatalf("Next = %v, %v", ok, err)
		}
	}
	s.discard(s.life().ID, 2)
	s.publish(50)
	if string(ma.Body) != `{"n":1}` || string(mb.Body) != `{"n":2}` {
		t.Fatalf("bodies that cursors had returned have changed: %q, %q", ma.Body, mb.Body)
	}
}

func testAppended(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	s.publish(3)
	select {
	case <-s.Appended():
	case <-longContext(t).Done():
		t.Fatal("no value from Appended after three appends")
	}
	s.checkKept(s.life().ID, 0, 1, 0, 2, 1, 3, 2)
}

func testDiscard(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	s.publish(10)
	s.discard(life, 4)
	s.checkLife(4, 10, 6)
	s.checkKept(life, 6, 7, 6, 8, 7, 9, 8, 10, 9)
	s.discard(life, 3) // below an earlier Discard
	s.discard(life, 4) // twice
	s.discard(life, 0)
	s.checkLife(4, 10, 6)
	s.discard("nobody's", 7)
	s.checkLife(4, 10, 6)
	s.discard(life, 1<<63) // above Last
	s.checkLife(10, 10, 0)
	s.checkKept(life, 0)
	s.publish(11)
	s.checkLife(10, 11, 1)
	s.checkKept(life, 0, 11, 10)
}

func testReject(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	s.publish(10)
	for _, seq := range []uint64{1, 5, 4, 9, 10} {
		s.reject(life, seq)
	}
	s.checkLife(0, 10, 5)
	s.checkKept(life, 0, 2, 0, 3, 2, 6, 3, 7, 6, 8, 7)
	s.publish(11)
	s.checkKept(life, 8, 11, 8)

	for _, seq := range []uint64{0, 1, 5, 12, 1 << 63} { // not in the store
		s.reject(life, seq)
	}
	s.reject("nobody's", 2)
	s.checkLife(0, 11, 6)

	s.checkRejected(life, 0, 9, pubstore.Range{From: 1, To: 1}, pubstore.Range{From: 4, To: 5}, pubstore.Range{From: 9, To: 10})
	s.checkRejected(life, 1, 1, pubstore.Range{From: 1, To: 1})
	s.checkRejected(life, 5, 2, pubstore.Range{From: 4, To: 5}, pubstore.Range{From: 9, To: 10})
	s.checkRejected("nobody's", 0, 9)
	s.discard(life, 4)
	s.checkRejected(life, 0, 9, pubstore.Range{From: 5, To: 5}, pubstore.Range{From: 9, To: 10})
	s.checkLife(4, 11, 4)
	s.checkKept(life, 0, 6, 4, 7, 6, 8, 7, 11, 8)
	s.discard(life, 7)
	s.reject(life, 7)
	s.reject(life, 8)
	s.checkLife(7, 11, 1)
	s.checkKept(life, 0, 11, 7)
	s.reject(life, 11)
	s.checkLife(7, 11, 0)
	s.checkKept(life, 0)
	s.publish(12)
	s.checkKept(life, 0, 12, 7)
}

func testGet(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	s.publish(5)
	s.discard(life, 1)
	s.reject(life, 3)
	m, err := s.Get(life, 4)
	if err != nil || m.Sequence != 4 || m.Prev != 2 || !bytes.Equal(m.Body, body(4)) {
		t.Fatalf("Get(4) = %+v, %v", m, err)
	}
	for _, seq := range []uint64{0, 1, 3, 6, 1 << 63} {
		if _, err := s.Get(life, seq); !errors.Is(err, pubstore.ErrNotFound) {
			t.Errorf("Get(%d): %v, want ErrNotFound", seq, err)
		}
	}
	if _, err := s.Get("nobody's", 4); !errors.Is(err, pubstore.ErrNotFound) {
		t.Errorf("Get of an unknown life: %v, want ErrNotFound", err)
	}
}

func testLarge(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	sizes := []int{5 << 20, 1, 3 << 20, 700_000, 0, 9 << 20}
	for i, n := range sizes {
		m := &pubstore.Message{Topic: "large", Body: bytes.Repeat([]byte{byte(i)}, n)}
		if _, err := s.Append(t.Context(), m); err != nil {
			t.Fatalf("Append of %d bytes: %v", n, err)
		}
	}
	c := s.cursor(s.life().ID, 0)
	for i, n := range sizes {
		var m pubstore.Message
		if ok, err := c.Next(&m); !ok || err != nil {
			t.Fatalf("Next = %v, %v", ok, err)
		}
		if len(m.Body) != n || n > 0 && (m.Body[0] != byte(i) || m.Body[n-1] != byte(i)) {
			t.Fatalf("message %d has %d bytes, want %d", i+1, len(m.Body), n)
		}
	}
	s.discard(s.life().ID, 5)
	s.checkLife(5, 6, 1)
}

func testTooLarge(t *testing.T, h Harness) {
	s := open(t, h, Options{MaxBytes: 1000})
	_, err := s.Append(t.Context(), &pubstore.Message{Topic: "orders", Body: make([]byte, 1000)})
	if err == nil || errors.Is(err, pubstore.ErrFull) {
		t.Fatalf("a message larger than the store: %v, want an error that is not ErrFull", err)
	}
	s.checkLife(0, 0, 0)
	s.publish(1)
}

func testLogon(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	var last uint64
	for range 3 {
		n, err := s.Logon("gateway")
		if err != nil || n <= last {
			t.Fatalf("Logon = %d, %v after %d", n, err, last)
		}
		last = n
	}
	if _, err := s.Logon("other"); !errors.Is(err, pubstore.ErrNameMismatch) {
		t.Fatalf("Logon under another name: %v", err)
	}
	if n, err := s.Logon("gateway"); err != nil || n <= last {
		t.Fatalf("Logon = %d, %v after %d", n, err, last)
	}
}

func testPlainOffset(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life()
	if life.PlainOffset != 0 {
		t.Fatalf("a new life has plain offset %d", life.PlainOffset)
	}
	if err := s.SetPlainOffset(life.ID, 1<<50); err != nil {
		t.Fatal(err)
	}
	s.publish(2)
	if got := s.life(); got.PlainOffset != 1<<50 || got.PlainOffsetAfter != 0 || got.Last != 2 {
		t.Fatalf("life is %+v, want plain offset 2^50", got)
	}
	s.discard(life.ID, 1)
	if err := s.SetPlainOffset(life.ID, 1<<51); err != nil {
		t.Fatal(err)
	}
	s.discard(life.ID, 2)
	if got := s.life(); got.PlainOffset != 1<<51 || got.PlainOffsetAfter != 1 || got.Acked != 2 {
		t.Fatalf("life is %+v, want plain offset 2^51 after 1", got)
	}
	if err := s.SetPlainOffset("nobody's", 1); !errors.Is(err, pubstore.ErrUnknownLife) {
		t.Fatalf("SetPlainOffset of an unknown life: %v", err)
	}
}

func testSent(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	s.publish(3)
	check := func(clock, sent uint64) {
		t.Helper()
		if got := s.life(); got.Clock != clock || got.Sent != sent {
			t.Fatalf("life is %+v, want clock %d and sent %d", got, clock, sent)
		}
	}
	check(0, 0)
	if _, err := s.Logon("gateway"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetClock(life, 9); err != nil {
		t.Fatal(err)
	}
	check(9, 3)
	s.publish(4)
	check(9, 4)
	s.SetSent(life, 2)
	s.publish(5)
	check(9, 2)
	s.SetSent("nobody's", 1)
	if err := s.SetClock("nobody's", 1); !errors.Is(err, pubstore.ErrUnknownLife) {
		t.Fatalf("SetClock of an unknown life: %v", err)
	}
	s.renew()
	if lives := s.Lives(); lives[1].Sent != 0 || lives[1].Clock != 0 || lives[0].Sent != 2 {
		t.Fatalf("lives are %+v after Renew", lives)
	}
}

func (s store) renew() {
	s.t.Helper()
	if err := s.Renew(); err != nil {
		s.t.Fatalf("Renew: %v", err)
	}
}

func testRenew(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	emptyLife := s.life().ID
	s.renew()
	if lives := s.Lives(); len(lives) != 1 || lives[0].ID == emptyLife {
		t.Fatalf("lives of an empty store are %+v after Renew, want one other than %s", lives, emptyLife)
	}
	old := s.life().ID
	s.publish(4)
	s.discard(old, 1)
	s.reject(old, 3)
	oldCursor := s.cursor(old, 0)
	s.renew()
	s.checkLife(0, 0, 0)
	s.publish(2)

	lives := s.Lives()
	if len(lives) != 2 || lives[0].ID != old || lives[0].Acked != 1 || lives[0].Last != 4 || lives[0].Kept != 2 {
		t.Fatalf("lives are %+v, want the old one with 2 and 4", lives)
	}
	life := lives[1].ID
	s.checkKept(old, 0, 2, 1, 4, 2)
	s.checkKept(life, 0, 1, 0, 2, 1)
	if u := s.Usage(); u.Messages != 4 {
		t.Fatalf("usage is %+v, want 4 messages", u)
	}
	s.discard(life, 1)
	s.discard(old, 2)
	if got := read(t, oldCursor); len(got) != 1 || got[0] != (ref{4, 2}) {
		t.Fatalf("an earlier cursor reads %v of the old life, want 4", got)
	}
	s.reject(old, 4)
	if lives := s.Lives(); len(lives) != 1 || lives[0].ID != life {
		t.Fatalf("lives are %+v: the old one keeps no message and was not removed", lives)
	}
	s.discard(old, 4) // the life was removed
	s.reject(old, 4)
	if got := read(t, oldCursor); got != nil {
		t.Fatalf("the old life still has %v", got)
	}
	s.checkLife(1, 2, 1)
}

func testUsage(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	if u := s.Usage(); u != (pubstore.Usage{}) {
		t.Fatalf("usage of an empty store is %+v", u)
	}
	m := pubstore.Message{Topic: "12345", Body: make([]byte, 90), SOWKey: "k", CorrelationID: "xy"}
	m.Headers.Set("k", "value ") // 10 bytes
	for range 10 {
		if _, err := s.Append(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
	}
	check := func(messages, single int) {
		t.Helper()
		if u := s.Usage(); u.Messages != messages || u.Bytes != int64(messages*108) || u.Single != single {
			t.Fatalf("usage is %+v, want %d messages of 108 bytes, %d single", u, messages, single)
		}
	}
	check(10, 0)
	s.SetSingle(life, 6)
	check(10, 6)
	s.SetSingle(life, 3) // below an earlier SetSingle
	check(10, 6)
	s.reject(life, 5)
	s.reject(life, 8)
	check(8, 5)
	s.discard(life, 2)
	check(6, 3)
	s.SetSingle(life, 99)
	s.SetSingle("nobody's", 99)
	check(6, 6)
	s.discard(life, 10)
	check(0, 0)
	if u := s.Usage(); u.Appended != 10 || u.Safe != 8 {
		t.Fatalf("usage is %+v, want 10 messages appended, of which 2 were rejected and 8 are safe", u)
	}
}

func testClosed(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	s.publish(1)
	c := s.cursor(life, 0)
	s.close()
	_, appendErr := s.Append(context.Background(), &pubstore.Message{Topic: "t"})
	_, logonErr := s.Logon("n")
	_, cursorErr := s.Cursor(life, 0)
	_, getErr := s.Get(life, 1)
	_, acquireErr := s.Acquire()
	_, nextErr := c.Next(new(pubstore.Message))
	for call, err := range map[string]error{
		"Append": appendErr, "Logon": logonErr, "Cursor": cursorErr, "Get": getErr, "Next": nextErr, "Acquire": acquireErr,
		"Discard": s.Discard(life, 1), "Reject": s.Reject(life, 1), "SetBase": s.SetPlainOffset(life, 1), "SetClock": s.SetClock(life, 1), "Renew": s.Renew(),
	} {
		if !errors.Is(err, pubstore.ErrClosed) {
			t.Errorf("%s on a closed store: %v", call, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
