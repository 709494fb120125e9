package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// store export prints the messages that would be replayed and the places of
// subscriptions, as JSON and as lines.
func TestStoreExport(t *testing.T) {
	d := newTestDir(t)
	d.appDB("app.db")
	s, err := pubstore.OpenFile(d.path("outbox"), unstaged)
	if err != nil {
		t.Fatal(err)
	}
	var headers pubstore.Headers
	headers.Set("tenant", "eu")
	headers.Set("any", "\xff\x00")
	for i, m := range []pubstore.Message{{Topic: "orders", Body: []byte("one")}, {Topic: "fills", Body: []byte("\xff")}, {Topic: "orders", Body: []byte("three\nlines\n")},
		{Topic: "orders", Body: []byte("five"), CorrelationID: "abc", SOWKey: "k"}, {Topic: "orders", Body: []byte("six")},
		{Topic: "headers", Body: []byte("seven"), Headers: headers, CorrelationID: "id \xfe"}} {
		if _, err := s.Append(t.Context(), &m); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := errors.Join(s.Reject(s.Lives()[0].ID, 1), s.Renew()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), &pubstore.Message{Topic: "fills", Body: []byte("of another life")}); err != nil {
		t.Fatal(err)
	}
	d.close(s, d.outbox("damaged", 0))
	d.flip("damaged"+firstSegment, "order 1", 1, -1)
	golden(t, "store_export", d.holdfast("store", "export", "outbox")+
		d.holdfast("store", "export", "outbox", "--topic=orders")+
		d.holdfast("store", "export", "outbox", "--topic=orders", "--format=lines")+
		d.holdfast("store", "export", "outbox", "--topic=fills", "--format=lines")+
		d.holdfast("store", "export", "outbox", "--topic=headers", "--format=lines")+
		d.holdfast("store", "export", "app.db", "--bucket=outbox", "--format=lines")+
		d.holdfast("store", "export", "app.db", "--bucket=marks")+
		d.holdfast("store", "export", "app.db", "--bucket=marks", "--format=lines")+
		d.holdfast("store", "export", "damaged"))
	shown := d.runChanging("store", "export", "app.db", "--bucket=outbox", "--format=lines", "-o", "lines.txt")
	got, err := os.ReadFile(d.path("lines.txt"))
	if err != nil || !strings.HasPrefix(string(got), "order 1\norder 2\n") || strings.Count(string(got), "\n") != 20 {
		t.Errorf("%s: the file holds %q, %v", shown, got, err)
	}
	if again := d.holdfast("store", "export", "app.db", "--bucket=outbox", "-o", "lines.txt"); !strings.HasSuffix(again, "[exit 2]\n\n") {
		t.Errorf("a file that exists: %s", again)
	}
}

// store export prints messages in order even if the store does not have them in order.
func TestExportUnsorted(t *testing.T) {
	d := newTestDir(t)
	s, err := pubstore.OpenFile(d.path("outbox"), pubstore.FileOptions{SegmentBytes: 4 << 10, SyncInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	// The store copies old messages behind newer ones now and then, to free their segment.
	life := s.Lives()[0].ID
	var want strings.Builder
	for i := uint64(1); i <= 4000; i++ {
		if _, err := s.Append(t.Context(), &pubstore.Message{Topic: "orders", Body: fmt.Appendf(nil, "%04d", i)}); err != nil {
			t.Fatal(err)
		}
		if i%800 == 1 {
			fmt.Fprintf(&want, "%04d\n", i)
		} else if err := s.Reject(life, i); err != nil {
			t.Fatal(err)
		}
	}
	d.close(s)
	if got := d.holdfast("store", "export", "outbox", "--format=lines"); !strings.Contains(got, "\n"+want.String()+"[exit 0]") {
		t.Errorf("%s, want\n%s", got, want.String())
	}
}
